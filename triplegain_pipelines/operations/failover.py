"""Watches over the venue that a market's data comes from, and switches it: to the backup and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, floor_to
from triplegain_pipelines.market.failover import Switch, Watched, basis, decide, look, venue_health
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, raise_alert
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import newest_closes, read_closes
from triplegain_pipelines.store.sources import last_switch, lock_source, record_switch

FAILOVER_ALERT = "venue_failover"
_LONGEST = max(timeframe.duration for timeframe in ROLLUP_TIMEFRAMES)


@dataclass(frozen=True, slots=True)
class ToFetch:
    """What must be asked for by REST: the source's 1-minute candles from `start` on, so that its buckets are whole."""

    venue: str
    symbols: tuple[str, ...]
    start: datetime


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a look led to. `watched` is for the next look; `switch` was recorded; `fetch` is for the caller to do."""

    source: str
    watched: Watched
    switch: Switch | None
    fetch: ToFetch | None


def watch_sources(
    database: Database,
    settings: Settings,
    market: str,
    symbols: Sequence[str],
    clock: Clock,
    before: Watched | None,
) -> SourceReport | None:
    """Look at the main venue and the backup once, and switch the market's source where that is due.

    It is to be called every minute, and the candles of both venues must be stored as they close: health is read from
    the stored candles that decisions may see. A switch is recorded with its basis and its alert in one transaction.

    After a switch the buckets that are open belong to the new source, so all of its minutes since the start of the UTC
    day are needed. They are asked for again at the first look of a process, up to a day after the switch: the process
    that made it may have died before it had them.

    Args:
        database: where the candles and switches are.
        settings: the limits, and the profile's backup venue.
        market: the main venue.
        symbols: of the market.
        clock: ours.
        before: of the last look in this process, None at the first.

    Returns:
        None where there is no backup, so nothing to decide.

    Raises:
        UnavailableError: the database does not answer. Nothing was switched.
    """
    backup = settings.profile.backup_venue
    if backup is None or backup == market:
        return None
    rules = settings.market.failover
    with database.connection() as connection:
        lock_source(connection, market)
        now = clock.now()
        closes = {venue: newest_closes(connection, venue, symbols, now) for venue in (market, backup)}
        main = venue_health(market, closes[market], now)
        watched = look(before, main, now, rules)
        last = last_switch(connection, market)
        other = venue_health(backup, closes[backup], now)
        switch = decide(watched, last, main, other, now, rules)
        if switch:
            window = timedelta(minutes=rules.basis_minutes)
            record_switch(connection, market, switch, _basis(connection, switch, symbols, window))
            _tell(connection, market, switch)
    newest = switch or last
    due = switch or (newest if before is None else None)
    return SourceReport(
        source=newest.to_venue if newest else market,
        watched=watched,
        switch=switch,
        fetch=_to_fetch(due, symbols, now) if due else None,
    )


def _basis(
    connection: psycopg.Connection, switch: Switch, symbols: Sequence[str], window: timedelta
) -> dict[str, float | None]:
    """By symbol, over the window that ends with the newest candle that the venue that is left has."""
    left = newest_closes(connection, switch.from_venue, symbols, switch.switched_at)

    def of(symbol: str) -> float | None:
        if symbol not in left:
            return None
        start, end = left[symbol] - window, left[symbol]
        leaving, entering = (
            read_closes(connection, venue, symbol, start, end) for venue in (switch.from_venue, switch.to_venue)
        )
        return basis(leaving, entering)

    return {symbol: of(symbol) for symbol in symbols}


def _tell(connection: psycopg.Connection, market: str, switch: Switch) -> None:
    at = switch.switched_at
    if switch.to_venue == market:
        end_alert(connection, FAILOVER_ALERT, market, at)
        return
    text = f"{switch.reason}. Candles that close after {at:%Y-%m-%d %H:%M:%S} UTC come from {switch.to_venue}"
    raise_alert(connection, FAILOVER_ALERT, market, AlertLevel.WARNING, text, at)


def _to_fetch(switch: Switch, symbols: Sequence[str], now: datetime) -> ToFetch | None:
    if now - switch.switched_at > _LONGEST:
        return None  # every bucket that was open at the switch has closed, and was asked for while it was open
    return ToFetch(switch.to_venue, tuple(symbols), floor_to(switch.switched_at, _LONGEST))
