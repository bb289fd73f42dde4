"""The two checks that give the results linter its evidence, on strategies that are wrong on purpose."""

from collections.abc import Callable

import numpy as np
import pytest
from backtest_cases import START, wandering

from triplegain_pipelines.evaluation.strategy_checks import check_history, check_look_ahead
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

pytestmark = pytest.mark.unit

SERIES = wandering(600, seed=1)
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def strategy(level: Callable[[Floats], Floats], *, warm_up: int = 20, ahead: int = 0) -> Strategy:
    """Long above a level of the closes; the stop distance is the level's distance from zero."""

    def signals(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
        close = values.series.close
        seen = level(close)
        target = np.where(np.arange(len(close)) >= warm_up, close > seen, 0).astype(np.int8)
        if ahead:
            target = np.concatenate((target[ahead:], np.repeat(target[-1:], ahead)))
        return Signals(target, np.zeros(len(close), np.int8), seen, parameters.stop_atr)

    return Strategy("made by hand", StrategyParameters, signals, lambda _: warm_up, {}, ("",))


def mean_of_ten(close: Floats) -> Floats:
    """Each bar's mean is of its own ten closes, summed in their order: the same bits from any start."""
    padded = np.concatenate((np.full(9, np.nan), close))
    return np.array([padded[place : place + 10].sum() / 10 for place in range(len(close))])


def mean_of_all(close: Floats) -> Floats:
    return np.full(len(close), close.mean())


def expanding_mean(close: Floats) -> Floats:
    return np.cumsum(close) / np.arange(1, len(close) + 1)


def test_an_honest_strategy_passes_both() -> None:
    """B2: a check that cries without a cause is turned off."""
    honest = strategy(mean_of_ten)
    look = check_look_ahead(honest, StrategyParameters(), SERIES)
    assert (look.cuts, look.differences, look.first_at) == (24, 0, None)
    history = check_history(honest, StrategyParameters(), SERIES)
    assert (history.differences, history.largest_change) == (0, 0.0)
    # starts at 100, 200 and 300, less the warm-up of 20 each
    assert history.bars == 480 + 380 + 280


@pytest.mark.parametrize("peeking", [strategy(mean_of_all), strategy(mean_of_ten, ahead=1)])
def test_knowing_the_future_is_found(peeking: Strategy) -> None:
    """B2: the mean of the whole series, and a signal one bar too early."""
    found = check_look_ahead(peeking, StrategyParameters(), SERIES)
    assert found.differences > 0
    assert found.first_at is not None
    assert found.first_at >= START


def test_values_that_depend_on_the_start_are_found() -> None:
    """Trap 28: an average over everything there is has no warm-up that is long enough."""
    found = check_history(strategy(expanding_mean), StrategyParameters(), SERIES)
    assert found.differences > 0
    assert found.largest_change > 0.001
    assert check_look_ahead(strategy(expanding_mean), StrategyParameters(), SERIES).differences == 0


def test_a_history_shorter_than_the_warm_up_has_nothing_to_compare() -> None:
    """A check on too few candles says so by its counts, and does not fail."""
    long_warm_up = strategy(mean_of_ten, warm_up=900)
    assert check_history(long_warm_up, StrategyParameters(), SERIES).bars == 0
    assert check_look_ahead(long_warm_up, StrategyParameters(), SERIES).differences == 0
