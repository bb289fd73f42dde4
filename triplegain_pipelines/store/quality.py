"""Queries of the data-quality suites: what rows of a period are looked at, and rows that break a rule.

As text, because great-expectations takes nothing else; values are quoted by psycopg. In the rules `{batch}` stands for
the rows looked at.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from psycopg import sql

OHLC_BROKEN = """SELECT * FROM {batch} WHERE low <= 0 OR low > least(open, close) OR high < greatest(open, close)"""
OFF_GRID = """SELECT * FROM {batch} WHERE extract(epoch FROM opened_at)::bigint % (CASE timeframe
    WHEN '1m' THEN 60 WHEN '5m' THEN 300 WHEN '15m' THEN 900 WHEN '30m' THEN 1800 WHEN '1h' THEN 3600
    WHEN '4h' THEN 14400 ELSE 86400 END) <> 0 OR date_trunc('second', opened_at) <> opened_at"""
# Not the expectation for unique columns, which joins the table with its own groups.
REPEATED_BAR = """SELECT venue, symbol, timeframe, opened_at FROM {batch} GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"""
REPEATED_DECISION = """SELECT account, symbol, as_of FROM {batch} GROUP BY 1, 2, 3 HAVING count(*) > 1"""
OUTLIER = """SELECT * FROM {batch} WHERE high > 1.5 * low"""
TOO_MANY_MINUTES = """SELECT * FROM {batch} WHERE minutes > (CASE timeframe
    WHEN '5m' THEN 5 WHEN '15m' THEN 15 WHEN '30m' THEN 30 WHEN '1h' THEN 60 WHEN '4h' THEN 240 ELSE 1440 END)"""
NEW_RISK_WITHOUT_QUORUM = """SELECT * FROM {batch} WHERE NOT quorum_met AND action IN ('BUY', 'SELL')"""
EXPIRED_BEFORE_MADE = """SELECT * FROM {batch} WHERE valid_until <= as_of"""
CONFIDENCE_IS_NOT_THE_LARGER_SIDE = """SELECT * FROM {batch} WHERE abs(confidence - greatest(p_up, 1 - p_up)) > 1e-9"""


def candles(venue: str, symbols: Sequence[str], start: datetime, end: datetime) -> str:
    """The candles of a venue's symbols in `[start, end)`."""
    return _filled(
        """SELECT venue, symbol, timeframe, opened_at, open, high, low, close, volume, trades, source
           FROM market.candles WHERE venue = {} AND symbol = ANY({}) AND opened_at >= {} AND opened_at < {}""",
        venue,
        list(symbols),
        start,
        end,
    )


def rollups(venue: str, symbols: Sequence[str], start: datetime, end: datetime) -> str:
    """The roll-ups of a venue's symbols in `[start, end)`."""
    return _filled(
        """SELECT venue, symbol, timeframe, opened_at, open, high, low, close, volume, minutes
           FROM market.rollups WHERE venue = {} AND symbol = ANY({}) AND opened_at >= {} AND opened_at < {}""",
        venue,
        list(symbols),
        start,
        end,
    )


def decisions(account: str, start: datetime, end: datetime) -> str:
    """The account's decisions in `[start, end)`."""
    return _filled(
        """SELECT account, venue, symbol, as_of, valid_until, action, reason_code, regime, p_up, confidence, answers,
                  vendors, quorum_met, agreement, code_version
           FROM research.consensus_decisions WHERE account = {} AND as_of >= {} AND as_of < {}""",
        account,
        start,
        end,
    )


def _filled(query: LiteralString, *values: object) -> str:
    return sql.SQL(query).format(*map(sql.Literal, values)).as_string(None)
