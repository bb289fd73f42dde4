"""The back-fill: a venue's history of 1-minute candles, page by page, in a way that may be stopped at any moment.

The candles of a page, its gaps and the cursor are committed in one transaction. So what is stored is always what the
cursor says, and the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from triplegain_pipelines.domain.clock import Clock, monotonic_seconds, require_utc
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.quality import Effect, EmptyMinute, Finding, GapKind
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to, last_closed_open
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.venues import VenueSettings
from triplegain_pipelines.store.backfills import BackfillRange, Cursor, advance, hold, read_cursor
from triplegain_pipelines.store.database import Database

if TYPE_CHECKING:
    from triplegain_pipelines.market.venues.answers import Answer, Method
    from triplegain_pipelines.store.candles import UpsertCount

_MINUTE = Timeframe.M1.duration
_KINDS = {
    EmptyMinute.ABSENT: GapKind.NO_TRADES,
    EmptyMinute.NEVER: GapKind.OUTAGE,
    EmptyMinute.ZERO_VOLUME: GapKind.MISSING,
}


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far the back-fill of a symbol is: told at its start and after each page, when that page is committed.

    `fraction` is the part of the time range that the venue has answered for, `candles` how many of it are stored, and
    `remaining` what all symbols together will still take at the pace measured so far; None: not measured yet.
    """

    venue: str
    symbol: str
    fraction: float
    candles: int
    remaining: timedelta | None


@dataclass(frozen=True, slots=True)
class BackfillSummary:
    """What became of the back-fill of one symbol.

    `reached` is up to where the venue has answered: before `end`, where that lies ahead or the venue is behind.
    `candles` are stored of the whole range, with those of earlier starts; `new`, `identical` and `revised` are of this
    start, and so are the `refused` rows and the `empty` minutes, for which the venue has no candle.
    """

    venue: str
    symbol: str
    start: datetime
    end: datetime
    reached: datetime
    candles: int
    new: int = 0
    identical: int = 0
    revised: int = 0
    refused: int = 0
    empty: int = 0

    @property
    def finished(self) -> bool:
        """Whether the whole range is stored."""
        return self.reached >= self.end

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "reached": self.reached.isoformat(),
            "finished": self.finished,
            "candles": self.candles,
            "new": self.new,
            "identical": self.identical,
            "revised": self.revised,
            "refused": self.refused,
            "minutes_without_candle": self.empty,
        }


def run_backfill(
    database: Database,
    settings: Settings,
    venue: str,
    symbols: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    clock: Clock,
    progress: Callable[[BackfillProgress], None],
    base_url: str | None = None,
) -> list[BackfillSummary]:
    """Store the venue's 1-minute candles opened in [start, end) and say why others are missing there.

    A back-fill that was stopped goes on where it was, and one that is done asks the venue nothing. Candles are read
    where the venue's reach back to the start, and else they are built of its trades.

    Args:
        database: where to.
        settings: the venues' limits, and what is doubtful.
        venue: name of a venue in venues.yaml.
        symbols: such as BTC/USDT; one after the other.
        start: first opening time, a whole minute, UTC.
        end: opening time up to which is wanted, excluded; of a time to come what has closed is stored.
        clock: tells which candles have closed.
        progress: told about each page; what it raises ends the back-fill between two pages.
        base_url: address to use in place of the venue's own.

    Raises:
        InputError: the range or a symbol cannot be used, or the venue has no history so far back.
        TransientError: the venue failed again and again, or another back-fill of it runs. The same call goes on later.
        PermanentError: the venue refused.
        UnavailableError: the database does not answer; what was committed stays.
    """
    own = settings.venues.of(venue)
    _require_range(start, end, symbols)
    ranges = [BackfillRange(venue, symbol, start, end) for symbol in dict.fromkeys(symbols)]
    with database.autocommit() as holder:
        hold(holder, venue)
        with database.connection() as connection:
            cursors = {asked: read_cursor(connection, asked) for asked in ranges}
        pace = _Pace({asked.symbol: cursor.reached for asked, cursor in cursors.items()}, min(end, clock.now()))
        return [
            _Backfill(database, settings, own, asked, clock, base_url).run(cursor, pace, progress)
            for asked, cursor in cursors.items()
        ]


@dataclass
class _Pace:
    """How much time is left, from the market's time answered for since the start and the seconds that it took."""

    reached: dict[str, datetime]
    end: datetime
    _answered: timedelta = timedelta(0)
    _began: float = field(default_factory=monotonic_seconds)

    def remaining(self, symbol: str, reached: datetime) -> timedelta | None:
        self._answered += reached - self.reached[symbol]
        self.reached[symbol] = reached
        if not self._answered:
            return None
        left = sum((max(self.end - one, timedelta(0)) for one in self.reached.values()), timedelta(0))
        return timedelta(seconds=(monotonic_seconds() - self._began) * (left / self._answered))


