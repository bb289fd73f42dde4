"""Protection by what the venue can hold, against a spot venue that holds balances and the real database."""

from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, START
from guarded_floor import NO_STOPS, PAIRS, GuardedFloor, beat, close, guarded_floor, later, mend

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.execution.desk import account_transaction
from triplegain_pipelines.execution.exits import Closing
from triplegain_pipelines.execution.fence import guardian_watches
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.protection import HELD_ALERT
from triplegain_pipelines.store import heartbeats
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


@pytest.fixture
def floor(database: Database, clock: ReplayClock) -> GuardedFloor:
    return guarded_floor(database, clock)


def test_where_no_pairs_rest_there_is_one_stop_and_no_target(floor: GuardedFloor) -> None:
    """Trap 24: a target beside the stop would sell the position twice, or hold the balance that the stop needs."""
    floor.enter()
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1"))]
    mend(floor)
    assert floor.sent(Leg.STOP) == 1
    assert floor.alerts() == set()


def test_a_pair_rests_where_pairs_can(database: Database, clock: ReplayClock) -> None:
    """X1: on paper both levels rest, as they always did."""
    floor = guarded_floor(database, clock, PAIRS)
    floor.enter()
    assert {kind for _, kind, _ in floor.spot.resting()} == {"STOP", "TAKE_PROFIT"}


def test_a_stop_sells_no_more_than_can_be_sold(floor: GuardedFloor) -> None:
    """Trap 5: a quantity beside the venue's step is refused, and then there is no stop at all."""
    floor.enter(quantity="0.12345")
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1234"))]
    mend(floor)
    assert floor.sent(Leg.STOP) == 1


@pytest.mark.parametrize("answered", [True, False])
def test_what_a_position_grows_by_gets_a_stop_and_the_first_one_rests_on(
    floor: GuardedFloor, clock: ReplayClock, *, answered: bool
) -> None:
    """Trap 25: the resting stop was cancelled for a larger one, and in between nothing rested for the position."""
    floor.enter()
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.positions SET quantity = 0.3")
        connection.execute("UPDATE paper_venue.orders SET quantity = 0.3, filled_quantity = 0.3 WHERE side = 'BUY'")
    if not answered:
        floor.spot.lose_answer.add(Leg.STOP)
    for _ in range(3):
        later(clock)
        with OrderPath(floor.desk) as path:
            path.mend(path.newest_token())
        mend(floor)
    assert sorted(floor.spot.resting()) == [(BTC, "STOP", Decimal("0.1")), (BTC, "STOP", Decimal("0.2"))]
    assert floor.orders()[1:] == [("STOP", 1, "OPEN", 0.1), ("STOP", 2, "OPEN", 0.2)]
    assert floor.spot.cancels == []
    assert floor.alerts() == set()
    if answered:
        floor.spot.match(floor.desk.account, floor.candle("9700"))  # both are reached
    assert close(floor) is Closing.CLOSED
    assert floor.owned() == floor.held() == 0
    assert floor.sent(Leg.EXIT) == (0 if answered else 1)


def test_a_growth_too_small_for_a_stop_of_its_own_replaces_the_stop(floor: GuardedFloor, clock: ReplayClock) -> None:
    """Trap 4: a stop below the minimum is refused; for a moment the guardian holds the level, and the trail says so."""
    floor.enter()
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.positions SET quantity = 0.1003")
        connection.execute(
            "UPDATE paper_venue.orders SET quantity = 0.1003, filled_quantity = 0.1003 WHERE side = 'BUY'"
        )
    later(clock)
    mend(floor)
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1003"))]
    assert floor.orders()[1:] == [("STOP", 1, "CANCELED", 0.1), ("STOP", 2, "OPEN", 0.1003)]
    assert floor.events("protection_held") == [(BTC, "STOP_REPLACED")]


def test_a_stop_that_is_too_large_is_made_smaller(floor: GuardedFloor, clock: ReplayClock) -> None:
    """Trap 24: a stop for more than is held would sell what belongs to somebody else."""
    floor.enter()
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.positions SET quantity = 0.05")
    later(clock)
    mend(floor)
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.05"))]


def test_no_second_stop_is_placed_while_the_first_may_still_rest(floor: GuardedFloor, clock: ReplayClock) -> None:
    """X3: a cancellation without an answer is no cancellation; two stops would sell the position twice."""
    floor.enter()
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.positions SET quantity = 0.05")
    floor.spot.lose_cancels = 1
    later(clock)
    mend(floor)
    assert floor.sent(Leg.STOP) == 1
    assert floor.orders()[-1] == ("STOP", 1, "PENDING_CANCEL", 0.1)
    mend(floor)
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.05"))]


def test_a_stop_of_unknown_outcome_is_not_placed_again(floor: GuardedFloor, clock: ReplayClock) -> None:
    """X3: the answer was lost, so the stop may rest; the guardian holds the level until that is known."""
    floor.spot.lose_answer.add("STOP")
    floor.enter()
    for _ in range(3):
        later(clock)
        mend(floor)
    assert floor.sent(Leg.STOP) == 1
    assert floor.alerts() == {HELD_ALERT}
    with OrderPath(floor.desk) as path:
        path.mend(path.newest_token())
    assert floor.orders()[-1] == ("STOP", 1, "OPEN", 0.1)
    assert floor.alerts() == set()


