"""The commands about market data: import, backfill, data, stream. `cli` puts them beside the others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from triplegain_pipelines.console import AsJson, err, opened_database, out, print_fields, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.backfill import BackfillProgress
from triplegain_pipelines.operations.data_state import DataState
from triplegain_pipelines.settings import settings


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(help="Candles, trades, quotes or news: Parquet, Feather, CSV, JSON or zip, of any known venue."),
    ],
    symbol: Annotated[str | None, typer.Option(help="Symbol, where the file does not tell: BTC/USDT.")] = None,
    venue: Annotated[str | None, typer.Option(help="Venue, where the file does not tell: kraken.")] = None,
    timeframe: Annotated[Timeframe | None, typer.Option(help="Timeframe, where the file does not tell.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import files of candles, trades, quotes or news. A broken file is refused whole."""
    from triplegain_pipelines.operations.file_import import import_file

    with opened_database() as database:
        summaries = [
            import_file(database, path, symbol=symbol, venue=venue, timeframe=timeframe, clock=SystemClock()).document()
            for path in files
        ]
    if as_json:
        print_json({"files": summaries})
        return
    for summary in summaries:
        print_fields(summary)


def backfill(
    symbols: Annotated[str, typer.Option(help="Symbols with commas between them: BTC/USDT,ETH/USDT.")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")],
    end: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="First UTC day that is left out.")],
    venue: Annotated[str | None, typer.Option(help="Venue; the profile's if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch history from a venue. Stop it at any moment; the same command goes on where it was."""
    from triplegain_pipelines.operations.backfill import run_backfill

    own = settings()
    wanted = [symbol.strip() for symbol in symbols.split(",")]
    start, stop = (day.replace(tzinfo=UTC) for day in (first, end))
    with opened_database() as database, _progress() as bars:
        tasks: dict[str, TaskID] = {}

        def tell(progress: BackfillProgress) -> None:
            if progress.symbol not in tasks:
                tasks[progress.symbol] = bars.add_task(progress.symbol, total=1.0, candles=0, left="")
            left = _about(progress.remaining)
            bars.update(tasks[progress.symbol], completed=progress.fraction, candles=progress.candles, left=left)

        summaries = run_backfill(
            database, own, venue or own.profile.venue, wanted, start, stop, clock=SystemClock(), progress=tell
        )
    documents = [summary.document() for summary in summaries]
    if as_json:
        print_json({"symbols": documents})
        return
    for document in documents:
        print_fields(document)


def data(as_json: AsJson = False) -> None:
    """Show the market data: how old it is, where it comes from, what is missing, which streams are connected."""
    from triplegain_pipelines.operations.data_state import data_state

    with opened_database() as database:
        state = data_state(database, settings(), SystemClock())
    if as_json:
        print_json(state.document())
        return
    _show(state)


def stream() -> None:
    """Follow the profile's market by WebSocket until it is stopped. `triplegain up` starts it by itself."""
    from triplegain_pipelines.services.stream import serve

    with opened_database() as database:
        serve(database, settings())


def _about(remaining: timedelta | None) -> str:
    """How long it will still take, to the second; nothing before that was measured."""
    return "" if remaining is None else f"about {timedelta(seconds=round(remaining.total_seconds()))} left"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[candles]:>10,} candles  {task.fields[left]}"),
        console=err,
    )


def _show(state: DataState) -> None:
    simulated = "  [yellow]simulated market[/]" if state.document()["simulated"] else ""
    out.print(f"market [bold]{state.market}[/], data from [bold]{state.source}[/]{simulated}")
    grid = Table.grid(padding=(0, 2))
    grid.add_row(*(f"[dim]{name}[/]" for name in ("symbol", "venue", "newest candle", "age", "missing", "held back")))
    for one in state.series:
        age = state.age_seconds(one)
        newest = f"{one.newest_opened_at:%Y-%m-%d %H:%M}" if one.newest_opened_at else "none"
        old = "" if age is None else f"{age:,.0f} s"
        grid.add_row(one.symbol, one.venue, newest, old, f"{one.minutes_missing:,} min", f"{one.candles_held:,}")
    out.print(grid)
    for channel in state.streams:
        word = "[green]connected[/]" if state.is_connected(channel) else "[red]not connected[/]"
        out.print(f"{channel.endpoint}  {word}  {channel.reconnects} reconnections  {channel.detail}")
    for alert in state.alerts:
        out.print(f"[bold red]{alert.level}[/]  {alert.text}, since {alert.raised_at:%Y-%m-%d %H:%M} UTC")
