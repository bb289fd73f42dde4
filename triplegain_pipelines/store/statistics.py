"""Statistics of the data itself, for the quality report: coverage, latency, spread, size of trades.

With the toolkit percentiles come from a sketch, which is within 0.1 % of the value that plain SQL finds by sorting,
and time-weighted averages from its own aggregate, the same to twelve digits. Counts are the same.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

import psycopg
from psycopg import sql

from triplegain_pipelines.store.extensions import Extensions, find_extensions

# Twice as fine as promised, with room for values from 1 to e^20; with fewer buckets a sketch gives up exactness.
SKETCH_ERROR = 0.0005
_SKETCH_BUCKETS = 20_000
_RANKS = (0.5, 0.95, 0.99)
# A candle first recorded within this time of its close came live; later it came from a back-fill or an archive.
LIVE_WITHIN = timedelta(hours=1)

# The first recording counts: a revision moves recorded_at.
_LATENCIES: LiteralString = """
    SELECT value FROM (
        SELECT extract(epoch FROM least(c.recorded_at, (
                SELECT min(r.recorded_at) FROM market.candle_revisions r
                WHERE r.venue = c.venue AND r.symbol = c.symbol AND r.timeframe = c.timeframe
                    AND r.opened_at = c.opened_at
            )) - c.opened_at - INTERVAL '1 minute')::float8 AS value
        FROM market.candles c
        WHERE c.venue = %(venue)s AND c.symbol = %(symbol)s AND c.timeframe = '1m'
            AND c.opened_at >= %(start)s AND c.opened_at < %(end)s
    ) AS all_latencies WHERE value < %(live_seconds)s
"""
_SPREADS: LiteralString = """
    SELECT at, (ask - bid) / ((ask + bid) / 2) * 10000 AS value FROM market.top_of_book
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND at >= %(start)s AND at < %(end)s
"""
_SIZES: LiteralString = """
    SELECT quantity AS value FROM market.trades
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND traded_at >= %(start)s AND traded_at < %(end)s
"""
# The rule of the toolkit's approx_percentile: of n values in order the one with number floor(n * rank) + 1. It is
# percentile_disc, but for an n * rank that is whole, where that takes the value before.
_PERCENTILES: LiteralString = """
    SELECT n, {values} FROM (
        SELECT array_agg(value ORDER BY value) AS sorted, count(*)::integer AS n FROM ({rows}) AS r
    ) AS collected
"""
_PERCENTILE: LiteralString = "sorted[least(floor(n::float8 * {rank}::float8)::integer + 1, n)]"
_SKETCHED: LiteralString = """
    SELECT n, {values} FROM (
        SELECT uddsketch({buckets}, {error}, value) AS sketch, count(*)::integer AS n FROM ({rows}) AS r
    ) AS collected
"""
_SKETCHED_PERCENTILE: LiteralString = "approx_percentile({rank}::float8, sketch)"
_TIME_WEIGHTED: LiteralString = """
    SELECT sum(value * held ORDER BY at) / nullif(sum(held), 0) FROM (
        SELECT at, value, extract(epoch FROM lead(at) OVER (ORDER BY at) - at)::float8 AS held FROM ({rows}) AS r
    ) AS weighted
"""
_TOOLKIT_TIME_WEIGHTED: LiteralString = """
    SELECT average(time_weight('LOCF', at, value)) FROM (SELECT at, value FROM ({rows}) AS r ORDER BY at) AS ordered
"""
_COVERAGE: LiteralString = """
    SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM market.data_findings f
        WHERE f.venue = c.venue AND f.symbol = c.symbol AND f.timeframe = c.timeframe AND f.at = c.opened_at
            AND f.held AND f.settled_at IS NULL
    ))
    FROM market.candles c
    WHERE c.venue = %(venue)s AND c.symbol = %(symbol)s AND c.timeframe = '1m'
        AND c.opened_at >= %(start)s AND c.opened_at < %(end)s
"""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of `count` values the one with number floor(count * rank) + 1 from below, exact or within 0.1 % of it."""

    count: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class QualityStatistics:
    """What is known of one series in a window.

    Attributes:
        minutes: whole minutes of the window.
        candles: one-minute candles stored of them.
        usable: of those, the ones that no open finding holds back.
        latency: seconds from a candle's close to its first recording, of the candles that came within an hour; None
            where none did. It is measured with the database server's clock.
        spread: of the top of book in basis points of the middle price, each reading counted once; None without any.
        average_spread: the same weighted by time, each reading until the next, also over a pause of the stream; None
            with fewer than two readings.
        trade_size: of the stored trades, in units of the base currency; None without any.
    """

    minutes: int
    candles: int
    usable: int
    latency: Percentiles | None
    spread: Percentiles | None
    average_spread: float | None
    trade_size: Percentiles | None

    @property
    def coverage(self) -> float | None:
        """The part of the minutes that have a candle, 0 to 1; None for a window without a whole minute."""
        return self.candles / self.minutes if self.minutes else None


def quality_statistics(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    start: datetime,
    end: datetime,
    *,
    extensions: Extensions | None = None,
) -> QualityStatistics:
    """Look at one series in [start, end).

    Args:
        connection: to the database.
        venue: of the series.
        symbol: of the series.
        start: UTC, included.
        end: UTC, not included.
        extensions: those to use; None for those that the database has.
    """
    toolkit = (extensions or find_extensions(connection)).toolkit is not None
    key = {"venue": venue, "symbol": symbol, "start": start, "end": end, "live_seconds": LIVE_WITHIN.total_seconds()}
    candles, usable = connection.execute(_COVERAGE, key).fetchone() or (0, 0)
    weighted = _TOOLKIT_TIME_WEIGHTED if toolkit else _TIME_WEIGHTED
    average = connection.execute(sql.SQL(weighted).format(rows=sql.SQL(_SPREADS)), key).fetchone()
    return QualityStatistics(
        minutes=(end - start) // timedelta(minutes=1),
        candles=candles,
        usable=usable,
        latency=_percentiles(connection, _LATENCIES, key, toolkit=toolkit),
        spread=_percentiles(connection, _SPREADS, key, toolkit=toolkit),
        average_spread=average[0] if average else None,
        trade_size=_percentiles(connection, _SIZES, key, toolkit=toolkit),
    )


def _percentiles(
    connection: psycopg.Connection, rows: LiteralString, key: dict[str, object], *, toolkit: bool
) -> Percentiles | None:
    value = sql.SQL(_SKETCHED_PERCENTILE if toolkit else _PERCENTILE)
    values = sql.SQL(", ").join(value.format(rank=sql.Literal(rank)) for rank in _RANKS)
    query = sql.SQL(_SKETCHED if toolkit else _PERCENTILES).format(
        values=values, rows=sql.SQL(rows), buckets=sql.Literal(_SKETCH_BUCKETS), error=sql.Literal(SKETCH_ERROR)
    )
    row = connection.execute(query, key).fetchone()
    return Percentiles(*row) if row and row[0] else None
