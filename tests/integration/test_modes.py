"""Trading modes: who may change them, what each refuses, and that unfinished entries do not outlive a stricter one."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import ACCOUNT, BTC, COSTS, TradingFloor, candle, decision, trading_floor, walk_plan, wandering

from triplegain_pipelines.backtest.walk import walk_history
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, TradingMode
from triplegain_pipelines.execution.account import open_account
from triplegain_pipelines.execution.desk import LIVE, account_transaction
from triplegain_pipelines.execution.emergency import StopOrder, raise_stop
from triplegain_pipelines.execution.guard import guard, withdraw
from triplegain_pipelines.execution.operator import change_mode, set_mode, switch_breaker
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.risk.modes import loosens, no_new_risk, no_order
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.overview import read_overviews

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


def executed(floor: TradingFloor, action: Action = Action.BUY) -> tuple[object, ...]:
    """How a decision of now ends."""
    floor.pass_time(MINUTE)
    made = decision(as_of=floor.clock.now(), action=action)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    return floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)[0]


def test_what_each_mode_refuses() -> None:
    """R6: a mode that lets through what a stricter one refuses, or an emergency stop that a loose mode goes round."""
    assert no_new_risk(TradingMode.ACTIVE, stopped=False) is None
    assert no_order(TradingMode.ACTIVE, stopped=False) is None
    assert no_order(TradingMode.REDUCING, stopped=False) is None
    refused = {
        (mode, stopped): (no_new_risk(mode, stopped=stopped), no_order(mode, stopped=stopped))
        for mode in TradingMode
        for stopped in (False, True)
    }
    codes = {key: tuple(reason.code if reason else None for reason in reasons) for key, reasons in refused.items()}
    assert codes[TradingMode.REDUCING, False] == (ReasonCode.MODE_REDUCING, None)
    assert codes[TradingMode.HALTED, False] == (ReasonCode.MODE_HALTED, ReasonCode.MODE_HALTED)
    assert all(codes[mode, True] == (ReasonCode.EMERGENCY_STOP, ReasonCode.EMERGENCY_STOP) for mode in TradingMode)
    order = [TradingMode.ACTIVE, TradingMode.REDUCING, TradingMode.HALTED]
    assert [[loosens(before, after) for after in order] for before in order] == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
    ]


def test_a_mode_is_changed_with_who_and_why(floor: TradingFloor) -> None:
    """R6, X6: an account that somebody let trade again without a trace, or without a reason."""
    assert set_mode(floor.desk, TradingMode.HALTED, "ann", "") is TradingMode.ACTIVE
    with pytest.raises(InputError, match="HALTED already"):
        set_mode(floor.desk, TradingMode.HALTED, "ann", "again")
    with pytest.raises(InputError, match="say why test may go from HALTED to REDUCING"):
        set_mode(floor.desk, TradingMode.REDUCING, "ann", " ")
    set_mode(floor.desk, TradingMode.REDUCING, "bob", "the venue is back")
    rows = floor.rows("SELECT sequence, mode, changed_by, reason, why FROM trading_modes ORDER BY sequence")
    assert rows == [
        (1, "HALTED", "ann", "MODE_OPERATOR", ""),
        (2, "REDUCING", "bob", "MODE_OPERATOR", "the venue is back"),
    ]
    told = floor.rows(
        "SELECT payload::json ->> 'after' FROM trading_events WHERE kind = 'mode_changed' ORDER BY sequence"
    )
    assert told == [("HALTED",), ("REDUCING",)]
    with account_transaction(floor.desk, None) as transaction:
        assert (transaction.mode, transaction.stopped) == (TradingMode.REDUCING, False)


def test_the_same_mode_again_is_no_change(floor: TradingFloor) -> None:
    """X6: a reconciliation that halts at every comparison must not fill the trail."""
    for _ in range(3):
        with account_transaction(floor.desk, None) as transaction:
            change_mode(
                transaction, TradingMode.HALTED, changed_by="test", reason=ReasonCode.MODE_RECONCILIATION, why="differs"
            )
    assert floor.rows("SELECT count(*) FROM trading_modes") == [(1,)]
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'mode_changed'") == [(1,)]


def test_reducing_lets_out_and_halted_does_not(floor: TradingFloor) -> None:
    """R6: REDUCING that takes new risk, or that keeps a position in; HALTED that sends anything for a decision."""
    assert executed(floor) == ("DONE", "VENUE_FILLED")
    set_mode(floor.desk, TradingMode.HALTED, "ann", "look")
    assert executed(floor, Action.CLOSE) == ("REFUSED", "MODE_HALTED")
    assert floor.rows("SELECT count(*) FROM paper_venue.orders WHERE state = 'OPEN'") == [(2,)]  # stop and target stay
    set_mode(floor.desk, TradingMode.REDUCING, "ann", "let out")
    assert executed(floor, Action.CLOSE) == ("DONE", "VENUE_FILLED")
    assert executed(floor) == ("REFUSED", "MODE_REDUCING")
    set_mode(floor.desk, TradingMode.ACTIVE, "ann", "all is well")
    assert executed(floor) == ("DONE", "VENUE_FILLED")


@pytest.mark.parametrize("by", ["mode", "breaker"])
def test_an_unfinished_entry_does_not_outlive_the_leave_to_take_risk(database: Database, by: str) -> None:
    """R6: the rest of an entry that goes on filling after a breaker opened is new risk that nobody allowed."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.0))
    assert executed(floor) == ("DONE", "VENUE_FILLED")
    assert guard(floor.desk).refused is None
    assert guard(floor.desk).entries
    if by == "mode":
        set_mode(floor.desk, TradingMode.REDUCING, "ann", "look")
    else:
        switch_breaker(floor.desk, BreakerName.VOLATILITY, BreakerState.OPEN, "ann", "look")
    report = guard(floor.desk)
    assert report.refused is not None
    assert report.entries
    withdraw(floor.desk)
    assert not guard(floor.desk).entries
    query = "SELECT o.state, o.reason_code FROM orders o JOIN intents USING (client_order_id) WHERE leg = 'ENTRY'"
    assert floor.rows(query) == [("CANCELED", "BREAKER_CANCELED")]
    assert floor.venue.match(ACCOUNT, candle(floor.clock.now() + MINUTE, "10000", "10000", "10000", "10000")) == ()
    protected = (
        "SELECT quantity FROM intents JOIN orders o USING (client_order_id) WHERE leg = 'STOP' AND o.state = 'OPEN'"
    )
    assert floor.rows(protected) == floor.rows("SELECT quantity FROM positions")


