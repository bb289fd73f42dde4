"""X3: warm, cold and long-held restarts: three families, and in each the books are right afterwards."""

from dataclasses import replace
from datetime import timedelta

import pytest
from builders import ACCOUNT, Killed, MortalDatabase, TradingFloor, candle, decision
from reconciling import MINUTE, D, held, mode, reconcile, reconciled, require_right_books, states, trade
from scripted_venue import ScriptedVenue

from triplegain_pipelines.domain.orders import Claim, OrderState
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.order_path import OrderPath

pytestmark = pytest.mark.integration

MONTH = timedelta(days=30)


@pytest.mark.parametrize("commits", range(1, 10))
def test_warm_restart_after_any_commit(floor: TradingFloor, venue: ScriptedVenue, commits: int) -> None:
    """X3, warm restart: a process that dies after any commit is followed by one that neither resends nor loses."""
    made = decision(as_of=floor.clock.now())
    floor.queue(made)
    mortal = MortalDatabase(floor.database.url, commits)
    with pytest.raises(Killed), OrderPath(replace(floor.desk, database=mortal)) as path:
        path.execute(made.decision_id)
    for _ in range(4):  # what was given up as unknown needs its look-ups
        floor.pass_time(timedelta(seconds=20))
        with OrderPath(floor.desk) as path:
            path.reconcile()
    floor.beat()
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    comparison = reconcile(floor)
    assert comparison.complete
    assert comparison.differences == ()
    entries = [one for one in venue.submissions if one.leg == "ENTRY"]
    assert len({one.client_order_id for one in entries}) == len(entries)
    assert sum(one.quantity for one in venue.trades) == held(floor) > 0
    assert venue.stop().quantity == held(floor)
    assert mode(floor) is TradingMode.ACTIVE
    require_right_books(floor, venue)


def test_cold_restart_after_the_stop_was_filled(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3, cold restart: a month away, and the stop has sold the position meanwhile."""
    trade(floor)
    floor.clock.advance_to(floor.clock.now() + timedelta(days=3))
    venue.fill(venue.stop(), price=D(9_000))
    floor.clock.advance_to(floor.clock.now() + MONTH)
    with OrderPath(floor.desk) as path:
        path.reconcile()
    assert states(floor)["STOP"] == "FILLED"
    assert held(floor) == 0
    assert floor.rows("SELECT exit_leg, closed_at FROM trades") == [("STOP", venue.trades[-1].filled_at)]
    written = floor.rows("SELECT differences FROM reconciliations ORDER BY reconciliation_id DESC LIMIT 1")[0][0]
    assert {one["kind"] for one in written} == {"ORDER_FINISHED", "TRADE_UNBOOKED"}
    assert {one["outcome"] for one in written} == {"ADOPT"}
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'reconciled'") == [(1,)]
    assert (mode(floor), reconciled(floor)) == (TradingMode.ACTIVE, floor.clock.now())
    require_right_books(floor, venue)


def test_cold_restart_after_the_stop_was_cancelled_by_the_venue(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3, cold restart: a venue that dropped the stop leaves a position bare; it gets another one."""
    trade(floor)
    venue.stop().state = OrderState.CANCELED
    floor.clock.advance_to(floor.clock.now() + MONTH)
    with OrderPath(floor.desk) as path:
        path.reconcile()
    assert venue.stop().quantity == held(floor) > 0
    assert reconcile(floor).differences == ()
    require_right_books(floor, venue)


def test_cold_restart_after_a_part_of_the_stop_was_filled(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3, cold restart: what the stop has sold already is not sold again, and the rest stays protected."""
    trade(floor)
    stop = venue.stop()
    venue.fill(stop, quantity=D("0.05"), price=D(9_700))
    floor.clock.advance_to(floor.clock.now() + MONTH)
    with OrderPath(floor.desk) as path:
        path.reconcile()
    assert states(floor)["STOP"] == "PARTIALLY_FILLED"
    assert held(floor) == stop.quantity - stop.filled
    require_right_books(floor, venue)


def test_cold_restart_with_an_entry_whose_answer_was_lost(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3, cold restart: the entry filled, nobody heard of it, and a month later it is ours, with a stop."""
    made = decision(as_of=floor.clock.now())
    floor.queue(made)
    venue.lose_answer.add("ENTRY")
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        path.submit(made.decision_id, claim.token)
    assert states(floor) == {"ENTRY": "UNKNOWN"}
    floor.clock.advance_to(floor.clock.now() + MONTH)
    with OrderPath(floor.desk) as path:
        path.reconcile()
    assert states(floor)["ENTRY"] == "FILLED"
    assert venue.stop().quantity == held(floor) > 0
    assert len([one for one in venue.submissions if one.leg == "ENTRY"]) == 1
    require_right_books(floor, venue)


def test_restart_with_a_position_older_than_the_venues_history(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3, long-held: books rebuilt from what a venue still lists would forget the position, and its stop."""
    trade(floor)
    before = floor.rows("SELECT * FROM positions"), floor.rows("SELECT * FROM balances ORDER BY currency")
    venue.history = timedelta(days=7)
    for _ in range(3):
        floor.clock.advance_to(floor.clock.now() + MONTH)
        with OrderPath(floor.desk) as path:
            path.reconcile()
        comparison = reconcile(floor)
        assert (comparison.complete, comparison.differences) == (True, ())
    assert (floor.rows("SELECT * FROM positions"), floor.rows("SELECT * FROM balances ORDER BY currency")) == before
    assert mode(floor) is TradingMode.ACTIVE
    require_right_books(floor, venue)


def test_a_long_absence_is_asked_for_from_the_last_known_moment_on(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: what is read is everything since the watermark and an hour before, and nothing from before the opening."""
    opened = floor.clock.now()
    reconcile(floor)
    last = floor.clock.now()
    floor.clock.advance_to(floor.clock.now() + MONTH)
    reconcile(floor)
    known = floor.clock.now()
    floor.clock.advance_to(known + MONTH)
    venue.silent.add("balances")
    reconcile(floor)
    venue.silent.clear()
    reconcile(floor)
    assert venue.asked_since[:2] == [opened, max(opened, last - timedelta(hours=1))]
    assert set(venue.asked_since[2:]) == {known - timedelta(hours=1)}  # a failed one moves no watermark


def test_restart_at_the_paper_venue(floor: TradingFloor) -> None:
    """X3: the paper venue keeps no balances; a stop that filled there while the process was dead is booked."""
    trade(floor)
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    floor.venue.match(ACCOUNT, candle(floor.clock.now() - MINUTE, "10000", "10000", "9000", "9000"))
    with OrderPath(floor.desk) as path:
        path.reconcile()
    assert states(floor)["STOP"] == "FILLED"
    assert states(floor)["TAKE_PROFIT"] == "CANCELED"
    assert held(floor) == 0
    assert reconcile(floor).differences == ()
    assert (mode(floor), reconciled(floor)) == (TradingMode.ACTIVE, floor.clock.now())
