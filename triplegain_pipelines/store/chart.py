"""Wide reads for charts: candles as long as a chart can show, and lines of a few points that keep their shape.

Made of all stored candles, those that a finding holds back included: a person must see what was published. What
decisions read is `market.rollups`. With TimescaleDB finished buckets come from its continuous aggregates, and the
rows are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, EPOCH, Timeframe, floor_to
from triplegain_pipelines.store.bulk import copy_out
from triplegain_pipelines.store.extensions import Extensions, find_extensions
from triplegain_pipelines.store.hypertables import aggregate_name

if TYPE_CHECKING:
    import polars as pl

# A line is drawn of at most this many candles a point. The toolkit adds up the times of each point's candles, and
# from some 10,000 on their sum is too large for it.
_CANDLES_A_POINT = 8
_LEAST_POINTS = 3

_MINUTES: LiteralString = """
    SELECT opened_at, open, high, low, close, volume, 1 AS minutes FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m'
        AND opened_at >= %(first)s AND opened_at < %(end)s
"""
# Volumes are added as decimals, so that the order of the rows does not show in the last bit.
_BUCKETS: LiteralString = """
    SELECT date_bin(%(width)s::interval, opened_at, 'epoch'::timestamptz) AS opened_at,
        (array_agg(open ORDER BY opened_at))[1] AS open, max(high) AS high, min(low) AS low,
        (array_agg(close ORDER BY opened_at))[count(*)::integer] AS close,
        sum(volume::text::numeric)::float8 AS volume, count(*)::integer AS minutes
    FROM market.candles
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = '1m'
        AND opened_at >= {start} AND opened_at < {end}
    GROUP BY 1
"""
# An aggregate tells what it held at its last refresh. TimescaleDB notes, with the change itself, which times have
# changed since, in microseconds from the Unix epoch; those buckets are made of the candles again.
_AGGREGATED: LiteralString = """
    WITH changed AS (
        SELECT lowest_modified_value AS low, greatest_modified_value AS high
        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
        WHERE hypertable_id = (SELECT id FROM _timescaledb_catalog.hypertable
                               WHERE schema_name = 'market' AND table_name = 'candles')
        UNION ALL
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log WHERE materialization_id = {number}
        UNION ALL
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_ranges WHERE materialization_id = {number}
    ), clipped AS (
        SELECT greatest(low, %(first_microsecond)s) AS low, least(high, %(last_microsecond)s) AS high FROM changed
        WHERE low <= %(last_microsecond)s AND high >= %(first_microsecond)s
    ), stale AS MATERIALIZED (
        SELECT unnest(range_agg(tstzrange(
            to_timestamp(low / %(microseconds)s * %(seconds)s),
            to_timestamp((high / %(microseconds)s + 1) * %(seconds)s)
        ))) AS span FROM clipped
    )
    SELECT a.opened_at, a.open, a.high, a.low, a.close, a.volume, a.minutes FROM {aggregate} a
    WHERE a.venue = %(venue)s AND a.symbol = %(symbol)s
        AND a.opened_at >= %(first)s::timestamptz AND a.opened_at < %(end)s::timestamptz
        AND NOT EXISTS (SELECT FROM stale WHERE a.opened_at <@ span)
    UNION ALL
    SELECT renewed.* FROM stale CROSS JOIN LATERAL ({buckets}) AS renewed
"""
_AGGREGATE_NUMBER: LiteralString = """
    (SELECT mat_hypertable_id FROM _timescaledb_catalog.continuous_agg
     WHERE user_view_schema = 'market' AND user_view_name = {name})
"""
_LINE: LiteralString = """
    SELECT time, value FROM unnest((SELECT lttb(opened_at, close, {points}) FROM ({candles}) AS c)) ORDER BY time
