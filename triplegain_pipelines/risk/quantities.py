"""The rules that say how much of a proposal may be traded. Each lowers the quantity to the venue's grid.

Every room is scaled by the situation's `share`, so that half size is half of what could have been traded.
"""

import math
from decimal import Decimal

from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.risk.case import Case
from triplegain_pipelines.risk.findings import Finding, Rule, lowered, refusal, share_text, text
from triplegain_pipelines.risk.market import ZERO
from triplegain_pipelines.risk.situation import ONE

# Volatilities are floats: what is allowed stays under the limit by more than their rounding, and what is solved for
# by more than that.
# Of the limit's square, because it is variances that are compared.
_KEPT, _SOLVED = 1 - 1e-9, 1 - 2e-9


def _pieces(case: Case, room: Decimal, unit: Decimal) -> Decimal:
    """How many pieces `room` pays for at `unit` each, on the venue's grid."""
    return rounded_down(room / unit, case.situation.instrument.quantity_step) if room > 0 else ZERO


def _placed(case: Case, code: ReasonCode, room: Decimal, limit: Decimal) -> Finding:
    """A finding that lowers the quantity to what `room` pays for at the entry price."""
    return lowered(case, code, _pieces(case, room, case.proposal.entry_price), text(limit))


def _risk_per_trade(case: Case) -> Finding | None:
    budget, distance = case.situation.budget, case.situation.stop_distance
    if case.risk <= budget or distance is None:
        return None
    limit = text(case.situation.bounds.risk_per_trade)
    return lowered(case, ReasonCode.RISK_PER_TRADE_REDUCED, _pieces(case, budget, distance), limit)


def _martingale(case: Case) -> Finding | None:
    """A quantity that somebody asks for after a loss may not risk more than the lost trade did."""
    limit, proposal = case.situation.portfolio.last_loss_risk, case.proposal
    if limit is None or proposal.quantity is None or proposal.engine_sized:
        return None
    distance = case.situation.stop_distance
    if distance is None or case.risk <= limit:
        return None
    return lowered(case, ReasonCode.MARTINGALE, _pieces(case, limit, distance), text(limit))


def _heat(case: Case) -> Finding | None:
    """All stops together, the new one included, cost no more than the limit."""
    room, distance = case.situation.heat_room, case.situation.stop_distance
    if distance is None or case.risk <= room:
        return None
    return lowered(case, ReasonCode.HEAT_REDUCED, _pieces(case, room, distance), text(case.situation.bounds.heat))


def _order_size(case: Case) -> Finding | None:
    room = case.situation.order_room
    if case.notional <= room:
        return None
    return _placed(case, ReasonCode.ORDER_SIZE_REDUCED, room, case.situation.bounds.order_size)


def _daily_volume(case: Case) -> Finding | None:
    room, limit = case.situation.volume_room, case.situation.bounds.daily_volume
    if room <= 0:
        ordered = text(case.situation.portfolio.day_volume)
        return refusal(ReasonCode.DAILY_VOLUME_USED_UP, ordered=ordered, limit=text(limit))
    return None if case.notional <= room else _placed(case, ReasonCode.DAILY_VOLUME_REDUCED, room, limit)


def _position_size(case: Case) -> Finding | None:
    now = case.situation
    if ZERO < now.position_room >= case.notional:
        return None
    return _exposed(case, ReasonCode.POSITION_SIZE_REDUCED, now.position_room, now.taken, now.bounds.position_size)


def _asset_exposure(case: Case) -> Finding | None:
    now = case.situation
    if ZERO < now.asset_room >= case.notional:
        return None
    return _exposed(case, ReasonCode.SYMBOL_EXPOSURE_REDUCED, now.asset_room, now.taken, now.bounds.exposure_per_asset)


