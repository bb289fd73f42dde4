"""A trade of a rebalancing as a decision, made of its plan and of nothing else, so that `verify` can make it again."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import TypeAdapter

from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.evidence import RegimeSignal, Snapshot
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument, split_symbol
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import ProposalKind
from triplegain_pipelines.portfolio.rebalancing import (
    REBALANCING_VERSION,
    PlannedTrade,
    RebalancingPlan,
    Stock,
    plan_rebalancing,
)
from triplegain_pipelines.settings.profile import RebalancingSettings

BASIS = "basis"
"""Beside the code versions of the decision stands what its plan was made of."""

_ACTIONS = {
    ProposalKind.OPEN: Action.BUY,
    ProposalKind.INCREASE: Action.BUY,
    ProposalKind.REDUCE: Action.SELL,
    ProposalKind.CLOSE: Action.CLOSE,
}


@dataclass(frozen=True, slots=True)
class Basis:
    """Everything a plan is made of."""

    stock: Stock
    settings: RebalancingSettings
    instruments: tuple[Instrument, ...]

    @property
    def plan(self) -> RebalancingPlan:
        """The plan, worked out again each time."""
        return plan_rebalancing(self.stock, self.settings, {one.symbol: one for one in self.instruments})


_BASIS = TypeAdapter(Basis)


def rebalancing_decision(
    account: str,
    trade: PlannedTrade,
    basis: Basis,
    snapshot: Snapshot,
    regime: RegimeSignal,
    *,
    as_of: datetime,
    valid_until: datetime,
    sentiment: str,
) -> Decision:
    """The decision that asks for `trade`. Nobody forecast anything, and it does not look as if somebody had."""
    return Decision(
        decision_id=deterministic_id("rebalancing", account, trade.symbol, as_of.isoformat()),
        account=account,
        venue=snapshot.venue,
        symbol=trade.symbol,
        as_of=as_of,
        valid_until=valid_until,
        snapshot_id=snapshot.snapshot_id,
        forecast_ids=(),
        regime=regime.regime,
        action=_ACTIONS[trade.kind],
        reason_code=ReasonCode.REBALANCING,
        p_up=0.5,
        confidence=0.5,
        pooled_log_odds=0.0,
        slope=0.0,
        settled_count=0.0,
        answers=0,
        vendors=0,
        quorum_met=False,
        unanimous=False,
        agreement=0.0,
        disagreement=0.0,
        size_factor=Decimal(1),
        leverage=Decimal(1),
        reference_price=float(trade.price),
        atr=snapshot.atr,
        explanation=_explain(trade, basis),
        code_version=REBALANCING_VERSION,
        code_versions={
            "snapshot": snapshot.code_version,
            "technical": TECHNICAL_VERSION,
            "regime": REGIME_VERSION,
            "sentiment": sentiment,
            "rebalancing": REBALANCING_VERSION,
            BASIS: basis_text(basis),
        },
        target_quantity=trade.target_quantity,
    )


def basis_text(basis: Basis) -> str:
    """The basis as canonical JSON."""
    return canonical_json(_BASIS.dump_python(basis, mode="json"))


def basis_of(text: str) -> Basis:
    """The basis that `basis_text` wrote.

    Raises:
        ValueError: it is none.
    """
    return _BASIS.validate_json(text)


def decided_again(decision: Decision, snapshot: Snapshot, regime: RegimeSignal) -> Decision | None:
    """The rebalancing's decision, made again of what is stored with it; None where its plan has no such trade."""
    basis = basis_of(decision.code_versions[BASIS])
    trade = next((one for one in basis.plan.trades if one.symbol == decision.symbol), None)
    if trade is None:
        return None
    return rebalancing_decision(
        decision.account,
        trade,
        basis,
        snapshot,
        regime,
        as_of=decision.as_of,
        valid_until=decision.valid_until,
        sentiment=decision.code_versions["sentiment"],
    )


def _explain(trade: PlannedTrade, basis: Basis) -> str:
    base, quote = split_symbol(trade.symbol)
    verb = "Buy" if trade.kind.adds_risk else "Sell"
    held = basis.stock.held.get(trade.symbol, Decimal(0))
    return "\n".join(
        [
            f"{verb} {trade.quantity:f} {base} at {trade.price:f} {quote}: {trade.reason.sentence()}",
            f"{held:f} {base} were held, of an equity of {basis.stock.equity:f} {quote}.",
            "A rebalancing: nobody forecast anything.",
        ]
    )