"""


def chart_timeframe(start: datetime, end: datetime, points: int) -> Timeframe:
    """The shortest timeframe of which [start, end) has at most `points` candles, or a day where even days are more."""
    fitting = (timeframe for timeframe in DECISION_TIMEFRAMES if (end - start) <= points * timeframe.duration)
    return next(fitting, Timeframe.D1)


def chart_candles(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    start: datetime,
    end: datetime,
    points: int,
    *,
    extensions: Extensions | None = None,
) -> pl.DataFrame:
    """At most about `points` candles that show [start, end), as a roll-up frame, in order.

    The candles are whole: the first and the last may reach out of the window. None is longer than a day, so of more
    than `points` days there are more. The volume is the double nearest to the sum of the published decimals.

    Args:
        connection: what its own open transaction has written of old candles may be missing.
        venue: of the series.
        symbol: of the series.
        start: UTC, included.
        end: UTC, not included.
        points: how many candles the chart has room for.
        extensions: those to use; None for those that the database has.

    Raises:
        InputError: `points` is below three, or `end` is not after `start`.
    """
    from triplegain_pipelines.market.contracts import ROLLUP_COLUMNS

    _check(start, end, points)
    timeframe = chart_timeframe(start, end, points)
    query = sql.SQL("{} ORDER BY opened_at").format(_candles(timeframe, extensions or find_extensions(connection)))
    return copy_out(connection, query, _parameters(venue, symbol, start, end, timeframe), ROLLUP_COLUMNS)


def chart_line(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    start: datetime,
    end: datetime,
    points: int,
    *,
    extensions: Extensions | None = None,
) -> pl.DataFrame:
    """The closing prices of [start, end) in at most `points` points that keep the shape, columns opened_at and close.

    Made of candles of a length of which there are up to eight a point, thinned by largest triangles (LTTB).

    Raises:
        InputError: `points` is below three, or `end` is not after `start`.
    """
    import polars as pl

    from triplegain_pipelines.market.contracts import TIME

    _check(start, end, points)
    timeframe = chart_timeframe(start, end, _CANDLES_A_POINT * points)
    parameters = _parameters(venue, symbol, start, end, timeframe)
    columns = {"opened_at": TIME, "close": pl.Float64()}
    found = extensions or find_extensions(connection)
    candles = _candles(timeframe, found)
    if found.toolkit is not None:
        line = sql.SQL(_LINE).format(points=sql.Literal(points), candles=candles)
        return copy_out(connection, line, parameters, columns)
    query = sql.SQL("SELECT opened_at, close FROM ({}) AS c ORDER BY opened_at").format(candles)
    closes = copy_out(connection, query, parameters, columns)
    microseconds = closes["opened_at"].dt.epoch("us").to_list()
    return closes[largest_triangles(microseconds, closes["close"].to_list(), points)]


def largest_triangles(times: Sequence[int], values: Sequence[float], points: int) -> list[int]:
    """Which of the values, by number, to keep so that `points` of them look like all of them.

    Largest triangle three buckets: the first and the last stay, and of each of the equal parts between them the value
    that makes the largest triangle with the one kept before and the average of the next part; of equal triangles
    the first. It chooses what the toolkit's `lttb` chooses, to the last rounding.

    Args:
        times: rising whole numbers.
        values: as many.
        points: at least three; of no more values all stay.
    """
    if len(values) <= points:
        return list(range(len(values)))
    every = (len(values) - 2) / (points - 2)
    edges = [int(part * every) + 1 for part in range(points)]
    kept = [0]
    for part in range(points - 2):
        following = range(edges[part + 1], min(edges[part + 2], len(values)))
        here = range(edges[part], edges[part + 1])
        kept.append(_largest(times, values, kept[-1], here, following))
    return [*kept, len(values) - 1]


def _largest(times: Sequence[int], values: Sequence[float], last: int, here: range, following: range) -> int:
    middle = sum(times[number] for number in following) // len(following)
    level = 0.0
    for number in following:  # one after the other: from Python 3.12 on sum() would round differently
        level += values[number]
    level /= len(following)
    best, largest = here.start, -1.0
    for number in here:
        rise = float(times[last] - middle) * (values[number] - values[last])
        run = float(times[last] - times[number]) * (level - values[last])
        area = abs(rise - run) * 0.5
        if area > largest:
            best, largest = number, area
    return best


def _candles(timeframe: Timeframe, found: Extensions) -> sql.Composed:
    if timeframe is Timeframe.M1:
        return sql.SQL(_MINUTES).format()
    if not found.aggregates:
        return sql.SQL(_BUCKETS).format(start=sql.Placeholder("first"), end=sql.Placeholder("end"))
    name = aggregate_name(timeframe)
    return sql.SQL(_AGGREGATED).format(
        number=sql.SQL(_AGGREGATE_NUMBER).format(name=sql.Literal(name)),
        aggregate=sql.Identifier("market", name),
        buckets=sql.SQL(_BUCKETS).format(start=sql.SQL("lower(span)"), end=sql.SQL("upper(span)")),
    )


def _parameters(venue: str, symbol: str, start: datetime, end: datetime, timeframe: Timeframe) -> Mapping[str, object]:
    step = timeframe.duration
    first = floor_to(start, step)
    last = floor_to(end - timedelta(microseconds=1), step) + step
    return {
        "venue": venue,
        "symbol": symbol,
        "first": first,
        "end": last,
        "width": step,
        "seconds": timeframe.minutes * 60,
        "microseconds": timeframe.minutes * 60_000_000,
        "first_microsecond": _microseconds(first),
        "last_microsecond": _microseconds(last) - 1,
    }


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _check(start: datetime, end: datetime, points: int) -> None:
    if points < _LEAST_POINTS:
        msg = f"a chart of {points} points was asked for; it needs at least {_LEAST_POINTS}"
        raise InputError(msg)
    if end <= start:
        msg = f"a chart from {start.isoformat()} to {end.isoformat()} was asked for; its end must be after its start"
        raise InputError(msg)
