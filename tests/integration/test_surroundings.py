"""What the breakers look at beside the account: strategies, volatility, age of data, crossed books, failed orders."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from breaker_rows import add_market_state, add_result
from builders import ACCOUNT, BTC, ETH, MARKET, START, TradingFloor

from triplegain_pipelines.domain.quality import Finding, QualityCode, Settlement
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.execution.desk import account_transaction
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.operator import switch_breaker
from triplegain_pipelines.execution.surroundings import Surroundings, look_around
from triplegain_pipelines.risk.strategies import standings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import record_findings, settle
from triplegain_pipelines.store.strategies import settled_results

pytestmark = pytest.mark.integration

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SEATS = ("a", "b", "c", "d", "e", "f")


@pytest.fixture
def streamed(floor: TradingFloor) -> TradingFloor:
    """The floor over a market that lives elsewhere, and whose clock was compared."""
    made = replace(floor, desk=replace(floor.desk, clock_compared=True))
    made.beat()
    return made


def seen(floor: TradingFloor) -> Surroundings:
    """The surroundings of now."""
    with account_transaction(floor.desk, None) as transaction:
        return look_around(transaction, [], {})


def add_candle(floor: TradingFloor, opened_at: datetime, symbol: str = BTC) -> None:
    """A candle of the market."""
    with floor.database.connection() as connection:
        connection.execute(
            """INSERT INTO market.candles (venue, symbol, timeframe, opened_at, open, high, low, close, volume, source)
               VALUES (%s, %s, '1m', %s, 1, 1, 1, 1, 1, 'test')""",
            [MARKET, symbol, opened_at],
        )


def test_a_result_is_the_return_in_the_direction_of_the_forecast(database: Database) -> None:
    """R6: a seat that was right about a fall counted as losing; an abstention counted as a result."""
    add_result(database, START, -0.02, {"a": 0.7, "b": 0.3, "c": None, "d": 0.5})
    add_result(database, START + HOUR, 0.01, {"a": 0.6, "b": 0.2})
    with database.connection() as connection:
        results = settled_results(connection, ACCOUNT, START, START + 24 * HOUR)
        first = settled_results(connection, ACCOUNT, START, START + 4 * HOUR + 2 * MINUTE)
        none = settled_results(connection, ACCOUNT, START, START + 4 * HOUR + MINUTE)
        later = settled_results(connection, ACCOUNT, START + 4 * HOUR + 2 * MINUTE, START + 24 * HOUR)
        others = settled_results(connection, "other", START, START + 24 * HOUR)
    assert standings(results) == {"a": (2, pytest.approx(-0.005)), "b": (2, pytest.approx(0.005))}
    assert [(one.strategy, one.result) for one in first] == [("a", -0.02), ("b", 0.02)]
    assert (none, len(later), others) == ([], 2, [])


def test_six_seats_that_all_lose_open_the_breaker(floor: TradingFloor) -> None:
    """R6: every strategy is wrong three times, and the next decision trades at full size."""
    for hour in range(3):
        add_result(floor.database, START + hour * HOUR, -0.01, dict.fromkeys(SEATS, 0.7))
    floor.clock.advance_to(START + 6 * HOUR + MINUTE)
    assert guard(floor.desk).breakers[BreakerName.ALL_STRATEGIES_LOSING].state is BreakerState.CLOSED  # two settled
    floor.clock.advance_to(START + 6 * HOUR + 2 * MINUTE)
    tripped = guard(floor.desk)
    assert tripped.breakers[BreakerName.ALL_STRATEGIES_LOSING].state is BreakerState.OPEN
    (change,) = tripped.changes
    assert change.reason.context == dict.fromkeys(SEATS, "-0.01")
    assert guard(floor.desk).changes == ()
    switch_breaker(floor.desk, BreakerName.ALL_STRATEGIES_LOSING, BreakerState.CLOSED, "ann", "a bad day")
    floor.pass_time(5 * HOUR)
    assert guard(floor.desk).breakers[BreakerName.ALL_STRATEGIES_LOSING].state is BreakerState.CLOSED


@pytest.mark.parametrize(("percentile", "opens"), [(0.99, False), (0.995, True)])
def test_a_wild_market_opens_the_breaker(floor: TradingFloor, percentile: float, *, opens: bool) -> None:
    """R6: volatility over the threshold, of one symbol of several, and nobody looks."""
    with floor.database.connection() as connection:
        add_market_state(connection, floor.clock.now(), {BTC: 0.1, ETH: percentile, "X": 1.0})
    assert seen(floor).percentile == percentile
    assert (guard(floor.desk).breakers[BreakerName.VOLATILITY].state is BreakerState.OPEN) == opens
    floor.clock.advance_to(floor.clock.now() + 3 * HOUR)
    assert seen(floor).percentile is None, "a state of three hours ago says nothing"


def test_data_that_stands_still_opens_the_breaker_and_its_return_lets_it_go_on_trial(streamed: TradingFloor) -> None:
    """R6: the stream is dead for minutes, and the account goes on trading on what it last heard."""
    for minute in range(3):
        add_candle(streamed, START + minute * MINUTE)
        streamed.pass_time(MINUTE)
    assert seen(streamed).data_age == timedelta(0)
    for _ in range(3):
        streamed.pass_time(MINUTE)
    assert seen(streamed).data_age == 3 * MINUTE
    streamed.pass_time(timedelta(seconds=1))
    assert guard(streamed.desk).breakers[BreakerName.ANOMALY].state is BreakerState.OPEN
    streamed.pass_time(timedelta(seconds=30))
    while streamed.clock.now() < START + 30 * MINUTE:
        add_candle(streamed, streamed.clock.now().replace(second=0) - MINUTE, ETH)
        streamed.pass_time(MINUTE)
    breaker = guard(streamed.desk).breakers[BreakerName.ANOMALY]
    assert (breaker.state, breaker.trials_left) == (BreakerState.HALF_OPEN, 3)
    assert breaker.changed_at >= START + 21 * MINUTE


def test_a_quote_is_young_data_where_nobody_trades(streamed: TradingFloor) -> None:
    """R6: a quiet market, in which no candle comes for minutes, must not look like a dead stream."""
    add_candle(streamed, START)
    streamed.clock.advance_to(START + 10 * MINUTE)
    with streamed.database.connection() as connection:
        connection.execute(
            "INSERT INTO market.top_of_book VALUES (%s, %s, %s, 1, 1, 2, 1, 'test'), (%s, %s, %s, 1, 1, 2, 1, 'test')",
            [MARKET, ETH, START + 9 * MINUTE, MARKET, ETH, START + 11 * MINUTE],  # the last is from the future
        )
        connection.execute("UPDATE ops.heartbeats SET beat_at = %s WHERE name = 'breakers'", [START + 9 * MINUTE])
    assert seen(streamed).data_age == MINUTE


def test_who_was_away_learns_first_whether_new_data_comes(streamed: TradingFloor) -> None:
    """R6: every start in the morning opens the breaker because of the night; or a stream that never starts does not."""
    add_candle(streamed, START)
    streamed.clock.advance_to(START + 9 * HOUR)
    assert guard(streamed.desk).breakers[BreakerName.ANOMALY].state is BreakerState.CLOSED
    for _ in range(18):
        streamed.pass_time(timedelta(seconds=10))
    assert guard(streamed.desk).breakers[BreakerName.ANOMALY].state is BreakerState.CLOSED
    streamed.pass_time(timedelta(seconds=1))
    assert guard(streamed.desk).breakers[BreakerName.ANOMALY].state is BreakerState.OPEN


def test_a_simulated_market_is_never_old(floor: TradingFloor) -> None:
    """R6: the demo, whose candles are made when they are asked for, would stand still between two decisions."""
    floor.pass_time(5 * HOUR)
    assert seen(floor).data_age is None
    assert guard(floor.desk).breakers[BreakerName.ANOMALY].state is BreakerState.CLOSED


def test_a_crossed_book_opens_the_breaker(streamed: TradingFloor) -> None:
    """R6: bid over ask is no market; a book that was crossed an hour ago, or is settled, is."""
    crossed = Finding(MARKET, ETH, streamed.clock.now(), QualityCode.CROSSED_BOOK, "stream", {"bid": 2, "ask": 1})
    other = Finding(MARKET, "DOGE/USDT", streamed.clock.now(), QualityCode.CROSSED_BOOK, "stream", {"bid": 2, "ask": 1})
    with streamed.database.connection() as connection:
        record_findings(connection, [crossed, other], streamed.clock.now())
    assert seen(streamed).crossed == (ETH,)
    assert guard(streamed.desk).breakers[BreakerName.ANOMALY].state is BreakerState.OPEN
    streamed.clock.advance_to(streamed.clock.now() + timedelta(seconds=181))
    assert seen(streamed).crossed == ()
    again = replace(crossed, at=streamed.clock.now())
    with streamed.database.connection() as connection:
        record_findings(connection, [again], streamed.clock.now())
    assert seen(streamed).crossed == (ETH,)
    with streamed.database.connection() as connection:
        settle(connection, again.finding_id, Settlement.OVER, streamed.clock.now())
    assert seen(streamed).crossed == ()


def test_failed_orders_open_the_breaker_and_count_from_a_clearing_on(floor: TradingFloor) -> None:
    """R6: a venue that refuses order after order, and we keep on; or a person who clears it in vain for an hour."""
    fail(floor, 5)
    assert seen(floor).errors == 5
    assert guard(floor.desk).breakers[BreakerName.ANOMALY].state is BreakerState.CLOSED
    fail(floor, 1)
    assert guard(floor.desk).breakers[BreakerName.ANOMALY].state is BreakerState.OPEN
    floor.pass_time(MINUTE)
    switch_breaker(floor.desk, BreakerName.ANOMALY, BreakerState.CLOSED, "ann", "the venue is mended")
    floor.pass_time(30 * MINUTE)
    assert guard(floor.desk).breakers[BreakerName.ANOMALY].state is BreakerState.CLOSED
    fail(floor, 6)
    assert guard(floor.desk).breakers[BreakerName.ANOMALY].state is BreakerState.OPEN
    floor.clock.advance_to(floor.clock.now() + HOUR)
    assert seen(floor).errors == 0


def fail(floor: TradingFloor, count: int) -> None:
    """Orders that ended badly now: written as the order path would have, each with what it hangs on."""
    states = ("REJECTED", "UNKNOWN", "LOST")
    with floor.database.connection() as connection:
        connection.execute("SET LOCAL session_replication_role = replica")  # no foreign keys: nothing else is looked at
        (known,) = connection.execute("SELECT count(*) FROM paper_trading.orders").fetchone() or (0,)
        for number in range(known, known + count):
            connection.execute(
                """INSERT INTO paper_trading.orders (client_order_id, account, symbol, state, reason_code, changed_at)
                   VALUES (%s, %s, %s, %s, 'VENUE_REJECTED', %s)""",
                [UUID(int=number + 1), ACCOUNT, BTC, states[number % 3], floor.clock.now()],
            )
