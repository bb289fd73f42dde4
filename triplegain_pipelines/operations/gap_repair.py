"""Gaps: found, asked for, filled where the venue has the candles, and named for what they are where it has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import psycopg

from triplegain_pipelines.domain.quality import Effect, EmptyMinute, GapKind, QualityCode
from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe, floor_to
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.operations.backfill import run_backfill
from triplegain_pipelines.operations.venue_history import LEAD, Answer, Stretch, VenueHistory, in_runs
from triplegain_pipelines.store.candles import opening_times, read_gaps, stored_range
from triplegain_pipelines.store.gaps import record_gaps, settle_gaps

_MINUTE = Timeframe.M1.duration
# A venue may be late with its newest candles, and a minute is named once for all.
_LATE = timedelta(minutes=10)
_OF_TRADES = timedelta(hours=6)
_CHANGES = (QualityCode.REVISED, *(code for code in QualityCode if code.effect is Effect.HELD))


@dataclass(slots=True)
class GapsOf:
    """The minutes of one symbol that were missing, and what is known of them now. All are opening times."""

    missing: set[datetime] = field(default_factory=set)
    repaired: set[datetime] = field(default_factory=set)
    empty: set[datetime] = field(default_factory=set)  # the venue answered, and has no candle
    changed: set[datetime] = field(default_factory=set)  # candles that the answers revised or made doubtful
    quiet: int = 0  # minutes of which the venue's trades say that nobody traded


def find_missing(history: VenueHistory, symbol: str, since: datetime) -> GapsOf:
    """Bring the recorded gaps up to date from `since` to the newest final minute; returns those nobody asked about.

    A symbol of which nothing is stored has no gaps: its history is a matter of the back-fill.
    """
    end = history.final
    with history.database.connection() as connection:
        stored = stored_range(connection, history.venue, symbol, Timeframe.M1)
        if stored is None or max(since, stored[0]) >= end:
            return GapsOf()
        _record(connection, history.venue, symbol, max(since, stored[0]), end)
        gaps = read_gaps(connection, history.venue, symbol, Timeframe.M1, since, end)
    gaps = gaps.filter(pl.col("kind") == GapKind.MISSING.value)
    return GapsOf({minute for gap in gaps.iter_rows(named=True) for minute in _minutes(gap) if since <= minute < end})


def fill(history: VenueHistory, symbol: str, gaps: GapsOf) -> None:
    """Ask the venue for what is missing, newest first, and store what comes; `gaps` learns it as it goes.

    A minute counts as empty only where the answer holds the candles around it that are stored, and one after it or ten
    minutes have passed.

    Raises:
        OutOfCallsError: the budget of calls is spent.
        TransientError: the venue failed.
        PermanentError: the venue refused the call.
    """
    for window in history.windows(in_runs(gaps.missing)):
        absent, newest = set[datetime](), EPOCH
        for answer in history.ask(symbol, window):
            known = _note(history, symbol, window)
            asked = {minute for minute in gaps.missing if answer.covers(minute)}
            gaps.repaired |= asked & known
            gaps.missing -= known
            gaps.changed |= {finding.at for finding in answer.taken.findings if finding.code in _CHANGES}
            given = set(answer.page.frame["opened_at"].to_list())
            if _is_whole(answer, given, known):
                absent |= asked - known - _refused(answer)
            newest = max(newest, *given) if given else newest
            gaps.empty |= {minute for minute in absent if minute < max(newest, history.final - _LATE)}


def build_of_trades(history: VenueHistory, symbol: str, gaps: GapsOf) -> None:
    """Build what the venue's candles do not reach back to of its trades, where it has those: the newest hours first.

    Trades are many more than candles, so a run builds a few hours of each symbol, and the next run goes on.

    Raises:
        TransientError: the venue failed, or a back-fill of it runs.
        PermanentError: the venue refused the call.
    """
    lost = in_runs(minute for minute in gaps.missing if not history.reaches(minute))
    if history.rules.trades is None or not lost:
        return
    run = Stretch(max(lost[-1].start, lost[-1].end - _OF_TRADES), lost[-1].end)
    place = (history.database, history.settings, history.venue, [symbol], run.start, run.end)
    run_backfill(*place, clock=history.clock, progress=lambda _: None, base_url=history.base_url)
    known = _note(history, symbol, run)
    still = find_missing(history, symbol, run.start).missing
    done = {minute for minute in gaps.missing if run.start <= minute < run.end} - still
    gaps.missing -= done
    gaps.repaired |= done & known
    gaps.quiet += len(done - known)


def _note(history: VenueHistory, symbol: str, window: Stretch) -> set[datetime]:
    """Record what is missing in the window now, and return what is stored in it and close to it."""
    start, end = window.start - LEAD, window.end + LEAD
    with history.database.connection() as connection:
        known = opening_times(connection, history.venue, symbol, Timeframe.M1, start, end)
        _record(connection, history.venue, symbol, window.start, window.end)
    return set(known.to_list())


def _is_whole(answer: Answer, given: set[datetime], known: set[datetime]) -> bool:
    """Whether the answer holds every stored candle that it must hold.

    One that was cut short, or came empty from a venue in trouble, says nothing about the minutes that it leaves out.
    """
    return all(minute in given for minute in known if answer.covers(minute))


def _refused(answer: Answer) -> set[datetime]:
    """The minutes of which the venue has a candle that was refused: they are no minutes without a candle."""
    return {floor_to(finding.at, _MINUTE) for finding in answer.taken.refused}


def name_empty_minutes(history: VenueHistory, symbols: Sequence[str], gaps: Mapping[str, GapsOf]) -> dict[GapKind, int]:
    """Give the minutes that the venue answered for without a candle their kind; returns the number of each kind.

    Where the venue publishes every minute, one that is absent is an outage. Where it leaves out minutes without a
    trade, it is an outage only if no symbol of the venue has it; with one symbol that cannot be told. A minute that
    another symbol has not been asked about is left for the next run.
    """
    with history.database.connection() as connection:
        kinds = {
            symbol: _kinds(connection, history, found.empty, [one for one in symbols if one != symbol], gaps)
            for symbol, found in gaps.items()
        }
    counted = dict.fromkeys((GapKind.NO_TRADES, GapKind.OUTAGE), 0)
    for symbol, named in kinds.items():
        # One symbol a transaction: locks of several series could be taken in another order elsewhere.
        with history.database.connection() as connection:
            for kind, minutes in named.items():
                for run in in_runs(minutes):
                    place = (history.venue, symbol, Timeframe.M1, run.start, run.end)
                    settle_gaps(connection, *place, kind, history.clock.now())
        for kind, minutes in named.items():
            counted[kind] += len(minutes)
            gaps[symbol].missing -= minutes
    return counted


def _kinds(
    connection: psycopg.Connection,
    history: VenueHistory,
    empty: set[datetime],
    others: Sequence[str],
    gaps: Mapping[str, GapsOf],
) -> dict[GapKind, set[datetime]]:
    if not empty:
        return {}
    if history.rules.empty_minute is not EmptyMinute.ABSENT:
        return {GapKind.OUTAGE: set(empty)}
    traded, unknown, listed = set[datetime](), set[datetime](), 0
    first, last = min(empty), max(empty)
    for other in others:
        stored = stored_range(connection, history.venue, other, Timeframe.M1)
        if stored is None or stored[0] > first:
            continue
        listed += 1
        traded |= set(opening_times(connection, history.venue, other, Timeframe.M1, first, last).to_list())
        found = gaps.get(other, GapsOf())
        unknown |= found.missing - found.empty
    outage = empty - traded - unknown if listed else set()
    return {GapKind.OUTAGE: outage, GapKind.NO_TRADES: empty & traded if listed else set(empty)}


def _record(connection: psycopg.Connection, venue: str, symbol: str, start: datetime, end: datetime) -> None:
    times = opening_times(connection, venue, symbol, Timeframe.M1, start, end - _MINUTE)
    gaps = find_gaps(times, Timeframe.M1, start, end)
    record_gaps(connection, venue, symbol, Timeframe.M1, start, end, gaps)


def _minutes(gap: Mapping[str, datetime]) -> list[datetime]:
    minutes = (gap["ends_at"] - gap["starts_at"]) // _MINUTE + 1
    return [gap["starts_at"] + number * _MINUTE for number in range(minutes)]
