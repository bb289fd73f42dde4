"""A market in the database for research: hourly candles of a walk, and the settings and session that look at it."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from research_market import SYMBOL

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, Settings, load_settings
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database

VENUE = "binance"


def candle_frame(series: CandleSeries) -> pl.DataFrame:
    """The candles as they are stored."""
    opened = pl.Series("opened_at", series.opened_at).cast(pl.Datetime("us", "UTC"))
    prices = {name: getattr(series, name) for name in ("open", "high", "low", "close", "volume")}
    return pl.DataFrame({"opened_at": opened, **prices, "trades": pl.Series([None] * len(series), dtype=pl.Int64)})


def store(database: Database, series: CandleSeries) -> None:
    """Put the candles into the database."""
    with database.connection() as connection:
        upsert_candles(connection, VENUE, series.symbol, Timeframe.H1, candle_frame(series), "test")


def research_session(folder: Path, now: datetime = datetime(2026, 11, 21, tzinfo=UTC)) -> Session:
    """The demo's settings on a home of the test's own, at a fixed time."""
    settings: Settings = load_settings(Environment(home=folder))
    return Session("research", VENUE, (SYMBOL,), replay=True, settings=settings, clock=ReplayClock(now))
