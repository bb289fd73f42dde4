"""Issue 4, point 7: a SIGTERM in the middle of anything ends within ten seconds with nothing in flight unrecorded.

What was sent is in the books as sent, and whoever comes next resolves it with the venue; the laws between books and
exchange hold then.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from uuid import UUID

import dagster as dg
import pytest
from interrupted import BTC, HeldBroker, LiveFloor, Moment, forked, live_floor, stand_still
from services_of_home import eventually

from jobs.execution import execution
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.execution.desk import Desk, account_transaction
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind
from triplegain_pipelines.services import supervisor
from triplegain_pipelines.services.guardian import run_until_stopped
from triplegain_pipelines.services.guardian_loop import Guardian, Rhythm
from triplegain_pipelines.services.guardian_prices import NoTicks
from triplegain_pipelines.store.database import Database

pytestmark = [pytest.mark.integration, pytest.mark.slow]

IN_TIME = 10
# Of this database alone: tests beside this one have databases of their own on the same server.
WAITING = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
HELD = "SELECT quantity FROM positions WHERE symbol = %s"
Run = Callable[[Desk, UUID], None]


def by_command(desk: Desk, decision_id: UUID) -> None:
    with OrderPath(desk) as path:
        path.execute(decision_id)


def by_dagster(desk: Desk, decision_id: UUID) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        execution.execute_in_process(
            run_config={"ops": {"claim": {"config": {"decision_id": str(decision_id)}}}},
            resources={"desk": desk},
            instance=instance,
        )


def held_by_another(floor: LiveFloor) -> AbstractContextManager[object]:
    """The account's books, so that whoever wants to write in them waits for the database."""
    return account_transaction(floor.desk, None)


def ended_in_the_middle(
    floor: LiveFloor, run: Run, number: signal.Signals, decision_id: UUID, held_at: Moment | None, calls: str = ""
) -> float:
    """Run a decision and end it where the broker stands still, or once the exchange has met a call it delays."""

    def work(here: Callable[[], None]) -> None:
        database = Database(floor.database.url)
        desk = floor.desk_on(database)
        if held_at is not None:
            held = HeldBroker(desk.broker, held_at, lambda: (here(), stand_still()))
            desk = replace(desk, broker=held)
        run(desk, decision_id)

    before = floor.calls(calls)
    with forked(work) as child:
        if held_at is None:
            meets(floor, calls, before)
        else:
            child.reached()
        code, seconds = child.end(number)
    assert code != 0
    return seconds


def meets(floor: LiveFloor, name: str, before: int) -> None:
    eventually(lambda: floor.calls(name) > before, f"the call {name}")


# A run is ended by SIGTERM when `triplegain up` stops, and by SIGINT from its code server when it is terminated.
@pytest.mark.parametrize(
    ("run", "number", "moment"),
    [
        (by_command, signal.SIGTERM, Moment.BEFORE_SENDING),
        (by_command, signal.SIGTERM, Moment.AFTER_ANSWER),
        (by_command, signal.SIGTERM, None),
        (by_dagster, signal.SIGTERM, Moment.BEFORE_SENDING),
        (by_dagster, signal.SIGTERM, None),
        (by_dagster, signal.SIGINT, Moment.AFTER_ANSWER),
        (by_dagster, signal.SIGINT, None),
    ],
)
def test_an_entry_that_is_ended_in_the_middle_is_resolved(
    database: Database, run: Run, number: signal.Signals, moment: Moment | None
) -> None:
    """O9, X3: an order that nobody remembers to have sent would be sent again, or its fill never be booked."""
    faults = [Fault(FaultKind.DELAY, CallKind.SUBMIT)] if moment is None else []
    with live_floor(database, *faults) as floor:
        decision_id = floor.queue()
        seconds = ended_in_the_middle(floor, run, number, decision_id, moment, "AddOrder")
        assert seconds < IN_TIME
        assert len(floor.server.exchange.orders) == (0 if moment is Moment.BEFORE_SENDING else 1)
        assert floor.unrecorded() == set()
        ((submitted, state),) = floor.rows("SELECT submitted_at IS NOT NULL, state FROM orders")
        assert (submitted, state) == (True, "PENDING_SUBMIT")
        floor.recover()
        assert floor.rows("SELECT status FROM outbox") == [("DONE",)]
        assert len(floor.rows(HELD, BTC)) == 1


