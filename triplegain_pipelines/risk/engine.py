"""R1-R5, R7: the verdict on a proposal. Every rule is asked, so that every reason is known.

What each rule says is in `risk.rules` and `risk.quantities`; here their findings become one verdict. Caps combine by
their minimum and refusals by "any", so the order of the rules decides nothing. What was modified is judged again from
the start, by every rule, and must pass unchanged.
"""

from decimal import Decimal, getcontext, setcontext

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import CAUTIOUS
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import (
    BreakerStates,
    MarketState,
    PortfolioState,
    Proposal,
    TradingMode,
    Verdict,
    VerdictStatus,
)
from triplegain_pipelines.risk.bounds import bounds_of
from triplegain_pipelines.risk.case import Case, case_of
from triplegain_pipelines.risk.findings import Finding, Rule, refusal
from triplegain_pipelines.risk.quantities import QUANTITIES
from triplegain_pipelines.risk.reduction import reduced
from triplegain_pipelines.risk.rules import PERMISSIONS
from triplegain_pipelines.risk.situation import situation_of
from triplegain_pipelines.settings.risk import RiskLimits

# Rises with every change that can change a verdict.
RISK_VERSION = "2.0.0"

RULES: tuple[Rule, ...] = (*PERMISSIONS, *QUANTITIES)
_ORDER = {code: place for place, code in enumerate(ReasonCode)}
_WITHIN_LIMITS = (Reason(ReasonCode.WITHIN_LIMITS),)


def assess(
    proposal: Proposal,
    portfolio: PortfolioState,
    limits: RiskLimits,
    breakers: BreakerStates,
    market: MarketState | None,
    instrument: Instrument,
    fee_rate: Decimal,
    *,
    live: bool,
    mode: TradingMode,
) -> Verdict:
    """The verdict on `proposal`: APPROVED as it is, MODIFIED to fit the limits, or REJECTED, with every reason.

    A proposal that adds risk comes back with the quantity and leverage that may be traded. One that closes or reduces
    a position is approved for at most the position, whatever the limits say, unless the account is halted.
    A size that the engine chose is APPROVED if nothing beyond risk per trade and size factor lowered it.

    Args:
        proposal: what is asked; its entry price is the price at which limits are computed.
        portfolio: the account marked to market at this moment.
        limits: the limits of `config/risk.yaml`. Beyond the hard ceilings of R2 the ceilings hold.
        breakers: the state of every breaker; a missing one refuses.
        market: how volatile the market is; where it does not tell what is needed, new risk is refused.
        instrument: the steps and minimums of the symbol.
        fee_rate: taker fee as a fraction of the notional.
        live: whether real money is traded, where leverage is limited further.
        mode: what the account may do at all.
    """
    before = getcontext()
    setcontext(CAUTIOUS)  # `localcontext` would make a copy of it for every verdict
    try:
        if not proposal.kind.adds_risk:
            return reduced(proposal, portfolio, instrument, mode)
        if not (proposal.entry_price.is_finite() and proposal.entry_price > 0):
            return _rejected(proposal, [refusal(ReasonCode.PRICE_UNAVAILABLE, entry=str(proposal.entry_price))])
        bounds = bounds_of(limits)
        situation = situation_of(
            proposal, portfolio, bounds, breakers, market, instrument, fee_rate, live=live, mode=mode
        )
        case = case_of(proposal, situation)
        findings = _findings(case)
        quantity = _allowed(case, findings)
        if quantity is None:
            return _rejected(proposal, findings)
        outcome = _outcome(proposal, quantity, case.leverage)
        changed = quantity != case.quantity or case.leverage != proposal.leverage
        if changed:
            broken = [one for one in _findings(case_of(outcome, situation)) if one.refuses or one.cap is not None]
            if broken:
                return _rejected(proposal, [*findings, *broken])
    finally:
        setcontext(before)
    modified = changed or (proposal.quantity is None and situation.shrink < 1)
    status = VerdictStatus.MODIFIED if modified else VerdictStatus.APPROVED
    return Verdict(status, _reasons(findings) or _WITHIN_LIMITS, outcome)


def _findings(case: Case) -> list[Finding]:
    return [finding for rule in RULES if (finding := rule(case)) is not None]


def _allowed(case: Case, findings: list[Finding]) -> Decimal | None:
    """The largest quantity that every rule allows, or None where one refuses."""
    allowed = case.quantity
    for finding in findings:
        if finding.refuses:
            return None
        if finding.cap is not None and finding.cap < allowed:
            allowed = finding.cap
    return allowed


def _outcome(proposal: Proposal, quantity: Decimal, leverage: Decimal) -> Proposal:
    """`proposal` as it may be traded. Written out: `dataclasses.replace` takes as long as half of the rules."""
    return Proposal(
        proposal.proposal_id,
        proposal.decision_id,
        proposal.account,
        proposal.symbol,
        proposal.kind,
        proposal.direction,
        quantity,
        proposal.entry_price,
        proposal.stop_loss,
        proposal.take_profit,
        leverage,
        proposal.confidence,
        proposal.regime,
        proposal.size_factor,
        proposal.quantity is None or proposal.engine_sized,
    )


def _rejected(proposal: Proposal, findings: list[Finding]) -> Verdict:
    return Verdict(VerdictStatus.REJECTED, _reasons(findings), proposal)


def _reasons(findings: list[Finding]) -> tuple[Reason, ...]:
    """Every reason, those that refuse first, else in the order of the reason codes, whatever the order of the rules."""
    if len(findings) > 1:
        findings = sorted(findings, key=_place)
    return tuple([finding.reason for finding in findings])


def _place(finding: Finding) -> tuple[object, ...]:
    return not finding.refuses, _ORDER[finding.reason.code], tuple(finding.reason.context.values())
