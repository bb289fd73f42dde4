"""Gaps with the reason for each: found, explained, repaired. Every function works in the caller's transaction.

A minute that is not stored, or was not once, is in at most one row. Rows of one kind that touch are one row, so what is
stored does not depend on the pieces in which it was found out.
"""

from datetime import datetime
from typing import LiteralString

import polars as pl
import psycopg

from triplegain_pipelines.domain.quality import GapKind
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import GAP_COLUMNS, TIME
from triplegain_pipelines.store.bulk import copy_out, stage
from triplegain_pipelines.store.candle_writes import lock_series
from triplegain_pipelines.store.candles import opening_times

_ROW = {**GAP_COLUMNS, "kind": pl.String(), "detected_at": TIME, "checked_at": TIME}
_FAMILIAR = [GapKind.NO_TRADES.value, GapKind.OUTAGE.value, GapKind.MISSING.value, GapKind.REPAIRED.value]
# Rows that lie in the window or touch it. Of those that begin before it only the last can, for no two overlap: so
# nobody reads the thousands that a thin market has of earlier months.
_TOUCHING: LiteralString = """
    SELECT starts_at, ends_at, missing, kind, detected_at, checked_at FROM market.candle_gaps
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
        AND ends_at >= %(start)s - %(step)s AND starts_at <= %(end)s AND starts_at >= coalesce((
            SELECT max(starts_at) FROM market.candle_gaps
            WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
                AND starts_at <= %(start)s - %(step)s
        ), '-infinity')
    ORDER BY starts_at
"""
_FIRST_UNEXPLAINED: LiteralString = """
    WITH explained AS MATERIALIZED (
        SELECT starts_at, ends_at FROM market.candle_gaps
        WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s
            AND kind IN ('no_trades', 'outage') AND ends_at >= %(start)s AND starts_at < %(end)s
    )
    SELECT grid.opened_at
    FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - %(step)s, %(step)s) AS grid (opened_at)
    WHERE NOT EXISTS (
        SELECT FROM market.candles c
        WHERE c.venue = %(venue)s AND c.symbol = %(symbol)s AND c.timeframe = %(timeframe)s
            AND c.opened_at = grid.opened_at AND c.opened_at >= %(start)s AND c.opened_at < %(end)s
    ) AND NOT EXISTS (
        SELECT FROM explained WHERE grid.opened_at BETWEEN starts_at AND ends_at
    )
    ORDER BY grid.opened_at LIMIT 1
"""
_DELETE: LiteralString = """
    DELETE FROM market.candle_gaps
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND timeframe = %(timeframe)s AND starts_at = ANY(%(starts)s)
"""
_WRITE: LiteralString = """
    INSERT INTO market.candle_gaps AS g
        (venue, symbol, timeframe, starts_at, ends_at, missing, kind, detected_at, checked_at)
    SELECT %(venue)s, %(symbol)s, %(timeframe)s, starts_at, ends_at, missing, kind, coalesce(detected_at, now()),
        checked_at
    FROM staged_candle_gaps
    ON CONFLICT (venue, symbol, timeframe, starts_at) DO UPDATE SET
        ends_at = excluded.ends_at, missing = excluded.missing, kind = excluded.kind,
        detected_at = least(g.detected_at, excluded.detected_at), checked_at = excluded.checked_at
"""


def record_gaps(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    gaps: pl.DataFrame,
) -> None:
    """Record the gaps found in [start, end), and bring the recorded ones there up to date with the stored candles.

    What was explained stays explained, beside a gap that is not. Minutes of a recorded gap that are stored by now
    become a row of kind `repaired`.

    Args:
        connection: in a transaction; the series stays locked against other writers until it ends.
        venue: of the series.
        symbol: of the series.
        timeframe: of the series.
        start: of the window.
        end: of the window, excluded.
        gaps: keeps the contract `gaps`.
    """
    _Rows(connection, venue, symbol, timeframe, start, end).rewrite(gaps)


def settle_gaps(
    connection: psycopg.Connection,
    venue: str,
    symbol: str,
    timeframe: Timeframe,
    start: datetime,
    end: datetime,
    kind: GapKind,
    checked_at: datetime,
) -> int:
    """Say why candles of [start, end) are missing, after the venue was asked for all of them.

    Only what is recorded as `missing`, and is not stored, gets the kind; a gap that reaches out of the window is split,
    and what lies outside stays as it was. With kind `missing` nothing is explained: it is noted only that the venue was
    asked, for those gaps that lie within the window whole.

    Args:
        connection: in a transaction; the series stays locked against other writers until it ends.
        venue: of the series.
        symbol: of the series.
        timeframe: of the series.
        start: of the window.
        end: of the window, excluded.
        kind: `no_trades`, `outage`, or `missing`.
        checked_at: when the venue was asked.

    Returns:
        How many minutes got the kind; with `missing`, how many were asked for and still have no reason.

    Raises:
        ValueError: the kind is `repaired`, which follows from what is stored.
    """
    if kind is GapKind.REPAIRED:
        msg = "a gap is repaired when its candles are stored; it cannot be said of it"
        raise ValueError(msg)
    return _Rows(connection, venue, symbol, timeframe, start, end).rewrite(
        pl.DataFrame(schema=dict(GAP_COLUMNS)), (kind, checked_at)
    )