@pytest.mark.parametrize(
    ("run", "number", "moment"),
    [
        (by_command, signal.SIGTERM, Moment.BEFORE_CANCEL),
        (by_command, signal.SIGTERM, None),
        (by_dagster, signal.SIGTERM, Moment.AFTER_CANCEL),
        (by_dagster, signal.SIGINT, None),
    ],
)
def test_an_exit_that_is_ended_inside_its_cancel_is_resolved(
    database: Database, run: Run, number: signal.Signals, moment: Moment | None
) -> None:
    """X3: a stop that is half taken back leaves the position bare, or is sold twice with the exit."""
    faults = [Fault(FaultKind.DELAY, CallKind.CANCEL)] if moment is None else []
    with live_floor(database, *faults) as floor:
        by_command(floor.desk, floor.queue())
        seconds = ended_in_the_middle(floor, run, number, floor.queue(Action.CLOSE), moment, "CancelOrder")
        assert seconds < IN_TIME
        assert floor.rows("SELECT state FROM orders JOIN intents USING (client_order_id) WHERE leg = 'STOP'") == [
            ("PENDING_CANCEL",)
        ]
        floor.recover()
        assert floor.rows(HELD, BTC) == []
        assert floor.unrecorded() == set()


@pytest.mark.parametrize(("run", "number"), [(by_command, signal.SIGTERM), (by_dagster, signal.SIGINT)])
def test_waiting_for_the_database_is_ended_too(database: Database, run: Run, number: signal.Signals) -> None:
    """O9: a question that the server answers late must not keep a process from leaving, nor leave a lock behind."""
    with live_floor(database) as floor:
        decision_id = floor.queue()

        def work(_here: Callable[[], None]) -> None:
            run(floor.desk_on(Database(floor.database.url)), decision_id)

        with held_by_another(floor), forked(work) as child:
            eventually(lambda: floor.rows(WAITING), "it to wait")
            code, seconds = child.end(number)
        assert code != 0
        assert seconds < IN_TIME
        assert floor.rows("SELECT 1 FROM orders") == []
        floor.recover()
        assert len(floor.rows(HELD, BTC)) == 1


def guarding(floor: LiveFloor, held_at: Moment | None = None) -> Callable[[Callable[[], None]], None]:
    """The guardian's process."""

    def work(here: Callable[[], None]) -> None:
        database = Database(floor.database.url)
        desk = floor.desk_on(database)
        if held_at is not None:
            held = HeldBroker(desk.broker, held_at, lambda: (here(), stand_still()))
            desk = replace(desk, broker=held)

        async def make() -> Guardian:
            return Guardian(desk, NoTicks(), Rhythm(look=0.1, health=0.2))

        asyncio.run(run_until_stopped(make))
        database.close()

    return work


def test_an_idle_guardian_leaves_at_once(database: Database) -> None:
    """O9: a service manager kills what does not leave, and a kill is no way to end a day."""
    with live_floor(database) as floor:
        floor.rows("DELETE FROM heartbeats WHERE name = 'guardian'")
        with forked(guarding(floor)) as child:
            eventually(lambda: floor.rows("SELECT 1 FROM heartbeats WHERE name = 'guardian'"), "its heartbeat")
            code, seconds = child.end()
    assert code == 0
    assert seconds < 3


@pytest.mark.parametrize("moment", [None, Moment.BEFORE_SENDING, Moment.AFTER_CANCEL])
def test_a_guardian_that_is_ended_in_an_exit_leaves_it_recorded(database: Database, moment: Moment | None) -> None:
    """X2, X3: it waits for the venue no longer than it has, and its exit is neither forgotten nor sent twice."""
    with live_floor(database, expiry=60) as floor:
        by_command(floor.desk, floor.queue())
        ((target,),) = floor.rows("SELECT take_profit FROM positions")
        if moment is None:
            floor.faults._coming = iter([Fault(FaultKind.DELAY, CallKind.SUBMIT)])
        before = floor.calls("AddOrder")
        with forked(guarding(floor, moment)) as child:
            floor.price(int(target) + 100)
            if moment is None:
                meets(floor, "AddOrder", before)
            else:
                child.reached()
            code, seconds = child.end()
        assert code == 0
        assert seconds < supervisor._STOP_SECONDS
        assert floor.unrecorded() == set()
        floor.recover()
        assert floor.rows(HELD, BTC) == []
