"""The drawdown ladder and the risk state that remembers its lock."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from risk_cases import AT, LIMITS, D

from triplegain_pipelines.domain.risk import fall
from triplegain_pipelines.risk.ladder import LadderStep, ladder_step
from triplegain_pipelines.risk.state import after_flow, after_trade, initial_risk_state, marked, unlocked

pytestmark = pytest.mark.unit

LADDER = LIMITS.drawdown_ladder


@pytest.mark.parametrize(
    ("drawdown", "step"),
    [
        ("0", "NORMAL"),
        ("0.10", "NORMAL"),
        ("0.1000000001", "HALF_SIZE"),
        ("0.15", "HALF_SIZE"),
        ("0.1500000001", "PAUSED"),
        ("0.20", "PAUSED"),
        ("0.2000000001", "LOCKED"),
    ],
)
def test_steps_are_taken_over_their_thresholds(drawdown: str, step: str) -> None:
    """R5: a step taken at its threshold, or one step too late, trades a size that the ladder forbids."""
    assert ladder_step(Decimal(drawdown), locked=False, ladder=LADDER) is LadderStep(step)


def test_a_lock_outlives_the_recovery() -> None:
    """R5: an account that fell by 21 % and recovered must still wait for a person."""
    state = initial_risk_state(D(1000), AT)
    state = marked(state, D(789), AT + timedelta(minutes=1), LADDER)
    state = marked(state, D(1100), AT + timedelta(minutes=2), LADDER)
    assert state.drawdown_locked
    assert ladder_step(D(0), state.drawdown_locked, LADDER) is LadderStep.LOCKED


def test_an_unlocked_account_is_not_locked_by_the_next_mark() -> None:
    """R5: with the old peak kept, a person's unlocking would last until the next mark."""
    state = marked(initial_risk_state(D(1000), AT), D(750), AT, LADDER)
    state = marked(unlocked(state), D(750), AT + timedelta(minutes=1), LADDER)
    assert (state.drawdown_locked, state.peak_equity) == (False, D(750))


def test_the_day_starts_with_its_first_mark() -> None:
    """R5: a day start that stays at yesterday's equity halts a good day, or lets a bad one run."""
    state = initial_risk_state(D(1000), datetime(2024, 8, 5, 23, 59, tzinfo=UTC))
    before = marked(state, D(960), datetime(2024, 8, 5, 23, 59, 59, tzinfo=UTC), LADDER)
    after = marked(before, D(955), datetime(2024, 8, 6, tzinfo=UTC), LADDER)
    later = marked(after, D(940), datetime(2024, 8, 6, 1, tzinfo=UTC), LADDER)
    assert before.day_start_equity == D(1000)
    assert (later.day, later.day_start_equity, later.peak_equity) == (date(2024, 8, 6), D(955), D(1000))


def test_a_late_mark_does_not_turn_the_day_back() -> None:
    """R5: a mark of yesterday that arrives today must not give the day a new start."""
    state = initial_risk_state(D(1000), AT)
    late = marked(state, D(900), AT - timedelta(days=1), LADDER)
    assert (late.day, late.day_start_equity, late.evaluated_at) == (AT.date(), D(1000), AT)


def test_losses_are_counted_until_a_win() -> None:
    """R6: a break-even trade that ended the row would hide six losses from the breaker."""
    state = initial_risk_state(D(1000), AT)
    for profit in ("-1", "-2", "0", "-3"):
        state = after_trade(state, D(profit), D(10))
    assert (state.losses_in_a_row, state.last_loss_risk) == (3, D(10))
    won = after_trade(state, D("0.01"), D(10))
    assert (won.losses_in_a_row, won.last_loss_risk) == (0, None)


MONEY = st.decimals("0.01", "1e9", places=2)


@given(peak=MONEY, opened=MONEY, before=MONEY, flows=st.lists(st.decimals("-1e6", "1e6", places=8), max_size=6))
@example(peak=D(1000), opened=D(1000), before=D(800), flows=[D(-799)])
def test_payments_change_no_fraction(peak: Decimal, opened: Decimal, before: Decimal, flows: list[Decimal]) -> None:
    """R5: drawdown and the day's loss are of trading; whatever is paid in or out leaves them as they were."""
    state = replace(initial_risk_state(max(peak, before), AT), day_start_equity=opened)
    fractions = fall(state.peak_equity, before), fall(opened, before)
    worth = before
    for flow in flows:
        if worth + flow > D("0.01"):
            state = after_flow(state, worth, worth + flow)
            worth += flow
    assert abs(fall(state.peak_equity, worth) - fractions[0]) < D("1e-18")
    assert abs(fall(state.day_start_equity, worth) - fractions[1]) < D("1e-18")
    assert state.day_opened_equity == max(peak, before)
    assert state.day_flow == worth - before  # so that the loss in money leaves them out


def test_a_payment_into_an_account_without_equity_starts_anew() -> None:
    """R5: a fraction of nothing is nothing; but no payment opens the ladder's lock."""
    state = replace(marked(initial_risk_state(D(1000), AT), D(0), AT, LADDER), losses_in_a_row=4)
    paid = after_flow(state, D(0), D(500))
    assert (paid.peak_equity, paid.day_start_equity, paid.day_flow) == (D(500), D(500), D(500))
    assert paid.drawdown_locked
    assert paid.losses_in_a_row == 4


def test_a_withdrawal_of_everything_leaves_nothing_to_fall_from() -> None:
    """R5: a peak that stayed would lock the account at the next payment."""
    state = after_flow(initial_risk_state(D(1000), AT), D(1000), D(0))
    assert (state.peak_equity, state.day_flow) == (D(0), D(-1000))
    assert not marked(state, D(0), AT, LADDER).drawdown_locked
