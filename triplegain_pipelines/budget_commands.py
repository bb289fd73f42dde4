"""The command about what the models may cost and did cost. It only reads, and needs no Dagster."""

from datetime import datetime
from decimal import Decimal

from rich.markup import escape
from rich.table import Table

from triplegain_pipelines.console import AsJson, opened_database, out, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.model_budget import LONGEST_CALL, BudgetPeriod, BudgetStanding
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.alerts import Alert
from triplegain_pipelines.store.budgets import OpenReservation

_CENT = Decimal("0.01")


def budget(as_json: AsJson = False) -> None:
    """Show what the models' calls have spent, reserved and left, by day and month (UTC), of each seat and in all."""
    from triplegain_pipelines.store.budget_alerts import open_budget_alerts
    from triplegain_pipelines.store.budgets import open_reservations, read_standings

    models, at = settings().models, SystemClock().now()
    with opened_database() as database, database.connection() as connection:
        standings = read_standings(connection, models.budget, list(models.seats), at)
        under_way = open_reservations(connection)
        alerts = open_budget_alerts(connection)
    if as_json:
        print_json(_document(standings, under_way, alerts, at))
    else:
        _show(standings, under_way, alerts, at)


def _show(standings: list[BudgetStanding], under_way: list[OpenReservation], alerts: list[Alert], at: datetime) -> None:
    for period in BudgetPeriod:
        table = Table(title=_title(period, at), title_justify="left", box=None, pad_edge=False, padding=(0, 2))
        table.add_column("seat")
        for name in ("limit", "spent", "reserved", "left", "taken", "calls", "lost", "too dear"):
            table.add_column(name, justify="right")
        for one in standings:
            if one.period is period:
                table.add_row(*_cells(one), style="bold" if one.seat is None else None)
        out.print(table)
        out.print()
    late = sum(one.reserved_at < at - LONGEST_CALL for one in under_way)
    if under_way:
        never = f", of these {late} for longer than a call can take: they count as spent at their worst case"
        out.print(f"calls not settled: {len(under_way)}{never if late else ''}")
    for alert in alerts:
        since = f"since {alert.raised_at:%Y-%m-%d %H:%M}"
        out.print(f"[yellow]{alert.level}[/] {since}: {escape(alert.text)}", soft_wrap=True)


def _title(period: BudgetPeriod, at: datetime) -> str:
    return f"{period} {at:%Y-%m-%d}, UTC, in USD" if period is BudgetPeriod.DAY else f"{period} {at:%Y-%m}, UTC, in USD"


def _cells(one: BudgetStanding) -> list[str]:
    amounts = [_money(amount) for amount in (one.limit_usd, one.spent_usd, one.reserved_usd, one.left_usd)]
    warned = one.share >= Decimal(str(settings().models.budget.warn_at))
    colour = "red" if one.share >= 1 else "yellow" if warned else "default"
    share = f"[{colour}]{int(100 * one.share)} %[/]"  # never rounded up to the end
    counts = [str(count) if count else "" for count in (one.lost, one.overrun)]
    return [one.whose, *amounts, share, str(one.calls), *counts]


def _money(amount: Decimal) -> str:
    """To the cent; an amount that rounds to none but is more than nothing shows four decimals."""
    return f"{amount:.4f}" if 0 < abs(amount) < _CENT else f"{amount:.2f}"


def _document(
    standings: list[BudgetStanding], under_way: list[OpenReservation], alerts: list[Alert], at: datetime
) -> dict[str, object]:
    return {
        "at": at,
        "budgets": [
            {
                "period": one.period,
                "starts_at": one.period.start(at),
                "seat": one.seat,
                "limit_usd": one.limit_usd,
                "spent_usd": one.spent_usd,
                "reserved_usd": one.reserved_usd,
                "left_usd": one.left_usd,
                "calls": one.calls,
                "lost": one.lost,
                "too_dear": one.overrun,
            }
            for one in standings
        ],
        "not_settled": [
            {
                "call_id": one.call_id,
                "seat": one.seat,
                "reserved_at": one.reserved_at,
                "worst_case_usd": one.worst_case_usd,
            }
            for one in under_way
        ],
        "alerts": [
            {"kind": one.kind, "subject": one.subject, "level": one.level, "text": one.text, "raised_at": one.raised_at}
            for one in alerts
        ],
    }
