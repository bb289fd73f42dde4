"""R1, R2, R3, R5: the verdict on a proposal. Every rule is asked, so that every reason is known.

What each rule says is in `risk.rules`; here their findings become one verdict. Caps combine by their
minimum and refusals by "any", so the order of the rules decides nothing. A quantity that was lowered goes
through the rules of quantity a second time.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, localcontext

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import CAUTIOUS
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import (
    BreakerStates,
    PortfolioState,
    Proposal,
    ProposalKind,
    Verdict,
    VerdictStatus,
)
from triplegain_pipelines.risk.case import Case, case_of
from triplegain_pipelines.risk.rules import QUANTITY_RULES, RULES, Finding, Rule, refusal
from triplegain_pipelines.settings.risk import RiskLimits

# Rises with every change that can change a verdict.
RISK_VERSION = "1.1.0"

_ORDER = {code: place for place, code in enumerate(ReasonCode)}
_WITHIN_LIMITS = (Reason(ReasonCode.WITHIN_LIMITS),)


def assess(
    proposal: Proposal,
    portfolio: PortfolioState,
    limits: RiskLimits,
    breakers: BreakerStates,
    instrument: Instrument,
    fee_rate: Decimal,
    *,
    live: bool,
) -> Verdict:
    """The verdict on `proposal`: APPROVED as it is, MODIFIED to fit the limits, or REJECTED, with every reason.

    A proposal that opens comes back with the quantity and leverage that may be traded. One that closes
    is approved for the whole position, whatever the limits say.
    A size that the engine chose is APPROVED if nothing beyond risk per trade and size factor lowered it.

    Args:
        proposal: what is asked; its entry price is the price at which limits are computed.
        portfolio: the account marked to market at this moment.
        limits: the limits of `config/risk.yaml`.
        breakers: the state of every breaker; a missing one refuses.
        instrument: the steps and minimums of the symbol.
        fee_rate: taker fee as a fraction of the notional.
        live: whether real money is traded, where leverage is limited further.
    """
    if proposal.kind is ProposalKind.CLOSE:
        return _closing(proposal, portfolio)
    if not (proposal.entry_price.is_finite() and proposal.entry_price > 0):
        return _rejected(proposal, [refusal(ReasonCode.PRICE_UNAVAILABLE, entry=str(proposal.entry_price))])
    with localcontext(CAUTIOUS):
        case = case_of(proposal, portfolio, limits, breakers, instrument, fee_rate, live=live)
        findings = _findings(case, RULES)
        quantity = _allowed(case, findings)
        if quantity is None:
            return _rejected(proposal, findings)
        engine_sized = proposal.quantity is None or proposal.engine_sized
        outcome = replace(proposal, quantity=quantity, leverage=case.leverage, engine_sized=engine_sized)
        lowered = quantity != case.wanted
        if lowered:
            again = _findings(case._replace(proposal=outcome, wanted=quantity), QUANTITY_RULES)
            if again:
                return _rejected(proposal, [*findings, *again])
    modified = lowered or case.leverage != proposal.leverage or (proposal.quantity is None and case.shrink < 1)
    status = VerdictStatus.MODIFIED if modified else VerdictStatus.APPROVED
    return Verdict(status, _reasons(findings) or _WITHIN_LIMITS, outcome)


def _closing(proposal: Proposal, portfolio: PortfolioState) -> Verdict:
    held = portfolio.holding(proposal.symbol)
    if held is None:
        return _rejected(proposal, [refusal(ReasonCode.NOTHING_TO_CLOSE, symbol=proposal.symbol)])
    outcome = replace(proposal, quantity=abs(held.quantity))
    return Verdict(VerdictStatus.APPROVED, (Reason(ReasonCode.REDUCES_RISK),), outcome)


def _findings(case: Case, rules: Iterable[Rule]) -> list[Finding]:
    return [finding for rule in rules if (finding := rule(case)) is not None]


def _allowed(case: Case, findings: list[Finding]) -> Decimal | None:
    """The largest quantity that every rule allows, or None where one refuses."""
    allowed = case.wanted
    for finding in findings:
        if finding.refuses:
            return None
        if finding.cap is not None and allowed is not None:
            allowed = min(allowed, finding.cap)
    return allowed


def _rejected(proposal: Proposal, findings: list[Finding]) -> Verdict:
    return Verdict(VerdictStatus.REJECTED, _reasons(findings), proposal)


def _reasons(findings: list[Finding]) -> tuple[Reason, ...]:
    """Every reason, those that refuse first, else in the order of the reason codes, whatever the order of the rules."""
    if not findings:
        return ()
    ordered = sorted(
        findings,
        key=lambda finding: (not finding.refuses, _ORDER[finding.reason.code], *finding.reason.context.values()),
    )
    return tuple(finding.reason for finding in ordered)
