"""The circuit breakers' three states."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from risk_cases import AT, LIMITS, D, portfolio

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, PortfolioState
from triplegain_pipelines.risk.breakers import (
    BreakerChange,
    BreakerEvidence,
    after_trade,
    cleared_by_hand,
    counted_from,
    evaluate_breakers,
    initial_breakers,
    opened_by_hand,
)
from triplegain_pipelines.risk.strategies import StrategyResult, standings

pytestmark = pytest.mark.unit

Breakers = Mapping[BreakerName, Breaker]
CALM = (D(10000),)
LOSING = dict.fromkeys(("a", "b", "c", "d"), (3, -0.01))
SAFE_MODE = {BreakerName.DRAWDOWN, BreakerName.CONSECUTIVE_LOSSES}
SIX_LOSSES = portfolio(losses_in_a_row=6)
HOUR = timedelta(hours=1)


def taken_over(breakers: Breakers, changes: tuple[BreakerChange, ...]) -> Breakers:
    """The breakers after the changes."""
    return {**breakers, **{change.after.name: change.after for change in changes}}


def evidence(
    account: PortfolioState | None = None, window: tuple[Decimal, ...] = CALM, **around: Any
) -> BreakerEvidence:
    """What the breakers look at, with nothing wrong but what is named."""
    plain: dict[str, Any] = {
        "strategies": {},
        "percentile": 0.5,
        "data_age": timedelta(seconds=60),
        "crossed": (),
        "errors": 0,
    }
    return BreakerEvidence(account or portfolio(), window, **{**plain, **around})


def evaluated(
    breakers: Breakers,
    account: PortfolioState | None = None,
    at: datetime = AT,
    window: tuple[Decimal, ...] = CALM,
    **around: Any,
) -> Breakers:
    """The breakers after an evaluation, which must have nothing to say when it is repeated."""
    seen = evidence(account, window, **around)
    after = taken_over(breakers, evaluate_breakers(breakers, seen, LIMITS, at))
    assert evaluate_breakers(after, seen, LIMITS, at) == ()
    return after


def opened(breakers: Breakers) -> set[str]:
    """The names of the open ones."""
    return {name.value for name, breaker in breakers.items() if breaker.state is BreakerState.OPEN}


@pytest.fixture
def on_trial() -> Breakers:
    """All closed but consecutive losses, which tripped and has cooled down."""
    tripped = evaluated(initial_breakers(AT), SIX_LOSSES)
    return evaluated(tripped, SIX_LOSSES, AT + 4 * HOUR)


@pytest.mark.parametrize(
    ("account", "window", "names"),
    [
        (portfolio(), ("10000", "10100", "9898"), set()),  # 2 % of 10100 is 202: met, not passed
        (portfolio(), ("10000", "10100", "9897.99"), {"rapid_loss"}),
        (portfolio(), (), set()),
        (portfolio(losses_in_a_row=5), ("1",), set()),
        (portfolio(losses_in_a_row=6), ("1",), {"consecutive_losses"}),
        (portfolio(cash=D("9500.01")), ("1",), set()),
        (portfolio(cash=D(9500)), ("1",), {"daily_loss"}),
        (portfolio(peak_equity=D(12500)), ("1",), set()),
        (portfolio(peak_equity=D("12500.01")), ("1",), {"drawdown"}),
        (portfolio(drawdown_locked=True), ("1",), {"drawdown"}),
        (
            portfolio(cash=D(-5), losses_in_a_row=9),
            ("10", "-5"),
            {"rapid_loss", "consecutive_losses", "daily_loss", "drawdown"},
        ),
    ],
)
def test_each_breaker_trips_at_its_threshold(account: PortfolioState, window: tuple[str, ...], names: set[str]) -> None:
    """R6: a breaker that trips too late lets new risk into a falling account."""
    marks = tuple(D(mark) for mark in window)
    changes = evaluate_breakers(initial_breakers(AT), evidence(account, marks), LIMITS, AT)
    assert {change.after.name.value for change in changes} == names
    assert all(change.after.state is BreakerState.OPEN for change in changes)
    assert all(change.reason.code is ReasonCode.BREAKER_TRIPPED and change.reason.context for change in changes)


@pytest.mark.parametrize(
    ("around", "names"),
    [
        ({"strategies": LOSING}, {"all_strategies_losing"}),
        ({"strategies": {**LOSING, "e": (3, 0.0001)}}, set()),
        ({"strategies": {**LOSING, "e": (3, 0.0)}}, set()),
        ({"strategies": {**LOSING, "e": (2, 0.5)}}, {"all_strategies_losing"}),  # two results say nothing yet
        ({"strategies": {name: LOSING[name] for name in "abc"}}, set()),
        ({"strategies": {**LOSING, "a": (2, -0.5)}}, set()),
        ({"percentile": 0.99}, set()),
        ({"percentile": 0.9901}, {"volatility"}),
        ({"percentile": None}, set()),
        ({"data_age": timedelta(seconds=180)}, set()),
        ({"data_age": timedelta(seconds=181)}, {"anomaly"}),
        ({"data_age": timedelta.max}, {"anomaly"}),
        ({"data_age": None}, set()),
        ({"crossed": ("BTC/USDT",)}, {"anomaly"}),
        ({"errors": 5}, set()),
        ({"errors": 6}, {"anomaly"}),
    ],
)
def test_each_breaker_of_the_surroundings_trips_at_its_threshold(around: dict[str, Any], names: set[str]) -> None:
    """R6: strategies that all lose, a market that is too wild, data or orders that fail, and nobody stops."""
    changes = evaluate_breakers(initial_breakers(AT), evidence(**around), LIMITS, AT)
    assert {change.after.name.value for change in changes} == names
    assert all(change.reason.code is ReasonCode.BREAKER_TRIPPED and change.reason.context for change in changes)


@pytest.mark.parametrize(
    ("around", "name", "minutes"),
    [
        ({"strategies": LOSING}, BreakerName.ALL_STRATEGIES_LOSING, 240),
        ({"percentile": 1.0}, BreakerName.VOLATILITY, 60),
        ({"errors": 6}, BreakerName.ANOMALY, 15),
    ],
)
def test_what_tripped_rests_and_goes_on_trial_when_it_is_clean(
    around: dict[str, Any], name: BreakerName, minutes: int
) -> None:
    """R6: a breaker that needs a person at every glitch, or that goes on trial while nothing is mended."""
    tripped = evaluated(initial_breakers(AT), **around)
    assert opened(tripped) == {name.value}
    rested = AT + timedelta(minutes=minutes)
    assert opened(evaluated(tripped, at=rested - timedelta(seconds=1)))
    assert opened(evaluated(tripped, at=rested, **around))
    on_trial = evaluated(tripped, at=rested)
    assert (on_trial[name].state, on_trial[name].trials_left) == (BreakerState.HALF_OPEN, 3)
    assert opened(evaluated(on_trial, at=rested + timedelta(minutes=1), **around)) == {name.value}


def test_volatility_that_is_not_known_ends_nothing() -> None:
    """R6: without a percentile an open breaker must not go on trial: not known is not calm."""
    tripped = evaluated(initial_breakers(AT), percentile=1.0)
    assert opened(evaluated(tripped, at=AT + 2 * HOUR, percentile=None)) == {"volatility"}


def test_old_failures_do_not_count_after_a_person_cleared_them() -> None:
    """R6: an hour of failed orders that trips the breaker again as soon as somebody has looked at them."""
    hour = timedelta(hours=1)
    breaker = initial_breakers(AT - 3 * hour)[BreakerName.ANOMALY]
    tripped = opened_by_hand(breaker, "ada", "errors", AT - hour / 2).after
    cleared = cleared_by_hand(tripped, "ada", "mended", LIMITS, AT - hour / 4).after
    assert counted_from(breaker, hour, AT) == AT - hour
    assert counted_from(tripped, hour, AT) == AT - hour
    assert counted_from(cleared, hour, AT) == AT - hour / 4
    assert counted_from(cleared, hour, AT + hour) == AT
    assert counted_from(None, hour, AT) == AT - hour


def test_standings_do_not_depend_on_the_order_of_results() -> None:
    """B2: a replay and paper trading read the same results in another order, and must come to the same mean."""
    results = [StrategyResult("a", AT, value) for value in (0.1, 1e16, -1e16, 0.2)]
    assert standings(results) == standings(reversed(results)) == {"a": (4, pytest.approx(0.075))}
    assert standings([]) == {}


def test_a_rapid_loss_rests_and_waits_until_the_fall_has_left_the_window() -> None:
    """R6: a breaker that goes on trial while the same fall is in its window trips twice for one loss."""
    fallen = (D(10000), D(9700))
    breakers = evaluated(initial_breakers(AT), portfolio(), AT, fallen)
    assert opened(evaluated(breakers, portfolio(), AT + HOUR - timedelta(seconds=1)))
    assert opened(evaluated(breakers, portfolio(), AT + HOUR, fallen))
    rested = evaluated(breakers, portfolio(), AT + HOUR)[BreakerName.RAPID_LOSS]
    assert (rested.state, rested.trials_left) == (BreakerState.HALF_OPEN, 3)
    again = evaluated({BreakerName.RAPID_LOSS: rested}, portfolio(), AT + 2 * HOUR, fallen)
    assert opened(again) == {"rapid_loss"}


def test_six_losses_trip_once(on_trial: Breakers) -> None:
    """R6: the row of losses stands while nothing is traded, so HALF_OPEN must judge by trial trades only."""
    assert on_trial[BreakerName.CONSECUTIVE_LOSSES].state is BreakerState.HALF_OPEN
    assert evaluated(on_trial, SIX_LOSSES, AT + 9 * HOUR) == on_trial


def test_the_last_winning_trial_closes(on_trial: Breakers) -> None:
    """R6: a breaker that closes after one lucky trade has tried nothing."""
    trials = []
    for _ in range(3):
        on_trial = taken_over(on_trial, after_trade(on_trial, D(5), LIMITS, AT + 5 * HOUR, AT + 5 * HOUR))
        trials.append(
            (on_trial[BreakerName.CONSECUTIVE_LOSSES].state, on_trial[BreakerName.CONSECUTIVE_LOSSES].trials_left)
        )
    assert trials == [(BreakerState.HALF_OPEN, 2), (BreakerState.HALF_OPEN, 1), (BreakerState.CLOSED, 0)]
    assert after_trade(on_trial, D(-5), LIMITS, AT + 5 * HOUR, AT + 5 * HOUR) == ()


def test_a_losing_trial_opens_again(on_trial: Breakers) -> None:
    """R6: a trial that lost must stop the trials at once, and for a whole cool-down."""
    won = taken_over(on_trial, after_trade(on_trial, D(5), LIMITS, AT + 5 * HOUR, AT + 5 * HOUR))
    lost = taken_over(won, after_trade(won, D("-0.01"), LIMITS, AT + 5 * HOUR, AT + 5 * HOUR))
    assert opened(lost) == {"consecutive_losses"}
    assert opened(evaluated(lost, SIX_LOSSES, AT + 8 * HOUR))
    assert evaluated(lost, SIX_LOSSES, AT + 9 * HOUR)[BreakerName.CONSECUTIVE_LOSSES].trials_left == 3


def test_a_trial_that_broke_even_counts_for_nothing(on_trial: Breakers) -> None:
    """R6: a trade without profit is neither a proof nor a failure."""
    assert after_trade(on_trial, D(0), LIMITS, AT + 5 * HOUR, AT + 5 * HOUR) == ()


def test_the_daily_loss_lasts_until_the_next_utc_day() -> None:
    """R5: a halt that ends before midnight is none; one that never ends stops the account for good."""
    breakers = evaluated(initial_breakers(AT), portfolio(cash=D(9400)))
    assert opened(evaluated(breakers, portfolio(), datetime(2024, 8, 5, 23, 59, 59, tzinfo=UTC)))
    midnight = datetime(2024, 8, 6, tzinfo=UTC)
    unrolled = evaluated(breakers, portfolio(cash=D(9400)), midnight)
    assert opened(unrolled), "the state still measures from yesterday's start"
    rolled = evaluated(breakers, portfolio(cash=D(9400), day_start_equity=D(9400)), midnight)
    assert rolled[BreakerName.DAILY_LOSS].state is BreakerState.HALF_OPEN
    second = evaluated(rolled, portfolio(cash=D(8900), day_start_equity=D(9400)), midnight + HOUR)
    assert opened(second) == {"daily_loss"}


def test_only_a_person_clears_the_drawdown_breaker() -> None:
    """R5: a lock that opens by itself after a recovery is not a lock."""
    breakers = evaluated(initial_breakers(AT), portfolio(drawdown_locked=True))
    assert opened(evaluated(breakers, portfolio(), AT + timedelta(days=30))) == {"drawdown"}


@pytest.mark.parametrize("name", list(BreakerName))
def test_a_lock_that_a_person_clears_leads_to_safe_mode(name: BreakerName) -> None:
    """R8: an account that was locked and trades on at full size the moment somebody unlocks it."""
    tripped = replace(initial_breakers(AT)[name], state=BreakerState.OPEN)
    change = cleared_by_hand(tripped, "ada", "looked at it", LIMITS, AT + HOUR)
    expected = (BreakerState.HALF_OPEN, 3) if name in SAFE_MODE else (BreakerState.CLOSED, 0)
    assert (change.after.state, change.after.trials_left) == expected
    assert change.reason.context == {"operator": "ada", "why": "looked at it"}
    breakers = {**initial_breakers(AT), name: change.after}
    # Nothing but trial trades ends it.
    assert evaluated(breakers, at=AT + timedelta(days=9)) == breakers


def test_a_losing_trial_of_safe_mode_needs_a_person_again() -> None:
    """R5, R8: the drawdown lock that a trial trade lost in must not come back by itself."""
    tripped = replace(initial_breakers(AT)[BreakerName.DRAWDOWN], state=BreakerState.OPEN)
    half_open = {tripped.name: cleared_by_hand(tripped, "ada", "why", LIMITS, AT).after}
    lost = taken_over(half_open, after_trade(half_open, D(-1), LIMITS, AT + HOUR, AT + HOUR))
    assert opened(lost) == {"drawdown"}
    assert opened(evaluated(lost, at=AT + timedelta(days=30))) == {"drawdown"}


@pytest.mark.parametrize("name", list(BreakerName))
def test_what_a_person_opened_only_a_person_clears(name: BreakerName) -> None:
    """R6: a breaker opened by hand that cools down by itself trades against the person's order."""
    change = opened_by_hand(initial_breakers(AT)[name], "ada", "news", AT)
    assert opened(evaluated({name: change.after}, portfolio(), AT + timedelta(days=3))) == {name.value}


