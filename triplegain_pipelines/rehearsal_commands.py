"""The command `triplegain rehearse`: live trading against an exchange on loopback, under faults and kills."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from triplegain_pipelines.console import AsJson, out, print_json
from triplegain_pipelines.settings import Environment, load_settings, settings


def rehearse(
    venue: Annotated[str, typer.Option(help="Whose protocol the exchange speaks: kraken, binance or coinbase.")] = (
        "kraken"
    ),
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="Minutes of the market.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of prices, decisions and faults.")] = 7,
    share: Annotated[float, typer.Option(min=0, max=0.5, help="Share of private calls that meet a fault.")] = 0.2,
    as_json: AsJson = False,
) -> None:
    """Trade live at an exchange on loopback that fails on purpose, kill the trader now and then, and compare books.

    Needs no network and no key, and leaves the home's database alone.
    """
    from triplegain_pipelines.rehearsal.parity_ways import throwaway_books
    from triplegain_pipelines.rehearsal.run import RehearsalPlan
    from triplegain_pipelines.rehearsal.run import rehearse as run

    own = settings()
    own = own if own.profile.live is not None else load_settings(Environment(profile="live"))
    plan = RehearsalPlan(venue, minutes, seed, share)
    with throwaway_books() as opened, opened("rehearsal") as database:
        url = database.url
        database.close()  # no connection may be open when a process is forked
        document = run(url, own, plan).document()
    if as_json:
        print_json(document)
    else:
        _show(document)
    if not document["holds"]:
        raise typer.Exit(1)


def _show(document: dict[str, Any]) -> None:
    out.print(
        f"[bold]rehearsed at {document['venue']} on loopback: {document['minutes']} minutes of the simulated market, "
        f"seed {document['seed']}, no money[/]\n",
        soft_wrap=True,
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    _add(grid, f"faults in {document['calls']} calls", document["faults"])
    _add(grid, "restarts", {"kills of the process that trades": document["restarts"]})
    _add(grid, "decisions", document["decisions"])
    _add(grid, "orders", document["orders"])
    _add(grid, "fills", {"in all": document["fills"], "late, of orders that were done": document["late_fills"]})
    _add(grid, "unknown outcomes that became", document["unknown_outcomes"])
    _add(grid, "reconciliations", {"in all": document["reconciliations"], **document["differences"]})
    _add(grid, "told to a person", document["troubles"])
    out.print(grid)
    for broken in document["broken"]:
        out.print(f"[bold red]broken[/] {escape(broken)}", soft_wrap=True)
    if not document["settled"]:
        out.print("[bold red]broken[/] something could not be resolved")
    if document["holds"]:
        out.print(f"\n[bold green]all {document['laws']} laws between books and exchange hold[/]")


def _add(grid: Table, title: str, counts: dict[str, int]) -> None:
    """A line for each count, the title before the first."""
    for name, number in (counts or {"none": 0}).items():
        grid.add_row(title, str(number), escape(name))
        title = ""
