"""The emergency stop: a file in the home, and a row in the database. Either of them stops all trading.

The file works for every process of its home, also while the database is down, and anybody can make it with `touch`.
The row works for other machines too. Every transaction on an account's books looks for both before it lets an order be
sent. Protective orders stay.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import LIVE, PAPER, Desk
from triplegain_pipelines.execution.exits import Closing, flatten
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store import accounts, emergency_stops, events, orders
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.emergency_stops import EmergencyStop
from triplegain_pipelines.store.events import Event, EventKind

FILE_NAME = "EMERGENCY_STOP"


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What a person asks for: whom to stop (all where `account` is None), whether to close positions, and why."""

    account: str | None
    flatten: bool
    operator: str
    why: str
    at: datetime

    def __post_init__(self) -> None:
        """Refuse a stop without a reason.

        Raises:
            InputError: `why` is empty.
        """
        if not self.why.strip():
            msg = "say why: the reason is kept with the stop"
            raise InputError(msg)


def emergency_file(home: Path) -> Path:
    """Where the file lies that stops every process of `home`."""
    return home / FILE_NAME


def write_file(home: Path, order: StopOrder) -> Path:
    """Stop every process of `home`, with who and why for people to read.

    A file that is there already stays, unless this stop closes positions too: while the database is down nothing else
    remembers that.
    """
    path = emergency_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"by": order.operator, "at": order.at.isoformat(), "why": order.why, "flatten": order.flatten}
    try:
        with path.open("x") as file:
            json.dump(said, file)
    except FileExistsError:
        if order.flatten:
            fuller = path.with_suffix(".new")
            fuller.write_text(json.dumps(said))
            fuller.replace(path)
    return path


def raise_stop(database: Database, order: StopOrder) -> list[str]:
    """Stop the accounts of this database by a row, and return their names.

    The row is committed first and waits for nobody; then each account's trail tells of it, unless the account is held
    by somebody at that moment: then the row alone does.

    Raises:
        InputError: there is no such account.
        UnavailableError: the database does not answer; there is no row then, as far as is known.
    """
    with database.connection() as connection:
        bound = {schema: emergency_stops.bound_accounts(connection, schema, order.account) for schema in (PAPER, LIVE)}
        if order.account is not None and not any(bound.values()):
            msg = f"there is no account {order.account}; leave --account out to stop all of them"
            raise InputError(msg)
        stop_id = emergency_stops.insert(
            connection, order.account, flatten=order.flatten, raised_by=order.operator, why=order.why, at=order.at
        )
    said = {"stop_id": stop_id, "by": order.operator, "why": order.why, "flatten": order.flatten}
    for schema, names in bound.items():
        _tell(database, schema, names, Event(EventKind.EMERGENCY_STOPPED, order.at, said))
    return [name for names in bound.values() for name in names]


def carry_out(desk: Desk, *, closing: bool, wait: float) -> dict[str, Closing]:
    """What a stop does at once to one account: unfinished entries are withdrawn, and positions closed where asked for.

    Args:
        desk: the account's desk, with a venue that answers.
        closing: whether positions are closed at the market; how far each has come is returned.
        wait: seconds to wait for an order path that is at work; it sends nothing new, and will be done soon.

    Raises:
        AccountBusyError: it was not done by then. Who watches the account withdraws and closes at its next tick.
    """
    closed: dict[str, Closing] = {}
    with OrderPath(desk, wait) as path:
        token = path.newest_token()
        try:
            path.withdraw_entries(token, ReasonCode.EMERGENCY_STOP)
        finally:  # an entry that cannot be withdrawn keeps no position open
            if closing:
                closed = flatten(path.desk, token)
    return closed


def unfinished_entries(desk: Desk) -> int:
    """How many entries may still be filled: those whose cancellation the venue has not confirmed."""
    with desk.database.connection() as connection:
        alive = orders.alive(connection, desk.schema, desk.account)
    return sum(order.intent.leg is Leg.ENTRY for order in alive)


def release_stop(database: Database, home: Path, order: StopOrder) -> list[EmergencyStop]:
    """Release the stops of `order.account`, or every row and the file where it is None. Returns the released rows.

    The file goes last: whatever fails before leaves everything stopped.

    Raises:
        InputError: nothing is stopped.
        UnavailableError: the database does not answer; the stop stays in force.
    """
    with database.connection() as connection:
        released = emergency_stops.release(
            connection, order.account, released_by=order.operator, why=order.why, at=order.at
        )
        names = {
            schema: sorted({name for stop in released for name in _bound(connection, schema, stop)})
            for schema in (PAPER, LIVE)
        }
    for schema, bound in names.items():
        said = {"stop_ids": [stop.stop_id for stop in released], "by": order.operator, "why": order.why}
        _tell(database, schema, bound, Event(EventKind.EMERGENCY_RELEASED, order.at, said))
    path = emergency_file(home)
    had_file = order.account is None and path.exists()
    if had_file:
        path.unlink()
    if not released and not had_file:
        msg = f"no emergency stop of {order.account or 'any account'} is in force"
        raise InputError(msg)
    return released


def _bound(connection: psycopg.Connection, schema: str, stop: EmergencyStop) -> list[str]:
    return emergency_stops.bound_accounts(connection, schema, stop.account)


def _tell(database: Database, schema: str, names: Sequence[str], event: Event) -> None:
    for name in names:
        with suppress(UnavailableError), database.connection() as connection:
            connection.execute("SET LOCAL lock_timeout = '2s'")
            books = accounts.take_books(connection, schema, name, durable=True)
            events.append(connection, schema, name, [event], books.end)
