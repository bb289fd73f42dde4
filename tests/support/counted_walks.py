"""Counts the walks of trials over all processes that share a counter, and lets something happen at one of them."""

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from unittest.mock import patch

from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.store.studies import Study
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.strategy import Signals, StrategyParameters

_NUMBER = struct.Struct("q")


class Walks:
    """How many walks were begun, by this process and those that it forks."""

    def __init__(self) -> None:
        self._memory, self._lock = mmap.mmap(-1, _NUMBER.size), Lock()

    @property
    def begun(self) -> int:
        """So many."""
        return int(_NUMBER.unpack(self._memory[:])[0])

    @contextmanager
    def counted(self, strategy: str, at: int = 0, do: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Count the strategy's walks, and do something in the middle of the `at`-th from now on."""
        real, first = STRATEGIES[strategy], self.begun

        def function(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
            with self._lock:
                number = self.begun + 1
                self._memory[:] = _NUMBER.pack(number)
            if number == first + at:
                do()
            return real.function(values, parameters)

        with patch.dict(STRATEGIES, {strategy: replace(real, function=function)}):
            yield


def walks_of(study: Study) -> int:
    """The walks of an undisturbed study: one over the train bars of each trial, and one over the test bars if any."""
    return sum(study.trials_per_fold * (1 + (test_stop > test_start)) for _, _, test_start, test_stop in study.folds)


def drawn_seed() -> int:
    """A seed that nobody chose; whoever fails with it shows it."""
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    return seed
