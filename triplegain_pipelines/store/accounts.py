"""Accounts: opening one, taking its row for a transaction, and what it holds of each currency."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.store import events
from triplegain_pipelines.store.statements import statement


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it was opened; `simulated` says whether its market is a simulated one."""

    account: str
    venue: str
    currency: str
    starting_cash: Decimal
    simulated: bool
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class TakenBooks:
    """What a transaction that has taken an account's books knows of it.

    `token` is the newest of the fence and `holder` who took it; `end` is the end of the chain of events. `mode` is what
    the account may do at all, and `stopped` whether an emergency stop is in force.
    """

    currency: str
    token: int
    holder: str
    end: events.ChainEnd
    mode: TradingMode
    stopped: bool


def insert(connection: psycopg.Connection, schema: str, account: Account) -> bool:
    """Write a new account; False where it exists already, and then nothing is changed."""
    cursor = connection.execute(
        statement(
            """INSERT INTO {schema}.accounts (account, venue, currency, starting_cash, simulated, opened_at)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING account""",
            schema,
        ),
        [
            account.account,
            account.venue,
            account.currency,
            account.starting_cash,
            account.simulated,
            account.opened_at,
        ],
    )
    return cursor.fetchone() is not None


def is_open(connection: psycopg.Connection, schema: str, account: str) -> bool:
    """Whether the account was opened."""
    query = statement("SELECT 1 FROM {schema}.accounts WHERE account = %s", schema)
    return connection.execute(query, [account]).fetchone() is not None


def take_books(connection: psycopg.Connection, schema: str, account: str, *, durable: bool) -> TakenBooks:
    """Take the account's books until the transaction ends: everything that writes to them waits for it.

    Where `durable` is off, the commit does not wait for the disk: a crash of the server loses the newest transactions,
    but never one without all that came after it.

    Raises:
        InputError: the account was never opened.
    """
    query = statement("SELECT * FROM {schema}.take_books(%s, %s)", schema)
    row = connection.execute(query, [account, durable]).fetchone()
    if row is None or row[0] is None:
        msg = f"there is no account {account!r} in {schema}; open it before trading with it"
        raise InputError(msg)
    _, currency, token, holder, sequence, digest, mode, stopped = row
    end = events.NO_EVENTS if sequence is None else events.ChainEnd(sequence, digest)
    return TakenBooks(currency, token or 0, holder or "nobody", end, TradingMode(mode or TradingMode.ACTIVE), stopped)


def balance(connection: psycopg.Connection, schema: str, account: str, currency: str) -> Decimal:
    """What the account holds of `currency`; zero where nothing was ever booked."""
    row = connection.execute(
        statement("SELECT amount FROM {schema}.balances WHERE account = %s AND currency = %s", schema),
        [account, currency],
    ).fetchone()
    return row[0] if row else Decimal(0)
