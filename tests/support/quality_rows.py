"""Candles, trades and top of book of a few days with everything that could tell two renderings of a query apart."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import psycopg

from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.store.candles import upsert_candles

START = datetime(2024, 8, 1, tzinfo=UTC)
SERIES = ("kraken", "BTC/USDT")


@dataclass(frozen=True, slots=True)
class Trade:
    """One stored trade."""

    at: datetime
    number: str
    price: float
    quantity: float


def drawn_candles(seed: int, days: int) -> pl.DataFrame:
    """A walk of one-minute candles with gaps, on prices of two and volumes of eight decimals."""
    draw = np.random.default_rng(seed)
    minutes = np.flatnonzero(draw.random(days * 1440) > 0.05)
    close = np.round(60_000 * np.exp(np.cumsum(draw.normal(0, 0.0005, minutes.size))), 2)
    open_ = np.round(close + draw.normal(0, 5, minutes.size), 2)
    reach = np.round(draw.exponential(5, (2, minutes.size)), 2)
    return pl.DataFrame(
        {
            "opened_at": [START + timedelta(minutes=int(minute)) for minute in minutes],
            "open": open_,
            "high": np.maximum(open_, close) + reach[0],
            "low": np.minimum(open_, close) - reach[1],
            "close": close,
            "volume": np.round(10 ** draw.uniform(-6, 4, minutes.size), 8),
            "trades": draw.integers(1, 900, minutes.size),
        }
    ).select(pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items())


def drawn_trades(seed: int, count: int) -> list[Trade]:
    """Trades of three hours, many of one moment, whose numbers do not sort as text: 9 comes before 10."""
    draw = np.random.default_rng(seed)
    moments = np.sort(draw.integers(0, 10_800_000_000, count) // 20_000_000 * 20_000_000)
    return [
        Trade(
            START + timedelta(microseconds=int(moment)),
            str(number),
            float(np.round(60_000 + draw.normal(0, 50), 1)),
            float(np.round(10 ** draw.uniform(-7, 3), 8)),
        )
        for number, moment in enumerate(moments, start=5)
    ]


def store_all(connection: psycopg.Connection, seed: int, days: int = 3) -> None:
    """Store the series with a latency of its own for each candle, one candle held back, and one revised."""
    draw = np.random.default_rng(seed)
    candles = drawn_candles(seed, days)
    key = (*SERIES, Timeframe.M1)
    upsert_candles(connection, *key, candles, "stream")
    late = [float(value) for value in 10 ** draw.uniform(-3, 3.9, candles.height)]
    with connection.cursor() as cursor:
        cursor.executemany(
            """UPDATE market.candles SET recorded_at = opened_at + INTERVAL '1 minute' + %s * INTERVAL '1 second'
               WHERE venue = 'kraken' AND opened_at = %s""",
            list(zip(late, candles["opened_at"], strict=True)),
        )
        cursor.executemany(
            "INSERT INTO market.trades VALUES ('kraken', 'BTC/USDT', %s, %s, %s, %s, 'buy', 'test')",
            [(trade.at, trade.number, trade.price, trade.quantity) for trade in drawn_trades(seed, 2000)],
        )
        cursor.executemany(
            "INSERT INTO market.top_of_book VALUES ('kraken', 'BTC/USDT', %s, %s, 1, %s, 2, 'test')",
            _readings(draw),
        )
        cursor.execute(
            """INSERT INTO market.data_findings
                   (finding_id, venue, symbol, timeframe, at, code, held, detail, source, detected_at)
               VALUES (gen_random_uuid(), 'kraken', 'BTC/USDT', '1m', %s, 'outlier', true, '{}', 'test', now())""",
            (candles["opened_at"][100],),
        )
    upsert_candles(connection, *key, candles[50:51].with_columns(volume=pl.lit(0.12345678)), "rest")


def _readings(draw: np.random.Generator) -> list[tuple[datetime, float, float]]:
    moments = np.unique(draw.integers(0, 86_400_000_000, 3000))
    bids = np.round(60_000 + np.cumsum(draw.normal(0, 1, moments.size)), 1)
    spreads = np.round(10 ** draw.uniform(-1, 2, moments.size), 1)
    return [
        (START + timedelta(microseconds=int(moment)), float(bid), float(bid + spread))
        for moment, bid, spread in zip(moments, bids, spreads, strict=True)
    ]
