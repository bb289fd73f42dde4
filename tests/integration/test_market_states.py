"""What risk knows of the market: worked out of stored candles, known in time, and refused where it is missing."""

import math
from datetime import timedelta

import numpy as np
import pytest
from builders import ACCOUNT, BTC, ETH, START, decision, store_decisions, trading_floor, wandering

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.documents import inputs_from, inputs_text
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.risk_gate import judged
from triplegain_pipelines.indicators.market_state import hours_before, market_state
from triplegain_pipelines.operations.market_states import work_out
from triplegain_pipelines.operations.rolling import roll_up_days
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store import market_states
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

SETTINGS = load_settings(Environment(profile="demo"), CONFIG)
GRACE = SETTINGS.profile.decisions.grace
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HOURS = 30 * 24 + 1
MARKET = "test"


def closes(hourly: float = 0.01, seed: int = 5) -> np.ndarray:
    """Hourly closes of 30 days of a random walk."""
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, hourly, HOURS)))


def state(**series: np.ndarray) -> MarketState:
    """The state at the start, of closes by the first letters of symbols."""
    return market_state(START, {f"{name}/USDT": values for name, values in series.items()})


def test_volatility_is_that_of_a_year_of_hours() -> None:
    """R4: a limit of 25 % a year compared with a figure of an hour lets everything through."""
    known = state(BTC=closes(0.01))
    assert known.volatilities[BTC] == pytest.approx(0.01 * math.sqrt(24 * 365), rel=0.05)
    returns = np.diff(np.log(closes(0.01)))
    assert known.volatilities[BTC] == pytest.approx(returns.std(ddof=1) * math.sqrt(8760), abs=1e-8)


def test_the_percentile_tells_a_wild_day_from_a_calm_one() -> None:
    """R6, R8: 1 where the last day was wilder than all before it, 0 where it was calmer."""
    returns = np.random.default_rng(5).normal(0, 0.01, HOURS - 1)
    for factor, expected in ((10, 1.0), (0.01, 0.0)):
        changed = returns.copy()
        changed[-24:] *= factor
        series = np.concatenate([[100.0], 100 * np.exp(np.cumsum(changed))])
        assert state(BTC=series).percentiles[BTC] == expected
    regular = np.tile([0.01, -0.01], 360)  # every day is like every other
    series = np.concatenate([[100.0], 100 * np.exp(np.cumsum(regular))])
    assert 0.2 < state(BTC=series).percentiles[BTC] < 0.8


def test_correlation_of_what_moves_together_and_against() -> None:
    """R2: two names of one coin are one asset."""
    one = closes()
    known = state(BTC=one, ETH=7 * one, SOL=1 / one)
    assert known.correlations[BTC, ETH] == pytest.approx(1)
    assert known.correlations[BTC, "SOL/USDT"] == pytest.approx(-1)
    assert set(known.correlations) == {(BTC, ETH), (BTC, "SOL/USDT"), (ETH, "SOL/USDT")}
    assert abs(state(BTC=one, ETH=closes(seed=6)).correlations[BTC, ETH]) < 0.2


def test_what_is_not_known_is_left_out() -> None:
    """R6: too little history, a hole on the last day, a market that stands still: nothing is made up of them."""
    short, holed, still = closes(), closes(), np.full(HOURS, 100.0)
    short[: HOURS - 24 * 6] = np.nan
    holed[-10:-7] = np.nan
    known = state(BTC=short, ETH=holed, SOL=still)
    assert set(known.volatilities) == {ETH}
    assert BTC not in known.percentiles
    assert ETH not in known.percentiles
    assert known.correlations == {}


def test_a_hole_is_no_return_of_many_hours() -> None:
    """R4: the jump over a hole, taken for that of one hour, is a volatility nobody saw."""
    holed = closes()
    holed[100:110] = np.nan
    holed[110:] *= 3
    assert state(BTC=holed).volatilities[BTC] == pytest.approx(state(BTC=closes()).volatilities[BTC], rel=0.03)


def candles(database: Database, days: int, symbols: tuple[str, ...] = (BTC, ETH)) -> None:
    """Minutes from START on, with their roll-ups."""
    for number, symbol in enumerate(symbols):
        frame = wandering(START, days * 1440, 100.0, seed=11 + number)
        with database.connection() as connection:
            upsert_candles(connection, MARKET, symbol, Timeframe.M1, frame, "rest")
        roll_up_days(database, MARKET, symbol, START, START + days * DAY)


def session(days: float) -> Session:
    """A session so many days after START."""
    clock = ReplayClock(START + timedelta(days=days))
    return Session(ACCOUNT, MARKET, (BTC, ETH), replay=True, settings=SETTINGS, clock=clock)


