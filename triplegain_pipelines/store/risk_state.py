"""What risk remembers of an account between runs."""

from dataclasses import fields
from typing import LiteralString

import psycopg

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.risk.state import RiskState
from triplegain_pipelines.store.gathered import Change
from triplegain_pipelines.store.gathered import write as write_change
from triplegain_pipelines.store.statements import statement

_COLUMNS = tuple(field.name for field in fields(RiskState))
_REMEMBERED: LiteralString = """
    remembered AS (
        INSERT INTO {schema}.risk_state ({columns}) VALUES ({places}) ON CONFLICT (account) DO UPDATE SET {excluded})"""
_LOSSES: LiteralString = """
    remembered AS (
        UPDATE {schema}.risk_state SET losses_in_a_row = %s, last_loss_risk = %s WHERE account = %s)"""


def read(connection: psycopg.Connection, schema: str, account: str) -> RiskState:
    """The account's risk state.

    Raises:
        InputError: it has none, so nothing may be risked.
    """
    row = connection.execute(
        statement("SELECT {columns} FROM {schema}.risk_state WHERE account = %s", schema, _COLUMNS), [account]
    ).fetchone()
    if row is None:
        msg = f"the account {account!r} has no risk state in {schema}; open the account before trading with it"
        raise InputError(msg)
    return RiskState(*row)


def write_losses(connection: psycopg.Connection, schema: str, account: str, state: RiskState) -> None:
    """Note the row of losses of `state`, and leave what marks to market as it is by now."""
    values = [state.losses_in_a_row, state.last_loss_risk, account]
    write_change(connection, Change(statement(_LOSSES, schema), values, frozenset(["remembered"])))


def write(connection: psycopg.Connection, schema: str, account: str, state: RiskState) -> None:
    """Replace the account's risk state."""
    columns = ("account", *_COLUMNS)
    values = [account, *(getattr(state, column) for column in _COLUMNS)]
    write_change(connection, Change(statement(_REMEMBERED, schema, columns), values, frozenset(["remembered"])))
