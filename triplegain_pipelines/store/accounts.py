"""Accounts: opening one, taking its row for a transaction, and what it holds of each currency."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg

from triplegain_pipelines.domain.errors import InputError
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


def insert(connection: psycopg.Connection, schema: str, account: Account) -> bool:
    """Write a new account; False where it exists already, and then nothing is changed."""
    cursor = connection.execute(
        statement(
            """INSERT INTO {schema}.accounts (account, venue, currency, starting_cash, simulated, opened_at)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
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
    return cursor.rowcount == 1


def lock(connection: psycopg.Connection, schema: str, account: str) -> Account:
    """Take the account's row until the transaction ends: everything that writes to its books waits here.

    Raises:
        InputError: the account was never opened.
    """
    row = connection.execute(
        statement(
            """SELECT account, venue, currency, starting_cash, simulated, opened_at
               FROM {schema}.accounts WHERE account = %s FOR NO KEY UPDATE""",
            schema,
        ),
        [account],
    ).fetchone()
    if row is None:
        msg = f"there is no account {account!r} in {schema}; open it before trading with it"
        raise InputError(msg)
    return Account(*row)


def balance(connection: psycopg.Connection, schema: str, account: str, currency: str) -> Decimal:
    """What the account holds of `currency`; zero where nothing was ever booked."""
    row = connection.execute(
        statement("SELECT amount FROM {schema}.balances WHERE account = %s AND currency = %s", schema),
        [account, currency],
    ).fetchone()
    return row[0] if row else Decimal(0)
