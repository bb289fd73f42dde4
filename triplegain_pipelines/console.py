"""What all commands share: the opened database, and showing things to a person or as one JSON object to a program."""

import getpass
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.database import Database

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def opened_database() -> Iterator[Database]:
    """The migrated database of this home."""
    from triplegain_pipelines.operations.installation import running_home

    with running_home(settings()) as urls:
        database = Database(urls.triplegain)
        try:
            yield database
        finally:
            database.close()


def operator() -> str:
    """Who types; a container may know its user by number only, and must be stopped all the same."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def show_summary(summary: Mapping[str, Any]) -> None:
    """Print a replay's summary for a person."""
    out.print()
    out.print(f"[bold]{' · '.join(summary['labels'])}[/]" if summary["labels"] else "")
    out.print(summary["summary"])
    grid = Table.grid(padding=(0, 2))
    asked = f"{summary['forecasts']:,} forecasts of six seats, {summary['abstentions']} abstentions"
    judged = f"{summary['approved']} approved, {summary['modified']} made smaller, {summary['rejected']} refused"
    grid.add_row("decided", f"{summary['decisions']:,} decisions from {asked}")
    grid.add_row("risk", f"{summary['proposals']} proposals: {judged}")
    for refusal in summary["refusals"][:6]:
        grid.add_row("", f"{refusal['count']:>5} times: {ReasonCode[refusal['code']].meaning}")
    grid.add_row("orders", f"{summary['orders']} orders, {summary['fills']} fills, {summary['trades']} trades closed")
    worth = f"{Decimal(summary['final_equity']):,.2f} {summary['currency']}, {summary['total_return_pct']:+.2f} %"
    grid.add_row("equity", f"{worth}; holding instead: {summary['buy_and_hold_pct']:+.2f} %")
    grid.add_row("drawdown", f"{summary['max_drawdown_pct']:.2f} % at the deepest")
    grid.add_row("verdict", f"[bold]{summary['verdict']}[/]")
    grid.add_row("report", summary["report"])
    out.print(grid)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def print_fields(document: Mapping[str, Any]) -> None:
    """Print a flat object as aligned lines."""
    grid = Table.grid(padding=(0, 2))
    for name, value in document.items():
        grid.add_row(f"[dim]{name.replace('_', ' ')}[/]", str(value))
    out.print(grid)
    out.print()


def print_tree(title: str, document: object, tree: Tree | None = None) -> None:
    """Print a nested object as a tree; long texts keep their line breaks."""
    branch = tree.add(f"[bold]{title}[/]") if tree else Tree(f"[bold]{title}[/]")
    items = (
        document.items() if isinstance(document, Mapping) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in items:
        if isinstance(value, Mapping | list) and value:
            print_tree(str(name), value, branch)
        else:
            branch.add(f"[dim]{name}[/] {escape(str(value))}")
    if tree is None:
        out.print(branch)