def test_a_stop_of_all_accounts_leaves_a_replay_as_it_is(database: Database) -> None:
    """B2: a replay trades nothing. Its result must not depend on what the real accounts are stopped by."""
    start = decision().as_of
    plan = walk_plan({BTC: wandering(start, 120, 10_000.0, 1)}, [], start, start + timedelta(hours=1))
    raise_stop(database, StopOrder(None, flatten=False, operator="ann", why="test", at=start))
    desk = walk_history(database, plan)
    with account_transaction(desk, None) as transaction:
        assert (transaction.mode, transaction.stopped) == (TradingMode.ACTIVE, False)
    with database.connection() as connection:
        assert [one.emergency_stops for one in read_overviews(connection, "paper_trading")] == [[]]


def test_paper_and_live_accounts_do_not_share_a_name(floor: TradingFloor) -> None:
    """Rule 3: breakers, fences and heartbeats are kept by name; a live account must not borrow a paper account's."""
    live = replace(floor.desk, schema=LIVE, live=True)
    with pytest.raises(InputError, match="belongs to an account in paper_trading"):
        open_account(live, Decimal(100), floor.clock.now(), currency="USDT", simulated=False)
    assert floor.rows("SELECT count(*) FROM live_trading.accounts") == [(0,)]
    other = replace(live, account="real")
    assert open_account(other, Decimal(100), floor.clock.now(), currency="USDT", simulated=False)
    with pytest.raises(InputError, match="belongs to an account in live_trading"):
        open_account(
            replace(floor.desk, account="real"), Decimal(1), floor.clock.now(), currency="USDT", simulated=True
        )


def test_the_status_shows_what_stops_an_account(floor: TradingFloor) -> None:
    """R8: safe mode, losses in a row, volatility, mode and emergency stop that a person has to look for in tables."""
    switch_breaker(floor.desk, BreakerName.DRAWDOWN, BreakerState.OPEN, "ann", "look")
    switch_breaker(floor.desk, BreakerName.DRAWDOWN, BreakerState.CLOSED, "ann", "looked")
    set_mode(floor.desk, TradingMode.REDUCING, "ann", "look")
    raise_stop(floor.database, StopOrder(ACCOUNT, flatten=False, operator="bob", why="smoke", at=floor.clock.now()))
    with floor.database.connection() as connection:
        connection.execute("DELETE FROM research.market_states")
        connection.execute(
            "INSERT INTO research.market_states VALUES ('test', %s, %s, 'test')",
            [floor.clock.now(), '{"percentiles": {"BTC/USDT": 0.4, "ETH/USDT": 0.9}}'],
        )
        connection.execute("UPDATE paper_trading.risk_state SET losses_in_a_row = 4")
        (shown,) = read_overviews(connection, "paper_trading")
    assert (shown.mode, shown.safe_mode, shown.losses_in_a_row) == ("REDUCING", True, 4)
    assert (shown.volatility_percentile, shown.volatility_as_of) == (0.9, floor.clock.now())
    assert shown.breakers == ["drawdown HALF_OPEN"]
    assert [line.split(" ", 2)[2] for line in shown.emergency_stops] == ["bob: smoke"]
    assert (shown.dust, shown.unknown_orders, shown.armed_until) == ([], 0, None)
