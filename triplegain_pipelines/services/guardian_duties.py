"""What the guardian does to an account, each duty on its own and safe to repeat, under the account's lock.

Everything here waits for the database or the venue, so it runs in a thread beside the event loop.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from triplegain_pipelines.domain.errors import PermanentError, StaleFenceError, TransientError, UnavailableError
from triplegain_pipelines.domain.market import Candle
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.exits import Closing, close_position, flatten
from triplegain_pipelines.execution.levels import Due, Tick, reached
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.execution.protection import protect, protect_all
from triplegain_pipelines.services.guardian_watch import AccountState, Call
from triplegain_pipelines.store import emergency_stops, orders, positions, trading_modes

DEAD_MAN = timedelta(seconds=60)
"""After how long without a word of ours the venue cancels an unfinished entry."""
WAIT = 5.0
"""Seconds that a duty waits for another process to let go of the account."""
_ORDER = (Due.LEAVE_AT_STOP, Due.LEAVE_AT_TARGET, Due.ASK, Due.NOTHING)
_REASONS = {Due.LEAVE_AT_STOP: ReasonCode.STOP_REACHED, Due.LEAVE_AT_TARGET: ReasonCode.TARGET_REACHED}
_log = structlog.get_logger(__name__)
_WITHDRAWN = {TradingMode.REDUCING: ReasonCode.MODE_REDUCING, TradingMode.HALTED: ReasonCode.MODE_HALTED}


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a call: whether it is over and need not come again, and why it failed where it did."""

    is_over: bool
    error: str = ""


def read_account(desk: Desk) -> AccountState:
    """The account as it stands, without taking its books: nobody is waited for.

    Raises:
        UnavailableError: the database does not answer.
    """
    with desk.database.connection() as connection:
        stops = emergency_stops.in_force(connection, desk.account)
        by_file = _file_says(desk)
        stopped = bool(stops) or by_file is not None
        return AccountState(
            at=desk.clock.now(),
            mode=TradingMode.HALTED if stopped else trading_modes.read(connection, desk.account),
            stopped=stopped,
            flatten=any(stop.flatten for stop in stops) or by_file is True,
            held=tuple(positions.read_all(connection, desk.schema, desk.account)),
            working=tuple(orders.alive(connection, desk.schema, desk.account)),
        )


def answer(desk: Desk, calls: Sequence[Call]) -> dict[str, Answered]:
    """Do what prices called for, stops before targets; what became of each symbol. One that fails hides no other.

    Everything is read again under the lock: another process may have closed the position meanwhile.

    Raises:
        AccountBusyError: another process holds the account.
        StaleFenceError: the lock was lost; what was not sent by then was not sent.
        UnavailableError: the database does not answer.
    """
    done: dict[str, Answered] = {}
    with OrderPath(desk, wait=WAIT) as path:
        token = path.newest_token()
        for call in sorted(calls, key=lambda call: (_ORDER.index(call.due), call.symbol)):
            try:
                done[call.symbol] = Answered(_answer(path, token, call))
            except (StaleFenceError, UnavailableError):
                raise
            except (PermanentError, TransientError) as error:
                _log.error("failed, to be tried again", symbol=call.symbol, error=str(error))
                done[call.symbol] = Answered(is_over=False, error=str(error))
    return done


def close_all(desk: Desk, ticks: Mapping[str, Tick]) -> bool:
    """Close every position, as the emergency stop asks; whether all of it is over."""
    prices = {symbol: (tick.bid + tick.ask) / 2 for symbol, tick in ticks.items()}
    with OrderPath(desk, wait=WAIT) as path:
        token = path.newest_token()
        done = flatten(path.desk, token, prices=prices)
        # Until they can be left, they have their stops: nobody else mends them while all is being closed.
        bare = {Closing.REFUSED, Closing.BLOCKED, Closing.FAILED}
        protect_all(path.desk, token, [symbol for symbol, closing in done.items() if closing in bare])
    return all(closing.is_over for closing in done.values())


def resolve(desk: Desk) -> None:
    """Ask the venue for every unresolved order, and mend the protection in their symbols."""
    with OrderPath(desk, wait=WAIT) as path:
        unresolved = read_account(path.desk).unresolved
        path.settle_changes(path.newest_token(), [order.client_order_id for order in unresolved])


def mend(desk: Desk, symbols: Sequence[str], is_pressed: Callable[[], bool]) -> None:
    """See that the positions in `symbols` have their stops. Broken off where `is_pressed`: a level was reached."""
    with OrderPath(desk, wait=WAIT) as path:
        protect_all(path.desk, path.newest_token(), symbols, is_pressed)


def withdraw(desk: Desk, state: AccountState) -> None:
    """Cancel what is left of entries: in this mode no new risk is taken."""
    reason = ReasonCode.EMERGENCY_STOP if state.stopped else _WITHDRAWN[state.mode]
    with OrderPath(desk, wait=WAIT) as path:
        path.withdraw_entries(path.newest_token(), reason)


def keep_alive(desk: Desk) -> bool:
    """Set the venue's dead-man timer where an entry is unfinished and nothing protective rests, else switch it off.

    The books are read under the lock: nobody can place a stop between the look at them and the setting of the timer.
    Returns whether it is set.
    """
    with OrderPath(desk) as path:
        wanted = read_account(path.desk).wants_dead_man
        path.desk.broker.keep_alive(DEAD_MAN if wanted else None)
    return wanted


def _answer(path: OrderPath, token: int, call: Call) -> bool:
    desk = path.desk
    with desk.database.connection() as connection:
        position = positions.read(connection, desk.schema, desk.account, call.symbol)
        working = [
            order
            for order in orders.alive(connection, desk.schema, desk.account)
            if order.intent.symbol == call.symbol and order.submitted_at is not None
        ]
    if position is None or position.decision_id != call.decision_id or reached(position, call.tick) is not call.leg:
        return True
    if isinstance(desk.broker, PaperVenue):
        path.settle_changes(token, desk.broker.match(desk.account, _as_candle(call)))
    if call.due is Due.ASK:
        path.settle_changes(token, [order.client_order_id for order in working if order.intent.leg is not Leg.ENTRY])
        return False  # what was not filled is asked for again, ever more slowly
    closing = close_position(desk, token, call.symbol, _REASONS[call.due], call.price)
    if not closing.is_over:
        protect(desk, token, call.symbol)
    return closing.is_over


def _as_candle(call: Call) -> Candle:
    """The tick as the paper venue takes prices: what it reaches is filled now, and not when its minute has closed."""
    price = call.price
    return Candle(call.symbol, call.tick.at, price, price, price, price)


def _file_says(desk: Desk) -> bool | None:
    """None without an emergency file; else whether it asks for positions to be closed. One by `touch` does not."""
    if desk.emergency_file is None or not desk.emergency_file.exists():
        return None
    try:
        said = json.loads(desk.emergency_file.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("flatten") is True
