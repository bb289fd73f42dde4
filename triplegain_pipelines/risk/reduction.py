"""What makes a position smaller. No limit stands against it; only a halted account sends nothing."""

from dataclasses import replace
from decimal import Decimal

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import (
    Holding,
    PortfolioState,
    Proposal,
    ProposalKind,
    TradingMode,
    Verdict,
    VerdictStatus,
)


def reduced(proposal: Proposal, portfolio: PortfolioState, instrument: Instrument, mode: TradingMode) -> Verdict:
    """The verdict on a proposal that closes a position, or takes a part of it away: for at most the position."""
    if mode is TradingMode.HALTED:
        return _rejected(proposal, Reason(ReasonCode.MODE_HALTED, {"mode": mode.value}))
    held = portfolio.holding(proposal.symbol)
    if held is None:
        return _rejected(proposal, Reason(ReasonCode.NOTHING_TO_CLOSE, {"symbol": proposal.symbol}))
    if proposal.kind is ProposalKind.REDUCE:
        return _partly(proposal, held, instrument)
    return Verdict(VerdictStatus.APPROVED, (_smaller(),), replace(proposal, quantity=abs(held.quantity)))


def _partly(proposal: Proposal, held: Holding, instrument: Instrument) -> Verdict:
    if held.quantity * proposal.direction.sign < 0:
        context = {"symbol": proposal.symbol, "quantity": format(held.quantity, "f")}
        return _rejected(proposal, Reason(ReasonCode.NOTHING_TO_CLOSE, context))
    whole = abs(held.quantity)
    asked = whole if proposal.quantity is None else proposal.quantity
    quantity = whole if asked >= whole else rounded_down(max(asked, Decimal(0)), instrument.quantity_step)
    cost = quantity * held.mark_price
    if quantity <= 0 or quantity < instrument.minimum_quantity or cost < instrument.minimum_cost:
        context = {"quantity": format(quantity, "f"), "minimum_quantity": format(instrument.minimum_quantity, "f")}
        return _rejected(proposal, Reason(ReasonCode.BELOW_MINIMUM_ORDER, context))
    status = VerdictStatus.APPROVED if quantity == asked else VerdictStatus.MODIFIED
    if status is VerdictStatus.APPROVED:
        return Verdict(status, (_smaller(),), replace(proposal, quantity=quantity))
    numbers = {"from": format(asked, "f"), "to": format(quantity, "f"), "limit": format(whole, "f")}
    rounding = Reason(ReasonCode.QUANTITY_ROUNDED, numbers)
    return Verdict(status, (_smaller(), rounding), replace(proposal, quantity=quantity))


def _smaller() -> Reason:
    return Reason(ReasonCode.REDUCES_RISK)


def _rejected(proposal: Proposal, reason: Reason) -> Verdict:
    return Verdict(VerdictStatus.REJECTED, (reason,), proposal)
