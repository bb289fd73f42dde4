"""Protection by what the venue can hold, against a spot venue that holds balances and the real database."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, ETH, START, Killed, MortalDatabase
from guarded_floor import NO_STOPS, PAIRS, SPOT, GuardedFloor, guarded_floor

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Intent, Leg, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.desk import account_transaction
from triplegain_pipelines.execution.exits import Closing, close_position, flatten
from triplegain_pipelines.execution.fence import guardian_watches
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.protection import HELD_ALERT, protect
from triplegain_pipelines.store import heartbeats, orders, positions
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


@pytest.fixture
def floor(database: Database, clock: ReplayClock) -> GuardedFloor:
    return guarded_floor(database, clock)


def beat(floor: GuardedFloor) -> None:
    with floor.database.connection() as connection:
        heartbeats.beat(connection, heartbeats.GUARDIAN, floor.desk.account, floor.clock.now())


def mend(floor: GuardedFloor, symbol: str = BTC) -> None:
    with OrderPath(floor.desk) as path:
        protect(path.desk, path.newest_token(), symbol)


def close(floor: GuardedFloor, symbol: str = BTC, reason: ReasonCode = ReasonCode.STOP_REACHED) -> Closing:
    with OrderPath(floor.desk) as path:
        return close_position(path.desk, path.newest_token(), symbol, reason, Decimal(9_790))


def later(clock: ReplayClock, seconds: float = 1) -> None:
    clock.advance_to(clock.now() + timedelta(seconds=seconds))


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
