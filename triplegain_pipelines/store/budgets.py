"""The budget for calls of models: the worst case of each is reserved before it leaves, and settled after.

Two rules keep it. The look at the budgets and the writing of a reservation cannot interleave with anybody else's,
because all who write here wait for one lock. And a reservation is never forgotten: until it is settled it counts with
its worst case, and one whose process died is booked as spent at that after `LONGEST_CALL`. Times are those of the
machine's clock, in a replay too: a provider's bill knows no other.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from triplegain_pipelines.domain.errors import BudgetError
from triplegain_pipelines.domain.model_budget import (
    LONGEST_CALL,
    BudgetPeriod,
    BudgetRefusal,
    BudgetStanding,
    refusal,
)
from triplegain_pipelines.settings.models import BudgetSettings
from triplegain_pipelines.store.budget_alerts import tell_lost, tell_overrun, tell_standings

# A lost call is spent at its worst case, so it counts as before.
_USAGE: LiteralString = """
    SELECT seat,
        coalesce(sum(cost_usd), 0) AS spent_usd,
        coalesce(sum(worst_case_usd) FILTER (WHERE state = 'RESERVED'), 0) AS reserved_usd,
        count(*) AS calls,
        count(*) FILTER (WHERE state = 'LOST') AS lost,
        count(*) FILTER (WHERE cost_usd > worst_case_usd) AS overrun
    FROM ops.model_reservations WHERE reserved_at >= %s AND reserved_at < %s GROUP BY seat
