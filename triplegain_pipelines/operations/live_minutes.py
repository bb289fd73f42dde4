"""The newest minutes of one venue as they close: what a stream covered is stored at once, the rest is asked for.

Everything is asked for once more by REST when it is final, so nothing rests on a stream alone. And nothing is held that
a restart would lose: what is not stored is asked for, and what nobody has confirmed to this process is confirmed anew.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.trades import MinuteCandle, candles_frame
from triplegain_pipelines.market.venues.budget import call_budget
from triplegain_pipelines.operations.intake import take_in_minutes
from triplegain_pipelines.operations.venue_history import OutOfCallsError, Stretch, VenueHistory
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.gaps import first_unexplained

STREAM = "stream"
_MINUTE = Timeframe.M1.duration
_HISTORY = timedelta(hours=11)  # how far back a start looks; what is older is the repair job's
_MOST_CALLS = 20


class LiveMinutes:
    """The newest 1-minute candles of some symbols at one venue.

    `load` comes first. After it, every method may be called from any thread; `ask` from one at a time.

    Args:
        database: where to.
        settings: the venue's limits, and what is doubtful.
        venue: its name in our tables.
        symbols: of the venue.
        clock: the venue's: it tells which minutes are final.
        base_url: address to use in place of the venue's own.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        venue: str,
        symbols: Sequence[str],
        clock: Clock,
        *,
        base_url: str | None = None,
    ) -> None:
        self._database, self._settings, self._venue = database, settings, venue
        self._symbols, self._clock = tuple(symbols), clock
        self._base_url = base_url
        # By symbol: up to where all is stored, by stream or REST, and up to where REST has answered.
        self._answered: dict[str, datetime] = {}
        self._confirmed: dict[str, datetime] = {}
        self._lock = Lock()

    @property
    def final(self) -> datetime:
        """Up to when minutes are final at the venue."""
        return self._history().final

    def load(self) -> None:
        """Find out from the database up to where everything is stored.

        Raises:
            UnavailableError: the database does not answer.
        """
        end = self.final
        start = end - _HISTORY
        with self._database.connection() as connection:
            holes = {
                symbol: first_unexplained(connection, self._venue, symbol, Timeframe.M1, start, end)
                for symbol in self._symbols
            }
        with self._lock:
            self._answered = {symbol: hole or end for symbol, hole in holes.items()}
            self._confirmed = dict.fromkeys(self._symbols, start)

    def store(self, candles: Mapping[str, Sequence[MinuteCandle]], closed_before: datetime) -> None:
        """Store candles of closed minutes that a stream covered wholly, of all symbols in one transaction.

        Args:
            candles: by symbol, oldest first.
            closed_before: up to when minutes have closed by the venue's clock.

        Raises:
            UnavailableError: the database does not answer; the minutes will be asked for instead.
        """
        import polars as pl

        frames = [
            candles_frame(minutes).select(pl.lit(symbol).alias("symbol"), pl.all())
            for symbol, minutes in candles.items()
            if minutes
        ]
        if not frames:
            return
        with self._database.connection() as connection:
            take_in_minutes(
                connection,
                self._venue,
                pl.concat(frames),
                STREAM,
                closed_before=closed_before,
                settings=self._settings,
                at=self._clock.now(),
            )
        with self._lock:
            for symbol, minutes in candles.items():
                for candle in minutes:
                    if candle.opened_at == self._answered[symbol]:
                        self._answered[symbol] += _MINUTE

    def distrust(self, symbol: str, minute: datetime) -> None:
        """Ask for this minute and all after it once more: a trade came too late, or the venue is the source now."""
        with self._lock:
            self._answered[symbol] = min(self._answered[symbol], minute)
            self._confirmed[symbol] = min(self._confirmed[symbol], minute)

    def next_question(self, passed_over: Collection[str] = ()) -> str | None:
        """The symbol to ask for next: one with a hole, the oldest first; then one that has long not been confirmed."""
        final = self.final
        after = self._settings.market.stream.confirm_after
        with self._lock:
            wanted = [symbol for symbol in self._symbols if symbol not in passed_over]
            behind = [symbol for symbol in wanted if self._answered[symbol] < final]
            if behind:
                return min(behind, key=lambda symbol: self._answered[symbol])
            due = [symbol for symbol in wanted if self._confirmed[symbol] + after <= final]
            return min(due, key=lambda symbol: self._confirmed[symbol]) if due else None

    def ask(self, symbol: str) -> bool:
        """Ask the venue for everything of a symbol that it has not confirmed yet, and take in what comes.

        Minutes for which it has no candle stay gaps, which the repair job explains.

        Returns:
            Whether it has answered for all that is final. Else its newest candles are late, or it gave too many.

        Raises:
            TransientError: the venue failed; what it gave before is stored.
            PermanentError: the venue refused.
            UnavailableError: the database does not answer.
        """
        final = self.final
        with self._lock:
            asked_from = self._confirmed[symbol]
        try:
            for answer in self._history().ask(symbol, Stretch(asked_from, final)):
                with self._lock:
                    if self._confirmed[symbol] < asked_from:
                        return False  # distrusted meanwhile: it is asked for anew from there
                    asked_from = self._confirmed[symbol] = max(asked_from, answer.page.reached)
                    self._answered[symbol] = max(self._answered[symbol], asked_from)
        except OutOfCallsError:
            return False
        return asked_from >= final

    @property
    def behind(self) -> timedelta | None:
        """How old the oldest minute is that has closed, is final, and is not stored; None before `load`."""
        final = self.final
        with self._lock:
            oldest = min(self._answered.values(), default=None)
        return None if oldest is None else max(final - oldest, timedelta(0))

    def _history(self) -> VenueHistory:
        take = call_budget(self._settings.venues.of(self._venue)).take
        return VenueHistory(self._database, self._settings, self._venue, self._clock, take, _MOST_CALLS, self._base_url)


def last_closed(moment: datetime, settled: timedelta) -> datetime:
    """The end of the newest minute that had closed `settled` before `moment`."""
    return floor_to(moment - settled, _MINUTE)
