"""The series that decisions see: which venue each candle is from, and that none is a mixture."""

from datetime import datetime, timedelta

import polars as pl
import psycopg
import pytest
from candle_frames import START, candle_frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Finding, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.failover import SourceSpan, Switch
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.store.candles import read_candles, read_rollups, upsert_candles, upsert_rollups
from triplegain_pipelines.store.findings import record_findings, settle
from triplegain_pipelines.store.series import decision_candles, decision_rollups, newest_closes, read_closes
from triplegain_pipelines.store.sources import current_source, last_switch, record_switch, spans

pytestmark = pytest.mark.integration

MAIN, BACKUP, BTC = "kraken", "binance", "BTC/USDT"
MINUTES = 3 * 1440
PRICE = {MAIN: 100.0, BACKUP: 200.0}


def _minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def _to(venue: str, minute: float) -> Switch:
    return Switch(BACKUP if venue == MAIN else MAIN, venue, _minute(minute), "test")


def _store(connection: psycopg.Connection, venue: str, minutes: list[int]) -> None:
    frame = candle_frame(minutes, price=PRICE[venue])
    upsert_candles(connection, venue, BTC, Timeframe.M1, frame, "test")
    for timeframe in ROLLUP_TIMEFRAMES:
        upsert_rollups(connection, venue, BTC, timeframe, roll_up(frame, timeframe))


def _read(connection: psycopg.Connection, timeframe: Timeframe, start: datetime, end: datetime) -> pl.DataFrame:
    if timeframe is Timeframe.M1:
        return decision_candles(connection, MAIN, BTC, start, end)
    return decision_rollups(connection, MAIN, BTC, timeframe, start, end)


def test_a_market_without_a_switch_is_its_main_venue(connection: psycopg.Connection) -> None:
    """M7: the backup's candles lie beside and must not be seen."""
    for venue in (MAIN, BACKUP):
        _store(connection, venue, list(range(600)))
    window = (_minute(3), _minute(500))
    series = (MAIN, BTC, Timeframe.M1)
    assert validate("candles", _read(connection, Timeframe.M1, *window)).equals(
        read_candles(connection, *series, *window)
    )
    for timeframe in ROLLUP_TIMEFRAMES:
        expected = read_rollups(connection, MAIN, BTC, timeframe, *window)
        assert validate("rollups", _read(connection, timeframe, *window)).equals(expected)
    assert current_source(connection, MAIN) == MAIN
    assert last_switch(connection, MAIN) is None


def test_a_candle_is_of_the_source_at_its_close(connection: psycopg.Connection) -> None:
    """M7: a candle half of one venue and half of another has a high and a volume that no market had."""
    for venue in (MAIN, BACKUP):
        _store(connection, venue, list(range(120)))
    record_switch(connection, MAIN, _to(BACKUP, 62.5), {BTC: 1.0})
    candles = decision_candles(connection, MAIN, BTC, _minute(60), _minute(66))
    assert candles["close"].to_list() == [100.0, 100.0, 200.0, 200.0, 200.0, 200.0]
    fives = decision_rollups(connection, MAIN, BTC, Timeframe.M5, _minute(50), _minute(70))
    assert fives["close"].to_list() == [100.0, 100.0, 200.0, 200.0]
    assert fives["high"].to_list() == [101.0, 101.0, 201.0, 201.0]
    hours = decision_rollups(connection, MAIN, BTC, Timeframe.H1, _minute(0), _minute(120))
    assert hours["close"].to_list() == [100.0, 200.0]


def test_the_candle_that_closes_at_the_switch_is_the_old_sources(connection: psycopg.Connection) -> None:
    """M7: what a decision at that moment saw must stay what it saw."""
    for venue in (MAIN, BACKUP):
        _store(connection, venue, list(range(20)))
    before = decision_candles(connection, MAIN, BTC, _minute(0), _minute(10))
    record_switch(connection, MAIN, _to(BACKUP, 10), {})
    assert decision_candles(connection, MAIN, BTC, _minute(0), _minute(10)).equals(before)
    assert decision_candles(connection, MAIN, BTC, _minute(9), _minute(11))["close"].to_list() == [100.0, 200.0]


def test_a_hole_of_the_source_is_not_filled_by_the_other_venue(connection: psycopg.Connection) -> None:
    """M7: a candle that is missing is missing, also where the backup has one."""
    _store(connection, MAIN, [0, 1, 5, 6])
    _store(connection, BACKUP, list(range(10)))
    assert decision_candles(connection, MAIN, BTC, _minute(0), _minute(10))["opened_at"].to_list() == [
        _minute(number) for number in (0, 1, 5, 6)
    ]


