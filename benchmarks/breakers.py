"""How long a decision of all seven breakers takes; the goal is 25 microseconds."""

import timeit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.risk import BreakerState, Holding, PortfolioState
from triplegain_pipelines.risk.breakers import BreakerEvidence, cleared_by_hand, evaluate_breakers, initial_breakers
from triplegain_pipelines.settings import load_settings

AT = datetime(2024, 8, 5, 12, tzinfo=UTC)
ROUNDS, REPEATS = 5_000, 7


def main() -> None:
    """Print the figures for a calm account, and for one where every condition holds; the moment of tripping is rare."""
    limits = load_settings().risk
    holdings = (
        Holding("BTC/USDT", Decimal("0.01"), Decimal(58213), Decimal("58190.1"), Decimal(55100)),
        Holding("ETH/USDT", Decimal("0.1"), Decimal(2600), Decimal("2588.31"), Decimal(2500)),
        Holding("XRP/USDT", Decimal(300), Decimal("0.51"), Decimal("0.5123"), Decimal("0.49")),
    )
    calm = PortfolioState(
        account="bench",
        at=AT,
        cash=Decimal("1030.43090451"),
        holdings=holdings,
        peak_equity=Decimal("2050.1"),
        day_start_equity=Decimal("2030.77"),
        losses_in_a_row=1,
        last_loss_risk=Decimal("20.1"),
        drawdown_locked=False,
    )
    lost = PortfolioState(
        "bench", AT, Decimal(100), holdings, Decimal(3000), Decimal(2800), 9, None, drawdown_locked=True
    )
    seats = ("gpt", "grok", "deepseek", "claude_sonnet", "claude_opus", "qwen")
    window = [Decimal(2030), Decimal(2025), Decimal(2028), Decimal(2026)]
    cases = {
        "calm": BreakerEvidence(
            calm, [*window, calm.equity], dict.fromkeys(seats, (96, 0.001)), 0.7, timedelta(seconds=40), (), 1
        ),
        "everything wrong": BreakerEvidence(
            lost, [*window, lost.equity], dict.fromkeys(seats, (96, -0.001)), 1.0, timedelta(hours=1), ("BTC/USDT",), 9
        ),
    }
    closed = initial_breakers(AT)
    states = {
        "closed": closed,
        "open": {name: replace(one, state=BreakerState.OPEN) for name, one in closed.items()},
        "cleared": {name: cleared_by_hand(one, "bench", "why", limits, AT).after for name, one in closed.items()},
    }
    for name, evidence in cases.items():
        for label, breakers in states.items():
            changes = evaluate_breakers(breakers, evidence, limits, AT)
            tripped = sum(change.after.state is BreakerState.OPEN for change in changes)
            names = {
                "evaluate": evaluate_breakers,
                "states": breakers,
                "evidence": evidence,
                "limits": limits,
                "at": AT,
            }
            statement = "evaluate(states, evidence, limits, at)"
            figure = min(timeit.repeat(statement, globals=names, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6
            print(f"{name:<18} {label:<8} {tripped} trip {figure:6.1f} us  {1e6 / figure:9,.0f}/s")  # noqa: T201


if __name__ == "__main__":
    main()
