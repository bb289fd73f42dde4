"""From a target to a fill in memory: decision, proposal, verdict, last look, order, price. Pure functions.

They are put together of what the order path uses: `propose`, `assess`, `order_of`, `preflight` and the paper venue's
prices. What is different: a strategy forecasts no probability, so its decisions are certain and of no regime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.backtest.event_account import ACCOUNT
from triplegain_pipelines.domain.decisions import Action, Decision, Regime
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument, exact_price
from triplegain_pipelines.domain.orders import Fill, Intent, Leg, OrderType
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import BreakerStates, MarketState, PortfolioState, Proposal, TradingMode, Verdict
from triplegain_pipelines.execution.matching import fee_of
from triplegain_pipelines.execution.risk_gate import order_of
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.portfolio.proposals import propose
from triplegain_pipelines.risk.engine import assess
from triplegain_pipelines.risk.preflight import Surface, preflight
from triplegain_pipelines.settings.risk import RiskLimits

_ACTIONS = {-1: Action.SELL, 0: Action.CLOSE, 1: Action.BUY}
_NO_SNAPSHOT = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a strategy wants of a symbol at the open of a bar.

    `close` is the last one it saw and `distance` that of the stop, both in quote currency; `opens_at` is when the bar
    opens at whose open is traded.
    """

    symbol: str
    target: int
    close: float
    distance: float
    decided_at: datetime
    opens_at: datetime


@dataclass(frozen=True, slots=True)
class Ground:
    """What an order is judged on: the account at the prices of now, the breakers, the market, limits, the venue."""

    portfolio: PortfolioState
    breakers: BreakerStates
    market: MarketState | None
    prices: Mapping[str, Decimal]
    limits: RiskLimits
    instrument: Instrument
    fee_rate: Decimal


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a wish: the order, or None; what risk was asked, or let through; and what refused it or cut it."""

    intent: Intent | None
    proposal: Proposal
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """The `part`-th piece of an order, filled in `bar` at `price`, slippage included."""

    intent: Intent
    part: int
    quantity: Decimal
    price: Decimal
    at: datetime
    bar: int


def decision_of(wish: Wish, limits: RiskLimits) -> Decision:
    """The wish as the decision that the order path takes. Its ATR is what gives the strategy's stop by risk's rule."""
    return Decision(
        decision_id=deterministic_id("decision", ACCOUNT, wish.symbol, wish.decided_at),
        account=ACCOUNT,
        venue=ACCOUNT,
        symbol=wish.symbol,
        as_of=wish.decided_at,
        valid_until=wish.opens_at,
        snapshot_id=_NO_SNAPSHOT,
        forecast_ids=(),
        regime=Regime.RANGING,
        action=_ACTIONS[wish.target],
        reason_code=ReasonCode.CONSENSUS_REACHED,
        p_up=(1 + wish.target) / 2,
        confidence=1.0,
        pooled_log_odds=0.0,
        slope=1.0,
        settled_count=0.0,
        answers=0,
        vendors=0,
        quorum_met=True,
        unanimous=True,
        agreement=1.0,
        disagreement=0.0,
        size_factor=Decimal(1),
        leverage=Decimal(1),
        reference_price=wish.close,
        atr=wish.distance / float(limits.sizing.stop_atr_multiple),
        explanation="",
        code_version="",
        code_versions={},
    )


def judged(wish: Wish, held: Position | None, ground: Ground) -> Judged:
    """What risk makes of a wish that asks for something, and the order for what it lets through."""
    price = ground.prices[wish.symbol]
    holding = ground.portfolio.holding(wish.symbol)
    decision = decision_of(wish, ground.limits)
    proposal = propose(decision, holding, price, ground.limits, ground.instrument.price_step)
    if isinstance(proposal, Reason):
        msg = f"{wish.symbol} at {wish.opens_at}: a target of {wish.target} asks for nothing ({proposal.sentence()})"
        raise DataError(msg)
    verdict = _verdict(proposal, ground)
    if not verdict.allows:
        return Judged(None, proposal, verdict.reasons)
    intent = order_of(verdict.proposal, held, ground.instrument, 1)
    if isinstance(intent, Reason):
        return Judged(None, proposal, (intent,))
    if proposal.kind.adds_risk:
        against = preflight(intent, _surface(decision, price, ground), ground.limits)
        if against:
            return Judged(None, proposal, against[:1])
    return Judged(intent, verdict.proposal, verdict.reasons)


def _verdict(proposal: Proposal, ground: Ground) -> Verdict:
    return assess(
        proposal,
        ground.portfolio,
        ground.limits,
        ground.breakers,
        ground.market,
        ground.instrument,
        ground.fee_rate,
        live=False,
        mode=TradingMode.ACTIVE,
    )


def _surface(decision: Decision, price: Decimal, ground: Ground) -> Surface:
    reference = Decimal(0) if decision.reference_price is None else exact_price(decision.reference_price)
    # No other order works: an entry is refused before while another one is unfinished.
    return Surface(ground.instrument, price, reference, ground.fee_rate, None, ())


def protection(proposal: Proposal, entry: Intent) -> tuple[Intent, ...]:
    """Stop and take profit of the position that `entry` opens, the stop first."""
    levels = (
        (Leg.STOP, OrderType.STOP, proposal.stop_loss),
        (Leg.TAKE_PROFIT, OrderType.TAKE_PROFIT, proposal.take_profit),
    )
    return tuple(
        Intent(
            account=entry.account,
            decision_id=entry.decision_id,
            symbol=entry.symbol,
            leg=leg,
            attempt=1,
            side=entry.side.opposite,
            order_type=kind,
            quantity=entry.quantity,
            decided_price=level,
            trigger_price=level,
        )
        for leg, kind, level in levels
        if level is not None
    )


def fill_of(piece: Piece, instrument: Instrument, rate: Decimal) -> Fill:
    """The fill of a piece of an order, with its fee at `rate`."""
    intent = piece.intent
    return Fill(
        venue="paper",
        trade_id=f"{intent.client_order_id}:{piece.part}",
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        quantity=piece.quantity,
        price=piece.price,
        fee=fee_of(piece.quantity, piece.price, rate),
        fee_currency=instrument.quote,
        filled_at=piece.at,
    )