moments = st.lists(st.integers(-20, 2 * (MINUTES + 20)), unique=True, max_size=7).map(sorted)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments, st.integers(0, MINUTES), st.integers(1, MINUTES))
def test_in_any_sequence_of_switches_nothing_is_mixed(
    connection: psycopg.Connection, halves: list[int], first: int, count: int
) -> None:
    """M7: each candle and roll-up is, value for value, one of the venue that was the source at its close."""
    if connection.execute("SELECT count(*) FROM market.candles").fetchone() == (0,):
        for venue in (MAIN, BACKUP):
            _store(connection, venue, list(range(MINUTES)))
    connection.execute("DELETE FROM market.source_switches")
    switches = [_to((BACKUP, MAIN)[number % 2], half / 2) for number, half in enumerate(halves)]
    for switch in switches:
        record_switch(connection, MAIN, switch, {})
    start, end = _minute(first), _minute(first + count)
    for timeframe in DECISION_TIMEFRAMES:
        own = {
            venue: (
                read_candles(connection, venue, BTC, timeframe, start, end)
                if timeframe is Timeframe.M1
                else read_rollups(connection, venue, BTC, timeframe, start, end)
            )
            for venue in (MAIN, BACKUP)
        }
        close = pl.col("opened_at") + timeframe.duration
        backup = pl.lit(value=False)
        for switch in switches:
            backup = pl.when(close > switch.switched_at).then(pl.lit(switch.to_venue == BACKUP)).otherwise(backup)
        expected = pl.concat([own[MAIN].filter(~backup), own[BACKUP].filter(backup)]).sort("opened_at")
        assert _read(connection, timeframe, start, end).equals(expected), timeframe


def test_a_candle_that_is_held_is_not_seen(connection: psycopg.Connection) -> None:
    """M4: a doubtful candle is stored, and no decision sees it before it is settled."""
    _store(connection, MAIN, list(range(5)))
    finding = Finding(MAIN, BTC, _minute(2), QualityCode.OUTLIER, "test", {"move": 0.5})
    record_findings(connection, [finding], _minute(3))
    window = (_minute(0), _minute(5))
    assert decision_candles(connection, MAIN, BTC, *window).height == 4
    assert _minute(2) not in read_closes(connection, MAIN, BTC, *window)
    settle(connection, finding.finding_id, Settlement.CONFIRMED, _minute(4))
    assert decision_candles(connection, MAIN, BTC, *window).height == 5


def test_health_is_read_from_what_decisions_may_see(connection: psycopg.Connection) -> None:
    """M7: a feed that stands still is no sign of life, and neither is a candle from the future."""
    _store(connection, MAIN, list(range(5)))
    upsert_candles(connection, MAIN, "ETH/USDT", Timeframe.M1, candle_frame([1, 90]), "test")
    now = _minute(10)
    found = newest_closes(connection, MAIN, [BTC, "ETH/USDT", "SOL/USDT"], now)
    assert found == {BTC: _minute(5), "ETH/USDT": _minute(2)}
    held = Finding(MAIN, BTC, _minute(4), QualityCode.STUCK_FEED, "test", {})
    record_findings(connection, [held], now)
    assert newest_closes(connection, MAIN, [BTC], now) == {BTC: _minute(4)}
    assert newest_closes(connection, MAIN, [BTC], _minute(3) - timedelta.resolution) == {BTC: _minute(2)}


def test_switches_follow_each_other(connection: psycopg.Connection) -> None:
    """M7: a switch from where the source is not, or before the last one, would change what was seen."""
    record_switch(connection, MAIN, _to(BACKUP, 10), {BTC: 0.001, "ETH/USDT": None})
    for wrong in (_to(BACKUP, 11), _to(MAIN, 10), _to(MAIN, 9), Switch(BACKUP, BACKUP, _minute(11), "")):
        with pytest.raises(DataError, match="the source of the market kraken"):
            record_switch(connection, MAIN, wrong, {})
    record_switch(connection, MAIN, _to(MAIN, 30), {})
    record_switch(connection, "coinbase", Switch("coinbase", BACKUP, _minute(1), ""), {})
    assert last_switch(connection, MAIN) == _to(MAIN, 30)
    assert current_source(connection, "coinbase") == BACKUP
    assert spans(connection, MAIN, _minute(0), _minute(60)) == [
        SourceSpan(MAIN, _minute(0), _minute(10)),
        SourceSpan(BACKUP, _minute(10), _minute(30)),
        SourceSpan(MAIN, _minute(30), _minute(60)),
    ]
    rows = connection.execute(
        "SELECT sequence, basis FROM market.source_switches WHERE market = 'kraken' ORDER BY sequence"
    ).fetchall()
    assert rows == [(1, {BTC: 0.001, "ETH/USDT": None}), (2, {})]
