"""What `triplegain data` knows at any time: ages, streams, gaps, the source and open alerts."""

from datetime import timedelta
from pathlib import Path

import pytest
from candle_frames import START, candle_frame

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.operations.data_state import data_state
from triplegain_pipelines.settings import Environment, Settings, load_settings
from triplegain_pipelines.store.alerts import AlertLevel, raise_alert
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import record_findings
from triplegain_pipelines.store.gaps import record_gaps

pytestmark = pytest.mark.integration

NOW = START + timedelta(minutes=12)
SERIES = ("kraken", "BTC/USDT", Timeframe.M1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The paper profile: Kraken, with Binance as the backup."""
    return load_settings(Environment(home=tmp_path, profile="paper"))


def _stream(database: Database, beat_seconds_ago: int) -> None:
    beat = NOW - timedelta(seconds=beat_seconds_ago)
    with database.connection() as connection:
        connection.execute(
            """INSERT INTO market.streams (endpoint, venue, connected, changed_at, beat_at)
               VALUES ('kraken/trades', 'kraken', true, %s, %s)""",
            [START, beat],
        )


def test_ages_gaps_and_held_candles_are_counted(database: Database, settings: Settings) -> None:
    """M3: stale data that nobody noticed. The age counts from the close of the newest candle."""
    frame = candle_frame([0, 1, 5, 9])
    with database.connection() as connection:
        upsert_candles(connection, *SERIES, frame, "rest")
        record_gaps(connection, *SERIES, START, NOW, find_gaps(frame["opened_at"], Timeframe.M1))
        jump = Finding("kraken", "BTC/USDT", START + timedelta(minutes=9), QualityCode.OUTLIER, "rest", {"move": 0.2})
        record_findings(connection, [jump], NOW)
    document = data_state(database, settings, ReplayClock(NOW)).document()
    assert document["data_age_seconds"]["BTC/USDT"] == 120.0
    assert document["data_age_seconds"]["ETH/USDT"] is None
    (bitcoin,) = [one for one in document["series"] if (one["venue"], one["symbol"]) == ("kraken", "BTC/USDT")]
    assert bitcoin["minutes_missing"] == 6
    assert bitcoin["candles_held"] == 1
    assert document["source"] == "kraken"
    assert document["simulated"] is False


@pytest.mark.parametrize(("seconds_ago", "known"), [(5, True), (31, False)])
def test_a_stream_whose_service_is_silent_is_not_connected(
    database: Database, settings: Settings, seconds_ago: int, *, known: bool
) -> None:
    """M3: a service that was killed leaves a row that says connected."""
    _stream(database, seconds_ago)
    document = data_state(database, settings, ReplayClock(NOW)).document()
    assert document["websocket_connected"] == {"kraken/trades": known}


def test_open_alerts_are_shown(database: Database, settings: Settings) -> None:
    """M7: a switch to the backup that nobody is told of."""
    with database.connection() as connection:
        raise_alert(connection, "venue_failover", "kraken", AlertLevel.WARNING, "kraken gave no candle", NOW)
    (alert,) = data_state(database, settings, ReplayClock(NOW)).document()["alerts"]
    assert alert["level"] == "warning"
