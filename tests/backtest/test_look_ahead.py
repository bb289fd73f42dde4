"""Look-ahead: every candle after a moment is altered, and no decision until then may differ.

The assets run for real, from candles to decisions, on two databases that agree up to the cut.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from servers import Server, fresh_database

from triplegain_pipelines.agents import snapshot, window
from triplegain_pipelines.definitions import build_defs
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.market.files.archives import read_archive
from triplegain_pipelines.operations.desks import current_prices, paper_desk
from triplegain_pipelines.operations.feed import StoredFeed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decisions

pytestmark = [pytest.mark.backtest, pytest.mark.slow]

_SYMBOL = "BTC/USDT"
_HISTORY, _DAY = "2024-07-26", "2024-08-05"
_START = datetime(2024, 8, 5, tzinfo=UTC)
_CUT = _START + timedelta(hours=12)
# The candle that opens at the cut closes a minute later, so the decision of the cut itself cannot know it.
_UNTIL = 13


@pytest.fixture(scope="module")
def minutes(recorded_data: Path) -> pl.DataFrame:
    """The recorded minutes around the crash."""
    frame = read_archive(recorded_data / "candles" / "btcusdt_1m_binance_2024-07_2024-08.parquet").frame
    return frame.filter(pl.col("opened_at") < _START + timedelta(days=1))


def altered(minutes: pl.DataFrame) -> pl.DataFrame:
    """The same minutes with another future."""
    future = pl.col("opened_at") >= _CUT
    columns = ("open", "high", "low", "close", "volume")
    return minutes.with_columns(
        pl.when(future).then(pl.col(name) * 1.3).otherwise(name).alias(name) for name in columns
    )


def decide(server: Server, name: str, minutes: pl.DataFrame) -> list[tuple[object, ...]]:
    """Run the assets over the day, in a database of its own, and give each decision with the hash of what it saw."""
    with fresh_database(server, name) as database:
        return _decide(database, minutes)


def _decide(database: Database, minutes: pl.DataFrame) -> list[tuple[object, ...]]:
    own = load_settings(Environment(profile="demo"))
    session = Session("look-ahead", "binance", (_SYMBOL,), replay=True, settings=own, clock=SystemClock())
    with database.connection() as connection:
        upsert_candles(connection, "binance", _SYMBOL, Timeframe.M1, minutes, "recorded")
    desk = paper_desk(database, session, session.clock, current_prices(session))
    defs = build_defs({"database": database, "session": session, "feed": StoredFeed(), "desk": desk})
    with dg.DagsterInstance.ephemeral() as instance:
        for job, first in (("market_data", _HISTORY), ("decision_history", _DAY)):
            days = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": _DAY}
            assert defs.resolve_job_def(job).execute_in_process(instance=instance, tags=days).success
    with database.connection() as connection:
        made = read_decisions(connection, session.account, _START, _START + timedelta(days=1))
    assert len(made) == 24
    return [(one.as_of, one.snapshot_id, one.forecast_ids, one.action, one.p_up, one.explanation) for one in made]


def test_no_decision_knows_the_future(postgres: Server, minutes: pl.DataFrame) -> None:
    """B2: a decision that changes when its future does has seen it, and its profit is an invention."""
    true, other = decide(postgres, "future", minutes), decide(postgres, "other future", altered(minutes))
    assert true[:_UNTIL] == other[:_UNTIL]
    assert true[_UNTIL:] != other[_UNTIL:]


def test_a_planted_leak_is_found(postgres: Server, minutes: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """B2: a test for look-ahead that cannot find any is worse than none. Here each window shows one bar too many."""

    def one_too_many(as_of: datetime, timeframe: Timeframe, grace: timedelta) -> datetime:
        return last_closed_open(as_of, timeframe, grace) + timeframe.duration

    for module in (window, snapshot):
        monkeypatch.setattr(module, "last_closed_open", one_too_many)
    monkeypatch.setattr("triplegain_pipelines.agents.evidence.last_closed_open", one_too_many)
    true, other = decide(postgres, "future", minutes), decide(postgres, "other future", altered(minutes))
    assert true[:_UNTIL] != other[:_UNTIL]
