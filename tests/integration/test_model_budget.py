"""The budget for calls of models in PostgreSQL: many at once, processes that die, new days, what a person is told."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from uuid import UUID

import psycopg
import pytest
from forked import KILLED, ended, fork

from triplegain_pipelines.domain.errors import BudgetError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_budget import LONGEST_CALL, BudgetPeriod, BudgetRefusal, BudgetStanding
from triplegain_pipelines.settings.models import BudgetSettings
from triplegain_pipelines.store.alerts import AlertLevel, open_alerts
from triplegain_pipelines.store.budget_alerts import LOST, NEARLY_TAKEN, OVERRUN, REFUSED
from triplegain_pipelines.store.budgets import open_reservations, read_standings, reserve, settle, tend
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 4, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ONE = Decimal(1)


def limits(day: str = "1000", month: str = "1000", seat_day: str = "1000", seat_month: str = "1000") -> BudgetSettings:
    return BudgetSettings(
        day_usd=Decimal(day),
        month_usd=Decimal(month),
        seat_day_usd=Decimal(seat_day),
        seat_month_usd=Decimal(seat_month),
    )


def call(number: object) -> UUID:
    return deterministic_id("test call", number)


def standing(
    connection: psycopg.Connection, period: BudgetPeriod, seat: str | None, at: datetime = NOON
) -> BudgetStanding:
    found = read_standings(connection, limits(), ["gpt", "grok"], at)
    return next(one for one in found if (one.period, one.seat) == (period, seat))


def taken(connection: psycopg.Connection, seat: str | None = None, at: datetime = NOON) -> Decimal:
    return standing(connection, BudgetPeriod.DAY, seat, at).taken_usd


def alerts(connection: psycopg.Connection) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in open_alerts(connection)]


@pytest.mark.parametrize("budget", [limits(day="3"), limits(month="3"), limits(seat_day="3"), limits(seat_month="3")])
def test_of_fifty_threads_exactly_three_get_a_budget_for_three(database: Database, budget: BudgetSettings) -> None:
    """A6: a limiter that looks first and writes later lets all fifty calls through at once."""
    ready = Barrier(50)

    def one_call(number: int) -> bool:
        with psycopg.connect(database.url) as own:
            ready.wait(timeout=20)
            return reserve(own, call(number), "gpt", ONE, NOON, budget) is None

    with ThreadPoolExecutor(50) as threads:
        left = sum(threads.map(one_call, range(50)))
    with database.connection() as connection:
        assert left == 3
        assert len(open_reservations(connection)) == 3
        assert taken(connection) == 3


def test_a_connection_that_commits_by_itself_keeps_the_budget_too(database: Database) -> None:
    """A6: where each statement is its own transaction, a lock that ends with it guards nothing."""
    ready = Barrier(20)

    def one_call(number: int) -> bool:
        with database.autocommit() as own:
            ready.wait(timeout=20)
            return reserve(own, call(number), "gpt", ONE, NOON, limits(day="3")) is None

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(one_call, range(20))) == 3


def test_of_several_processes_exactly_three_calls_leave(database: Database) -> None:
    """A6: a limiter that lives in one process lets each other process spend the budget again."""
    database.close()

    def ten_calls(process: int) -> None:
        with psycopg.connect(database.url, autocommit=True) as own:
            for number in range(10):
                seat = f"seat {number % 6}"
                reserve(own, call((process, number)), seat, ONE, NOON, limits(day="3"))

    assert [ended(child) for child in [fork(lambda own=own: ten_calls(own)) for own in range(5)]] == [0] * 5
    with psycopg.connect(database.url) as connection:
        assert len(open_reservations(connection)) == 3


def test_a_transaction_that_sees_old_budgets_is_refused(database: Database) -> None:
    """A6: under 'repeatable read' the sum after the lock is the one before it, and the limit would be passed."""
    with psycopg.connect(database.url) as own:
        own.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(BudgetError, match="read committed"):
            reserve(own, call(1), "gpt", ONE, NOON, limits())


def test_a_refusal_names_the_budget_that_refuses(connection: psycopg.Connection) -> None:
    """A6: a person who raises the wrong limit is refused again."""
    budget = limits(day="5", seat_day="2")
    assert reserve(connection, call(1), "gpt", Decimal("1.5"), NOON, budget) is None
    settle(connection, call(1), Decimal("0.75"), NOON)
    assert reserve(connection, call(2), "gpt", Decimal("0.5"), NOON, budget) is None
    refused = reserve(connection, call(3), "gpt", ONE, NOON, budget)
    assert isinstance(refused, BudgetRefusal)
    assert (refused.standing.name, refused.limit_usd, refused.spent_usd) == ("day of gpt", 2, Decimal("0.75"))
    assert refused.standing.reserved_usd == Decimal("0.5")
    assert reserve(connection, call(3), "grok", Decimal(2), NOON, budget) is None
    others = reserve(connection, call(4), "deepseek", Decimal(2), NOON, budget)
    assert others is not None
    assert (others.standing.name, others.standing.whose) == ("day", "all seats")
    assert reserve(connection, call(5), "qwen", Decimal(0), NOON, budget) is None


def test_budgets_begin_again_at_midnight_and_on_the_first(connection: psycopg.Connection) -> None:
    """A6: a day that ends an hour late, or a month that ends with every day, is another budget than was set."""
    budget, end = limits(day="1", month="2"), MIDNIGHT - timedelta(microseconds=1)
    assert reserve(connection, call(1), "gpt", ONE, MIDNIGHT - timedelta(days=1) - SECOND, budget) is None
    assert reserve(connection, call(2), "gpt", ONE, end, budget) is None
    day = reserve(connection, call(3), "gpt", ONE, end, budget)
    assert day is not None
    assert day.standing.period is BudgetPeriod.DAY
    month = reserve(connection, call(3), "gpt", ONE, end, limits(day="9", month="2"))
    assert month is not None
    assert month.standing.period is BudgetPeriod.MONTH
    assert reserve(connection, call(3), "gpt", ONE, MIDNIGHT, budget) is None
    assert standing(connection, BudgetPeriod.MONTH, None, MIDNIGHT).calls == 1
    assert standing(connection, BudgetPeriod.MONTH, None, end).calls == 2


def test_a_call_counts_for_the_day_on_which_it_was_reserved(connection: psycopg.Connection) -> None:
    """A6: a call that ends after midnight must not take of a day that nobody asked about it."""
    before = MIDNIGHT - SECOND
    assert reserve(connection, call(1), "gpt", ONE, before, limits()) is None
    settle(connection, call(1), Decimal("0.25"), MIDNIGHT + SECOND)
    assert taken(connection, at=MIDNIGHT) == 0
    assert standing(connection, BudgetPeriod.DAY, "gpt", before).spent_usd == Decimal("0.25")


def test_the_reservation_of_a_killed_process_counts_and_is_then_booked_as_spent(database: Database) -> None:
    """A6: a process that dies between sending and settling has spent money that nobody would count."""
    database.close()
    budget = limits(day="1.5")

    def die_under_way() -> None:
        with psycopg.connect(database.url, autocommit=True) as own:
            reserve(own, call("dead"), "gpt", ONE, NOON, budget)
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(fork(die_under_way)) == KILLED
    with psycopg.connect(database.url, autocommit=True) as connection:
        assert reserve(connection, call(2), "gpt", ONE, NOON + SECOND, budget) is not None
        assert tend(connection, budget, NOON + LONGEST_CALL) == []
        assert [one.call_id for one in tend(connection, budget, NOON + LONGEST_CALL + SECOND)] == [call("dead")]
        assert (LOST, "gpt") in alerts(connection)
        found = standing(connection, BudgetPeriod.DAY, "gpt")
        assert (found.spent_usd, found.reserved_usd, found.lost, found.calls) == (1, 0, 1, 1)
        assert reserve(connection, call(2), "gpt", ONE, NOON + 2 * LONGEST_CALL, budget) is not None
        settle(connection, call("dead"), Decimal("0.1"), NOON + 3 * LONGEST_CALL)
        assert taken(connection) == Decimal("0.1")
        tend(connection, budget, MIDNIGHT)
        assert alerts(connection) == []


def test_a_call_lost_around_midnight_is_told_of(connection: psycopg.Connection) -> None:
    """A6: lost yesterday and noticed today is lost all the same; the alert stays for the day that it was raised on."""
    assert reserve(connection, call(1), "gpt", ONE, MIDNIGHT - SECOND, limits()) is None
    assert reserve(connection, call(2), "gpt", ONE, MIDNIGHT + LONGEST_CALL, limits()) is None
    assert alerts(connection) == [(LOST, "gpt")]
    assert standing(connection, BudgetPeriod.MONTH, "gpt", MIDNIGHT - SECOND).lost == 1


def test_a_person_is_warned_once_and_told_of_a_refusal(connection: psycopg.Connection) -> None:
    """A6, O7: the warning comes at 80 %, once, and ends when calls turned out cheaper or the day is over."""
    budget = limits(day="10")
    for number in range(7):
        assert reserve(connection, call(number), "gpt", ONE, NOON, budget) is None
    assert alerts(connection) == []
    for number in range(7, 10):
        assert reserve(connection, call(number), "gpt", ONE, NOON + SECOND, budget) is None
    (warning,) = open_alerts(connection)
    assert (warning.kind, warning.subject, warning.level) == (NEARLY_TAKEN, "day", AlertLevel.WARNING)
    assert "8 of the day's 10 USD" in warning.text
    assert reserve(connection, call(10), "gpt", ONE, NOON + SECOND, budget) is not None
    assert alerts(connection) == [(NEARLY_TAKEN, "day"), (REFUSED, "day")]
    assert open_alerts(connection)[1].level is AlertLevel.CRITICAL
    for number in range(4):
        settle(connection, call(number), Decimal("0.5"), NOON + SECOND)
    tend(connection, budget, NOON + SECOND)
    assert len(alerts(connection)) == 2, "8 of 10 are taken"
    settle(connection, call(4), Decimal("0.9"), NOON + SECOND)
    tend(connection, budget, NOON + SECOND)
    assert alerts(connection) == [(NEARLY_TAKEN, "day")], "calls fit in again, and it is still nearly taken"
    for number in range(5, 10):
        settle(connection, call(number), Decimal("0.2"), NOON + SECOND)
    tend(connection, budget, NOON + SECOND)
    assert alerts(connection) == []
    row = connection.execute("SELECT count(*) FROM ops.alerts").fetchone()
    assert row == (2,)


def test_a_new_day_ends_the_alerts_about_the_old_one(connection: psycopg.Connection) -> None:
    """A6, O7: an alert of yesterday that stays open swallows today's."""
    budget = limits(day="1")
    assert reserve(connection, call(1), "gpt", ONE, NOON, budget) is None
    assert reserve(connection, call(2), "gpt", ONE, NOON, budget) is not None
    assert alerts(connection) == [(NEARLY_TAKEN, "day"), (REFUSED, "day")]
    settle(connection, call(1), ONE, NOON)
    assert reserve(connection, call(2), "grok", Decimal("0.1"), MIDNIGHT, budget) is None
    assert alerts(connection) == []
    assert reserve(connection, call(3), "grok", Decimal("0.9"), MIDNIGHT, budget) is None
    assert alerts(connection) == [(NEARLY_TAKEN, "day")]


