"""The rule strategies on hand-made price paths: the bars of entries and exits were worked out on paper."""

import importlib.util
import inspect
import math
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from look_ahead import leaking_bars
from price_paths import changes, hand_made, random_walk
from pydantic import ValidationError

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.indicators import volatility
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.strategies import bollinger, breakout, macd, momentum, rsi_reversion, stochastic
from triplegain_pipelines.strategies.pages import rules_page
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.rules import (
    LEFT_LONG,
    LEFT_SHORT,
    LONG,
    NEITHER,
    NO_VALUE,
    NOTHING,
    SHORT,
    breaking,
    crossing,
    following,
    reverting,
)
from triplegain_pipelines.strategies.strategy import Strategy

pytestmark = pytest.mark.unit

FLAT = [100.0] * 150
ALTERNATING = [100.0, 101.0] * 75
"""RSI(2) swings between a third and two thirds here, and no close is far from the average: nobody enters."""

EVERY = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def run(strategy: Strategy, closes: list[float], **parameters: float) -> list[tuple[int, int, str]]:
    """The changes of the target on a hand-made path."""
    return changes(strategy.function(hand_made(closes), strategy.parameters(**parameters)), strategy)


def test_the_six_strategies_are_registered() -> None:
    """I3: a strategy that is missing from the registry is never run, tested for look-ahead, or documented."""
    assert list(STRATEGIES) == ["momentum", "macd", "rsi_reversion", "bollinger", "breakout", "stochastic"]
    assert all(name == one.name for name, one in STRATEGIES.items())


def test_momentum_is_on_the_side_of_the_fast_average() -> None:
    """I3: averages of 2 and 4 closes. A swapped comparison, or an average one bar off, moves these bars.

    Bar 150: 105 and 102.5. 151: 110, 105. 152: 110, 107.5. 153: both 110. 154: 100, 105. 155: 90, 100. 156: 90, 95.
    157: both 90.
    """
    assert run(momentum.STRATEGY, [*FLAT, 110, 110, 110, 110, 90, 90, 90, 90], fast=2, slow=4) == [
        (150, 1, "the fast average is over the slow one"),
        (153, 0, "the averages are on no side, or a longer timeframe is not on theirs"),
        (154, -1, "the fast average is under the slow one"),
        (157, 0, "the averages are on no side, or a longer timeframe is not on theirs"),
    ]


def test_momentum_waits_for_the_longer_timeframe_to_close() -> None:
    """I2: hours from midnight, 4h bars that close with the hours 3, 7, 11 and so on; average of 2 of them.

    The hours cross at bar 152, but the 4h bar that rises (152 to 155) closes with bar 155, at 140 over (100 + 140) / 2.
    The hours are equal at 160 (165 and 165), cross at 161 (135 and 155), and the 4h bar that falls closes with bar 163,
    at 60 under (180 + 60) / 2. Seen while it runs, it would let both in earlier.
    """
    rising, falling = [110, 120, 130, 140, 150, 160, 170, 180], [150, 120, 90, 60]
    path = [*FLAT, 100, 100, *rising, *falling]
    found = run(momentum.STRATEGY, path, fast=2, slow=4, trend_minutes=240, trend_period=2)
    assert [(bar, target) for bar, target, _ in found] == [(155, 1), (160, 0), (163, -1)]


def test_macd_turns_where_the_line_crosses_its_signal() -> None:
    """I3: 2, 3, 2 after a step of 10, so the averages go 2/3, 1/2 and 2/3 of the way.

    Line and signal: bar 150: 1.667, 1.111. 151: 1.389, 1.296. 152: 0.880, 1.019. 153: 0.502, 0.674.
    """
    assert run(macd.STRATEGY, [*FLAT, 110, 110, 110, 110], fast=2, slow=3, signal=2) == [
        (150, 1, "the MACD line is over its signal"),
        (152, -1, "the MACD line is under its signal"),
    ]


