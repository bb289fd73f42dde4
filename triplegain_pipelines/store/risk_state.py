"""What risk remembers of an account between runs."""

from dataclasses import astuple, fields

import psycopg

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.risk.state import RiskState
from triplegain_pipelines.store.statements import statement

_COLUMNS = tuple(field.name for field in fields(RiskState))


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


def write(connection: psycopg.Connection, schema: str, account: str, state: RiskState) -> None:
    """Replace the account's risk state."""
    connection.execute(
        statement(
            """INSERT INTO {schema}.risk_state ({columns}) VALUES ({places})
               ON CONFLICT (account) DO UPDATE SET {excluded}""",
            schema,
            ("account", *_COLUMNS),
        ),
        [account, *astuple(state)],
    )