def test_what_a_person_cleared_does_not_trip_on_the_same_evidence() -> None:
    """R6: without this a person's clearing lasts until the next tick."""
    fallen = (D(10000), D(9400))
    account = portfolio(cash=D(9400))
    breakers = evaluated(initial_breakers(AT), account, AT, fallen)
    assert opened(breakers) == {"rapid_loss", "daily_loss"}
    at = AT + timedelta(minutes=1)
    cleared = {name: cleared_by_hand(breaker, "ada", "known", LIMITS, at).after for name, breaker in breakers.items()}
    assert not opened(evaluated(cleared, account, at + timedelta(minutes=4), fallen))
    assert opened(evaluated(cleared, account, at + timedelta(minutes=5), fallen)) == {"rapid_loss"}
    tomorrow = replace(account, day_start_equity=D(10000))
    assert "daily_loss" in opened(evaluated(cleared, tomorrow, at + timedelta(days=1)))


def test_a_clearing_holds_for_a_cool_down_where_the_condition_stands() -> None:
    """R6: a wild market that a person has looked at trips at the next tick; or never again."""
    breakers = evaluated(initial_breakers(AT), percentile=1.0)
    cleared = {name: cleared_by_hand(one, "ada", "known", LIMITS, AT).after for name, one in breakers.items()}
    assert not opened(evaluated(cleared, at=AT + timedelta(minutes=59), percentile=1.0))
    assert opened(evaluated(cleared, at=AT + timedelta(minutes=60), percentile=1.0)) == {"volatility"}


def test_a_trade_opened_before_the_trial_is_no_trial() -> None:
    """R6: full-size positions from before the trip must neither prove the breaker good nor bad."""
    half_open = {BreakerName.RAPID_LOSS: Breaker(BreakerName.RAPID_LOSS, BreakerState.HALF_OPEN, AT, "test", 3)}
    before, during = AT - HOUR, AT + HOUR
    assert after_trade(half_open, D(5), LIMITS, AT + 2 * HOUR, before) == ()
    assert after_trade(half_open, D(-5), LIMITS, AT + 2 * HOUR, before) == ()
    (won,) = after_trade(half_open, D(5), LIMITS, AT + 2 * HOUR, during)
    assert (won.after.trials_left, won.after.changed_at) == (2, AT)
