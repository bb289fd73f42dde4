"""Closing a position at a spot venue, and flattening: once, whatever is lost and whoever dies."""

from dataclasses import replace
from decimal import Decimal

import pytest
from builders import BTC, ETH, START, Killed, MortalDatabase
from guarded_floor import NO_STOPS, SPOT, GuardedFloor, close, guarded_floor, later, mend

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Intent, Leg, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import account_transaction
from triplegain_pipelines.execution.exits import Closing, close_position, flatten
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


@pytest.fixture
def floor(database: Database, clock: ReplayClock) -> GuardedFloor:
    return guarded_floor(database, clock)


def test_closing_takes_the_stop_back_and_sells_once(floor: GuardedFloor) -> None:
    """X3: the stop holds the balance; it goes, that is confirmed, and one exit is sent."""
    floor.enter()
    assert close(floor) is Closing.CLOSED
    assert floor.held() == floor.owned() == 0
    assert set(floor.orders()[1:]) == {("STOP", 1, "CANCELED", 0.1), ("EXIT", 1, "FILLED", 0.1)}
    assert close(floor) is Closing.CLOSED
    assert floor.sent(Leg.EXIT) == 1
    reasons = [reason for _, reason in floor.events("order_intended") if reason]
    assert reasons == ["STOP_REACHED"]


def test_a_stop_that_fills_before_its_cancellation_wins(floor: GuardedFloor) -> None:
    """X3: both were on their way; an exit on top of the filled stop would sell twice."""
    floor.enter()
    floor.spot.match(floor.desk.account, floor.candle("9700"))
    assert close(floor) is Closing.CLOSED
    assert floor.held() == floor.owned() == 0
    assert floor.sent(Leg.EXIT) == 0
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]


def test_an_exit_without_an_answer_is_followed_and_not_doubled(floor: GuardedFloor, clock: ReplayClock) -> None:
    """X3: the exit arrived and its answer was lost; whoever closes again finds it."""
    floor.enter()
    floor.spot.lose_answer.add("EXIT")
    assert close(floor) is Closing.IN_FLIGHT
    assert floor.owned() == 0
    floor.spot.down = True
    later(clock)
    assert close(floor) is Closing.IN_FLIGHT
    floor.spot.down = False
    later(clock)
    assert close(floor) is Closing.CLOSED
    assert floor.sent(Leg.EXIT) == 1


def test_a_lost_exit_is_sent_anew_only_when_it_cannot_arrive_any_more(floor: GuardedFloor, clock: ReplayClock) -> None:
    """X3: the request was lost; until it has expired and is missed three times, it may still come alive."""
    floor.enter()
    floor.spot.lose_request.add("EXIT")
    assert close(floor) is Closing.IN_FLIGHT
    for _ in range(4):
        later(clock)
        assert close(floor) is Closing.IN_FLIGHT
    assert floor.sent(Leg.EXIT) == 1
    later(clock, 4)
    for _ in range(6):
        later(clock)
        state = close(floor)
    assert state is Closing.CLOSED
    assert floor.owned() == 0
    assert floor.sent(Leg.EXIT) == 2


def test_an_exit_that_was_written_and_never_sent_is_taken_back(floor: GuardedFloor) -> None:
    """X3: a decision's exit waits to be sent; beside the guardian's it would sell the position twice."""
    floor.enter()
    account, schema = floor.desk.account, floor.desk.schema
    with OrderPath(floor.desk) as path, account_transaction(path.desk, path.newest_token()) as transaction:
        position = positions.read(transaction.connection, schema, account, BTC)
        assert position
        entry = orders.of_decision(transaction.connection, schema, account, position.decision_id)[0]
        waiting = replace(entry.intent, leg=Leg.EXIT, side=Side.SELL)
        orders.insert(
            transaction.connection,
            schema,
            [waiting],
            proposal_id=entry.proposal_id,
            token=transaction.token,
            at=transaction.at,
        )
    assert close(floor) is Closing.CLOSED
    assert floor.owned() == 0
    assert [row[2] for row in floor.orders() if row[0] == "EXIT"] == ["CANCELED", "FILLED"]


