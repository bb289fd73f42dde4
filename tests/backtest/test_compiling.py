"""What is compiled before a study is all that the study calls: else it would seem to hang without a word."""

from pathlib import Path

import pytest
from research_market import FREE, random_walk

from triplegain_pipelines.backtest.sealed_bars import open_bars, seal_bars
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.operations.compiling import compile_strategies, compile_sweeps
from triplegain_pipelines.strategies.registry import STRATEGIES

pytestmark = pytest.mark.backtest


def signatures() -> dict[str, int]:
    """Of every compiled function of the fast engine and of the strategies: for how many kinds of arguments."""
    from triplegain_pipelines.backtest import kernel_figures, kernel_inputs, kernel_walk
    from triplegain_pipelines.strategies import kernels

    return {
        f"{module.__name__}.{name}": len(one.signatures)
        for module in (kernel_figures, kernel_inputs, kernel_walk, kernels)
        for name, one in vars(module).items()
        if hasattr(one, "signatures")
    }


def test_nothing_is_left_to_compile_for_a_study(tmp_path: Path) -> None:
    """A person who waits half a minute at 'trial 0 of 720' ends the command."""
    from triplegain_pipelines.backtest.sweep import walk_each

    compile_strategies(["no such strategy"])  # whoever mistypes is told so by the backtest, in its words
    compile_sweeps(list(STRATEGIES))
    before = signatures()
    assert max(before.values()) > 0
    values = IndicatorValues(open_bars(seal_bars(tmp_path, random_walk(1, 2_000))))
    for strategy in STRATEGIES.values():
        walk_each(values, strategy, [strategy.parameters()], FREE, start=500, stop=1_500)
    assert signatures() == before
