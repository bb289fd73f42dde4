"""The command `triplegain leaderboard`: who forecasts better than a coin and the plain baselines. Needs no Dagster."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from triplegain_pipelines.console import AsJson, opened_database, out, print_json
from triplegain_pipelines.settings import settings

_Day = datetime | None


def leaderboard(
    first: Annotated[_Day, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day.")] = None,
    end: Annotated[_Day, typer.Option("--to", formats=["%Y-%m-%d"], help="First UTC day that is left out.")] = None,
    account: Annotated[str | None, typer.Option(help="Account; the one decided for last if left out.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write the page too, and say where it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who forecasts how well on the same events, what each seat alone would have made, and what that proves."""
    from triplegain_pipelines.evaluation.leaderboard_document import board_document
    from triplegain_pipelines.evaluation.leaderboard_page import board_table
    from triplegain_pipelines.operations.leaderboard import make_leaderboard, session_of, write_leaderboard

    with opened_database() as database:
        session, begins, ends = session_of(database, settings(), account)
        start, stop = first.replace(tzinfo=UTC) if first else begins, end.replace(tzinfo=UTC) if end else ends
        written = write_leaderboard(database, session, start, stop) if report else None
        board = written.board if written else make_leaderboard(database, session, start, stop)
    if as_json:
        print_json(board_document(board) | {"report": str(written.path_html) if written else None})
        return
    out.print(f"[bold]{escape(board.verdict[0])}[/]", soft_wrap=True)
    for sentence in board.verdict[1:]:
        out.print(f"  {escape(sentence)}", soft_wrap=True)
    rows = board_table(board)
    # What stands in the notes is in the verdict too, and what is the same for all says nothing.
    columns = [name for name in rows[0] if name not in {"kind", "note"} and len({row[name] for row in rows}) > 1]
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        grid.add_column(name, no_wrap=name != "forecaster", justify="left" if name == "forecaster" else "right")
    for row in rows:
        grid.add_row(*(escape(row[name]) for name in columns))
    out.print(grid)
    if written:
        out.print(f"page: {written.path_html}", soft_wrap=True)