def test_a_refused_exit_is_not_asked_for_in_a_row(floor: GuardedFloor) -> None:
    """Trap 27: a venue that refuses would be asked as fast as it answers, until it bans the key."""
    floor.enter()
    floor.spot.refuse.add("EXIT")
    assert close(floor) is Closing.REFUSED
    assert floor.sent(Leg.EXIT) == 1
    mend(floor)
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1"))]


def test_flattening_closes_everything_and_one_failure_hides_no_other(floor: GuardedFloor) -> None:
    """R6: the emergency stop has to close the other positions when one of them cannot be closed."""
    floor.enter()
    floor.enter(ETH)
    floor.spot.on_submit = lambda intent: (
        floor.spot.refuse.add("EXIT") if intent.symbol == BTC else floor.spot.refuse.clear()
    )
    with OrderPath(floor.desk) as path:
        done = flatten(path.desk, path.newest_token())
    assert done == {BTC: Closing.REFUSED, ETH: Closing.CLOSED}
    floor.spot.on_submit = lambda _: floor.spot.refuse.clear()
    with OrderPath(floor.desk) as path:
        done = flatten(path.desk, path.newest_token())
    assert done == {BTC: Closing.CLOSED}
    assert floor.owned() == floor.owned(ETH) == 0


def test_an_error_in_one_symbol_does_not_keep_the_others_open(floor: GuardedFloor) -> None:
    """R6: an adapter that cannot read one answer must not end the emergency stop half-way."""
    floor.enter()
    floor.enter(ETH)

    def break_down(intent: Intent) -> None:
        if intent.symbol == BTC:
            msg = "the adapter cannot read what the venue says"
            raise DataError(msg)

    floor.spot.on_submit = break_down
    with OrderPath(floor.desk) as path:
        done = flatten(path.desk, path.newest_token())
    assert done == {BTC: Closing.FAILED, ETH: Closing.CLOSED}


def test_dust_is_left_alone(floor: GuardedFloor) -> None:
    """Trap 4: an order below the minimum is refused for ever, so none is sent."""
    floor.enter(quantity="0.0004")
    assert floor.spot.resting() == []
    assert close(floor) is Closing.TOO_SMALL
    assert floor.sent(Leg.EXIT) == 0
    assert floor.alerts() == set()


@pytest.mark.parametrize("leg", ["STOP", "EXIT"])
@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("traits", [SPOT, NO_STOPS], ids=["stops", "no stops"])
def test_a_process_that_dies_at_any_sending_sells_nothing_twice(
    floor: GuardedFloor, clock: ReplayClock, leg: str, *, arrives: bool, traits: object
) -> None:
    """X3: killed while the order is on its way, it may or may not have arrived; whoever goes on ends flat, and once."""
    floor.spot.traits = traits  # type: ignore[assignment]
    floor.enter(protected=False)

    def die(intent: object) -> None:
        if intent.leg == leg:  # type: ignore[attr-defined]
            floor.spot.on_submit = lambda _: None
            if arrives:
                floor.spot.behind.submit(intent, clock.now(), clock.now())  # type: ignore[arg-type]
            raise Killed

    floor.spot.on_submit = die
    for _ in range(14):
        try:
            mend(floor)
            state = close(floor)
        except Killed:
            state = Closing.BLOCKED
        later(clock)
    assert state is Closing.CLOSED
    assert floor.owned() == floor.held() == 0
    assert floor.spot.resting() == []


def test_a_process_that_dies_after_any_commit_of_a_closing_leaves_it_to_the_next(
    floor: GuardedFloor, clock: ReplayClock
) -> None:
    """X3: killed after each write of the books in turn; whoever closes after it ends flat, with one exit filled."""
    for commits in range(1, 30):
        floor.enter(protected=commits % 2 == 0)
        sold = floor.owned()
        mortal = MortalDatabase(floor.database.url, commits)
        try:
            with OrderPath(replace(floor.desk, database=mortal)) as path:
                close_position(path.desk, path.newest_token(), BTC, ReasonCode.STOP_REACHED, Decimal(9_790))
            died = False
        except Killed:
            died = True
        mortal.close()
        for _ in range(12):
            later(clock)
            mend(floor)
            if (state := close(floor)) is Closing.CLOSED:
                break
        assert state is Closing.CLOSED, f"after {commits} commits"
        assert sold == Decimal("0.1")
        assert floor.owned() == floor.held() == 0
        assert floor.spot.resting() == []
        if not died:
            break
    assert commits > 4
