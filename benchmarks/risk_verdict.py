"""How long a risk verdict and a breaker decision take; the goal is 25 microseconds each."""

import timeit
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import Holding, PortfolioState, Proposal, ProposalKind
from triplegain_pipelines.risk.breakers import evaluate_breakers, initial_breakers
from triplegain_pipelines.risk.engine import assess
from triplegain_pipelines.settings import load_settings

AT = datetime(2024, 8, 5, 12, tzinfo=UTC)
ROUNDS, REPEATS = 5_000, 7


def microseconds(statement: str, names: dict[str, object]) -> float:
    """The best of several rounds, in microseconds for one call."""
    return min(timeit.repeat(statement, globals=names, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6


def main() -> None:
    """Print the figures for a plain approval, a modification, a rejection, a re-check and a breaker decision."""
    limits = load_settings().risk
    proposal = Proposal(
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
    portfolio = PortfolioState(
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
    )
    names: dict[str, object] = {
        "assess": assess,
        "evaluate": evaluate_breakers,
        "portfolio": portfolio,
        "limits": limits,
        "breakers": initial_breakers(AT),
        "instrument": Instrument("BTC/USDT"),
        "fee": Decimal("0.001"),
        "window": [Decimal(2030), Decimal(2025), Decimal(2028), Decimal(2026), portfolio.equity],
        "at": AT,
    }
    verdict = "assess(proposal, portfolio, limits, breakers, instrument, fee, live=False)"
    cases = {
        "sized, approved": proposal,
        "exposure and leverage cut": replace(proposal, quantity=Decimal("0.04123456789"), leverage=Decimal(10)),
        "refused": replace(proposal, stop_loss=None, confidence=0.5),
    }
    for name, case in cases.items():
        status = assess(
            case, portfolio, limits, initial_breakers(AT), Instrument("BTC/USDT"), Decimal("0.001"), live=False
        ).status
        figure = microseconds(verdict, {**names, "proposal": case})
        print(f"verdict, {name:<26} {status:<9} {figure:6.1f} us  {1e6 / figure:9,.0f}/s")  # noqa: T201
    figure = microseconds("evaluate(breakers, portfolio, window, limits, at)", names)
    print(f"breaker decision {'':<29} {figure:6.1f} us  {1e6 / figure:9,.0f}/s")  # noqa: T201


if __name__ == "__main__":
    main()
