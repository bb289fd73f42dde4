"""The command that brings an account back to its target weights. It needs no Dagster to show what it would trade."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from triplegain_pipelines.console import AsJson, opened_database, out, print_json
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.settings import settings

_Account = Annotated[str | None, typer.Option(help="Account; the profile's if left out.")]
_Apply = Annotated[bool, typer.Option("--apply", help="Queue the trades, to be judged and executed as any decision.")]


def rebalance(account: _Account = None, apply: _Apply = False, as_json: AsJson = False) -> None:
    """Show what would bring an account back to its target weights, and with --apply queue it."""
    from triplegain_pipelines.agents.headline_tones import sentiment_version
    from triplegain_pipelines.operations.rebalancing import plan_now, queue_rebalancing, rebalancing_desk

    own = settings()
    profile = own.profile
    with opened_database() as database:
        desk = rebalancing_desk(database, own, account or profile.account)
        scored = sentiment_version(own.models)
        made = queue_rebalancing(desk, profile, scored) if apply else plan_now(desk, profile)
    document = made.document()
    if as_json:
        print_json(document)
    else:
        _show(document, profile.currency)


def _show(document: dict[str, Any], currency: str) -> None:
    out.print(f"equity {document['equity']} {currency}")
    for trade in document["trades"]:
        base, _ = split_symbol(trade["symbol"])
        line = f"{trade['action']:<5} {trade['quantity']} {base} at {trade['price']}, {trade['value']} {currency}"
        out.print(f"{line}: {escape(trade['reason'])}", soft_wrap=True)
    for kept in document["kept"]:
        out.print(f"keep  {kept['symbol']}: {escape(kept['reason'])}", soft_wrap=True)
    if not document["trades"]:
        out.print("nothing to trade")
    elif document["decisions"]:
        out.print("queued; risk may make each smaller or refuse it, 'triplegain status' shows what came of it")
    else:
        out.print("nothing is queued; --apply does")
