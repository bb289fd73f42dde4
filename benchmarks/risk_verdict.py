"""How long a risk verdict takes; the goal is 25 microseconds, and 40,000 verdicts a second.

A fixed piece of plain work is timed beside them: on a busy machine its figure rises with theirs.
"""

import timeit
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import (
    Holding,
    MarketState,
    PortfolioState,
    Proposal,
    ProposalKind,
    TradingMode,
)
from triplegain_pipelines.risk.breakers import initial_breakers
from triplegain_pipelines.risk.engine import assess
from triplegain_pipelines.settings import load_settings

AT = datetime(2024, 8, 5, 12, tzinfo=UTC)
ROUNDS, REPEATS = 5_000, 7
PLAIN_WORK = "sum(range(1000))"


def microseconds(statement: str, names: dict[str, object]) -> float:
    """The best of several rounds, in microseconds for one call."""
    return min(timeit.repeat(statement, globals=names, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6


def proposed() -> Proposal:
    """A long whose size the engine chooses."""
    return Proposal(
        proposal_id=UUID(int=1),
        decision_id=UUID(int=2),
        account="bench",
        symbol="BTC/USDT",
        kind=ProposalKind.OPEN,
        direction=Direction.LONG,
        quantity=None,
        entry_price=Decimal("58213.41"),
        stop_loss=Decimal("55100.02"),
        take_profit=Decimal("64440.19"),
        leverage=Decimal(1),
        confidence=0.61,
        regime=Regime.TRENDING_BULL,
    )


def account() -> PortfolioState:
    """An account with two positions."""
    return PortfolioState(
        account="bench",
        at=AT,
        cash=Decimal("1612.33190451"),
        holdings=(
            Holding("ETH/USDT", Decimal("0.1"), Decimal(2600), Decimal("2588.31"), Decimal(2500)),
            Holding("XRP/USDT", Decimal(300), Decimal("0.51"), Decimal("0.5123"), Decimal("0.49")),
        ),
        peak_equity=Decimal("2050.1"),
        day_start_equity=Decimal("2030.77"),
        losses_in_a_row=1,
        last_loss_risk=Decimal("20.1"),
        drawdown_locked=False,
        day_opened_equity=Decimal("2030.77"),
        day_volume=Decimal("100.31"),
    )


def market(volatility: float) -> MarketState:
    """Three symbols that move alike."""
    symbols = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
    return MarketState(
        as_of=AT,
        volatilities=dict.fromkeys(symbols, volatility),
        percentiles=dict.fromkeys(symbols, 0.5),
        correlations={
            ("BTC/USDT", "ETH/USDT"): 0.78,
            ("BTC/USDT", "XRP/USDT"): 0.61,
            ("ETH/USDT", "XRP/USDT"): 0.67,
        },
    )


def main() -> None:
    """Print the figures for an approval, the usual modification, one by many limits, a rejection and an exit."""
    plain = proposed()
    names: dict[str, object] = {
        "assess": assess,
        "limits": load_settings().risk,
        "portfolio": account(),
        "breakers": initial_breakers(AT),
        "market": market(0.5),
        "instrument": Instrument("BTC/USDT"),
        "fee": Decimal("0.001"),
        "mode": TradingMode.ACTIVE,
    }
    verdict = "assess(proposal, portfolio, limits, breakers, market, instrument, fee, live=False, mode=mode)"
    cases = {
        "small enough": {"proposal": replace(plain, quantity=Decimal("0.0017"))},
        "sized, cut to the order size": {"proposal": plain},
        "quantity and leverage cut": {
            "proposal": replace(plain, quantity=Decimal("0.04123456789"), leverage=Decimal(10)),
            "market": market(1.1),
        },
        "refused": {"proposal": replace(plain, stop_loss=None, confidence=0.5)},
        "closed": {"proposal": replace(plain, kind=ProposalKind.CLOSE, symbol="ETH/USDT")},
    }
    for name, case in cases.items():
        given = {**names, **case}
        answer = eval(verdict, given)  # noqa: S307 - the statement that is timed
        figure, beside = microseconds(verdict, given), microseconds(PLAIN_WORK, {})
        print(  # noqa: T201
            f"verdict, {name:<29} {answer.status:<9} {figure:6.1f} us  {1e6 / figure:9,.0f}/s  "
            f"(plain work: {beside:4.1f} us)"
        )


if __name__ == "__main__":
    main()