"""


@dataclass(frozen=True, slots=True)
class OpenReservation:
    """A call that has not been settled: under way, or its process died."""

    call_id: UUID
    seat: str
    reserved_at: datetime
    worst_case_usd: Decimal


@dataclass(frozen=True, slots=True)
class _Usage:
    seat: str
    spent_usd: Decimal
    reserved_usd: Decimal
    calls: int
    lost: int
    overrun: int


def reserve(
    connection: psycopg.Connection,
    call_id: UUID,
    seat: str,
    worst_case_usd: Decimal,
    at: datetime,
    limits: BudgetSettings,
) -> BudgetRefusal | None:
    """Reserve what a call can cost at most, if all four budgets over it have so much left.

    The caller commits before the call leaves, and at once: until then everybody else's calls wait. A refusal is to be
    committed too, for the alert that tells a person of it. Every turn and every retry is a call of its own.

    Args:
        connection: inside a transaction or not.
        call_id: identity of this call; it can be reserved for once.
        seat: whose call.
        worst_case_usd: what it costs at most, US dollars; 0 is never refused.
        at: the present moment of the machine's clock.
        limits: the budgets.

    Returns:
        None where it is reserved, else the first budget that refuses it.

    Raises:
        BudgetError: the worst case is no amount, or the call was reserved for before.
    """
    _require_amount(worst_case_usd, f"the worst case of a call of {seat}")
    with connection.transaction():
        _wait_for_turn(connection)
        _book_lost(connection, at)
        standings = read_standings(connection, limits, [seat], at)
        refused = refusal((one for one in standings if one.seat in {None, seat}), worst_case_usd)
        if refused is None:
            _insert(connection, call_id, seat, worst_case_usd, at)
            standings = [_with_call(one, seat, worst_case_usd) for one in standings]
        tell_standings(connection, standings, refused, limits.warn_at, at)
    return refused


def settle(connection: psycopg.Connection, call_id: UUID, cost_usd: Decimal, at: datetime) -> None:
    """Book what a call cost, in the place of its worst case; more than that is booked as it is, and an alert tells it.

    A call whose cost is not known (it was cancelled, or the provider gave no usage) is settled at its worst case. One
    that was given up as lost is booked all the same. Saying the same cost twice changes nothing.

    Raises:
        BudgetError: nothing was reserved for the call, another cost is booked for it, or the cost is no amount.
    """
    _require_amount(cost_usd, f"the cost of the call {call_id}")
    with connection.transaction():
        _wait_for_turn(connection)
        row = connection.execute(
            """UPDATE ops.model_reservations SET state = 'SETTLED', cost_usd = %s, ended_at = %s
               WHERE call_id = %s AND state <> 'SETTLED' RETURNING seat, worst_case_usd""",
            [cost_usd, at, call_id],
        ).fetchone()
        if row is None:
            _require_settled_at(connection, call_id, cost_usd)
        elif cost_usd > row[1]:
            tell_overrun(connection, row[0], call_id, row[1], cost_usd, at)


def tend(connection: psycopg.Connection, limits: BudgetSettings, at: datetime) -> list[OpenReservation]:
    """Book lost calls as spent, and end and raise alerts as budgets stand: for whoever looks from time to time.

    Without it the same happens at the next reservation.

    Returns:
        The calls that are lost since the last look.
    """
    with connection.transaction():
        _wait_for_turn(connection)
        lost = _book_lost(connection, at)
        tell_standings(connection, read_standings(connection, limits, [], at), None, limits.warn_at, at)
    return lost


def read_standings(
    connection: psycopg.Connection, limits: BudgetSettings, seats: Collection[str], at: datetime
) -> list[BudgetStanding]:
    """How every budget stands in the day and the month that hold `at`: a seat's own first, all seats together last.

    Args:
        connection: it is only read from.
        limits: the budgets.
        seats: those to tell of in any case, in their order; after them come others that made calls this month.
        at: a moment of the day and the month, UTC.
    """
    of_seat = {BudgetPeriod.DAY: limits.seat_day_usd, BudgetPeriod.MONTH: limits.seat_month_usd}
    of_all = {BudgetPeriod.DAY: limits.day_usd, BudgetPeriod.MONTH: limits.month_usd}
    usage = {period: _usage(connection, period, at) for period in BudgetPeriod}
    names = [*dict.fromkeys([*seats, *sorted(usage[BudgetPeriod.MONTH])])]
    own = [
        _standing(period, name, of_seat[period], [usage[period][name]] if name in usage[period] else [])
        for name in names
        for period in BudgetPeriod
    ]
    return own + [_standing(period, None, of_all[period], usage[period].values()) for period in BudgetPeriod]


def open_reservations(connection: psycopg.Connection) -> list[OpenReservation]:
    """The calls that have not been settled, the oldest first."""
    with connection.cursor(row_factory=class_row(OpenReservation)) as cursor:
        return cursor.execute(
            """SELECT call_id, seat, reserved_at, worst_case_usd FROM ops.model_reservations
               WHERE state = 'RESERVED' ORDER BY reserved_at, call_id"""
        ).fetchall()


def _wait_for_turn(connection: psycopg.Connection) -> None:
    """Let nobody else write to the budget until the transaction ends.

    A statement of its own: what is read after it must see what the one before us has committed.
    """
    row = connection.execute(
        """SELECT current_setting('transaction_isolation'),
               pg_advisory_xact_lock(hashtextextended('triplegain.model_budget', 0))"""
    ).fetchone()
    if row is None or row[0] != "read committed":
        msg = (
            f"the budget cannot be kept in a transaction that is {row and row[0]}: it would see the budgets as they "
            "were before others took of them; use 'read committed', the server's default"
        )
        raise BudgetError(msg)


def _book_lost(connection: psycopg.Connection, at: datetime) -> list[OpenReservation]:
    with connection.cursor(row_factory=class_row(OpenReservation)) as cursor:
        lost = cursor.execute(
            """UPDATE ops.model_reservations SET state = 'LOST', cost_usd = worst_case_usd, ended_at = %s
               WHERE state = 'RESERVED' AND reserved_at < %s
               RETURNING call_id, seat, reserved_at, worst_case_usd""",
            [at, at - LONGEST_CALL],
        ).fetchall()
    for one in lost:
        tell_lost(connection, one.seat, one.call_id, one.worst_case_usd, at)
    return lost


def _insert(connection: psycopg.Connection, call_id: UUID, seat: str, worst_case_usd: Decimal, at: datetime) -> None:
    written = connection.execute(
        """INSERT INTO ops.model_reservations (call_id, seat, reserved_at, worst_case_usd) VALUES (%s, %s, %s, %s)
           ON CONFLICT (call_id) DO NOTHING""",
        [call_id, seat, at, worst_case_usd],
    )
    if written.rowcount == 0:
        msg = f"the call {call_id} of {seat} was reserved for before; a call that is made again needs an id of its own"
        raise BudgetError(msg)


def _usage(connection: psycopg.Connection, period: BudgetPeriod, at: datetime) -> dict[str, _Usage]:
    with connection.cursor(row_factory=class_row(_Usage)) as cursor:
        return {one.seat: one for one in cursor.execute(_USAGE, [period.start(at), period.end(at)])}


def _standing(period: BudgetPeriod, seat: str | None, limit_usd: Decimal, usage: Collection[_Usage]) -> BudgetStanding:
    return BudgetStanding(
        period,
        seat,
        limit_usd,
        spent_usd=sum((one.spent_usd for one in usage), Decimal(0)),
        reserved_usd=sum((one.reserved_usd for one in usage), Decimal(0)),
        calls=sum(one.calls for one in usage),
        lost=sum(one.lost for one in usage),
        overrun=sum(one.overrun for one in usage),
    )


def _with_call(standing: BudgetStanding, seat: str, worst_case_usd: Decimal) -> BudgetStanding:
    """The standing with one more call of a seat under way."""
    if standing.seat not in {None, seat}:
        return standing
    return replace(standing, reserved_usd=standing.reserved_usd + worst_case_usd, calls=standing.calls + 1)


def _require_settled_at(connection: psycopg.Connection, call_id: UUID, cost_usd: Decimal) -> None:
    booked = _booked(connection, call_id)
    if booked != cost_usd:
        msg = f"{booked:f} USD are booked for the call {call_id}, and now it is said to have cost {cost_usd:f} USD"
        raise BudgetError(msg)


def _booked(connection: psycopg.Connection, call_id: UUID) -> Decimal:
    row = connection.execute("SELECT cost_usd FROM ops.model_reservations WHERE call_id = %s", [call_id]).fetchone()
    if row is None:
        msg = f"nothing was reserved for the call {call_id}; reserve its worst case and commit before it leaves"
        raise BudgetError(msg)
    return Decimal(row[0])


def _require_amount(amount_usd: Decimal, what: str) -> None:
    if not amount_usd.is_finite() or amount_usd < 0:
        msg = f"{what} is said to be {amount_usd} USD, which is no amount; look at the model's price"
        raise BudgetError(msg)
