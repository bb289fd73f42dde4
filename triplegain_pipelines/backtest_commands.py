"""The command `triplegain backtest`: what strategies would have made, and what that is worth. Needs no Dagster."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from triplegain_pipelines.console import AsJson, err, opened_database, out, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.settings import settings

Names = Annotated[str, typer.Option(help="Strategies with commas between them, or 'all'.")]
Symbols = Annotated[str, typer.Option(help="Symbols with commas between them: BTC/USDT,ETH/USDT.")]
First = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")]
End = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="First UTC day that is left out.")]
Venue = Annotated[str | None, typer.Option(help="Venue, where several have the symbols.")]

_WIDE, _ROOM_PERMITTING = (
    130,
    {"Sharpe", "out of sample", "deepest fall", "trades", "won", "doubts"},
)  # of the table; the page has everything
_WORDS = {"strategy", "symbol", "verdict"}


def backtest(
    symbols: Symbols,
    first: First,
    end: End,
    strategies: Names = "all",
    timeframe: Annotated[Timeframe, typer.Option(help="Length of the bars, up to 1h.")] = Timeframe.H1,
    venue: Venue = None,
    as_json: AsJson = False,
) -> None:
    """Run strategies over stored candles through the real risk engine, with benchmarks, doubts and a verdict."""
    from triplegain_pipelines.evaluation.backtest_report import report_document
    from triplegain_pipelines.evaluation.backtest_table import backtest_table
    from triplegain_pipelines.operations.backtests import BacktestPlan, run_backtests, venue_of
    from triplegain_pipelines.operations.compiling import COMPILING, compile_strategies
    from triplegain_pipelines.strategies.registry import STRATEGIES

    own, wanted = settings(), words_of(symbols)
    with opened_database() as database, progress_bar() as bar:
        plan = BacktestPlan(
            strategies=tuple(STRATEGIES) if strategies == "all" else words_of(strategies),
            venue=venue or venue_of(database, wanted),
            symbols=wanted,
            timeframe=timeframe,
            start=first.replace(tzinfo=UTC),
            end=end.replace(tzinfo=UTC),
        )
        task = bar.add_task(COMPILING, total=None)
        compile_strategies(plan.strategies)
        bar.update(task, description="candles")
        written = run_backtests(
            database,
            own,
            plan,
            SystemClock(),
            lambda what, done, planned: bar.update(task, description=what, completed=done, total=planned),
        )
    if as_json:
        print_json({"page": str(written.page), "backtests": [report_document(one) for one in written.judged]})
        return
    rows = backtest_table(written.judged)
    shown = [name for name in rows[0] if out.width >= _WIDE or name not in _ROOM_PERMITTING]
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in shown:
        grid.add_column(name, no_wrap=name != "verdict", justify="left" if name in _WORDS else "right")
    for row in rows:
        grid.add_row(*(escape(row[name]) for name in shown))
    out.print(grid)
    out.print(f"page: {written.page}", soft_wrap=True)


def words_of(text: str) -> tuple[str, ...]:
    """The parts of a text with commas, without doubles, in their order."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def progress_bar() -> Progress:
    """A bar on the error stream with what is done, how much of how much, and an estimate of what is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
