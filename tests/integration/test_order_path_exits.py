"""The order path's exits: what closes a position, what protects it, and what is left of an entry."""

from dataclasses import replace
from datetime import timedelta

import pytest
from acted_floor import execute, orders, outcome, position
from builders import ACCOUNT, COSTS, TradingFloor, candle, decision, trading_floor

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import UnknownOutcomeError
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.guard import walk
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.outbox import OutboxStatus

pytestmark = pytest.mark.integration


def test_closing_goes_through_an_open_breaker_and_a_stale_heartbeat(floor: TradingFloor) -> None:
    """Rule 3: whatever forbids new risk, getting out stays possible."""
    execute(floor, decision())
    floor.clock.advance_to(floor.clock.now() + timedelta(hours=1))
    with floor.database.connection() as connection:
        connection.execute("UPDATE ops.breakers SET state = 'OPEN'")
    assert execute(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) is OutboxStatus.DONE
    assert position(floor) == 0
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [
        ("ENTRY", "FILLED"),
        ("STOP", "CANCELED"),
        ("TAKE_PROFIT", "CANCELED"),
        ("EXIT", "FILLED"),
    ]
    assert floor.rows("SELECT exit_leg FROM trades") == [("EXIT",)]


def test_closing_without_a_price_of_ours_is_left_to_the_venue(floor: TradingFloor) -> None:
    """Rule 3: a failed price feed must not lock the account into a position it could leave."""
    execute(floor, decision())
    floor.pass_time(timedelta(hours=1))
    floor.prices.at = floor.clock.now() - timedelta(hours=1)
    assert execute(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) is OutboxStatus.DONE
    assert position(floor) == 0


def test_an_exit_that_the_venue_refuses_leaves_the_position_protected(floor: TradingFloor) -> None:
    """X3: the resting orders were taken back for the exit; without the exit they must come back."""
    execute(floor, decision())
    floor.pass_time(timedelta(hours=1))
    floor.broker.refuse.add("EXIT")
    assert execute(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) is OutboxStatus.REFUSED
    alive = [(leg, attempt) for leg, attempt, state, _, _ in orders(floor) if state == "OPEN"]
    assert alive == [("STOP", 2), ("TAKE_PROFIT", 2)]


def test_a_stop_that_was_filled_before_the_exit_wins(floor: TradingFloor) -> None:
    """X3: an exit on top of a filled stop would sell what is not there any more."""
    execute(floor, decision())
    floor.venue.match(ACCOUNT, candle(floor.clock.now(), "10000", "10000", "9000", "9500"))
    floor.pass_time(timedelta(minutes=1))
    exiting = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(exiting)
    with OrderPath(floor.desk) as path:
        path._reconciled = True  # the stop is not known yet when the exit cancels it
        path.execute(exiting.decision_id)
    assert position(floor) == 0
    assert outcome(floor, exiting) == ("REFUSED", ReasonCode.NOTHING_TO_CLOSE)
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]
    assert "EXIT" not in [intent.leg for intent in floor.broker.submissions]


def test_no_exit_is_sent_while_a_cancellation_is_unanswered(floor: TradingFloor) -> None:
    """X3: as long as a stop may still be alive, an exit could sell the position twice."""
    execute(floor, decision())
    floor.pass_time(timedelta(hours=1))
    floor.broker.lose_cancel = True
    exiting = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(exiting)
    with OrderPath(floor.desk) as path:
        path._reconciled = True
        with pytest.raises(UnknownOutcomeError, match="tried again"):
            path.execute(exiting.decision_id)
    assert "EXIT" not in [intent.leg for intent in floor.broker.submissions]
    with OrderPath(floor.desk) as path:
        assert path.execute(exiting.decision_id) is OutboxStatus.DONE
    assert position(floor) == 0
    assert not [state for _, _, state, _, _ in orders(floor) if state in {"OPEN", "PENDING_CANCEL"}]


