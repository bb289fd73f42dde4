"""Queries of the data-quality suites: what rows of a period are looked at, and rows that break a rule.

As text, because great-expectations takes nothing else; values are quoted by psycopg. In the rules `{batch}` stands for
the rows looked at.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from psycopg import sql

from triplegain_pipelines.domain.quality import Effect, QualityCode
from triplegain_pipelines.market.clock_skew import ALL_SYMBOLS
from triplegain_pipelines.settings.profile import SIMULATED_VENUE

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
GAP_MISCOUNTED = """SELECT * FROM {batch} WHERE ends_at < starts_at OR missing <> 1
    + extract(epoch FROM ends_at - starts_at)::bigint / (CASE timeframe
    WHEN '1m' THEN 60 WHEN '5m' THEN 300 WHEN '15m' THEN 900 WHEN '30m' THEN 1800 WHEN '1h' THEN 3600
    WHEN '4h' THEN 14400 ELSE 86400 END)"""
GAPS_OVERLAP = """SELECT * FROM (
        SELECT *, lag(ends_at) OVER (PARTITION BY venue, symbol, timeframe ORDER BY starts_at) AS before
        FROM {batch} WHERE kind <> 'repaired'
    ) AS ordered WHERE before >= starts_at"""
HEADLINE_FROM_THE_FUTURE = """SELECT * FROM {batch} WHERE published_at > first_seen_at + interval '1 hour'"""
HEADLINE_WITHOUT_TITLE = """SELECT * FROM {batch} WHERE btrim(title) = ''"""
BOOK_CROSSED = """SELECT * FROM {batch} WHERE bid >= ask OR bid <= 0"""
SPREAD_TOO_WIDE = """SELECT * FROM {batch} WHERE ask > 1.1 * bid"""
FINDING_WAITS_LONG = """SELECT * FROM {batch} WHERE waits_long"""
FINDING_HELD_WRONGLY = """SELECT * FROM {batch} WHERE held <> must_hold"""
FINDING_SETTLED_TOO_EARLY = """SELECT * FROM {batch} WHERE settled_at < detected_at"""
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
    """What the seats decided for the account in `[start, end)`."""
    return _filled(
        """SELECT account, venue, symbol, as_of, valid_until, action, reason_code, regime, p_up, confidence, answers,
                  vendors, quorum_met, agreement, code_version
           FROM research.consensus_decisions
           WHERE account = {} AND as_of >= {} AND as_of < {} AND target_quantity IS NULL""",
        account,
        start,
        end,
    )


def candle_gaps(venue: str, symbols: Sequence[str], start: datetime, end: datetime) -> str:
    """The gaps of a venue's symbols that reach into `[start, end)`."""
    return _filled(
        """SELECT venue, symbol, timeframe, starts_at, ends_at, missing, kind, checked_at FROM market.candle_gaps
           WHERE venue = {} AND symbol = ANY({}) AND ends_at >= {} AND starts_at < {}""",
        venue,
        list(symbols),
        start,
        end,
    )


def headlines(start: datetime, end: datetime, *, simulated: bool) -> str:
    """The headlines first seen in `[start, end)`: those of the simulated market, or those of the world."""
    return _filled(
        """SELECT headline_id, source, title, published_at, first_seen_at, first_seen_assumed FROM market.headlines
           WHERE first_seen_at >= {} AND first_seen_at < {} AND starts_with(source, {}) = {}""",
        start,
        end,
        SIMULATED_VENUE,
        simulated,
    )


def top_of_book(venue: str, symbols: Sequence[str], start: datetime, end: datetime) -> str:
    """The best prices of a venue's symbols in `[start, end)`."""
    return _filled(
        """SELECT venue, symbol, at, bid, bid_quantity, ask, ask_quantity, source FROM market.top_of_book
           WHERE venue = {} AND symbol = ANY({}) AND at >= {} AND at < {}""",
        venue,
        list(symbols),
        start,
        end,
    )


def data_findings(venue: str, symbols: Sequence[str], start: datetime, end: datetime) -> str:
    """The findings about a venue's symbols, and about the venue as a whole, in `[start, end)`.

    `must_hold` is what the code says; `waits_long` is a held candle that nobody settled within a day.
    """
    return _filled(
        """SELECT venue, symbol, timeframe, at, code, held, source, detected_at, settled_at, settlement,
                  code = ANY({}) AS must_hold,
                  held AND settled_at IS NULL AND detected_at < {}::timestamptz - interval '1 day' AS waits_long
           FROM market.data_findings WHERE venue = {} AND symbol = ANY({}) AND at >= {} AND at < {}""",
        [code.value for code in QualityCode if code.effect is Effect.HELD],
        end,
        venue,
        [*symbols, ALL_SYMBOLS],
        start,
        end,
    )


def _filled(query: LiteralString, *values: object) -> str:
    return sql.SQL(query).format(*map(sql.Literal, values)).as_string(None)