def first_unexplained(
    connection: psycopg.Connection, venue: str, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
) -> datetime | None:
    """The first opening time of [start, end) that is neither stored nor known to be without a candle.

    Args:
        connection: open.
        venue: of the series.
        symbol: of the series.
        timeframe: of the series.
        start: on the grid of the timeframe.
        end: excluded.

    Returns:
        None where everything is stored, or was explained as `no_trades` or `outage`.
    """
    key = {"venue": venue, "symbol": symbol, "timeframe": timeframe.value, "step": timeframe.duration}
    row = connection.execute(_FIRST_UNEXPLAINED, {**key, "start": start, "end": end}).fetchone()
    return row[0] if row else None


class _Rows:
    """The rows that touch a window of a series, locked."""

    def __init__(
        self,
        connection: psycopg.Connection,
        venue: str,
        symbol: str,
        timeframe: Timeframe,
        start: datetime,
        end: datetime,
    ) -> None:
        self._connection, self._timeframe, self._start, self._end = connection, timeframe, start, end
        self._series = (venue, symbol, timeframe)
        self._key = {"venue": venue, "symbol": symbol, "timeframe": timeframe.value}
        lock_series(connection, venue, [symbol], timeframe)
        window = {**self._key, "start": start, "end": end, "step": timeframe.duration}
        self._recorded = copy_out(connection, _TOUCHING, window, _ROW)

    def rewrite(self, found: pl.DataFrame, reason: tuple[GapKind, datetime] | None = None) -> int:
        """Write the rows anew where something changed; returns how many minutes the reason was given to."""
        minutes = self._classified(found)
        settled = 0
        if reason:
            kind, checked_at = reason
            asked = pl.col("opened_at").is_between(self._start, self._end, closed="left") & (
                pl.col("kind") == "missing"
            )
            if kind is GapKind.MISSING:
                # A row that reaches out of the window was not asked for whole, and has one time only.
                asked &= asked.all().over(_run_number(self._timeframe))
            settled = minutes.filter(asked).height
            minutes = minutes.with_columns(
                kind=pl.when(asked).then(pl.lit(kind.value)).otherwise("kind"),
                checked_at=pl.when(asked).then(pl.lit(checked_at, TIME)).otherwise("checked_at"),
            )
        self._write(_runs(minutes, self._timeframe))
        return settled

    def _classified(self, found: pl.DataFrame) -> pl.DataFrame:
        """A row for each minute of the recorded and found gaps: its kind, when detected and asked about, sorted."""
        rows = pl.concat([self._recorded, found.with_columns(kind=pl.lit("missing"))], how="diagonal")
        order = pl.col("kind").replace_strict(_FAMILIAR, range(len(_FAMILIAR)), return_dtype=pl.Int8)
        minutes = (
            rows.with_columns(opened_at=pl.datetime_ranges("starts_at", "ends_at", self._timeframe.duration))
            .explode("opened_at")
            .sort("opened_at", order, "detected_at", nulls_last=True)
            .unique("opened_at", keep="first", maintain_order=True)
        )
        if minutes.is_empty():
            return minutes
        stored = opening_times(
            self._connection, *self._series, minutes.item(0, "opened_at"), minutes.item(-1, "opened_at")
        )
        is_stored = pl.col("opened_at").is_in(stored.implode())
        # What is recorded as repaired and not stored is missing, whatever led to that.
        kept = pl.when(pl.col("kind") == "repaired").then(pl.lit("missing")).otherwise("kind")
        # What was found missing just now and is stored never was a gap.
        return minutes.filter(~is_stored | pl.col("detected_at").is_not_null()).with_columns(
            kind=pl.when(is_stored).then(pl.lit("repaired")).otherwise(kept)
        )

    def _write(self, rows: pl.DataFrame) -> None:
        same = [*GAP_COLUMNS, "kind", "checked_at"]
        gone = self._recorded.join(rows, on=same, how="anti", nulls_equal=True)
        new = rows.join(self._recorded, on=same, how="anti", nulls_equal=True)
        if gone.height:
            self._connection.execute(_DELETE, {**self._key, "starts": gone["starts_at"].to_list()})
        if new.height:
            stage(self._connection, new, ("market", "candle_gaps"))
            self._connection.execute(_WRITE, self._key)


def _run_number(timeframe: Timeframe) -> pl.Expr:
    apart = (pl.col("opened_at").diff() > timeframe.duration).fill_null(value=False)
    other = (pl.col("kind") != pl.col("kind").shift(1)).fill_null(value=False)
    return (apart | other).cum_sum()


def _runs(minutes: pl.DataFrame, timeframe: Timeframe) -> pl.DataFrame:
    """Minutes in a row and of one kind are one row: detected when its first was, asked about when all had been."""
    return (
        minutes.group_by(_run_number(timeframe).alias("run"), maintain_order=True)
        .agg(
            starts_at=pl.col("opened_at").min(),
            ends_at=pl.col("opened_at").max(),
            missing=pl.len(),
            kind=pl.col("kind").first(),
            detected_at=pl.col("detected_at").min(),
            checked_at=pl.when(pl.col("checked_at").is_not_null().all()).then(pl.col("checked_at").min()),
        )
        .select(pl.col(name).cast(kind) for name, kind in _ROW.items())
    )