def test_calls_around_the_warning_do_not_raise_it_again_and_again(connection: psycopg.Connection) -> None:
    """A6, O7: a person told with every call stops reading."""
    budget = limits(day="10")
    for number in range(40):
        assert reserve(connection, call(number), "gpt", Decimal("3.2"), NOON, budget) is None
        settle(connection, call(number), Decimal("0.16"), NOON)
        tend(connection, budget, NOON)
    row = connection.execute("SELECT count(*) FROM ops.alerts").fetchone()
    assert row == (1,)


def test_a_cost_above_the_reservation_is_booked_as_it_is_and_told(connection: psycopg.Connection) -> None:
    """A6: a cost that is cut to what was reserved hides that the worst case is worked out wrongly."""
    budget = limits(day="2")
    assert reserve(connection, call(1), "gpt", ONE, NOON, budget) is None
    settle(connection, call(1), Decimal("1.75"), NOON)
    found = standing(connection, BudgetPeriod.DAY, "gpt")
    assert (found.spent_usd, found.overrun) == (Decimal("1.75"), 1)
    (alert,) = open_alerts(connection)
    assert (alert.kind, alert.subject) == (OVERRUN, "gpt")
    assert "1.75 USD" in alert.text
    assert reserve(connection, call(2), "gpt", Decimal("0.5"), NOON, budget) is not None
    tend(connection, budget, NOON + SECOND)
    assert (OVERRUN, "gpt") in alerts(connection), "it ends with the day"
    tend(connection, budget, MIDNIGHT)
    assert alerts(connection) == []