def _alike_exposure(case: Case) -> Finding | None:
    """Positions that move together count as one asset."""
    now = case.situation
    if now.alike is now.taken or ZERO < now.alike_room >= case.notional:
        return None
    return _exposed(case, ReasonCode.CORRELATION_REDUCED, now.alike_room, now.alike, now.bounds.exposure_per_asset)


def _total_exposure(case: Case) -> Finding | None:
    now = case.situation
    if ZERO < now.total_room >= case.notional:
        return None
    return _exposed(case, ReasonCode.TOTAL_EXPOSURE_REDUCED, now.total_room, now.exposure, now.bounds.total_exposure)


def _exposed(case: Case, code: ReasonCode, room: Decimal, taken: Decimal, limit: Decimal) -> Finding:
    if room <= 0:
        whole = text(limit * case.situation.equity)
        return refusal(ReasonCode.NO_EXPOSURE_LEFT, taken=text(taken), limit=whole)
    return _placed(case, code, room, limit)


def _free_cash(case: Case) -> Finding | None:
    """Cash pays the margin, which is the whole notional without leverage, and the fee."""
    leverage, room, fee = case.leverage, case.situation.cash_room, case.situation.fee_rate
    if leverage > 1:  # multiplied on both sides, so that nothing is divided
        room, fee = room * leverage, fee * leverage
    if case.notional + case.notional * fee <= room or not case.sized:
        return None
    unit = case.proposal.entry_price * (ONE + fee)
    return lowered(case, ReasonCode.FREE_CASH_REDUCED, _pieces(case, room, unit), text(case.situation.cash_room))


def _portfolio_volatility(case: Case) -> Finding | None:
    """The variance of all positions is a parabola in the new quantity: up to its second root the limit is kept."""
    situation, around = case.situation, case.situation.around
    if around.unknown or not case.sized or situation.equity <= 0:
        return None
    limit, variance = situation.bounds.variance, around.variance
    # What a whole share of the quantity would swing, and what the others pull in its direction.
    swing = float(case.notional) / situation.whole * around.volatility if situation.whole > 0 else math.inf
    pull = around.pull if situation.sign > 0 else -around.pull
    if variance <= limit and variance + swing * (swing + 2 * pull) <= limit * _KEPT:
        return None
    spare = pull * pull + limit * _SOLVED - variance
    allowed = math.sqrt(spare) - pull if variance < limit and spare > 0 else 0.0
    cap = ZERO
    if allowed > 0 and 0 < swing < math.inf:
        cap = _pieces(case, case.quantity * Decimal(min(allowed / swing, 1.0)), ONE)
    return lowered(case, ReasonCode.PORTFOLIO_VOLATILITY_REDUCED, cap, f"{situation.bounds.volatility:.6g}")


def _on_grid(case: Case) -> Finding | None:
    asked, step = case.proposal.quantity, case.situation.instrument.quantity_step
    if asked is None or not asked % step:
        return None
    return lowered(case, ReasonCode.QUANTITY_ROUNDED, rounded_down(asked, step), text(step))


def _minimum(case: Case) -> Finding | None:
    """The venue's minimums: for what was asked at first, and for what is left of it when it is checked again."""
    instrument, quantity = case.situation.instrument, case.quantity
    if quantity > 0 and quantity >= instrument.minimum_quantity and case.notional >= instrument.minimum_cost:
        return None
    if not case.sized:
        return None
    return refusal(
        ReasonCode.BELOW_MINIMUM_ORDER,
        quantity=text(quantity),
        minimum_quantity=text(instrument.minimum_quantity),
        cost=share_text(case.notional),
        minimum_cost=text(instrument.minimum_cost),
    )


QUANTITIES: tuple[Rule, ...] = (
    _risk_per_trade,
    _martingale,
    _heat,
    _order_size,
    _daily_volume,
    _position_size,
    _asset_exposure,
    _alike_exposure,
    _total_exposure,
    _free_cash,
    _portfolio_volatility,
    _on_grid,
    _minimum,
)
