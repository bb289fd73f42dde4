"""Payments into an account and out of it, booked by a person's word: ledger, risk state, equity mark and trail at once.

The books learn of a payment only here: no venue tells a deposit from a gift. Until it is booked, the reconciliation
finds that the money differs and halts new risk.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, localcontext

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.execution.books import Books, load_books
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.portfolio.ledger import flow_postings
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.portfolio.valuation import value
from triplegain_pipelines.risk.state import after_flow, marked
from triplegain_pipelines.store import accounts, equity, flows, ledger, orders, risk_state
from triplegain_pipelines.store.equity import EquityMark
from triplegain_pipelines.store.events import EventKind
from triplegain_pipelines.store.flows import Flow
from triplegain_pipelines.store.orders import Order

_TICK = timedelta(microseconds=1)


def book_flow(desk: Desk, amount: Decimal, currency: str, *, who: str, why: str, prices: Mapping[str, Decimal]) -> Flow:
    """Book that money was paid into the desk's account, or out of it.

    In the account's currency it changes the equity, and neither drawdown nor the day's loss as fractions, nor the day's
    loss in money, nor any return. In another currency, such as one that fees are paid in, it changes only what the
    ledger says is there: equity counts cash and positions.

    Args:
        desk: the account's desk.
        amount: what was paid in, or out where it is negative, exactly as the venue booked it.
        currency: of `amount`.
        who: the person.
        why: what for; kept with the payment and in the trail.
        prices: of every symbol held, in quote currency, of now.

    Raises:
        InputError: nothing is paid, nobody says who or why, or more is paid out than is free.
        UnavailableError: a position has no price.
    """
    if not amount.is_finite() or amount == 0:
        msg = f"{amount} {currency} is no payment; say how much was paid in, or out with a minus"
        raise InputError(msg)
    if not (who.strip() and why.strip()):
        msg = "say who books the payment and why: both are kept with it"
        raise InputError(msg)
    with account_transaction(desk, None) as transaction:
        return _book(transaction, amount, currency, who, why, prices)


def free_amount(
    owned: Decimal, currency: str, positions: Sequence[Position], alive: Sequence[Order], fee_rate: Decimal
) -> Decimal:
    """What may be paid out of `owned`: less what positions are made of, and what unfinished entries may yet cost.

    Args:
        owned: the ledger's balance of `currency`.
        currency: the one asked about.
        positions: the open ones.
        alive: the account's unfinished orders.
        fee_rate: the venue's fee as a fraction, reserved with each entry.
    """
    with localcontext(EXACT):
        held = sum((abs(held.quantity) for held in positions if split_symbol(held.symbol)[0] == currency), Decimal(0))
        reserved = sum(
            (
                order.open_quantity * order.intent.decided_price * (1 + fee_rate)
                for order in alive
                if order.intent.leg is Leg.ENTRY and split_symbol(order.intent.symbol)[1] == currency
            ),
            Decimal(0),
        )
        return owned - held - reserved


def _book(
    transaction: AccountTransaction, amount: Decimal, currency: str, who: str, why: str, prices: Mapping[str, Decimal]
) -> Flow:
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    books = load_books(transaction)
    if amount < 0:
        _require_free(transaction, books, -amount, currency)
    newest = equity.newest(connection, schema, account)
    # A mark of this very moment stays as it is.
    at = transaction.at if newest is None else max(transaction.at, newest[0] + _TICK)
    flow_id = deterministic_id("flow", account, currency, amount, at)
    flow = Flow(flow_id, account, currency, amount, at, who, why)
    flows.insert(connection, schema, flow)
    ledger.post(connection, schema, flow_postings(account, flow_id, currency, amount, at))
    payload: dict[str, object] = {"flow_id": flow_id, "amount": amount, "currency": currency, "by": who, "why": why}
    if currency == transaction.currency:
        mark = _change_equity(transaction, books, flow, prices)
        payload |= {"equity": mark.equity, "peak": mark.peak}
    transaction.note(EventKind.FLOW_BOOKED, **payload)
    return flow


def _change_equity(
    transaction: AccountTransaction, books: Books, flow: Flow, prices: Mapping[str, Decimal]
) -> EquityMark:
    """Mark the account with the payment in it, and the risk state without it first: a gain of now is no payment."""
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    worth = value(books.cash, books.positions, prices)
    with localcontext(EXACT):
        cash, after = worth.cash + flow.amount, worth.equity + flow.amount
    state = marked(books.risk, worth.equity, flow.paid_at, transaction.desk.limits.drawdown_ladder)
    state = after_flow(state, worth.equity, after)
    risk_state.write(connection, schema, account, state)
    mark = EquityMark(
        flow.paid_at, cash, worth.positions_value, after, state.peak_equity, worth.marks, external_flow=flow.amount
    )
    equity.insert(connection, schema, account, [mark])
    return mark


def _require_free(transaction: AccountTransaction, books: Books, wanted: Decimal, currency: str) -> None:
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    owned = accounts.balance(connection, schema, account, currency)
    alive = orders.alive(connection, schema, account)
    free = free_amount(owned, currency, books.positions, alive, transaction.desk.fee_rate)
    if wanted > free:
        msg = (
            f"{wanted} {currency} cannot be paid out of the account {account!r}: {owned} are there, and {free} of them "
            "are in no position and reserved for no order; close positions first, or book less"
        )
        raise InputError(msg)