def test_what_a_call_cost_is_said_once(connection: psycopg.Connection) -> None:
    """A6: a cost that can be said again, or for a call that was never reserved, hides money."""
    assert reserve(connection, call(1), "gpt", ONE, NOON, limits()) is None
    settle(connection, call(1), Decimal("0.5"), NOON)
    settle(connection, call(1), Decimal("0.50"), NOON + SECOND)
    with pytest.raises(BudgetError, match=r"0\.5 USD are booked"):
        settle(connection, call(1), Decimal("0.1"), NOON)
    with pytest.raises(BudgetError, match="reserved for before"):
        reserve(connection, call(1), "gpt", ONE, NOON, limits())
    with pytest.raises(BudgetError, match="nothing was reserved"):
        settle(connection, call(9), ONE, NOON)
    assert taken(connection) == Decimal("0.5")


@pytest.mark.parametrize("amount", ["-0.01", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused(connection: psycopg.Connection, amount: str) -> None:
    """A6: a worst case that is not a number compares with no limit, and a negative cost makes room."""
    with pytest.raises(BudgetError, match="no amount"):
        reserve(connection, call(1), "gpt", Decimal(amount), NOON, limits())
    assert reserve(connection, call(1), "gpt", ONE, NOON, limits()) is None
    with pytest.raises(BudgetError, match="no amount"):
        settle(connection, call(1), Decimal(amount), NOON)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ops.model_reservations",
        "TRUNCATE ops.model_reservations",
        "UPDATE ops.model_reservations SET worst_case_usd = 0",
        "UPDATE ops.model_reservations SET reserved_at = reserved_at - interval '40 days'",
        "UPDATE ops.model_reservations SET state = 'LOST', cost_usd = 0, ended_at = now()",
        "UPDATE ops.model_reservations SET state = 'SETTLED', cost_usd = 'NaN', ended_at = now()",
        "UPDATE ops.model_reservations SET cost_usd = 0",
    ],
)
def test_the_database_itself_forgets_nothing(connection: psycopg.Connection, statement: str) -> None:
    """A6: whatever a later version of the code does, a reservation cannot be made to vanish or to count for less."""
    assert reserve(connection, call(1), "gpt", ONE, NOON, limits()) is None
    with pytest.raises(psycopg.DatabaseError), connection.transaction():
        connection.execute(statement)
    assert taken(connection) == 1
