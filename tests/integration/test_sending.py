"""The border to the venue: what is committed before a send, the lock that is asked, and what an answer leaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event, Thread

import psycopg
import pytest
from builders import ACCOUNT, LossyBroker, TradingFloor, decision

from triplegain_pipelines.domain.errors import AccountBusyError, StaleFenceError
from triplegain_pipelines.domain.orders import Claim, Intent, Leg, VenueOrder
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.sending import send
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.outbox import OutboxStatus

pytestmark = pytest.mark.integration

# Of this database alone: tests beside this one have databases of their own on the same server.
_HOLDER = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def states(floor: TradingFloor) -> list[tuple[object, ...]]:
    return floor.rows(
        """SELECT leg, attempt, state, reason_code FROM orders JOIN intents USING (client_order_id)
           ORDER BY intended_at, leg, attempt"""
    )


class WatchedDatabase(Database):
    """A database that calls `committed` after each of its commits, with their number."""

    def __init__(self, url: str, committed: Callable[[int], None]) -> None:
        super().__init__(url)
        self._committed = committed
        self._count = 0

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A transaction, and the call after it."""
        with super().connection() as connection:
            yield connection
        self._count += 1
        self._committed(self._count)


def end_holder(floor: TradingFloor) -> None:
    """End the session that holds the account's lock, and wait until it is gone."""
    with floor.database.autocommit() as connection:
        for (pid,) in connection.execute(_HOLDER).fetchall():
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert connection.execute(_HOLDER).fetchall() == []


def test_the_venue_gets_the_times_that_are_stored(floor: TradingFloor) -> None:
    """X3: a venue that is told another time than the books have might take an order that was given up."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    stored = floor.rows("SELECT client_order_id, submitted_at, expires_at FROM orders ORDER BY client_order_id")
    given = [(intent.client_order_id, sent_at, expires_at) for intent, sent_at, expires_at in floor.broker.sent]
    assert sorted(given) == stored
    assert len(given) == 3
    assert all(expires_at - sent_at == floor.broker.traits.expiry for _, sent_at, expires_at in given)


@dataclass
class SlowBroker(LossyBroker):
    """A broker with which the first submission of each leg takes as long as `delays` says."""

    delays: dict[str, timedelta] = field(default_factory=dict)
    floor: TradingFloor | None = None

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
        """Let time pass, then pass the intent on."""
        delay = self.delays.pop(intent.leg, None)
        if delay is not None and self.floor is not None:
            self.floor.clock.advance_to(self.floor.clock.now() + delay)
        return super().submit(intent, sent_at, expires_at)


def test_nothing_is_sent_after_it_has_expired(floor: TradingFloor) -> None:
    """X3: the stop's answer took two minutes; the target committed with it is late, and is tried under a new id."""
    slow = SlowBroker(floor.venue, delays={"STOP": timedelta(minutes=2)}, floor=floor)
    floor.desk = replace(floor.desk, broker=slow)
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
        assert [intent.leg for intent in slow.submissions] == ["ENTRY", "STOP"]
        assert ("TAKE_PROFIT", 1, "LOST", "NOT_EXECUTED") in states(floor)
        path.mend(path.newest_token())
    assert [state[:3] for state in states(floor)][-2:] == [("TAKE_PROFIT", 1, "LOST"), ("TAKE_PROFIT", 2, "OPEN")]


