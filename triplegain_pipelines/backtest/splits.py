"""Walk-forward splits: what a choice of parameters may see, and the bars on which it is then judged.

Trading in a fold's train bars ends before its test bars begin, with a gap of `purge` + `embargo` bars between them:

- The purge takes out the bars whose outcome the test bars share. A trade that was open at the border, or an indicator
  that still remembers it, would show a part of the test to the choice. It is at least the longest holding time and at
  least the longest warm-up; `purge_bars` says how long that is.
- The embargo keeps a further distance, because neighbouring bars move alike even where no trade or indicator joins them
  (Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 7).

Bars are counted in bars that exist: a gap in the candles is not a part of any distance.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from triplegain_pipelines.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk. Bar ranges are half open; a fold without test bars chooses for the time after the data."""

    number: int
    train_start: int
    train_stop: int
    test_start: int
    test_stop: int

    @property
    def is_tested(self) -> bool:
        """Whether there are bars on which the choice is judged."""
        return self.test_stop > self.test_start

    def document(self) -> list[int]:
        """Train and test as four bar numbers."""
        return [self.train_start, self.train_stop, self.test_start, self.test_stop]


def purge_bars(warm_ups: Iterable[int], longest_holding: int) -> int:
    """The shortest honest purge: no trade and no indicator reaches over it.

    >>> purge_bars([26, 200], 48)
    200

    Args:
        warm_ups: bars that the indicators of each set of parameters look back.
        longest_holding: bars of the longest trade that is expected.
    """
    return max([longest_holding, *warm_ups])


def walk_forward(
    bars: int,
    *,
    first: int,
    train: int,
    test: int,
    purge: int,
    embargo: int,
    anchored: bool,
) -> tuple[Fold, ...]:
    """Folds whose tests follow each other without a gap up to the last bar, and one more without a test.

    The last fold chooses from the newest bars, as every fold before it did: its choice is what is proposed. A shorter
    rest of test bars belongs to the last test, so that every bar from the first test on is tested exactly once.

    Args:
        bars: how many there are.
        first: the first bar that may be traded: after the longest warm-up, so that all trade the same bars.
        train: bars of each train range; of the first one where they are anchored.
        test: bars of each test range, except for the last one's rest.
        purge: see the module.
        embargo: see the module.
        anchored: every train range begins at `first` and grows, instead of rolling on.

    Raises:
        InputError: a length that is not positive, a distance that is negative, or too few bars for one test.
    """
    gap = purge + embargo
    if min(train, test) < 1 or min(first, purge, embargo) < 0:
        msg = (
            f"a walk with {train} bars of training, {test} of testing, {purge} of purge, {embargo} of embargo and the "
            f"first bar {first} cannot be made; give lengths of at least 1 and distances of at least 0"
        )
        raise InputError(msg)
    tested = bars - first - train - gap
    if tested < test:
        msg = (
            f"{bars} bars are too few for a walk: {first} of warm-up, {train} of training, {gap} of purge and embargo "
            f"and {test} of testing need {first + train + gap + test}; give more history, or shorter ranges"
        )
        raise InputError(msg)
    folds = []
    for number in range(tested // test):
        begin = first + train + gap + number * test
        end = bars if number == tested // test - 1 else begin + test
        folds.append(Fold(number, first if anchored else begin - gap - train, begin - gap, begin, end))
    # What is proposed is used after the last bar: there is nothing to keep a distance from.
    return (*folds, Fold(len(folds), first if anchored else bars - train, bars, bars, bars))
