"""Trading with real money: how its switches stand, arming it for a while, ending that at once, and its keys."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import CredentialError, InputError, LiveTradingError, SettingsError
from triplegain_pipelines.domain.secrets import Keys, Purpose
from triplegain_pipelines.execution.desk import LIVE
from triplegain_pipelines.execution.emergency import emergency_file
from triplegain_pipelines.operations.credentials import KeyRing, refusal
from triplegain_pipelines.operations.live_switches import (
    KeyFacts,
    SetFacts,
    StoredFacts,
    Switch,
    ValidationFacts,
    in_words,
    missing,
    set_switches,
    switches,
)
from triplegain_pipelines.settings import CONFIG, Deployment, Settings, load_settings
from triplegain_pipelines.store import (
    accounts,
    breakers,
    credentials,
    emergency_stops,
    events,
    evidence,
    heartbeats,
    live_armings,
    live_facts,
    trading_modes,
)
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, raise_alert
from triplegain_pipelines.store.credentials import Use
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.events import Event, EventKind
from triplegain_pipelines.store.findings import clock_trusted
from triplegain_pipelines.store.live_armings import Arming

ALERT = "live_armed"


@dataclass(frozen=True, slots=True)
class LiveState:
    """How live trading stands: its switches, and until when it is armed."""

    account: str
    switches: list[Switch]
    armed_until: datetime | None

    @property
    def ready(self) -> bool:
        """Whether every switch is on."""
        return not missing(self.switches)

    def document(self) -> dict[str, object]:
        """The form for --json."""
        return {
            "account": self.account,
            "ready": self.ready,
            "armed_until": self.armed_until,
            "switches": [switch.document() for switch in self.switches],
        }


def live_state(database: Database, settings: Settings, clock: Clock, config: Path = CONFIG) -> LiveState:
    """How every switch of live trading stands now.

    Args:
        database: the trading database.
        settings: with the profile that is to trade.
        clock: the machine's.
        config: the folder of the profiles: the one that was validated is read again and compared.

    Raises:
        UnavailableError: the database does not answer, so nothing is known.
    """
    at = clock.now()
    with database.connection() as connection:
        found = switches(set_facts(settings), _stored_facts(connection, settings, at, config))
        until = live_armings.armed_until(connection, settings.profile.account, at, settings.config_hash)
    return LiveState(settings.profile.account, found, until)


def arm(
    database: Database, settings: Settings, *, confirmed: str, why: str, by: str, clock: Clock, config: Path = CONFIG
) -> Arming:
    """Allow the profile's account to take new risk with real money, for the profile's arming hours.

    Args:
        database: the trading database.
        settings: with the profile that is to trade.
        confirmed: the account's name as a person typed it.
        why: the reason; it is kept with the name.
        by: who arms.
        clock: the machine's.
        config: the folder of the profiles.

    Raises:
        InputError: the name is not that of the account, or no reason is given.
        LiveTradingError: a switch is off; the text names each.
        UnavailableError: the database does not answer; live trading is as armed as it was before.
    """
    _require_reason(why)
    account, live = settings.profile.account, settings.profile.live
    if confirmed != account:
        msg = f"{confirmed!r} is not the account's name {account!r}, so nothing was armed; type it letter by letter"
        raise InputError(msg)
    found = live_state(database, settings, clock, config).switches
    if missing(found) or live is None:
        msg = f"live trading cannot be armed: {in_words(found)}"
        raise LiveTradingError(msg)
    at = clock.now()
    documents = [switch.document() for switch in found]
    until = at + timedelta(hours=live.arming_hours)
    arming = Arming(account, at, until, by, why, documents, settings.config_hash)
    text = f"{account} trades with real money until {arming.expires_at:%Y-%m-%d %H:%M} UTC: armed by {by}, {why}"
    with database.connection() as connection:
        books = accounts.take_books(connection, LIVE, account, durable=True)
        live_armings.insert(connection, arming)
        end_alert(connection, ALERT, account, at)
        raise_alert(connection, ALERT, account, AlertLevel.INFO, text, at)
        told = {"armed_by": by, "why": why, "expires_at": arming.expires_at, "switches": documents}
        events.append(connection, LIVE, account, [Event(EventKind.LIVE_ARMED, at, told)], books.end)
    return arming


def disarm(database: Database, account: str | None, *, why: str, by: str, clock: Clock) -> list[str]:
    """End the arming of an account, or of all with None, at once: nothing but the database is needed for it.

    It is ended before anything else is done, and waits for nobody who has the account's books.

    Returns:
        The accounts that were armed.

    Raises:
        InputError: no reason is given.
        UnavailableError: the database does not answer. `triplegain stop --emergency` works by a file then.
    """
    _require_reason(why)
    at = clock.now()
    with database.connection() as connection:
        ended = live_armings.disarm(connection, account, at, by, why)
    for name in ended:
        with database.connection() as connection:
            end_alert(connection, ALERT, name, at)
            books = accounts.take_books(connection, LIVE, name, durable=True)
            event = Event(EventKind.LIVE_DISARMED, at, {"disarmed_by": by, "why": why})
            events.append(connection, LIVE, name, [event], books.end)
    return ended


def live_keys(settings: Settings, account: str, ring: KeyRing) -> Keys:
    """The keys to open a desk for real money with. Nothing else may open one.

    Only what is set by hand is asked for here, and that the key may trade: making risk smaller stays possible when an
    arming has expired. New risk needs the arming, which is asked for at each order.

    Raises:
        LiveTradingError: a switch that is set by hand is off, or `account` is not the profile's; the text names each.
        CredentialError: there is no trade key of production for the venue, or it may not be used.
        UnavailableError: the database does not answer.
    """
    found = set_switches(set_facts(settings))
    if missing(found):
        msg = f"no desk for real money is opened: {in_words(found)}"
        raise LiveTradingError(msg)
    if account != settings.profile.account:
        msg = f"no desk for real money is opened for {account!r}: the profile's account is {settings.profile.account!r}"
        raise LiveTradingError(msg)
    if ring.environment != Deployment.PRODUCTION:
        msg = f"real money is traded with keys of production, and these are of {ring.environment}"
        raise CredentialError(msg)
    return ring.keys(settings.profile.venue, Purpose.TRADE)


def set_facts(settings: Settings) -> SetFacts:
    """What is set by hand for live trading."""
    environment, profile = settings.environment, settings.profile
    return SetFacts(
        paper_trading=environment.paper_trading,
        live_trading_enabled=environment.live_trading_enabled,
        deployment=environment.deployment,
        named_account=environment.live_trading_account,
        named_venue=environment.live_trading_venue,
        profile=environment.profile,
        account=profile.account,
        venue=profile.venue,
        live=profile.live,
        baseline_seats=settings.models.offline,
        models_called=environment.llm_enabled,
    )


def _stored_facts(connection: psycopg.Connection, settings: Settings, at: datetime, config: Path) -> StoredFacts:
    account, venue = settings.profile.account, settings.profile.venue
    reconciled = live_facts.last_reconciliation(connection, LIVE, account)
    return StoredFacts(
        at=at,
        key=_key(connection, venue),
        validation=_validation(connection, settings, config),
        reconciled_at=reconciled[0] if reconciled else None,
        halts=reconciled[1] if reconciled else 0,
        clock_compared=heartbeats.last_beat(connection, heartbeats.CLOCK, venue),
        clock_trusted=clock_trusted(connection, venue, at),
        stopped=_stopped(connection, settings, account),
        mode=trading_modes.read(connection, account),
        breakers=breakers.read(connection, account),
    )


def _key(connection: psycopg.Connection, venue: str) -> KeyFacts | None:
    stored = credentials.in_force(connection, Use(Deployment.PRODUCTION, venue, Purpose.TRADE))
    if stored is None:
        return None
    return KeyFacts(stored.fingerprint, refusal(Purpose.TRADE, stored.permissions), stored.checked_at)


def _validation(connection: psycopg.Connection, settings: Settings, config: Path) -> ValidationFacts | None:
    from triplegain_pipelines.evaluation.validation import MINIMUM_DAYS

    if settings.profile.live is None:
        return None
    account = settings.profile.live.validated_by
    found = live_facts.newest_validation(connection, account, timedelta(days=MINIMUM_DAYS))
    if found is None:
        return None
    calls = evidence.seat_calls(connection, account, found.starts_at, found.ends_at)
    return ValidationFacts(
        verdict=found.verdict,
        counts_for_live=found.counts_for_live,
        ends_at=found.ends_at,
        baseline_calls=sum(one.calls for one in calls if one.baseline),
        changed=_changed(settings, account, found.config_hash, config),
    )


def _changed(settings: Settings, account: str, validated_hash: str | None, config: Path) -> tuple[str, ...]:
    """What of the configuration is not as it was validated: the validated profile then and now, and the live one."""
    try:
        validated = load_settings(settings.environment.model_copy(update={"profile": account}), config)
    except SettingsError:
        return (f"the profile {account} cannot be read",)
    mine, theirs = settings.profile, validated.profile
    same = {
        f"the account of the profile {account}": theirs.account == account,
        f"limits, models, rules for data, or the profile {account}": validated.config_hash == validated_hash,
        "limits": settings.risk == validated.risk,
        "models": settings.models == validated.models,
        "venue": mine.venue == theirs.venue,
        "symbols": mine.symbols == theirs.symbols,
        "decisions": mine.decisions == theirs.decisions,
    }
    return tuple(name for name, holds in same.items() if not holds)


def _stopped(connection: psycopg.Connection, settings: Settings, account: str) -> str | None:
    stops = emergency_stops.in_force(connection, account)
    if stops:
        return f"{stops[0].raised_by} stopped it at {stops[0].raised_at:%Y-%m-%d %H:%M} UTC: {stops[0].why}"
    file = emergency_file(settings.home)
    return f"the file {file} is there" if file.exists() else None


def _require_reason(why: str) -> None:
    if not why.strip():
        msg = "say why: the reason is kept with your name"
        raise InputError(msg)
