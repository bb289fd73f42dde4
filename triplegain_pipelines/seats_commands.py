"""The command about who sits in the six seats, and how they have done lately. It only reads, and needs no Dagster."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rich.table import Table

from triplegain_pipelines.console import AsJson, opened_database, out, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.settings import settings
from triplegain_pipelines.settings.models import ModelSettings, Price, SeatSettings
from triplegain_pipelines.store.seat_overview import SeatActivity, SeatBench

_DAYS = 7
_NUMBERS = frozenset({"answered", "abstained", "calls", "no forecasts", "cost"})


@dataclass(frozen=True, slots=True)
class _Seat:
    """A seat as it is set, and what sat in it did; `before` is what others in the same seat did in that time."""

    name: str
    is_set: SeatSettings
    sits: str
    baseline: bool
    lately: SeatActivity
    before: tuple[SeatActivity, ...]
    bench: SeatBench | None


def seats(as_json: AsJson = False) -> None:
    """Show who sits in the six seats, what they cost and know, and what they answered in the last 7 days."""
    from triplegain_pipelines.store.seat_overview import read_activity, read_benches

    own, at = settings(), SystemClock().now()
    with opened_database() as database, database.connection() as connection:
        activity = read_activity(connection, at - timedelta(days=_DAYS), at)
        benches = read_benches(connection)
    found = [_seat(name, own.models, activity, benches) for name in own.models.seats]
    enabled = own.environment.llm_enabled
    if as_json:
        print_json(
            {
                "at": at,
                "llm_enabled": enabled,
                "offline": own.models.offline,
                "calls": own.models.calls,
                "days": _DAYS,
                "seats": [_document(one, at) for one in found],
            }
        )
    else:
        _show(found, own.models, at, enabled=enabled)


def _seat(name: str, models: ModelSettings, activity: list[SeatActivity], benches: list[SeatBench]) -> _Seat:
    from triplegain_pipelines.agents.offline import PROVIDER

    is_set = models.seats[name]
    sits = f"{PROVIDER}/{is_set.baseline}" if models.offline else is_set.model
    own = [one for one in activity if one.seat == name]
    idle = SeatActivity(
        name, sits, models.offline, answered=0, abstentions={}, calls=0, side_calls=0, cost_usd=Decimal(0)
    )
    return _Seat(
        name,
        is_set,
        sits,
        models.offline,
        lately=next((one for one in own if one.model == sits), idle),
        before=tuple(one for one in own if one.model != sits),
        bench=next((one for one in benches if (one.seat, one.model) == (name, sits)), None),
    )


def _show(found: list[_Seat], models: ModelSettings, at: datetime, *, enabled: bool) -> None:
    if not enabled:
        out.print("[bold yellow]models are turned off[/] by LLM_ENABLED=false: every seat abstains")
    if models.offline:
        out.print("[bold yellow]baselines[/] sit in all six seats, no models: offline is true in config/models.yaml")
    else:
        out.print(f"models sit in the seats; calls: {models.calls}")
    _print_table(
        ("seat", "vendor", "model", "sits there", "USD/million in, out", "as of", "knows until", "deadline", "benched"),
        [_cells(one, at) for one in found],
    )
    out.print(f"\nthe last {_DAYS} days, cost in USD")
    _print_table(
        ("seat", "who sat there", "answered", "abstained", "calls", "no forecasts", "cost", "why it abstained"),
        [_activity_cells(activity) for one in found for activity in (one.lately, *one.before)],
    )
    reasons = {reason for one in found for activity in (one.lately, *one.before) for reason in activity.abstentions}
    for reason in sorted(reasons):
        out.print(f"[dim]{reason}[/] {reason.meaning}", soft_wrap=True)


def _print_table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _cells(one: _Seat, at: datetime) -> list[str]:
    price, cutoff = one.is_set.price, one.is_set.knowledge_cutoff
    return [
        one.name,
        one.is_set.vendor,
        one.is_set.model,
        f"[yellow]baseline {one.is_set.baseline}[/]" if one.baseline else "the model",
        _price(price),
        "" if price is None else f"{price.as_of}",
        "not said" if cutoff is None else f"{cutoff}",
        f"{one.is_set.deadline_seconds:g} s",
        _bench(one.bench, at),
    ]


def _activity_cells(one: SeatActivity) -> list[str]:
    return [
        one.seat,
        f"[yellow]baseline {one.model}[/]" if one.baseline else one.model,
        str(one.answered),
        str(one.abstained),
        str(one.calls),
        str(one.side_calls),
        f"{one.cost_usd:.4f}",
        ", ".join(f"{times} {reason}" for reason, times in one.abstentions.items()),
    ]


def _price(price: Price | None) -> str:
    return "[bold red]unknown: not asked[/]" if price is None else f"{price.input_usd:f}, {price.output_usd:f}"


def _bench(bench: SeatBench | None, at: datetime) -> str:
    if bench is None:
        return "no"
    failed = f"{bench.failures} failed in a row"
    if bench.benched_until is not None and bench.benched_until > at:
        return f"[bold red]until {bench.benched_until:%H:%M} UTC[/], {failed}"
    return f"no, {failed}"


def _document(one: _Seat, at: datetime) -> dict[str, object]:
    price, bench = one.is_set.price, one.bench
    benched = bench is not None and bench.benched_until is not None and bench.benched_until > at
    return {
        "seat": one.name,
        "vendor": one.is_set.vendor,
        "model": one.is_set.model,
        "sits": one.sits,
        "baseline": one.baseline,
        "price": None if price is None else price.model_dump(mode="json"),
        "knowledge_cutoff": one.is_set.knowledge_cutoff,
        "cutoff_source": one.is_set.cutoff_source,
        "deadline_seconds": one.is_set.deadline_seconds,
        "max_tokens": one.is_set.max_tokens,
        "benched": benched,
        "benched_until": bench.benched_until if bench and benched else None,
        "failures_in_a_row": bench.failures if bench else 0,
        "lately": _activity(one.lately),
        "before": [_activity(other) for other in one.before],
    }


def _activity(one: SeatActivity) -> dict[str, object]:
    return {
        "model": one.model,
        "baseline": one.baseline,
        "answered": one.answered,
        "abstained": one.abstained,
        "abstentions": dict(one.abstentions),
        "calls": one.calls,
        "side_calls": one.side_calls,
        "cost_usd": one.cost_usd,
    }
