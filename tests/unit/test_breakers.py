"""The circuit breakers' three states."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from risk_cases import AT, LIMITS, D, portfolio

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, PortfolioState
from triplegain_pipelines.risk.breakers import (
    BreakerChange,
    after_trade,
    cleared_by_hand,
    evaluate_breakers,
    initial_breakers,
    opened_by_hand,
)

pytestmark = pytest.mark.unit

Breakers = Mapping[BreakerName, Breaker]
CALM = (D(10000),)
SIX_LOSSES = portfolio(losses_in_a_row=6)
HOUR = timedelta(hours=1)


def taken_over(breakers: Breakers, changes: tuple[BreakerChange, ...]) -> Breakers:
    """The breakers after the changes."""
    return {**breakers, **{change.after.name: change.after for change in changes}}


def evaluated(
    breakers: Breakers, account: PortfolioState, at: datetime = AT, window: tuple[Decimal, ...] = CALM
) -> Breakers:
    """The breakers after an evaluation, which must have nothing to say when it is repeated."""
    after = taken_over(breakers, evaluate_breakers(breakers, account, window, LIMITS, at))
    assert evaluate_breakers(after, account, window, LIMITS, at) == ()
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
        (portfolio(cash=D(-5), losses_in_a_row=9), ("10", "-5"), {n.value for n in BreakerName}),
    ],
)
def test_each_breaker_trips_at_its_threshold(account: PortfolioState, window: tuple[str, ...], names: set[str]) -> None:
    """R6: a breaker that trips too late lets new risk into a falling account."""
    marks = tuple(D(mark) for mark in window)
    changes = evaluate_breakers(initial_breakers(AT), account, marks, LIMITS, AT)
    assert {change.after.name.value for change in changes} == names
    assert all(change.after.state is BreakerState.OPEN for change in changes)
    assert all(change.reason.code is ReasonCode.BREAKER_TRIPPED and change.reason.context for change in changes)


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
    change = cleared_by_hand(breakers[BreakerName.DRAWDOWN], "ada", "looked at it", AT + HOUR)
    assert (change.after.state, change.reason.context["operator"]) == (BreakerState.CLOSED, "ada")


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
    cleared = {name: cleared_by_hand(breaker, "ada", "known", at).after for name, breaker in breakers.items()}
    assert not opened(evaluated(cleared, account, at + timedelta(minutes=4), fallen))
    assert opened(evaluated(cleared, account, at + timedelta(minutes=5), fallen)) == {"rapid_loss"}
    tomorrow = replace(account, day_start_equity=D(10000))
    assert "daily_loss" in opened(evaluated(cleared, tomorrow, at + timedelta(days=1)))


def test_a_trade_opened_before_the_trial_is_no_trial() -> None:
    """R6: full-size positions from before the trip must neither prove the breaker good nor bad."""
    half_open = {BreakerName.RAPID_LOSS: Breaker(BreakerName.RAPID_LOSS, BreakerState.HALF_OPEN, AT, "test", 3)}
    before, during = AT - HOUR, AT + HOUR
    assert after_trade(half_open, D(5), LIMITS, AT + 2 * HOUR, before) == ()
    assert after_trade(half_open, D(-5), LIMITS, AT + 2 * HOUR, before) == ()
    (won,) = after_trade(half_open, D(5), LIMITS, AT + 2 * HOUR, during)
    assert (won.after.trials_left, won.after.changed_at) == (2, AT)
