"""The commands about an account's books: payments, the comparison with the venue, the journal. None needs Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from triplegain_pipelines.console import AsJson, opened_database, operator, out, print_json
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.settings import settings

_Account = Annotated[str | None, typer.Option(help="Account; the profile's if left out.")]
_Amount = Annotated[str, typer.Argument(help="How much, exactly as the venue booked it.")]
_Why = Annotated[str, typer.Option(help="The reason; it is kept with your name.")]
_Currency = Annotated[str | None, typer.Option(help="Of the amount; the account's own if left out.")]


def deposit(amount: _Amount, why: _Why, currency: _Currency = None, account: _Account = None) -> None:
    """Book money that was paid into an account. Neither drawdown nor the day's loss change by it."""
    _book(amount, 1, why, currency, account)


def withdraw(amount: _Amount, why: _Why, currency: _Currency = None, account: _Account = None) -> None:
    """Book money that was paid out of an account."""
    _book(amount, -1, why, currency, account)


def reconcile(account: _Account = None, as_json: AsJson = False) -> None:
    """Compare an account's books with its venue now, and show every difference and what was done about it."""
    from triplegain_pipelines.execution.reconciliation import reconcile_account

    with _desk(account) as desk:
        found = reconcile_account(desk)
    if as_json:
        print_json({"silence": found.silence, "differences": [one.document() for one in found.differences]})
    else:
        for one in found.differences:
            out.print(f"{one.outcome:<8} {escape(one.sentence())}", soft_wrap=True)
        out.print(found.silence or f"{len(found.differences) or 'no'} differences")
    if found.silence or found.halts:
        raise typer.Exit(1)


def journal(
    note: Annotated[str | None, typer.Option(help="What you have to say to a trade, kept beside its entry.")] = None,
    trade: Annotated[UUID | None, typer.Option(help="The trade's decision, for a note.")] = None,
    newest: Annotated[int, typer.Option(min=1, help="How many entries.")] = 10,
    account: _Account = None,
    as_json: AsJson = False,
) -> None:
    """Show the journal: every closed trade, why, how it went, what was learnt. Or note something beside a trade."""
    from triplegain_pipelines.operations.journal import keep_journal, newest_entries
    from triplegain_pipelines.store import journal as entries

    with _desk(account) as desk:
        keep_journal(desk.database, desk.schema, desk.account)
        if note is not None:
            with desk.database.connection() as connection:
                kept = trade is not None and entries.note(
                    connection, desk.schema, trade, operator(), note, desk.clock.now()
                )
            if not kept:
                msg = f"the journal of {desk.account} has no trade {trade}; 'triplegain journal' lists them"
                raise InputError(msg)
        found = newest_entries(desk.database, desk.schema, desk.account, newest)
    if as_json:
        print_json({"entries": [one.document() for one in found]})
        return
    for one in found:
        multiple = "" if one.r_multiple is None else f", {one.r_multiple:+.2f} R"
        out.print(f"[bold]{one.closed_at:%Y-%m-%d %H:%M} {one.symbol}{multiple}[/]  [dim]{one.decision_id}[/]")
        for line in (one.why, one.how, one.learnt and f"learnt: {one.learnt}", *one.notes):
            if line:
                out.print(f"  {escape(line)}", soft_wrap=True)
    if not found:
        out.print("no trade has closed yet")


def _book(amount: str, sign: int, why: str, currency: str | None, account: str | None) -> None:
    from triplegain_pipelines.execution.flows import book_flow
    from triplegain_pipelines.store import positions

    try:
        paid = Decimal(amount)
    except InvalidOperation as error:
        msg = f"{amount!r} is no amount; write it with a point, as in 250.50"
        raise InputError(msg) from error
    if not paid.is_finite() or paid <= 0:
        msg = f"{amount} is not more than nothing; 'deposit' is for money in, 'withdraw' for money out"
        raise InputError(msg)
    with _desk(account) as desk:
        with desk.database.connection() as connection:
            held = positions.read_all(connection, desk.schema, desk.account)
        prices = {one.symbol: desk.prices.quote(one.symbol, desk.clock.now()).price for one in held}
        booked = book_flow(
            desk, sign * paid, currency or settings().profile.currency, who=operator(), why=why, prices=prices
        )
    out.print(f"{desk.account}: {booked.amount:+f} {booked.currency} booked")


@contextmanager
def _desk(account: str | None) -> Iterator[Desk]:
    from triplegain_pipelines.operations.desks import account_desk

    with opened_database() as database:
        yield account_desk(database, settings(), account or settings().profile.account)