def test_a_position_without_a_stop_is_left_at_once(floor: TradingFloor) -> None:
    """X2: where the venue refuses the stop there must be no position, and the trail says why."""
    floor.broker.refuse.add("STOP")
    execute(floor, decision())
    assert position(floor) == 0
    assert not [state for _, _, state, _, _ in orders(floor) if state == "OPEN"]
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'protection_failed'") == [(1,)]


def test_a_lost_stop_is_placed_again(floor: TradingFloor) -> None:
    """X3: a position must get its stop back when the request for it never arrived."""
    floor.broker.lose_request.add("STOP")
    execute(floor, decision())
    with OrderPath(floor.desk) as path:
        path.reconcile()
    found = [(leg, attempt, state) for leg, attempt, state, _, _ in orders(floor)]
    assert found == [
        ("ENTRY", 1, "FILLED"),
        ("STOP", 1, "LOST"),
        ("STOP", 2, "OPEN"),
        ("TAKE_PROFIT", 1, "OPEN"),
    ]
    groups = floor.rows("SELECT DISTINCT one_cancels_other FROM intents WHERE leg <> 'ENTRY'")
    assert len(groups) == 1


def test_a_part_filled_later_gets_its_own_stop(database: Database) -> None:
    """X1: a partial fill is protected at once, and what comes later is protected when it comes."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.000001))
    execute(floor, decision())
    first = position(floor)
    asked = orders(floor)[0][3]
    assert 0 < first < asked
    floor.pass_time(timedelta(minutes=2))

    walk(floor.desk, floor.venue, [candle(floor.clock.now() - timedelta(minutes=1), "10000", "10010", "9990", "10000")])
    assert position(floor) == asked
    stops = [quantity for leg, _, state, quantity, _ in orders(floor) if leg == "STOP" and state == "OPEN"]
    assert stops == [first, asked - first]


def test_what_is_left_of_an_entry_is_withdrawn(database: Database) -> None:
    """R6: new risk is not allowed any more; the rest of the entry goes, and what was filled keeps its stop."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.000001))
    execute(floor, decision())
    first = position(floor)
    with OrderPath(floor.desk) as path:
        token = path.newest_token()
        path.withdraw_entries(token, ReasonCode.BREAKER_CANCELED)
        path.withdraw_entries(token, ReasonCode.BREAKER_CANCELED)
    found = [(leg, state, filled) for leg, _, state, _, filled in orders(floor)]
    assert found == [("ENTRY", "CANCELED", first), ("STOP", "OPEN", 0), ("TAKE_PROFIT", "OPEN", 0)]
    assert floor.rows("SELECT reason_code FROM orders WHERE state = 'CANCELED'") == [("BREAKER_CANCELED",)]
    assert floor.rows("SELECT state FROM paper_venue.orders WHERE order_type = 'MARKET'") == [("CANCELED",)]


def test_an_entry_that_waits_to_be_sent_is_withdrawn_and_not_sent(floor: TradingFloor) -> None:
    """R6: between verdict and sending nothing is at the venue; the decision ends with the reason."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        path.withdraw_entries(claim.token, ReasonCode.BREAKER_CANCELED)
        path.submit(made.decision_id, claim.token)
        assert path.settle(made.decision_id, claim.token) is OutboxStatus.REFUSED
    assert outcome(floor, made) == ("REFUSED", ReasonCode.BREAKER_CANCELED)
    assert floor.broker.submissions == []


def test_an_entry_of_unknown_outcome_is_withdrawn_where_it_exists(floor: TradingFloor) -> None:
    """R6, X3: it cannot be cancelled before it is known; nothing is given up for that."""
    floor.broker.lose_answer.add("ENTRY")
    floor.broker.down = True
    execute(floor, decision())
    with OrderPath(floor.desk) as path:
        path.withdraw_entries(path.newest_token(), ReasonCode.BREAKER_CANCELED)
        assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [("ENTRY", "UNKNOWN")]
        floor.broker.down = False
        path.withdraw_entries(path.newest_token(), ReasonCode.BREAKER_CANCELED)
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [
        ("ENTRY", "FILLED"),
        ("STOP", "OPEN"),
        ("TAKE_PROFIT", "OPEN"),
    ]
