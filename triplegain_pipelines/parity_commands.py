"""The command `triplegain parity`: the same decisions through backtest, paper and rehearsed live trading, compared."""

from datetime import timedelta
from typing import Annotated

import typer

from triplegain_pipelines.console import AsJson, out, print_json
from triplegain_pipelines.settings import Environment, load_settings, settings


def parity(
    days: Annotated[int, typer.Option(min=1, max=31, help="Days of the simulated market.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the market and the decisions.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Send the same drawn decisions through backtest, paper and live at an exchange on loopback; itemise what differs.

    Needs no network and no key, and leaves the home's database alone.
    """
    from triplegain_pipelines.rehearsal.parity_page import parity_page
    from triplegain_pipelines.rehearsal.parity_plan import simulated_plan
    from triplegain_pipelines.rehearsal.parity_ways import go_all_ways, parity_reports, throwaway_books

    own = settings()
    own = own if own.profile.live is not None else load_settings(Environment(profile="live"))
    plan = simulated_plan(own, timedelta(days=days), seed)
    with throwaway_books() as opened:
        reports = parity_reports(go_all_ways(plan, opened))
    if as_json:
        print_json({"simulated": True, "days": days, "seed": seed, "reports": [one.document() for one in reports]})
    else:
        out.print(f"[bold]simulated market, drawn decisions: {days} days, seed {seed}[/]\n")
        out.print(parity_page(reports), soft_wrap=True, markup=False)
    if not all(report.holds for report in reports):
        raise typer.Exit(1)
