"""What a replay works on: found in what is stored, and refused with a reason before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.session import replay_account
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.candles import Coverage

# As many days as the longest timeframe's window has bars.
_HISTORY = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A replay of the UTC days `first` to `last`, both included, on an account of its own.

    `history_from` is the first day whose candles the indicators may need. `compares` says that the seats are compared
    at its end, which walks a shadow book of each and takes as long as six walks more.
    """

    account: str
    venue: str
    symbols: tuple[str, ...]
    history_from: date
    first: date
    last: date
    compares: bool = False

    @property
    def start(self) -> datetime:
        """The first moment."""
        return datetime.combine(self.first, time.min, UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last, time.min, UTC) + timedelta(days=1)


def plan_archive_replay(
    settings: Settings,
    coverage: Sequence[Coverage],
    symbols: Sequence[str],
    start: datetime,
    end: datetime,
    now: datetime,
    venue: str | None = None,
) -> ReplayPlan:
    """Plan a replay of stored candles with start <= time < end.

    Raises:
        InputError: the dates or symbols cannot be used, or their candles are not stored.
    """
    _require_past_range(start, end, now)
    for symbol in symbols:
        split_symbol(symbol)
    stored = [item for item in coverage if item.timeframe == Timeframe.M1]
    venue = venue or only_venue(stored, symbols)
    mine = {item.symbol: item for item in stored if item.venue == venue}
    for symbol in symbols:
        if symbol not in mine:
            raise InputError(_not_stored(symbol, venue, stored))
        if mine[symbol].last < start or mine[symbol].first >= end:
            msg = f"{symbol} of {venue} is stored from {mine[symbol].first:%Y-%m-%d} to {mine[symbol].last:%Y-%m-%d}, "
            msg += f"which has nothing of {start:%Y-%m-%d} to {end:%Y-%m-%d}; import candles of that time"
            raise InputError(msg)
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    history = max(min(mine[symbol].first for symbol in symbols).date(), first - _HISTORY)
    account = replay_account(settings, venue, symbols, first, last)
    return ReplayPlan(account, venue, tuple(sorted(symbols)), min(history, first), first, last)


def plan_demo(settings: Settings) -> ReplayPlan:
    """The replay that `make demo` runs: the days of the profile, on the simulated market.

    Raises:
        InputError: the profile has no simulated market or no demo.
    """
    profile = settings.profile
    if profile.demo is None or profile.simulator is None:
        msg = f"profile {settings.environment.profile} has no demo; set TRIPLEGAIN_PROFILE=demo"
        raise InputError(msg)
    first, last = profile.demo.first_day, profile.demo.last_day
    account = replay_account(settings, SIMULATED_VENUE, profile.demo.symbols, first, last)
    symbols = tuple(sorted(profile.demo.symbols))
    return ReplayPlan(account, SIMULATED_VENUE, symbols, profile.simulator.starts_on, first, last, compares=True)


def _require_past_range(start: datetime, end: datetime, now: datetime) -> None:
    if start >= end:
        msg = f"--from {start:%Y-%m-%d} is not before --to {end:%Y-%m-%d}; --to is the first day that is left out"
        raise InputError(msg)
    if end > now:
        msg = (
            f"--to {end:%Y-%m-%d} lies in the future; a replay can only go over what has happened, until {now:%Y-%m-%d}"
        )
        raise InputError(msg)


def only_venue(stored: Sequence[Coverage], symbols: Sequence[str]) -> str:
    """The one venue that has stored candles of all `symbols`.

    Raises:
        InputError: none has them all, or several do.
    """
    venues = sorted({item.venue for item in stored if item.symbol == symbols[0]})
    complete = [
        venue for venue in venues if {item.symbol for item in stored if item.venue == venue}.issuperset(symbols)
    ]
    if len(complete) == 1:
        return complete[0]
    if not complete:
        missing = next((symbol for symbol in symbols if symbol not in {item.symbol for item in stored}), symbols[0])
        raise InputError(_not_stored(missing, None, stored))
    msg = f"{', '.join(symbols)} are stored from several venues; choose one with --venue: {', '.join(complete)}"
    raise InputError(msg)


def _not_stored(symbol: str, venue: str | None, stored: Sequence[Coverage]) -> str:
    known = sorted({f"{item.symbol} of {item.venue}" for item in stored})
    place = f" of {venue}" if venue else ""
    has = f"stored are {', '.join(known)}" if known else "nothing is stored yet"
    minutes = all(item.timeframe == Timeframe.M1 for item in stored)
    return f"no {'1m ' if minutes else ''}candles of {symbol}{place} are stored ({has}); run 'triplegain import FILE'"
