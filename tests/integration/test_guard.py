"""The guard's tick and the live walk of the paper venue: marks, breakers, heartbeat, and failing closed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from builders import BTC, TradingFloor, candle, decision

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import AccountBusyError, InputError, UnavailableError
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.execution.account import open_account, queue_decisions
from triplegain_pipelines.execution.guard import Settled, guard, walk
from triplegain_pipelines.execution.operator import switch_breaker
from triplegain_pipelines.execution.order_path import OrderPath

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


def outcome(floor: TradingFloor, made: Decision) -> tuple[object, ...]:
    return floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)[0]


def buy(floor: TradingFloor) -> None:
    bought = decision(as_of=floor.clock.now())
    floor.queue(bought)
    with OrderPath(floor.desk) as path:
        path.execute(bought.decision_id)


def test_an_account_is_opened_once(floor: TradingFloor) -> None:
    """X1: a second opening must not deposit the capital a second time."""
    again = open_account(floor.desk, Decimal(5_000), floor.clock.now(), currency="USDT", simulated=True)
    assert not again
    assert floor.rows("SELECT amount FROM balances") == [(Decimal(2_100),)]
    assert floor.rows("SELECT starting_cash, simulated FROM accounts") == [(Decimal(2_100), True)]


def test_queueing_again_tells_nothing_twice(floor: TradingFloor) -> None:
    """X6: a decision cycle that is run again must not fill the outbox and the trail again."""
    made = decision()
    floor.queue(made)
    assert queue_decisions(floor.desk, [made]) == 0
    assert floor.rows("SELECT count(*) FROM outbox") == [(1,)]
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'decision_made'") == [(1,)]


def test_a_crash_trips_the_breaker_in_the_tick(floor: TradingFloor) -> None:
    """R6, issue point 6: the breaker is latched, with history and event, before the next order can come."""
    buy(floor)
    floor.pass_time(MINUTE)
    floor.prices.prices[BTC] = Decimal(8_000)  # a fifth of a 30 % position: 6 % of the account
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    report = guard(floor.desk)
    tripped = {name for name, one in report.breakers.items() if one.state is BreakerState.OPEN}
    assert tripped == {BreakerName.RAPID_LOSS, BreakerName.DAILY_LOSS}
    assert {change.after.name for change in report.changes} == tripped
    assert floor.rows("SELECT count(*) FROM breaker_changes WHERE to_state = 'OPEN'") == [(2,)]
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'breaker_changed'") == [(2,)]
    assert guard(floor.desk).changes == ()


def test_marks_are_written_once_a_minute_and_balance(floor: TradingFloor) -> None:
    """Issue point 5: a tick of five seconds must not write seventeen thousand rows a day, and each row balances."""
    buy(floor)
    for _ in range(24):
        floor.pass_time(timedelta(seconds=5))
    marks = floor.rows("SELECT cash + positions_value = equity, marks FROM equity ORDER BY at")
    assert len(marks) == 3  # the opening, and two minutes
    assert all(balanced for balanced, _ in marks)
    assert marks[-1][1][BTC]["price"] == "10000"


def test_without_a_price_there_is_no_heartbeat(floor: TradingFloor) -> None:
    """Rule 3: an account that cannot be valued must take no new risk, so its heartbeat has to grow old."""
    buy(floor)
    beaten = floor.rows("SELECT beat_at FROM heartbeats WHERE name = 'breakers'")
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    floor.prices.prices[BTC] = None
    with pytest.raises(UnavailableError):
        guard(floor.desk)
    floor.prices.prices[BTC] = Decimal(10_000)
    floor.prices.at = floor.clock.now() - 2 * MINUTE
    with pytest.raises(UnavailableError):
        guard(floor.desk)
    assert floor.rows("SELECT beat_at FROM heartbeats WHERE name = 'breakers'") == beaten


def test_a_closed_candle_fills_a_stop_and_the_books_follow(floor: TradingFloor) -> None:
    """X1: stop and target are watched on live data, and showing a candle twice books nothing twice."""
    buy(floor)
    bar = candle(floor.clock.now(), "10000", "10000", "9000", "9500")
    floor.pass_time(MINUTE)
    settled = walk(floor.desk, floor.venue, [bar])
    assert (settled.changed, len(settled.booked)) == (2, 1)
    assert walk(floor.desk, floor.venue, [bar]) == Settled(0, ())
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]
    assert floor.rows("SELECT state FROM orders JOIN intents USING (client_order_id) WHERE leg = 'TAKE_PROFIT'") == [
        ("CANCELED",)
    ]
    assert floor.rows("SELECT losses_in_a_row FROM risk_state") == [(1,)]


def test_the_walk_leaves_a_claim_valid_and_waits_for_an_open_order_path(floor: TradingFloor) -> None:
    """Rule 3: a tick of the sensor between two steps of a run must not take the account from it."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        with pytest.raises(AccountBusyError):
            walk(floor.desk, floor.venue, [])
    assert isinstance(claim, Claim)
    with OrderPath(floor.desk) as path:
        path.check_risk(made.decision_id, claim.token)
    walk(floor.desk, floor.venue, [])
    with OrderPath(floor.desk) as path:
        path.submit(made.decision_id, claim.token)
    walk(floor.desk, floor.venue, [])
    with OrderPath(floor.desk) as path:
        path.settle(made.decision_id, claim.token)
    assert floor.rows("SELECT leg, state FROM orders JOIN intents USING (client_order_id) ORDER BY leg") == [
        ("ENTRY", "FILLED"),
        ("STOP", "OPEN"),
        ("TAKE_PROFIT", "OPEN"),
    ]


