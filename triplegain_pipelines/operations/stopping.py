"""The emergency stop of a home: what can be done without the database is done first."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from triplegain_pipelines.domain.errors import TripleGainError, UnavailableError
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.emergency import (
    StopOrder,
    carry_out,
    raise_stop,
    unfinished_entries,
    write_file,
)
from triplegain_pipelines.execution.waiting import WAITS_ALERT
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.database import Database

_WAIT_SECONDS = 5.0


def stop_trading(
    settings: Settings,
    order: StopOrder,
    opened: Callable[[], AbstractContextManager[Database]],
    desk_of: Callable[[Database, Settings, str], Desk],
    tell: Callable[[str], None],
) -> bool:
    """Stop trading: file, row, unfinished entries, positions, in this order. Whether all of it was done.

    The stop is in force for every process of the home from the file on, and for all others from the row on. One of a
    single account has no file, which stops all of them.

    Args:
        settings: of the home that is stopped.
        order: whom to stop, and why.
        opened: opens the home's database.
        desk_of: the desk of an account.
        tell: hears what was done, and what could not be.

    Raises:
        InputError: there is no such account.
    """
    filed = order.account is not None or _filed(settings, order, tell)
    try:
        with opened() as database:
            names = raise_stop(database, order)
            tell(f"in the database, which stops {', '.join(names) or 'all accounts'} on every machine")
            carried_out = [_carried_out(database, settings, name, order, desk_of, tell) for name in names]
    except UnavailableError as error:
        tell(f"NOT in the database: {error}")
        if order.account is not None:
            tell(f"{order.account} is NOT stopped; leave --account out to stop this home by its file")
        return False
    return filed and all(carried_out)


def _filed(settings: Settings, order: StopOrder, tell: Callable[[str], None]) -> bool:
    try:
        path = write_file(settings.home, order)
    except OSError as error:
        tell(f"NOT as a file: {error}")
        return False
    tell(f"as the file {path}, which stops every process of this home")
    return True


def _waited_for(database: Database, name: str, symbols: Sequence[str]) -> list[str]:
    """What closing `symbols` waits for, as their alerts say."""
    subjects = {f"{name}/{symbol}" for symbol in symbols}
    with database.connection() as connection:
        return [one.text for one in open_alerts(connection) if one.kind == WAITS_ALERT and one.subject in subjects]


def _carried_out(
    database: Database,
    settings: Settings,
    name: str,
    order: StopOrder,
    desk_of: Callable[[Database, Settings, str], Desk],
    tell: Callable[[str], None],
) -> bool:
    """Withdraw and close at once what the account has. Who watches the account does it too, where this fails."""
    try:
        desk = desk_of(database, settings, name)
        closed = carry_out(desk, closing=order.flatten, wait=_WAIT_SECONDS)
        left = unfinished_entries(desk)
        waits = _waited_for(database, name, [symbol for symbol, end in closed.items() if not end.is_over])
    except TripleGainError as error:
        tell(f"{name}: entries and positions are left to the breaker sensor and the guardian: {error}")
        return False
    entries = "no entry is unfinished"
    if left:
        entries = f"{left} {'entry' if left == 1 else 'entries'} NOT confirmed as cancelled; the guardian asks again"
    tell(f"{name}: {entries}" + "".join(f"; {symbol} {end}" for symbol, end in closed.items()))
    for text in waits:
        tell(text)
    return not left and all(end.is_over for end in closed.values())