def test_rsi_enters_under_30_and_leaves_over_50() -> None:
    """I3: averages of gains and losses go half of the way at each bar; after bar 149 they are 2/3 and 1/3.

    RSI: bar 150: 6.1. 151: 6.1. 152: 45.6. 153: 61.7. 154 and 155: 94.5. 156: 25.3, which turns the short round.
    """
    assert run(rsi_reversion.STRATEGY, [*ALTERNATING, 91, 91, 93, 94, 104, 104, 96], period=2) == [
        (150, 1, "RSI is oversold"),
        (153, 0, "RSI came back from oversold"),
        (154, -1, "RSI is overbought"),
        (156, 1, "RSI is oversold"),
    ]


def test_a_market_that_stopped_moving_is_left() -> None:
    """I1, I3: RSI(2) has no value after 20 equal closes; to hold on to its last one would hold a position for ever."""
    assert run(rsi_reversion.STRATEGY, [*ALTERNATING, *[91.0] * 30], period=2) == [
        (150, 1, "RSI is oversold"),
        (169, 0, "RSI has no value: no close moved"),
    ]


def test_bollinger_comes_back_to_the_average() -> None:
    """I3: 5 closes, 1.5 deviations.

    Distances: bar 150: -1.99. 151: -1.22. 152: 96 over 95.4. 153: 1.67. 154: 100 over 97.2. 155: 95 under 98.2.
    """
    assert run(bollinger.STRATEGY, [*ALTERNATING, 90, 90, 96, 110, 100, 95], period=5, deviations=1.5) == [
        (150, 1, "the close is under the lower band"),
        (152, 0, "the close came back over the average"),
        (153, -1, "the close is over the upper band"),
        (155, 0, "the close came back under the average"),
    ]


def test_breakout_needs_a_close_beyond_the_bars_before() -> None:
    """I3: 4 bars in, 2 bars out; highs are 1 over the closes and lows 1 under them.

    Bar 150: 101 is at the high of 101, not over it. 151: 104 over 102. 154: 101 under 102, the low of 152 and 153.
    156: 99 under 100. 158: 102 over 101, the high of 156 and 157, but not over 102. 159: 110 over 103. 160: 50.
    A channel that holds the present bar could never be broken.
    """
    path = [*FLAT, 101, 104, 103, 105, 101, 101, 99, 100, 102, 110, 50]
    assert run(breakout.STRATEGY, path, entry=4, leave=2) == [
        (151, 1, "the close is over the highest high"),
        (154, 0, "the close fell under the low it is left at"),
        (156, -1, "the close is under the lowest low"),
        (158, 0, "the close rose over the high it is left at"),
        (159, 1, "the close is over the highest high"),
        (160, -1, "the close is under the lowest low"),
    ]


def test_stochastic_turns_with_a_crossing_in_the_zone() -> None:
    """I3: 3 bars, %K of 2 and %D of 2, zones at 25 and 75; raw values over ranges that reach 1 beyond the closes.

    Raw: bar 149: 50. 150: 8.3. 151: 4.5. 152: 16.7. 153: 83.3. 154: 90.9. 155: 88.9. 156: 50. 157: 20. 158: 15.4.
    %K: 150: 29.2. 151: 6.4. 152: 10.6. 153: 50. 154: 87.1. 155: 89.9. 156: 69.4. 157: 35. 158: 17.7.
    %D: 151: 17.8. 152: 8.5. 153: 30.3. 154: 68.6. 155: 88.5. 156: 79.7. 157: 52.2. 158: 26.3.
    """
    path = [*FLAT, 90, 80, 81, 84, 90, 91, 90.5, 88, 86]
    assert run(stochastic.STRATEGY, path, period=3, slowing=2, smoothing=2, oversold=25) == [
        (152, 1, "%K crossed over %D where it is oversold"),
        (154, 0, "%K reached the other end of its range"),
        (156, -1, "%K crossed under %D where it is overbought"),
        (158, 0, "%K reached the other end of its range"),
    ]