def test_where_no_stop_can_rest_the_guardian_holds_it_and_says_so_once(database: Database, clock: ReplayClock) -> None:
    """X2: a level that only a process holds is worth less than one at the venue, and a person has to know."""
    floor = guarded_floor(database, clock, NO_STOPS)
    floor.enter()
    for _ in range(3):
        later(clock)
        mend(floor)
    assert floor.spot.resting() == []
    assert floor.events("protection_held") == [(BTC, "STOP_HELD")]
    assert floor.alerts() == {HELD_ALERT}
    assert close(floor) is Closing.CLOSED
    mend(floor)
    assert floor.alerts() == set()


def test_a_refused_stop_is_held_by_the_guardian_and_asked_for_again_later(
    floor: GuardedFloor, clock: ReplayClock
) -> None:
    """X2: the venue refused the stop; asked at once it would refuse it again, and never asked it would never rest."""
    beat(floor)
    floor.spot.refuse.add("STOP")
    floor.enter()
    for _ in range(3):
        later(clock)
        mend(floor)
    assert floor.sent(Leg.STOP) == 1
    assert floor.held() == Decimal("0.1")
    assert floor.alerts() == {HELD_ALERT}
    floor.spot.refuse.clear()
    later(clock, 300)
    mend(floor)
    mend(floor)
    assert floor.spot.resting() == [(BTC, "STOP", Decimal("0.1"))]
    assert floor.alerts() == set()


@pytest.mark.parametrize("seconds_ago", [None, 61])
def test_a_refused_stop_that_nobody_would_hold_leaves_at_once(
    floor: GuardedFloor, clock: ReplayClock, seconds_ago: int | None
) -> None:
    """X2: no stop at the venue and no guardian: such a position must not be."""
    if seconds_ago is not None:
        beat(floor)
        later(clock, seconds_ago)
    floor.spot.refuse.add("STOP")
    floor.enter()
    assert floor.held() == floor.owned() == 0
    assert floor.events("protection_failed") == [(BTC, None)]


def test_a_refused_stop_that_the_price_has_passed_leaves_at_once(floor: GuardedFloor) -> None:
    """X2: venues refuse a stop that would trigger at once; waiting for the next tick would only cost."""
    beat(floor)
    floor.spot.refuse.add("STOP")
    floor.spot.on_submit = lambda _: floor.prices.prices.update({BTC: Decimal(9_790)})
    floor.enter(price="10000")
    assert floor.held() == floor.owned() == 0


def test_on_paper_a_refused_stop_leaves_and_looks_again_at_the_target(database: Database, clock: ReplayClock) -> None:
    """Trap 24: the exit after a refused stop sold a second time what the target beside it still could sell."""
    floor = guarded_floor(database, clock, PAIRS)
    floor.spot.refuse.add("STOP")
    floor.spot.lose_cancels = 1
    floor.enter()
    assert floor.held() == 0
    assert floor.spot.resting() == []
    kinds = [intent.leg for intent in floor.spot.submissions]
    assert kinds == [Leg.ENTRY, Leg.STOP, Leg.TAKE_PROFIT, Leg.EXIT]
    assert len(floor.spot.cancels) == 2


def test_no_exit_is_sent_while_a_target_may_still_sell(database: Database, clock: ReplayClock) -> None:
    """Trap 24: as long as the target's cancellation has no answer, the emergency exit has to wait."""
    floor = guarded_floor(database, clock, PAIRS)
    floor.spot.refuse.add("STOP")
    floor.spot.lose_cancels = 99
    floor.enter()
    assert floor.sent(Leg.EXIT) == 0
    assert [kind for _, kind, _ in floor.spot.resting()] == ["TAKE_PROFIT"]


def test_the_timer_is_off_as_soon_as_a_stop_rests(floor: GuardedFloor) -> None:
    """The venue's dead-man timer cancels stops too: left on by a dead guardian, it would take the only one."""
    floor.enter()
    assert floor.spot.timers == [None]


@pytest.mark.parametrize(("age", "watches"), [(None, False), (0, True), (60, True), (61, False), (-2, False)])
def test_only_a_guardian_that_beats_watches(
    floor: GuardedFloor, clock: ReplayClock, age: int | None, *, watches: bool
) -> None:
    """Rule 3: a missing, old or future heartbeat proves nothing."""
    later(clock, 100)
    if age is not None:
        with floor.database.connection() as connection:
            heartbeats.beat(connection, heartbeats.GUARDIAN, floor.desk.account, clock.now() - timedelta(seconds=age))
    with account_transaction(floor.desk, None) as transaction:
        assert guardian_watches(transaction) is watches


def test_a_stop_with_another_trigger_is_replaced(floor: GuardedFloor, clock: ReplayClock) -> None:
    """R2: a stop at another level than the position's risks another loss than was let through."""
    floor.enter()
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.positions SET stop_loss = 9900")
    later(clock)
    mend(floor)
    assert floor.rows("SELECT trigger_price FROM paper_venue.orders WHERE state = 'OPEN'") == [(Decimal(9900),)]
