"""The commands about orders of which the venue says nothing: which there are, and settling one by a person's word."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from triplegain_pipelines.console import AsJson, opened_database, operator, out, print_fields, print_json
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.settings import settings

orders = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Orders of which the venue says nothing: what they wait for, and settling one by hand.",
)

_Account = Annotated[str | None, typer.Option(help="Account; the profile's if left out.")]


class Ending(StrEnum):
    """How an order ended, by what a person saw at the venue."""

    CANCELLED = "cancelled"
    FILLED = "filled"


@orders.command("unclear")
def show_unclear(account: _Account = None, as_json: AsJson = False) -> None:
    """Show the orders that wait for a word of the venue, or that it has forgotten, and until when they may arrive."""
    from triplegain_pipelines.execution.hand_settling import unclear_orders

    with _desk(account) as desk:
        found = [one.document() for one in unclear_orders(desk)]
    if as_json:
        print_json({"orders": found})
        return
    for document in found:
        print_fields(document)
        out.print()
    if not found:
        out.print("no order is unclear")


@orders.command("settle")
def settle(
    order: Annotated[UUID, typer.Argument(help="Client order id, as 'triplegain orders unclear' shows it.")],
    ending: Annotated[Ending, typer.Option("--as", help="What became of it; part of it filled is 'filled' too.")],
    because: Annotated[str, typer.Option(help="What you saw at the venue; it is kept with your name.")],
    price: Annotated[str | None, typer.Option(help="Filled: the average price, in quote currency.")] = None,
    fee: Annotated[str | None, typer.Option(help="Filled: the whole fee, exactly as the venue booked it.")] = None,
    fee_currency: Annotated[str | None, typer.Option(help="Of the fee; the account's own if left out.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Filled: how much, if not all; the rest was cancelled.")] = None,
    account: _Account = None,
) -> None:
    """Say what became of an order that the venue does not tell of any more. Look there first: balances and trades."""
    from triplegain_pipelines.execution.hand_settling import HandFill, settle_by_hand

    said = (price, fee, fee_currency, quantity)
    if ending is Ending.CANCELLED and any(part is not None for part in said):
        msg = "a cancelled order has neither price nor fee; where part of it was filled, say --as filled --quantity …"
        raise InputError(msg)
    fill = None
    if ending is Ending.FILLED:
        if price is None or fee is None:
            msg = "say at which --price it was filled and the --fee (0 where there was none), as the venue booked them"
            raise InputError(msg)
        currency = fee_currency or settings().profile.currency
        fill = HandFill(_number(price), _number(fee), currency, None if quantity is None else _number(quantity))
    with _desk(account) as desk:
        settled = settle_by_hand(desk, order, fill, who=operator(), why=because)
    out.print(f"{settled.client_order_id} is {settled.state}, {settled.filled_quantity:f} filled")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        msg = f"{text!r} is no number; write it with a point, as in 250.50"
        raise InputError(msg) from error


@contextmanager
def _desk(account: str | None) -> Iterator[Desk]:
    from triplegain_pipelines.operations.desks import account_desk

    with opened_database() as database:
        yield account_desk(database, settings(), account or settings().profile.account)