@EVERY
def test_signals_have_the_agreed_form(strategy: Strategy) -> None:
    """Both engines read these arrays: another type or length would be read as other positions."""
    values = IndicatorValues(random_walk(1500, seed=3))
    parameters = strategy.parameters(stop_atr=2.5)
    signals = strategy.function(values, parameters)
    settled = strategy.warm_up(parameters) - 1
    assert signals.target.dtype == signals.reason.dtype == np.int8
    assert len(signals.target) == len(signals.reason) == len(signals.atr) == 1500
    assert not signals.target[:settled].any()
    assert not signals.reason[:settled].any()
    assert set(np.unique(signals.target)) >= {-1, 1}
    assert signals.reason.max() < len(strategy.reasons)
    assert signals.stop_atr == 2.5
    assert signals.atr is values.of(volatility.atr, period=14)[0], "the range is shared memory, not a copy"
    held = signals.target != 0
    assert not np.isnan(signals.atr[held]).any()


@EVERY
def test_a_target_and_its_reason_agree_at_every_bar(strategy: Strategy) -> None:
    """Bar contract 3: a reversal enters a bar later, and its reason is read at that bar; so it must still stand."""
    signals = strategy.function(IndicatorValues(random_walk(3000, seed=4)), strategy.parameters())
    sides = {LONG: 1, SHORT: -1, LEFT_LONG: 0, LEFT_SHORT: 0, NO_VALUE: 0, NOTHING: 0}
    assert [sides[reason] for reason in signals.reason.tolist()] == signals.target.tolist()


@EVERY
def test_too_few_bars_give_no_signal(strategy: Strategy) -> None:
    """A symbol that was listed yesterday has a few bars, or none: that is no reason to fail."""
    for bars in (0, 1, 2, 20, 139):
        signals = strategy.function(IndicatorValues(random_walk(200, seed=5).part(0, bars)), strategy.parameters())
        assert len(signals.target) == bars
        assert not signals.target.any()


def test_the_first_signal_may_come_with_the_last_bar_of_the_warm_up() -> None:
    """A warm-up that is one bar too long would hide the first trade of every symbol."""
    path = [*[100.0] * 139, 110.0]
    assert run(momentum.STRATEGY, path, fast=2, slow=4)[0][:2] == (139, 1)
    assert run(breakout.STRATEGY, path, entry=4, leave=2)[0][:2] == (139, 1)
    assert run(bollinger.STRATEGY, path, period=5, deviations=1.5)[0][:2] == (139, -1)
    assert momentum.STRATEGY.warm_up(momentum.STRATEGY.parameters()) == 140


@EVERY
def test_every_combination_of_a_grid_runs(strategy: Strategy) -> None:
    """I5: a combination that is refused would end a study in the middle, or be counted as a trial that never ran."""
    values = IndicatorValues(random_walk(300, seed=6))
    for combination in product(*strategy.grid.values()):
        strategy.function(values, strategy.parameters(**dict(zip(strategy.grid, combination, strict=True))))


@EVERY
def test_the_smallest_and_largest_parameters_run(strategy: Strategy) -> None:
    """I5: a bound that the indicator does not take lets a search find its errors instead of parameters."""
    values = IndicatorValues(random_walk(300, seed=7))
    properties = strategy.parameters.model_json_schema()["properties"]
    ran = 0
    for name, one in properties.items():
        for value in (*one.get("enum", ()), one.get("minimum"), one.get("maximum")):
            try:
                parameters = strategy.parameters(**{name: value})
            except ValidationError:
                continue  # None, or not smaller than the default of another
            strategy.function(values, parameters)
            ran += 1
    assert ran >= len(properties)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("momentum", {"fast": 50, "slow": 50}, "fast must be the smaller one"),
        ("momentum", {"trend_minutes": 30}, "trend_minutes"),
        ("macd", {"fast": 30}, "fast must be the smaller one"),
        ("rsi_reversion", {"oversold": 45, "leave": 40}, "oversold must be the smaller one"),
        ("rsi_reversion", {"oversold": 50}, "less than or equal to 49"),
        ("bollinger", {"deviations": 0}, "greater than or equal to 0.5"),
        ("breakout", {"leave": 55}, "leave must be the smaller one"),
        ("stochastic", {"oversold": float("nan")}, "finite"),
        ("stochastic", {"stop_atr": 0}, "greater than 0"),
        ("stochastic", {"overbought": 80}, "Extra inputs"),
    ],
)
def test_wrong_parameters_are_refused(name: str, wrong: dict[str, float], said: str) -> None:
    """I3: a search tries what it may: averages that change places would be the strategy's opposite under its name."""
    with pytest.raises(ValidationError, match=said):
        STRATEGIES[name].parameters(**wrong)