def test_a_state_is_the_same_however_the_range_is_cut_and_sees_nothing_later(database: Database) -> None:
    """B2: a backfill of a month and the hour itself must know the same, and nothing of what comes after."""
    candles(database, 9)
    first, last = START + 8 * DAY, START + 8 * DAY + 3 * HOUR
    together = work_out(database, session(9), first, last)
    apart = [one for hour in range(3) for one in work_out(database, session(9), first + hour * HOUR, last)[:1]]
    assert [one.as_of for one in together] == [first + hour * HOUR + GRACE for hour in range(3)]
    assert together == apart
    assert set(together[0].percentiles) == {BTC, ETH}
    with database.connection() as connection:
        connection.execute("UPDATE market.rollups SET close = close * 2 WHERE opened_at >= %s", [first])
    assert work_out(database, session(9), first, first + HOUR) == together[:1]
    assert hours_before(first + GRACE, GRACE)[1] == first - HOUR


def test_only_times_that_have_come_are_worked_out(database: Database) -> None:
    """B2: a state of tomorrow made of today's candles would be read tomorrow."""
    candles(database, 8)
    made = work_out(database, session(8), START + 7 * DAY + 22 * HOUR, START + 9 * DAY)
    assert [one.as_of for one in made] == [START + 7 * DAY + hour * HOUR + GRACE for hour in (22, 23)]
    assert work_out(database, session(0), START, START + DAY) == []


def test_the_newest_state_is_read_unless_it_is_old_or_of_another_market(database: Database) -> None:
    """R6: what was calm three hours ago, or elsewhere, is not known to be calm."""
    known = [state(BTC=closes()), market_state(START + HOUR, {BTC: closes(0.02), ETH: closes(seed=8)})]
    with database.connection() as connection:
        market_states.save(connection, MARKET, known, "1")
        assert market_states.newest(connection, MARKET, START - HOUR) is None
        assert market_states.newest(connection, MARKET, START) == known[0]
        assert market_states.newest(connection, MARKET, START + 3 * HOUR) == known[1]
        assert market_states.newest(connection, MARKET, START + 3 * HOUR + timedelta(seconds=1)) is None
        assert market_states.newest(connection, "elsewhere", START) is None


def test_a_later_state_of_the_same_time_replaces_the_first(database: Database) -> None:
    """D6: candles that came late make the state whole; the verdicts of before keep what they were given."""
    with database.connection() as connection:
        for seed in (1, 2):
            market_states.save(connection, MARKET, [state(BTC=closes(seed=seed))], "1")
        assert market_states.newest(connection, MARKET, START) == state(BTC=closes(seed=2))


def test_without_a_state_no_new_risk_is_taken_and_a_position_can_be_closed(database: Database) -> None:
    """R6: fails closed for what adds risk, and never for what takes it away."""
    floor = trading_floor(database)
    bought, later = decision(as_of=START), START + 4 * HOUR
    floor.queue(bought)
    with OrderPath(floor.desk) as path:
        path.execute(bought.decision_id)
    assert floor.rows("SELECT count(*) FROM positions") == [(1,)]
    floor.pass_time(4 * HOUR)
    eth, close = decision(ETH, later, price=1_000.0), decision(as_of=later, action=bought.action.CLOSE)
    store_decisions(database, [eth, close])
    with database.connection() as connection:
        connection.execute("DELETE FROM research.market_states WHERE as_of = %s", [later])
    queue_decisions(floor.desk, [eth, close])
    with OrderPath(floor.desk) as path:
        path.execute(eth.decision_id)
        path.execute(close.decision_id)
    assert floor.rows("SELECT count(*) FROM positions") == [(0,)]
    assert floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", eth.decision_id) == [
        ("REFUSED", "VOLATILITY_UNKNOWN")
    ]


def test_a_verdict_is_computed_again_from_what_was_stored_byte_for_byte(database: Database) -> None:
    """A4: the market as it was known and the mode are part of what `verify` computes with."""
    floor = trading_floor(database)
    bought = decision(as_of=START)
    floor.queue(bought)
    with OrderPath(floor.desk) as path:
        path.execute(bought.decision_id)
    [[text, reasons]] = floor.rows("SELECT inputs, reasons FROM verdicts")
    inputs = inputs_from(text)
    assert inputs.market is not None
    assert inputs.market.correlations == {(BTC, ETH): 0.5}
    assert inputs_text(inputs) == text
    assert [reason.document() for reason in judged(inputs).reasons] == reasons
    assert inputs_text(inputs_from(inputs_text(inputs))) == text


def test_a_state_of_nothing_is_stored_and_refuses_by_what_it_lacks(database: Database) -> None:
    """R6: a home without candles gets states that know nothing, and no error at night."""
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM market.rollups").fetchone() == (0,)
    [made] = work_out(database, session(1), START, START + HOUR)
    assert made == MarketState(START + GRACE, {}, {}, {})
