"""What risk remembers between runs: peak, day's start, losses in a row, the ladder's lock. Mirrors table risk_state."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, localcontext

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.money import EXACT, divided
from triplegain_pipelines.domain.risk import fall
from triplegain_pipelines.risk.ladder import LadderStep, ladder_step
from triplegain_pipelines.settings.risk import DrawdownLadder

# A value has at most 24 decimals. The levels are kept finer, so that many payments do not move a fraction.
_LEVEL_PLACES = 36


@dataclass(frozen=True, slots=True)
class RiskState:
    """A row of `risk_state` for one account. Money in the account's currency.

    `day_start_equity` is scaled by payments in and out, for the day's loss as a fraction; `day_opened_equity` and
    `day_flow`, what was paid in less what was paid out, are for the loss in money. `last_loss_risk` is what the last
    losing trade had at risk at its entry; None once a trade has won since.
    """

    peak_equity: Decimal
    day: date
    day_start_equity: Decimal
    losses_in_a_row: int
    last_loss_risk: Decimal | None
    drawdown_locked: bool
    evaluated_at: datetime
    day_opened_equity: Decimal
    day_flow: Decimal


def initial_risk_state(cash: Decimal, at: datetime) -> RiskState:
    """The state of an account opened with `cash`: the starting capital is the first peak."""
    return RiskState(
        peak_equity=cash,
        day=require_utc(at).date(),
        day_start_equity=cash,
        losses_in_a_row=0,
        last_loss_risk=None,
        drawdown_locked=False,
        evaluated_at=at,
        day_opened_equity=cash,
        day_flow=Decimal(0),
    )


def marked(state: RiskState, equity: Decimal, at: datetime, ladder: DrawdownLadder) -> RiskState:
    """The state after the account was marked to `equity` at `at`.

    The first mark of a UTC day is the day's start. The lock closes over the ladder's last step and
    stays closed. A mark older than the state's day never turns the day back.
    """
    today = require_utc(at).date()
    rolls = today > state.day
    peak = max(state.peak_equity, equity)
    step = ladder_step(fall(peak, equity), state.drawdown_locked, ladder)
    return replace(
        state,
        peak_equity=peak,
        day=today if rolls else state.day,
        day_start_equity=equity if rolls else state.day_start_equity,
        day_opened_equity=equity if rolls else state.day_opened_equity,
        day_flow=Decimal(0) if rolls else state.day_flow,
        drawdown_locked=step is LadderStep.LOCKED,
        evaluated_at=max(at, state.evaluated_at),
    )


def after_trade(state: RiskState, profit: Decimal, initial_risk: Decimal | None) -> RiskState:
    """The state after a trade closed with `profit` net of fees, having had `initial_risk` at risk at its entry.

    A trade that broke even neither lengthens a row of losses nor ends it.
    """
    if profit < 0:
        at_risk = initial_risk if initial_risk is not None and initial_risk > 0 else None
        return replace(state, losses_in_a_row=state.losses_in_a_row + 1, last_loss_risk=at_risk)
    if profit > 0:
        return replace(state, losses_in_a_row=0, last_loss_risk=None)
    return state


def after_flow(state: RiskState, before: Decimal, after: Decimal) -> RiskState:
    """The state after money was paid in or out that took the equity from `before` to `after`.

    Peak and day's start move in proportion, so that drawdown and the day's loss stay the fractions they were, and the
    loss in money leaves the payment out. Where there was no equity, or is none left, a fraction of it says nothing:
    what is there now becomes the peak and the day's start. The lock stays as it is in every case.
    """
    with localcontext(EXACT):
        paid = after - before
        scalable = before > 0 and after > 0
        return replace(
            state,
            peak_equity=divided(state.peak_equity * after, before, _LEVEL_PLACES) if scalable else after,
            day_start_equity=divided(state.day_start_equity * after, before, _LEVEL_PLACES) if scalable else after,
            day_flow=state.day_flow + paid,
        )


def unlocked(state: RiskState) -> RiskState:
    """The state after a person let the account trade again after a drawdown: no lock, and the next mark is the peak.

    With the old peak kept, the very next mark would lock again.
    """
    return replace(state, drawdown_locked=False, peak_equity=Decimal(0))


def losses_forgotten(state: RiskState) -> RiskState:
    """The state after a person let the account trade again after a row of losses."""
    return replace(state, losses_in_a_row=0, last_loss_risk=None)
