"""The commands about other people's models: `triplegain records import` and `triplegain records show`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from triplegain_pipelines.console import AsJson, opened_database, out, print_fields, print_json
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.evaluation.recorded_records import RecordedRow
from triplegain_pipelines.evaluation.recorded_scores import ScoreAgreement
from triplegain_pipelines.operations.recorded_records import JudgedRecords
from triplegain_pipelines.settings import settings

records = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Records of other people's models: import them, and see them judged.",
)


@records.command("import")
def import_model_records(
    files: Annotated[list[Path], typer.Argument(help="Steps of portfolios (JSON lines) or scored headlines (CSV).")],
    as_json: AsJson = False,
) -> None:
    """Import what other people's models did. A broken file is refused whole; the same file twice changes nothing."""
    from triplegain_pipelines.operations.recorded_records import import_records

    with opened_database() as database:
        summaries = [import_records(database, path, clock=SystemClock()).document() for path in files]
    if as_json:
        print_json({"files": summaries})
        return
    for summary in summaries:
        print_fields(summary)


@records.command()
def show(as_json: AsJson = False) -> None:
    """Show the imported models on the leaderboard's terms, with what their records do not allow to say."""
    from triplegain_pipelines.agents.sentiment import headline_tone
    from triplegain_pipelines.operations.recorded_records import judge_records

    own = settings()
    with opened_database() as database:
        judged = judge_records(database, own.profile.paper, headline_tone)
    if as_json:
        print_json(judged.document())
        return
    if not (judged.portfolios or judged.headlines):
        out.print("nothing is imported; `triplegain records import FILE` does it")
    for portfolio in judged.portfolios:
        _show(portfolio)
    for agreement in judged.headlines:
        _show_agreement(agreement)


def _show(judged: JudgedRecords) -> None:
    board = judged.board
    out.print(f"[bold]recorded models[/], {board.first} to {board.last}: never ranked, by name")
    grid = Table.grid(padding=(0, 2))
    heads = ("model", "days", "up", "down", "settled", "right, 95 %", "rose", "return", "sales", "result", "worth")
    grid.add_row(*(f"[dim]{head}[/]" for head in heads))
    for row in board.rows:
        grid.add_row(*_cells(row))
    out.print(grid)
    for row in board.rows:
        out.print(f"[dim]{row.model}: {row.gate}[/]")
    out.print("[bold]how it was counted[/]")
    for sentence in judged.allowed:
        out.print(f"- {sentence}")
    out.print("[bold]what these records do not allow[/]")
    for sentence in judged.not_allowed:
        out.print(f"- {sentence}")


def _cells(row: RecordedRow) -> tuple[str, ...]:
    hits, worth = row.hits, row.worth
    return (
        row.model,
        f"{row.traded} of {row.days}",
        str(row.ups),
        str(row.downs),
        "0" if hits is None else f"{hits.settled} (worth {hits.independent:.1f})",
        "" if hits is None else f"{hits.share:.0%}, {hits.interval.low:.0%} to {hits.interval.high:.0%}",
        "" if hits is None else f"{hits.rose:.0%}",
        _percent(row.mean_return),
        str(row.sales),
        _percent(row.sales_mean),
        "not known" if worth is None else f"{worth.equity:,.0f} on {worth.day}",
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"


def _show_agreement(one: ScoreAgreement) -> None:
    kappa = "" if one.kappa is None else f", kappa {one.kappa:.2f}"
    rank = "" if one.rank_correlation is None else f", rank correlation {one.rank_correlation:.2f}"
    out.print("[bold]a model's scores of headlines beside ours[/]")
    out.print(
        f"same side on {one.agreement:.0%} of {one.headlines} headlines, {one.by_chance:.0%} by chance{kappa}{rank}"
    )
    for sentence in one.limits:
        out.print(f"- {sentence}")
