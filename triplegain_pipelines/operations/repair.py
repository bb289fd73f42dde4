"""The repair of market data: gaps, doubts, clocks compared. What changes takes its roll-ups with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.quality import Finding, GapKind, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe, floor_to
from triplegain_pipelines.market.clock_skew import ALL_SYMBOLS, check_clock
from triplegain_pipelines.market.venues.budget import call_budget
from triplegain_pipelines.market.venues.clock import ClockReading
from triplegain_pipelines.operations.doubt_repair import Doubts, count_held, settle_doubts
from triplegain_pipelines.operations.gap_repair import GapsOf, build_of_trades, fill, find_missing, name_empty_minutes
from triplegain_pipelines.operations.venue_history import OutOfCallsError, Stretch, VenueHistory
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import open_findings, record_findings, settle_all
from triplegain_pipelines.store.heartbeats import CLOCK, beat

_MINUTE = Timeframe.M1.duration
_DAY = timedelta(days=1)
_MOST_CALLS = 200
_CALLS_FOR_OLD = 20  # they hold back history, and no decision of today waits for them
_TURN = timedelta(minutes=15)
_LONG_AGO = timedelta(days=3650)
# An UnavailableError is a TransientError too, but it is the database that failed then, and nothing can go on.
_CALL_FAILURES = (TransientError, PermanentError, OutOfCallsError)


@dataclass(frozen=True, slots=True)
class RepairSummary:
    """What a run of the repair found and did, all symbols together. Minutes and candles are counted, not gaps.

    `still_missing` are minutes of which nothing is known yet: out of the venue's reach, refused again, or for the next
    run. `failures` are what went wrong on the way, in words; what they stopped is done by the next run.
    """

    venue: str
    repaired: int
    no_trades: int
    outage: int
    still_missing: int
    confirmed: int
    corrected: int
    still_held: int
    calls: int
    days_rolled_up: int
    failures: tuple[str, ...]


def repair(
    database: Database,
    settings: Settings,
    venue: str,
    symbols: Sequence[str],
    *,
    clock: Clock,
    since: datetime,
    base_urls: Mapping[str, str] | None = None,
    most_calls: int = _MOST_CALLS,
) -> RepairSummary:
    """Ask the venue about its gaps from `since` on and its held candles; roll-ups change with their candles.

    A symbol at which the venue fails does not keep the others from being repaired, and nothing is concluded from it.
    Run again, it goes on where it was stopped and changes nothing that is settled. Where calls run short, half of them
    are for held candles, each run begins with another symbol, and candles held before `since` come last.

    Args:
        database: where to.
        settings: the venue, its backup and the rules of what is doubtful.
        venue: whose candles.
        symbols: of the venue; whether it was down is judged by all of them.
        clock: tells which candles are final.
        since: from which opening time on gaps are looked for.
        base_urls: addresses to use in place of the venues' own, by venue.
        most_calls: after so many calls the rest is left for the next run.

    Raises:
        SettingsError: venues.yaml does not describe the venue.
        UnavailableError: the database does not answer; what was repaired before stays.
    """
    run = _Run(database, settings, clock, base_urls or {}, most_calls)
    history, backup = run.history(venue), run.backup_of(venue)
    doubts = {symbol: Doubts() for symbol in _in_turn(symbols, clock.now())}
    newest, oldest = Stretch(since, history.final), Stretch(EPOCH, since)
    run.settle_doubts(replace(history, most_calls=(most_calls + 1) // 2), newest, backup, doubts)
    gaps = {symbol: run.fill_gaps(history, symbol, since) for symbol in doubts}
    named = name_empty_minutes(history, symbols, gaps)
    rest = min(most_calls, len(history.calls) + _CALLS_FOR_OLD)
    run.settle_doubts(replace(history, most_calls=rest), oldest, backup, doubts)
    days = sum(
        len(_days(gaps[symbol].repaired | gaps[symbol].changed | doubts[symbol].changed | doubts[symbol].confirmed))
        for symbol in symbols
    )
    return RepairSummary(
        venue=venue,
        repaired=sum(len(found.repaired) for found in gaps.values()),
        no_trades=named[GapKind.NO_TRADES] + sum(found.quiet for found in gaps.values()),
        outage=named[GapKind.OUTAGE],
        still_missing=sum(len(found.missing) for found in gaps.values()),
        confirmed=sum(len(found.confirmed) for found in doubts.values()),
        corrected=sum(len(found.corrected) for found in doubts.values()),
        still_held=count_held(history, symbols, EPOCH),
        calls=len(history.calls) + (len(backup.calls) if backup else 0),
        days_rolled_up=days,
        failures=tuple(run.failures),
    )


def record_clock(
    database: Database, settings: Settings, venue: str, reading: ClockReading, *, clock: Clock
) -> Finding | None:
    """Record that the venue's clock and ours differ, or that they agree again; returns the finding, or None.

    As long as they differ it is one finding, with the newest offset and the largest so far.

    Raises:
        UnavailableError: the database does not answer.
    """
    now = clock.now()
    with database.connection() as connection:
        beat(connection, CLOCK, venue, now)
        last = now + _MINUTE
        waiting = open_findings(connection, venue, [ALL_SYMBOLS], now - _LONG_AGO, last, [QualityCode.CLOCK_SKEW])
        since = waiting[-1].finding.at if waiting else now
        finding = check_clock(reading, settings.market.quality, venue=venue, at=since)
        if finding is None:
            settle_all(connection, [one.finding_id for one in waiting], Settlement.OVER, now)
            return None
        before = [abs(float(one.finding.detail.get("largest_seconds", 0))) for one in waiting]
        largest = max([abs(reading.offset.total_seconds()), *before])
        finding = replace(finding, detail={**finding.detail, "largest_seconds": largest})
        record_findings(connection, [finding], now)
        return finding


class _Run:
    """What all steps of one run have in common, and what went wrong on the way."""

    def __init__(
        self, database: Database, settings: Settings, clock: Clock, base_urls: Mapping[str, str], most_calls: int
    ) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self._base_urls, self._most_calls = base_urls, most_calls
        self.failures: list[str] = []

    def history(self, venue: str) -> VenueHistory:
        """The venue's history."""
        budget = call_budget(self._settings.venues.of(venue))
        base_url = self._base_urls.get(venue)
        return VenueHistory(self._database, self._settings, venue, self._clock, budget.take, self._most_calls, base_url)

    def backup_of(self, venue: str) -> VenueHistory | None:
        """The history of the profile's backup venue, unless it is the venue itself."""
        backup = self._settings.profile.backup_venue
        return None if backup in {None, venue} else self.history(str(backup))

    def fill_gaps(self, history: VenueHistory, symbol: str, since: datetime) -> GapsOf:
        """What is missing, after the venue was asked for it."""
        gaps = find_missing(history, symbol, since)
        try:
            fill(history, symbol, gaps)
            build_of_trades(history, symbol, gaps)
        except UnavailableError:
            raise
        except _CALL_FAILURES as error:
            self._note(f"{symbol}: gaps", error)
        return gaps

    def settle_doubts(
        self, history: VenueHistory, asked_for: Stretch, backup: VenueHistory | None, doubts: Mapping[str, Doubts]
    ) -> None:
        """See what becomes of the held candles of each symbol."""
        for symbol, found in doubts.items():
            try:
                settle_doubts(history, symbol, asked_for, backup, found, self._noting(f"{symbol}: backup venue"))
            except UnavailableError:
                raise
            except _CALL_FAILURES as error:
                self._note(f"{symbol}: held candles", error)

    def _noting(self, what: str) -> Callable[[Exception], None]:
        return lambda error: self._note(what, error)

    def _note(self, what: str, error: Exception) -> None:
        self.failures.append(f"{what}: {error}")


def _in_turn(symbols: Sequence[str], now: datetime) -> list[str]:
    """The symbols, each run from another one on, so that the last ones have their calls too."""
    first = (now - EPOCH) // _TURN % max(len(symbols), 1)
    return [*symbols[first:], *symbols[:first]]


def _days(minutes: Iterable[datetime]) -> set[datetime]:
    return {floor_to(minute, _DAY) for minute in minutes}