def test_a_lock_that_is_lost_between_commit_and_send_sends_nothing(floor: TradingFloor) -> None:
    """Issue point 5: the order is committed as submitted, the session with the lock ends, and nothing goes out."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        path._desk = replace(path.desk, database=WatchedDatabase(floor.database.url, lambda _: end_holder(floor)))
        with pytest.raises(StaleFenceError, match="is lost"):
            path.submit(made.decision_id, claim.token)
        path.desk.database.close()
    assert floor.broker.submissions == []
    assert states(floor) == [("ENTRY", 1, "LOST", "LOCK_LOST")]
    with OrderPath(floor.desk) as path:
        assert path.execute(made.decision_id) is OutboxStatus.DONE
    assert [intent.attempt for intent in floor.broker.submissions if intent.leg is Leg.ENTRY] == [2]


def test_a_process_whose_account_was_taken_over_cannot_send(floor: TradingFloor) -> None:
    """Issue point 5: the first is stopped between commit and send, a second takes over and acts; the first wakes up."""
    made = decision()
    floor.queue(made)

    def take_over(commits: int) -> None:
        if commits == 1:
            end_holder(floor)
            with OrderPath(floor.desk) as second:
                assert second.execute(made.decision_id) is OutboxStatus.DONE

    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        path._desk = replace(path.desk, database=WatchedDatabase(floor.database.url, take_over))
        with pytest.raises(StaleFenceError):
            path.submit(made.decision_id, claim.token)
        path.desk.database.close()
    sent = [(intent.leg, intent.attempt) for intent in floor.broker.submissions]
    assert sent == [("ENTRY", 2), ("STOP", 1), ("TAKE_PROFIT", 1)]
    assert floor.rows("SELECT count(*) FROM paper_venue.orders WHERE order_type = 'MARKET'") == [(1,)]


def test_a_lock_that_is_lost_between_two_orders_keeps_what_was_sent(floor: TradingFloor) -> None:
    """X3: the stop is out when the lock is lost before the target; its answer must not be thrown away."""
    made = decision()
    floor.queue(made)

    class Ending(SlowBroker):
        def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
            if intent.leg is Leg.STOP:
                end_holder(floor)
            return super().submit(intent, sent_at, expires_at)

    floor.desk = replace(floor.desk, broker=Ending(floor.venue))
    with OrderPath(floor.desk) as path, pytest.raises(StaleFenceError):
        path.execute(made.decision_id)
    assert [state[:3] for state in states(floor)] == [
        ("ENTRY", 1, "FILLED"),
        ("STOP", 1, "OPEN"),
        ("TAKE_PROFIT", 1, "LOST"),
    ]


def test_nothing_is_sent_without_a_lock(floor: TradingFloor) -> None:
    """Issue point 5: code that forgets to open the order path must not trade beside it."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
    with floor.database.connection() as connection:
        (order,) = orders.alive(connection, "paper_trading", ACCOUNT)
        order = orders.mark_submitted(connection, "paper_trading", order, floor.clock.now(), floor.clock.now())
    with pytest.raises(StaleFenceError, match="without its lock"):
        send(floor.desk, claim.token, [order])
    assert floor.broker.submissions == []


def test_waiting_for_the_lock(floor: TradingFloor) -> None:
    """Issue point 5: who may wait gets the account when it is free, who may not is told at once."""
    held, free = Event(), Event()

    def hold() -> None:
        with OrderPath(floor.desk):
            held.set()
            free.wait(10)

    holder = Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with pytest.raises(AccountBusyError), OrderPath(floor.desk):
        pass
    with pytest.raises(AccountBusyError), OrderPath(floor.desk, wait=0.05):
        pass
    free.set()
    with OrderPath(floor.desk, wait=10) as path:
        path.desk.require_lock()
    holder.join()
    with pytest.raises(StaleFenceError):
        path.desk.require_lock()


def test_what_the_venue_was_too_busy_for_is_lost_and_tried_again(floor: TradingFloor) -> None:
    """X3: 'not executed' is certain, so no look-up is needed and a new attempt under a new id may follow."""
    floor.broker.busy.add("ENTRY")
    floor.broker.down = True  # nothing may be looked up for this
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        assert path.execute(made.decision_id) is OutboxStatus.CLAIMED
        assert states(floor) == [("ENTRY", 1, "LOST", "NOT_EXECUTED")]
        assert path.execute(made.decision_id) is OutboxStatus.DONE
    assert [state[:3] for state in states(floor)][:2] == [("ENTRY", 1, "LOST"), ("ENTRY", 2, "FILLED")]


def test_what_the_venue_said_is_kept_word_for_word(floor: TradingFloor) -> None:
    """X6: a refusal that nobody can read afterwards cannot be understood; the paper venue says nothing."""
    floor.broker.busy.add("ENTRY")
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
        path.execute(made.decision_id)
    assert floor.rows("SELECT answer, state FROM venue_answers JOIN orders USING (client_order_id)") == [
        ("busy", "LOST")
    ]
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        floor.rows("DELETE FROM venue_answers RETURNING 1")