def test_the_walk_resolves_a_stop_of_unknown_outcome(floor: TradingFloor) -> None:
    """X3: a stop that may not exist must not wait for the next decision to be looked up."""
    floor.broker.lose_request.add("STOP")
    buy(floor)
    walk(floor.desk, floor.venue, [])
    stops = floor.rows("SELECT attempt, state FROM orders JOIN intents USING (client_order_id) WHERE leg = 'STOP'")
    assert sorted(stops) == [(1, "LOST"), (2, "OPEN")]


def test_a_ledger_that_does_not_balance_is_refused(floor: TradingFloor) -> None:
    """Issue point 5: money cannot come from nowhere, whatever the code does."""
    with pytest.raises(psycopg.errors.RaiseException, match="does not balance"):
        floor.rows("""INSERT INTO ledger VALUES ('test', 'gift', 'holdings', 'USDT', 1, now()) RETURNING 1""")
    assert floor.rows("SELECT amount FROM balances") == [(Decimal(2_100),)]


def test_an_unopened_account_is_said_to_be_missing(floor: TradingFloor) -> None:
    """Rule 4: an account that does not exist is not an account without money."""
    with pytest.raises(Exception, match="there is no account 'nobody'"):
        guard(replace(floor.desk, account="nobody"))


def test_a_decision_nobody_acted_on_expires_in_the_tick(floor: TradingFloor) -> None:
    """Rule 10: a run that died before its claim must not leave a decision that waits for ever unseen."""
    made = decision()
    floor.queue(made)
    guard(floor.desk)
    assert outcome(floor, made) == ("PENDING", None)
    floor.pass_time(timedelta(hours=1))
    guard(floor.desk)
    assert outcome(floor, made) == ("EXPIRED", ReasonCode.DECISION_EXPIRED)


def test_a_person_opens_and_clears_breakers_with_who_and_why(floor: TradingFloor) -> None:
    """R6, X6: a breaker that somebody opened or cleared without a trace is no protection."""
    change = switch_breaker(floor.desk, BreakerName.RAPID_LOSS, BreakerState.OPEN, "ann", "news")
    assert (change.before.state, change.after.state) == (BreakerState.CLOSED, BreakerState.OPEN)
    with pytest.raises(InputError, match="OPEN already"):
        switch_breaker(floor.desk, BreakerName.RAPID_LOSS, BreakerState.OPEN, "ann", "news")
    with pytest.raises(InputError, match="say why"):
        switch_breaker(floor.desk, BreakerName.RAPID_LOSS, BreakerState.CLOSED, "ann", " ")
    switch_breaker(floor.desk, BreakerName.RAPID_LOSS, BreakerState.CLOSED, "ann", "it was nothing")
    with floor.database.connection() as connection:
        rows = connection.execute("SELECT to_state, changed_by FROM ops.breaker_changes ORDER BY sequence").fetchall()
    assert rows == [("OPEN", "ann"), ("CLOSED", "ann")]


def test_only_a_person_ends_the_drawdown_lock(floor: TradingFloor) -> None:
    """R5, R8: an account that fell by a fifth must stay locked until somebody decides, and then trade on trial."""
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.risk_state SET peak_equity = 10000")
    guard(floor.desk)
    floor.pass_time(timedelta(days=3))
    assert guard(floor.desk).breakers[BreakerName.DRAWDOWN].state is BreakerState.OPEN
    switch_breaker(floor.desk, BreakerName.DRAWDOWN, BreakerState.CLOSED, "ann", "deposit moved elsewhere")
    floor.pass_time(timedelta(minutes=1))
    report = guard(floor.desk)
    drawdown = report.breakers[BreakerName.DRAWDOWN]
    assert (drawdown.state, drawdown.trials_left) == (BreakerState.HALF_OPEN, 3)
    assert report.drawdown == 0
    with pytest.raises(InputError, match=r"HALF_OPEN already, since .*, 3 winning trades from closed"):
        switch_breaker(floor.desk, BreakerName.DRAWDOWN, BreakerState.CLOSED, "ann", "once more")


def test_clearing_a_row_of_losses_leads_to_safe_mode(floor: TradingFloor) -> None:
    """R8: six losses, a person's word, and the seventh trade at full size."""
    with floor.database.connection() as connection:
        connection.execute("UPDATE paper_trading.risk_state SET losses_in_a_row = 6, last_loss_risk = 20")
    assert guard(floor.desk).breakers[BreakerName.CONSECUTIVE_LOSSES].state is BreakerState.OPEN
    switch_breaker(floor.desk, BreakerName.CONSECUTIVE_LOSSES, BreakerState.CLOSED, "ann", "the feed was wrong")
    assert floor.rows("SELECT losses_in_a_row, last_loss_risk FROM risk_state") == [(0, None)]
    breakers = guard(floor.desk).breakers
    assert breakers[BreakerName.CONSECUTIVE_LOSSES].state is BreakerState.HALF_OPEN
