"""What else has to live for an account to be traded: the guardian looks at it, and tells a person of what does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import psycopg

from triplegain_pipelines.execution import disk
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.store import breakers, heartbeats
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, open_alerts, raise_alert
from triplegain_pipelines.store.streams import read_stream_states

BREAKERS_ALERT = "breakers_silent"
STREAM_ALERT = "stream_service_silent"
DATABASE_ALERT = "database_away"
VENUE_ALERT = "venue_away"
PRICES_ALERT = "prices_away"
BUSY_ALERT = "account_busy"
FAILED_ALERT = "guardian_failed"
DISK_LOW_ALERT = "disk_low"
DISK_FULL_ALERT = "disk_full"
SILENT = timedelta(seconds=60)
_SHOWN = timedelta(minutes=5)  # how long an outage of the database that is over is shown


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know of now."""

    text: str
    level: AlertLevel = AlertLevel.CRITICAL


Troubles: TypeAlias = dict[tuple[str, str], Trouble | None]
"""By kind and subject of the alert; None: it is over."""


@dataclass(frozen=True, slots=True)
class Outage:
    """When the database was away, by our clock."""

    since: datetime
    until: datetime


def look_after(desk: Desk, now: datetime, own: Troubles, outage: Outage | None) -> None:
    """Beat, and raise or end the alerts.

    Args:
        desk: of the account.
        now: the present moment.
        own: what the guardian has found itself.
        outage: the last one of the database, if there was one.

    Raises:
        UnavailableError: the database does not answer.
    """
    account = desk.account
    with desk.database.connection() as connection:
        heartbeats.beat(connection, heartbeats.GUARDIAN, account, now)
        found = {**own, **_silences(connection, desk, now), **_outages(account, outage, now), **room_on_disks(desk)}
        for (kind, subject), trouble in found.items():
            if trouble is None:
                end_alert(connection, kind, subject, now)
            else:
                raise_alert(connection, kind, subject, trouble.level, trouble.text, now)
        for alert in open_alerts(connection):
            # What failed once and is not called for any more; perhaps it was another guardian's, that died.
            ours = alert.kind == FAILED_ALERT and alert.subject.startswith(f"{account}/")
            if ours and found.get((alert.kind, alert.subject)) is None:
                end_alert(connection, alert.kind, alert.subject, now)


def _silences(connection: psycopg.Connection, desk: Desk, now: datetime) -> Troubles:
    found: Troubles = {}
    beat = breakers.last_beat(connection, desk.account)
    text = (
        f"the breakers of {desk.account} were evaluated {_when(beat)}: Dagster's daemon or its sensor is down, and no "
        "new risk is taken; see 'triplegain doctor'"
    )
    found[BREAKERS_ALERT, desk.account] = Trouble(text) if _is_silent(beat, now) else None
    if desk.clock_compared:  # a market of its own, which is streamed
        states = read_stream_states(connection, [desk.market])
        newest = max((state.beat_at for state in states), default=None)
        text = f"the stream service has told nothing of {desk.market} {_when(newest)}; start 'triplegain stream'"
        trouble = Trouble(text, AlertLevel.WARNING)
        found[STREAM_ALERT, desk.market] = trouble if _is_silent(newest, now) else None
    return found


def _outages(account: str, outage: Outage | None, now: datetime) -> Troubles:
    key = DATABASE_ALERT, account
    if outage is None or now - outage.until > _SHOWN:
        return {key: None}
    span = f"from {outage.since:%H:%M:%S} to {outage.until:%H:%M:%S} UTC"
    text = f"the database could not be read or written {span}: what {account}'s guardian holds was not held then"
    return {key: Trouble(text)}


def room_on_disks(desk: Desk) -> Troubles:
    """That a disk on which the account's state lies is filling up."""
    if not desk.state:
        return {}
    room = disk.least_room(desk.state)
    text = f"{room}: free some space, or no new risk is taken under {disk.TOO_LOW // disk.MEBIBYTE} MiB"
    stopped = f"{room}: no new risk is taken; free some space before nothing can be recorded any more"
    return {
        (DISK_LOW_ALERT, desk.account): Trouble(text, AlertLevel.WARNING) if room.free < disk.LOW else None,
        (DISK_FULL_ALERT, desk.account): Trouble(stopped) if room.free < disk.TOO_LOW else None,
    }


def _is_silent(beat: datetime | None, now: datetime) -> bool:
    return beat is None or now - beat > SILENT


def _when(beat: datetime | None) -> str:
    return "never" if beat is None else f"last at {beat:%Y-%m-%d %H:%M:%S} UTC"


def blind_to(symbols: Sequence[str], account: str) -> Troubles:
    """That no price of `symbols` comes, so that no level of theirs can be held."""
    text = f"no price comes of {', '.join(symbols)}: levels that do not rest at the venue cannot be held"
    return {(PRICES_ALERT, account): Trouble(text) if symbols else None}