@dataclass(frozen=True, slots=True)
class _Backfill:
    """The back-fill of one symbol."""

    database: Database
    settings: Settings
    venue: VenueSettings
    asked: BackfillRange
    clock: Clock
    base_url: str | None

    def run(self, cursor: Cursor, pace: _Pace, progress: Callable[[BackfillProgress], None]) -> BackfillSummary:
        from triplegain_pipelines.market.venues.answers import answers, choose_method

        asked = self.asked
        summary = BackfillSummary(
            asked.venue, asked.symbol, asked.starts_at, asked.ends_at, cursor.reached, cursor.candles
        )

        def tell() -> None:
            fraction = (summary.reached - asked.starts_at) / (asked.ends_at - asked.starts_at)
            remaining = pace.remaining(asked.symbol, summary.reached)
            progress(BackfillProgress(asked.venue, asked.symbol, fraction, summary.candles, remaining))

        tell()
        now = self.clock.now()
        final = timedelta(seconds=self.venue.final_after_seconds)
        until = min(asked.ends_at, last_closed_open(now, Timeframe.M1, final) + _MINUTE)
        if summary.reached >= until:
            return summary
        method = choose_method(self.venue, asked.venue, summary.reached, now)
        given = answers(
            self.venue,
            asked.symbol,
            summary.reached,
            until,
            method=method,
            clock=self.clock,
            base_url=self.base_url,
        )
        for answer in given:
            summary = self._store(summary, answer, method)
            tell()
        return summary

    def _store(self, summary: BackfillSummary, answer: Answer, method: Method) -> BackfillSummary:
        """Store an answer, why minutes of it are missing, and how far it reaches, all or nothing."""
        from triplegain_pipelines.operations.intake import take_in

        asked, at = self.asked, self.clock.now()
        place = (asked.venue, asked.symbol)
        source = "rest" if method == "candles" else "trades"
        with self.database.connection() as connection:
            result = take_in(
                connection,
                *place,
                answer.frame,
                source,
                closed_before=answer.reached,
                settings=self.settings,
                at=at,
            )
            empty = self._explain(connection, summary.reached, answer, method, result.refused, at)
            stored = result.count.new + result.count.identical + result.count.revised
            advance(connection, asked, method.value, answer.reached, stored, at)
        return _with(summary, answer.reached, stored, result.count, len(result.refused), empty)

    def _explain(
        self,
        connection: psycopg.Connection,
        since: datetime,
        answer: Answer,
        method: Method,
        refused: Sequence[Finding],
        at: datetime,
    ) -> int:
        """Record the gaps of [since, reached) with the reason where the answer gives one; returns its empty minutes."""
        from triplegain_pipelines.market.gaps import find_gaps
        from triplegain_pipelines.store.candles import opening_times, stored_range
        from triplegain_pipelines.store.gaps import record_gaps, settle_gaps

        series = (self.asked.venue, self.asked.symbol, Timeframe.M1)
        times = opening_times(connection, *series, since, answer.reached - _MINUTE)
        record_gaps(connection, *series, since, answer.reached, find_gaps(times, Timeframe.M1, since, answer.reached))
        kind = GapKind.NO_TRADES if method == "trades" else _KINDS[self.venue.empty_minute]
        listed = answer.answered_from
        if kind is GapKind.OUTAGE:
            # Before its first candle a symbol was not traded there yet, which is no outage.
            known = stored_range(connection, *series)
            listed = known[0] if known else answer.reached
        return sum(
            settle_gaps(connection, *series, *stretch, reason, at)
            for first, last in _answered(answer, refused)
            for stretch, reason in (
                ((first, min(listed, last)), GapKind.NO_TRADES),
                ((max(first, listed), last), kind),
            )
            if stretch[0] < stretch[1]
        )


def _answered(answer: Answer, refused: Sequence[Finding]) -> Iterator[tuple[datetime, datetime]]:
    """The stretches that the venue has answered for: not the minutes of which it gave something unusable."""
    unusable = sorted({floor_to(one.at, _MINUTE) for one in refused if one.code.effect is Effect.REFUSED})
    since = answer.answered_from
    for minute in (one for one in unusable if answer.answered_from <= one < answer.reached):
        if since < minute:
            yield since, minute
        since = minute + _MINUTE
    if since < answer.reached:
        yield since, answer.reached


def _with(
    summary: BackfillSummary, reached: datetime, stored: int, count: UpsertCount, refused: int, empty: int
) -> BackfillSummary:
    return replace(
        summary,
        reached=reached,
        candles=summary.candles + stored,
        new=summary.new + count.new,
        identical=summary.identical + count.identical,
        revised=summary.revised + count.revised,
        refused=summary.refused + refused,
        empty=summary.empty + empty,
    )


def _require_range(start: datetime, end: datetime, symbols: Sequence[str]) -> None:
    if not symbols or not all(symbols):
        msg = "a back-fill needs at least one symbol, such as BTC/USDT"
        raise InputError(msg)
    for moment in (start, end):
        if floor_to(require_utc(moment), _MINUTE) != moment:
            msg = f"{moment.isoformat()} is not a whole minute; a back-fill begins and ends with one"
            raise InputError(msg)
    if start >= end:
        msg = f"the back-fill would begin at {start.isoformat()} and end at {end.isoformat()}, which is not later"
        raise InputError(msg)
