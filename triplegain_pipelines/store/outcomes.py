"""Outcomes of forecasts, and forecasts beside them for scoring. How they settle is in `evaluation`."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl
import psycopg
from psycopg import sql

from triplegain_pipelines.store.bulk import copy_out, stage

_UTC = pl.Datetime("us", "UTC")

OUTCOMES = {
    "symbol": pl.String(),
    "as_of": _UTC,
    "horizon_hours": pl.Int32(),
    "settled_at": _UTC,
    "entry_price": pl.Float64(),
    "exit_price": pl.Float64(),
    "return": pl.Float64(),
    "went_up": pl.Boolean(),
    "round_trip_cost": pl.Float64(),
}
"""Columns of a frame of outcomes; `round_trip_cost` is null where it settled before costs were kept."""

SCORED = {
    "forecaster": pl.String(),
    "baseline": pl.Boolean(),
    "symbol": pl.String(),
    "as_of": _UTC,
    "p_up": pl.Float64(),
    "went_up": pl.Boolean(),
}
"""Columns of a frame of forecasts beside outcomes: `p_up` is null where the forecaster abstained, `went_up` where
the outcome has not settled."""


def save_outcomes(connection: psycopg.Connection, venue: str, outcomes: pl.DataFrame) -> None:
    """Store a frame with the columns `OUTCOMES`; an outcome that is there already stays as it is."""
    staged = stage(
        connection,
        outcomes.select(pl.lit(venue).alias("venue"), *OUTCOMES),
        ("research", "forecast_outcomes"),
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, ("venue", *OUTCOMES)))
    connection.execute(
        sql.SQL("INSERT INTO research.forecast_outcomes ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
            columns, columns, sql.Identifier(staged)
        )
    )


def read_outcomes(
    connection: psycopg.Connection, venue: str, symbols: Sequence[str], settled_before: datetime
) -> pl.DataFrame:
    """The outcomes of `symbols` that had settled before a moment, in the columns `OUTCOMES`, by time and symbol."""
    query = """
        SELECT symbol, as_of, horizon_hours, settled_at, entry_price, exit_price, return, went_up, round_trip_cost
        FROM research.forecast_outcomes WHERE venue = %s AND symbol = ANY(%s) AND settled_at < %s
        ORDER BY as_of, symbol, horizon_hours"""
    return copy_out(connection, query, (venue, list(symbols), settled_before), OUTCOMES)


def read_scored(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime, horizon_hours: int
) -> pl.DataFrame:
    """What each seat and the consensus forecast at the account's decisions in `[start, end)`, beside the outcome.

    The columns are `SCORED`. The consensus forecasts the first horizon only, so it is left out of any other.
    A decision without a quorum is an abstention of the consensus; a rebalancing is no forecast at all.
    """
    query = """
        WITH decided AS (
            SELECT d.*, o.went_up FROM research.consensus_decisions d
            LEFT JOIN research.forecast_outcomes o
              ON (o.venue, o.symbol, o.as_of, o.horizon_hours) = (d.venue, d.symbol, d.as_of, %(horizon)s)
            WHERE d.account = %(account)s AND d.as_of >= %(start)s AND d.as_of < %(end)s AND d.target_quantity IS NULL)
        SELECT f.seat AS forecaster, f.baseline, d.symbol, d.as_of,
               CASE WHEN %(horizon)s = 4 THEN f.p_up_4h ELSE f.p_up_24h END AS p_up, d.went_up
        FROM decided d CROSS JOIN LATERAL unnest(d.forecast_ids) AS used(forecast_id)
        JOIN research.seat_forecasts f USING (forecast_id)
        UNION ALL
        SELECT 'consensus', false, symbol, as_of, CASE WHEN quorum_met THEN p_up END, went_up FROM decided
        WHERE %(horizon)s = 4
        ORDER BY forecaster, as_of, symbol"""
    parameters = {"account": account, "start": start, "end": end, "horizon": horizon_hours}
    return copy_out(connection, query, parameters, SCORED)