def coarse(seed: int, lines: int) -> np.ndarray:
    """Lines of 300 values from 0 to 10, of which many are equal, or at a threshold, and some are missing."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 11, (lines, 300)).astype(np.float64)
    values[random.random(values.shape) < 0.03] = np.nan
    return values


SEEDS = st.integers(0, 2**32 - 1)


def plainly(events: list[tuple[bool, bool, bool, bool, bool]], first: int) -> list[tuple[int, int]]:
    """The rules with a memory, bar by bar: (unknown, buy, sell, leave_long, leave_short)."""
    side, why, found = 0, NOTHING, []
    for bar, (unknown, buy, sell, leave_long, leave_short) in enumerate(events):
        if bar >= first:
            if unknown:
                side, why = 0, NO_VALUE
            elif side != 1 and buy:
                side, why = 1, LONG
            elif side != -1 and sell:
                side, why = -1, SHORT
            elif side == 1 and leave_long:
                side, why = 0, LEFT_LONG
            elif side == -1 and leave_short:
                side, why = 0, LEFT_SHORT
        found.append((side, why))
    return found


@given(seed=SEEDS, first=st.integers(0, 8), agree=st.booleans())
def test_following_is_a_comparison_at_each_bar(seed: int, first: int, agree: bool) -> None:  # noqa: FBT001 - hypothesis
    """The compiled form takes eight bars at once, a missing value or an equal one among them is on no side."""
    line, other, third = coarse(seed, 3)
    agreeing = third - 5 if agree else None
    target, reason = following(line, other, warm_up=first + 1, agreeing=agreeing)
    for bar, (one, two, three) in enumerate(zip(line.tolist(), other.tolist(), (third - 5).tolist(), strict=True)):
        side = 1 if one > two and (not agree or three > 0) else -1 if one < two and (not agree or three < 0) else 0
        expected = (side, {1: LONG, -1: SHORT, 0: NEITHER}[side]) if bar >= first else (0, NOTHING)
        assert (target[bar], reason[bar]) == expected


@given(seed=SEEDS, first=st.integers(0, 8))
def test_reverting_passes_stretches_without_a_change_of_its_answer(seed: int, first: int) -> None:
    """The compiled form skips bars; one that it should not skip is an entry that never happens."""
    (array,) = coarse(seed, 1)
    target, reason = reverting(array, low=3, leave_long=5, high=8, leave_short=4, warm_up=first + 1)
    events = [(math.isnan(one), one < 3, one > 8, one > 5, one < 4) for one in array.tolist()]
    assert list(zip(target.tolist(), reason.tolist(), strict=True)) == plainly(events, first)


@given(seed=SEEDS, first=st.integers(0, 8))
def test_crossing_passes_stretches_without_a_change_of_its_answer(seed: int, first: int) -> None:
    """As above, for two lines; the first bar has none before it to cross from."""
    line, signal = coarse(seed, 2)
    target, reason = crossing(line, signal, low=4, high=6, warm_up=first + 1)
    events = [
        (
            math.isnan(k) or math.isnan(d),
            bar > 0 and k > d and line[bar - 1] <= signal[bar - 1] and d < 4,
            bar > 0 and k < d and line[bar - 1] >= signal[bar - 1] and d > 6,
            k > 6,
            k < 4,
        )
        for bar, (k, d) in enumerate(zip(line.tolist(), signal.tolist(), strict=True))
    ]
    assert list(zip(target.tolist(), reason.tolist(), strict=True)) == plainly(events, max(first, 1))


@given(seed=SEEDS, first=st.integers(4, 8))
def test_breaking_passes_stretches_without_a_change_of_its_answer(seed: int, first: int) -> None:
    """As above, for channels of 4 and 2 closes."""
    close = np.cumsum(np.random.default_rng(seed).integers(-2, 3, 300)).astype(np.float64)
    closes = close.tolist()

    def channel(period: int) -> tuple[np.ndarray, np.ndarray]:
        edges = [
            (max(closes[bar - period + 1 : bar + 1]), min(closes[bar - period + 1 : bar + 1]))
            if bar >= period - 1
            else (np.nan, np.nan)
            for bar in range(len(closes))
        ]
        return np.array([one[0] for one in edges]), np.array([one[1] for one in edges])

    (upper, lower), (leave_upper, leave_lower) = channel(4), channel(2)
    target, reason = breaking(close, (upper, lower), (leave_upper, leave_lower), warm_up=first + 1)
    events = [
        (
            False,
            price > upper[bar - 1],
            price < lower[bar - 1],
            price < leave_lower[bar - 1],
            price > leave_upper[bar - 1],
        )
        for bar, price in enumerate(closes)
    ]
    assert list(zip(target.tolist(), reason.tolist(), strict=True)) == plainly(events, first)


@EVERY
def test_every_strategy_has_its_page_of_rules(strategy: Strategy) -> None:
    """Issue 6: rules that are written down nowhere cannot be checked against what was traded."""
    page = rules_page(strategy)
    for part in ("**Rules**", "**What it assumes**", "**When it fails**", "**Source**", "**Parameters**"):
        assert part in page
    for name in strategy.parameters.model_fields:
        assert f"| `{name}` |" in page
    assert all(reason in page for reason in strategy.reasons)


def test_a_page_states_bounds_default_and_grid() -> None:
    """A table with another bound than the code's would send a person's search outside of it."""
    page = rules_page(momentum.STRATEGY).splitlines()
    assert "| `fast` | 20 | 2 to 500 | 5, 10, 15, 20, 30, 40 | Closes in the faster average. |" in page
    assert any(line.startswith("| `trend_minutes` | 0 | 0, 60, 240, 1440 | 0, 1440 |") for line in page)
    assert any(line.startswith("| `stop_atr` | 2.0 | over 0 to 10 | not searched |") for line in page)


SEVENTH = '''"""Calendar: long after the close of every seventh bar.

