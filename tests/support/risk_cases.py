"""An account, a proposal and fills with plain numbers, for tests to vary. Nothing is asserted here."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Fill, Intent, Leg, OrderType, Side
from triplegain_pipelines.domain.risk import (
    Holding,
    MarketState,
    PortfolioState,
    Proposal,
    ProposalKind,
    TradingMode,
    Verdict,
)
from triplegain_pipelines.risk.breakers import initial_breakers
from triplegain_pipelines.risk.engine import assess
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.settings.risk import RiskLimits

AT = datetime(2024, 8, 5, 12, tzinfo=UTC)
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
HOUSE = load_settings().risk
_ROOMY = {
    "money": {
        "max_order_size": Decimal(10**9),
        "max_daily_volume": Decimal(10**12),
        "max_open_positions": 100,
        "max_daily_loss": Decimal(10**9),
        "max_position_size": Decimal("0.30"),
        "max_portfolio_volatility": 1.0,
    },
    "portfolio": {"maximum_heat": Decimal("0.06"), "correlated_from": 0.8},
}
# `config/risk.yaml` with room in the limits of money and of all positions together: a test lowers the one it is about.
LIMITS = RiskLimits.model_validate({**HOUSE.model_dump(), **_ROOMY})
BREAKERS = initial_breakers(AT)
INSTRUMENT = Instrument("BTC/USDT", quantity_step=Decimal("0.0001"), price_step=Decimal("0.01"))
FEE = Decimal("0.001")


def D(number: str | int) -> Decimal:  # noqa: N802
    """A Decimal, short enough to read a table of numbers."""
    return Decimal(number)


def proposal(**changes: Any) -> Proposal:
    """A long at 100 with the stop at 90 and the target at 120: 10 a piece at risk, reward twice that."""
    plain = Proposal(
        proposal_id=UUID(int=1),
        decision_id=UUID(int=2),
        account="test",
        symbol="BTC/USDT",
        kind=ProposalKind.OPEN,
        direction=Direction.LONG,
        quantity=None,
        entry_price=D(100),
        stop_loss=D(90),
        take_profit=D(120),
        leverage=D(1),
        confidence=0.7,
        regime=Regime.TRENDING_BULL,
    )
    return replace(plain, **changes)


def portfolio(**changes: Any) -> PortfolioState:
    """10,000 in cash and nothing else."""
    plain = PortfolioState(
        account="test",
        at=AT,
        cash=D(10000),
        holdings=(),
        peak_equity=D(10000),
        day_start_equity=D(10000),
        losses_in_a_row=0,
        last_loss_risk=None,
        drawdown_locked=False,
        day_opened_equity=D(10000),
    )
    return replace(plain, **changes)


def holding(
    symbol: str = "ETH/USDT", quantity: str = "1", mark: str = "100", average: str = "100", stop: str | None = "mark"
) -> Holding:
    """One piece of ETH at 100, with its stop at the price of now: it costs nothing to be stopped."""
    stop_loss = None if stop is None else D(mark if stop == "mark" else stop)
    return Holding(symbol, D(quantity), D(average), D(mark), stop_loss)


def market(correlation: float = 0.0, volatility: float = 0.1, percentile: float = 0.5, **changes: Any) -> MarketState:
    """A calm market, in which nothing moves together."""
    pairs = [(one, other) for one in SYMBOLS for other in SYMBOLS if one < other]
    plain = MarketState(
        as_of=AT,
        volatilities=dict.fromkeys(SYMBOLS, volatility),
        percentiles=dict.fromkeys(SYMBOLS, percentile),
        correlations=dict.fromkeys(pairs, correlation),
    )
    return replace(plain, **changes)


def limits(**changes: Any) -> RiskLimits:
    """`LIMITS` with values changed, checked against the hard ceilings again; those of a section are named in a dict."""
    document = LIMITS.model_dump()
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(document[name], dict)
        document[name] = {**document[name], **value} if nested else value
    return RiskLimits.model_validate(document)


def judged(asked: Proposal, account: PortfolioState | None = None, **changes: Any) -> Verdict:
    """The verdict with everything else plain."""
    rest = {
        "limits": LIMITS,
        "breakers": BREAKERS,
        "market": market(),
        "instrument": INSTRUMENT,
        "fee_rate": FEE,
        "live": False,
        "mode": TradingMode.ACTIVE,
        **changes,
    }
    return assess(asked, account or portfolio(), **rest)


def codes(verdict: Verdict) -> set[str]:
    """The codes of a verdict's reasons."""
    return {reason.code.value for reason in verdict.reasons}


def intent(side: Side = Side.BUY, leg: Leg = Leg.ENTRY, **changes: Any) -> Intent:
    """The order behind the fills below."""
    plain = Intent(
        account="test",
        decision_id=UUID(int=2),
        symbol="BTC/USDT",
        leg=leg,
        attempt=1,
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(1),
        decided_price=D(100),
    )
    return replace(plain, **changes)


def fill(side: Side, quantity: str, price: str, fee: str = "0", currency: str = "USDT", **changes: Any) -> Fill:
    """A fill in BTC/USDT."""
    plain = Fill(
        venue="paper",
        trade_id="1",
        client_order_id=UUID(int=3),
        symbol="BTC/USDT",
        side=side,
        quantity=D(quantity),
        price=D(price),
        fee=D(fee),
        fee_currency=currency,
        filled_at=AT,
    )
    return replace(plain, **changes)
