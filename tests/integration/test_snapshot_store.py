"""Indicator readings, snapshots and signals in PostgreSQL: byte for byte, once, and the newest where there are two."""

from datetime import timedelta

import polars as pl
import psycopg
import pytest
from candle_frames import START
from evidence_frames import GRACE, WEIGHTS, random_frame, snapshot_of, with_rollups

from triplegain_pipelines.agents.evidence import Evidence, assess, gather_evidence
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.indicators import read_indicator_rows, upsert_indicators
from triplegain_pipelines.store.signals import (
    read_signals,
    save_regime_signals,
    save_sentiment_signals,
    save_technical_signals,
)
from triplegain_pipelines.store.snapshots import read_snapshot, read_snapshots, save_snapshots

pytestmark = pytest.mark.integration

END = START + timedelta(days=2)
TITLE = 'Ether "soars" \\ 10 % — naïve bulls\' 牛'


@pytest.fixture(scope="module")
def candles() -> dict[Timeframe, pl.DataFrame]:
    """Two days of candles."""
    return with_rollups(random_frame(2 * 1440))


@pytest.fixture(scope="module")
def evidence(candles: dict[Timeframe, pl.DataFrame]) -> Evidence:
    """Evidence for the second day, with a headline that needs escaping."""
    return gather_evidence(
        venue="binance",
        symbol="BTC/USDT",
        candles=candles,
        decision_times=[END - timedelta(hours=hours) for hours in range(12, 0, -1)],
        grace=GRACE,
        headlines=[Headline("a", "CoinDesk", TITLE, None, END - timedelta(hours=10))],
        fear_greed=[],
        weights=WEIGHTS,
    )


def test_snapshots_come_back_byte_for_byte(connection: psycopg.Connection, evidence: Evidence) -> None:
    """D1: the document is hashed as text; a database that re-spells it would break every replay."""
    assert save_snapshots(connection, evidence.snapshots) == 12
    back = read_snapshots(connection, "binance", ["BTC/USDT"], START, END)
    assert tuple(back) == evidence.snapshots
    assert TITLE in back[-1].content["headlines"][0]["title"]
    assert read_snapshot(connection, back[3].snapshot_id) == back[3]
    assert read_snapshot(connection, deterministic_id("snapshot", "none")) is None


def test_saving_twice_writes_once(connection: psycopg.Connection, evidence: Evidence) -> None:
    """D1: a rerun after a crash must find what it wrote and add nothing."""
    signals = {one.snapshot_id: assess(one) for one in evidence.snapshots}
    for expected in (1, 0):
        assert save_snapshots(connection, evidence.snapshots) == 12 * expected
        assert upsert_indicators(connection, evidence.readings) == 72 * expected
        technical = {key: one.technical for key, one in signals.items()}
        assert save_technical_signals(connection, TECHNICAL_VERSION, technical) == 12 * expected
        regime = {key: one.regime for key, one in signals.items()}
        assert save_regime_signals(connection, REGIME_VERSION, regime) == 12 * expected
        sentiment = {key: one.sentiment for key, one in signals.items()}
        assert save_sentiment_signals(connection, SENTIMENT_VERSION, sentiment) == 12 * expected
    versions = {"technical": TECHNICAL_VERSION, "regime": REGIME_VERSION, "sentiment": SENTIMENT_VERSION}
    assert read_signals(connection, signals, **versions) == signals
    # A version that was not run, and a snapshot without signals, are absent and not neutral.
    assert read_signals(connection, signals, **{**versions, "regime": "regime-0"}) == {}
    assert read_signals(connection, [deterministic_id("snapshot", "none")], **versions) == {}


def test_nothing_is_saved_of_nothing(connection: psycopg.Connection) -> None:
    """D1: a day without candles is not an error."""
    assert save_snapshots(connection, []) == 0
    assert upsert_indicators(connection, []) == 0
    assert save_technical_signals(connection, TECHNICAL_VERSION, {}) == 0


def test_readings_come_back_bit_for_bit(connection: psycopg.Connection, evidence: Evidence) -> None:
    """I1: a reading that loses its last bits on the way is another reading."""
    upsert_indicators(connection, evidence.readings)
    back = read_indicator_rows(connection, "binance", "BTC/USDT", START, END)
    by_time = sorted(evidence.readings, key=lambda one: (one.as_of, one.timeframe.value))
    assert back == by_time
    assert any(value is None for value in back[0].readings.values())
    assert any(value is not None for value in back[-1].readings.values())


@pytest.fixture
def late(candles: dict[Timeframe, pl.DataFrame]) -> dict[Timeframe, pl.DataFrame]:
    """The same candles after the venue corrected one."""
    minute = END - timedelta(hours=1, minutes=5)
    corrected = candles[Timeframe.M1].with_columns(
        pl.when(pl.col("opened_at") == minute).then(pl.col("close") * 0.9999).otherwise(pl.col("close")).alias("close")
    )
    return {**candles, Timeframe.M1: corrected}


def test_late_data_makes_a_second_snapshot_and_the_newest_counts(
    database: Database, candles: dict[Timeframe, pl.DataFrame], late: dict[Timeframe, pl.DataFrame]
) -> None:
    """Rule 7: what was seen first stays readable; what is decided next rests on what is known now."""
    as_of = END - timedelta(hours=1) + GRACE
    first, second = snapshot_of(candles, as_of), snapshot_of(late, as_of)
    assert first.snapshot_id != second.snapshot_id
    for one in (first, second, first):
        with database.connection() as connection:
            save_snapshots(connection, [one])
    with database.connection() as connection:
        assert read_snapshots(connection, "binance", ["BTC/USDT"], START, END) == [second]
        assert read_snapshot(connection, first.snapshot_id) == first


def test_a_range_is_half_open_and_by_symbol(connection: psycopg.Connection, evidence: Evidence) -> None:
    """D1: a snapshot on midnight belongs to one day only, and to its own venue and symbol."""
    save_snapshots(connection, evidence.snapshots)
    first, second = evidence.snapshots[0].as_of, evidence.snapshots[1].as_of
    assert [one.as_of for one in read_snapshots(connection, "binance", ["BTC/USDT"], first, second)] == [first]
    assert read_snapshots(connection, "binance", ["ETH/USDT"], START, END) == []
    assert read_snapshots(connection, "kraken", ["BTC/USDT"], START, END) == []