**Rules**: as said. **What it assumes**: nothing. **When it fails**: always. **Source**: a test.
"""

import numpy as np

from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters


def seventh(values: IndicatorValues, parameters: StrategyParameters) -> Signals:
    """Every seventh bar."""
    target = (np.arange(len(values.series)) % 7 == 0).astype(np.int8)
    return Signals.of(values, parameters, target, target.copy())


STRATEGY = Strategy("seventh", StrategyParameters, seventh, lambda _: 1, {}, ("", "it is the seventh bar"))
'''


def test_a_new_strategy_is_one_file_and_one_line(tmp_path: Path) -> None:
    """I3: a strategy that needs more than its file and a line in the registry would be left half wired."""
    module = loaded(tmp_path / "seventh.py", SEVENTH)
    registry = inspect.getsource(importlib.import_module("triplegain_pipelines.strategies.registry"))
    assert all(registry.count(f"{name}.STRATEGY,") == 1 for name in STRATEGIES), "one line each"
    known = {**STRATEGIES, module.STRATEGY.name: module.STRATEGY}
    strategy = known["seventh"]
    assert "it is the seventh bar" in rules_page(strategy)
    assert leaking_bars(strategy, strategy.parameters(), random_walk(400, seed=1), [200, 300]) == []
    assert changes(strategy.function(hand_made([100.0] * 10), strategy.parameters()), strategy)[:2] == [
        (0, 1, "it is the seventh bar"),
        (1, 0, ""),
    ]


def test_a_strategy_without_rules_has_no_page(tmp_path: Path) -> None:
    """A page that is empty would look as if there were nothing to know."""
    module = loaded(tmp_path / "unwritten.py", SEVENTH.split('"""', 2)[2])
    with pytest.raises(InputError, match="module of strategy seventh has no docstring"):
        rules_page(module.STRATEGY)


def loaded(path: Path, source: str) -> ModuleType:
    """The module of a file that is written now."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
