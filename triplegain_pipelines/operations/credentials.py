"""The keys of venues: storing, checking, rotating and handing them out. A key that can withdraw is refused everywhere.

A key's permissions are read from its venue before it is stored. Where the venue cannot be reached it is stored as
unchecked, and is not used until `check` has read them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import CredentialError, InputError, PermanentError, TransientError
from triplegain_pipelines.domain.secrets import Keys, Permissions, Purpose, without_secrets
from triplegain_pipelines.operations.sealing import MasterKey, fingerprint, master_key_of, seal, sealer, unseal
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store import credentials
from triplegain_pipelines.store.alerts import AlertLevel, end_alert, raise_alert
from triplegain_pipelines.store.credentials import Credential, NewCredential, Use
from triplegain_pipelines.store.database import Database

AskVenue = Callable[[str, Keys], Permissions]
"""Reads from the venue of this name what the keys may do."""

REFUSED = "credential_refused"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of a key found: `refused` says why it may not be used, None that it may."""

    credential: Credential
    refused: str | None


class KeyRing:
    """Hands out the keys of one environment. It asks the database at each use, so a rotation needs no restart.

    As long as a key is in force the same object is returned: who keeps a connection open compares with `is`, and opens
    another when the keys are not the same any more.
    """

    def __init__(self, database: Database, master: MasterKey, environment: str) -> None:
        self._database = database
        self._master = master
        self.environment = environment
        self._opened: dict[tuple[str, Purpose], tuple[int, Keys]] = {}

    def keys(self, venue: str, purpose: Purpose) -> Keys:
        """The keys in force for this use.

        Raises:
            CredentialError: there are none, they may not be used, or they cannot be opened.
            UnavailableError: the database does not answer.
        """
        use = Use(self.environment, venue, purpose)
        stored = _in_force(self._database, use)
        opened = self._opened.get((venue, purpose))
        if opened is None or opened[0] != stored.credential_id:
            stored, keys = _opened(self._database, self._master, use)
            opened = (stored.credential_id, keys)
        refused = refusal(purpose, stored.permissions)
        if refused:
            msg = f"the {purpose} key of {venue} ({use.environment}) may not be used: {refused}"
            raise CredentialError(msg)
        self._opened[venue, purpose] = opened
        return opened[1]


def key_ring(database: Database, settings: Settings) -> KeyRing:
    """The key ring of the environment that `ENVIRONMENT` names."""
    return KeyRing(database, master_key_of(settings), settings.environment.deployment)


def refusal(purpose: Purpose, permissions: Permissions | None) -> str | None:
    """Why a key may not be used for this purpose, or None. Without permissions it was never checked."""
    if permissions is None:
        return "its permissions were never read from the venue; run 'triplegain credentials check'"
    if permissions.can_withdraw is not False:
        can = "it can withdraw" if permissions.can_withdraw else "the venue does not say whether it can withdraw"
        return f"{can}; make a key at the venue that cannot"
    if permissions.can_read is not True:
        return "it cannot read the account; allow that at the venue"
    if purpose is Purpose.TRADE:
        return None if permissions.can_trade is True else "it cannot send and cancel orders; allow both at the venue"
    if permissions.can_trade is not False:
        return "it can send or cancel orders, and a key for watching must not; make one at the venue that only reads"
    return None


def add(
    database: Database, settings: Settings, use: Use, keys: Keys, *, by: str, clock: Clock, ask: AskVenue
) -> Credential:
    """Store the first keys of a use.

    Raises:
        CredentialError: the venue says that the keys may not be used so, or there is a master key that is not usable.
        InputError: there are keys for this use already, or these keys are in force for another one.
    """
    settings.venues.of(use.venue)
    permissions = _permissions(use, keys, ask)
    master = master_key_of(settings)
    if not stored_keys(database):  # where there are keys, a new master key would open none of them
        master.make()
    with database.connection() as connection:
        credentials.lock(connection)
        stored = credentials.all_in_force(connection)
        _require_new(stored, use, keys)
        if any(one.use == use for one in stored):
            msg = f"there is a {use.purpose} key of {use.venue} ({use.environment}) already; 'rotate' replaces it"
            raise InputError(msg)
        return _insert(connection, master, use, keys, permissions, by, clock.now())


def rotate(
    database: Database, settings: Settings, use: Use, keys: Keys, *, by: str, clock: Clock, ask: AskVenue
) -> Credential:
    """Put new keys in the place of those in force, in one transaction. Running processes take them at their next use.

    Raises:
        CredentialError: the venue says that the keys may not be used so, or did not answer: then the old ones stay.
        InputError: there is nothing to replace, or the keys are in force already.
    """
    permissions = _permissions(use, keys, ask)
    if permissions is None:
        msg = f"{use.venue} cannot be reached, so the new key could not be checked; the old one stays in force"
        raise CredentialError(msg)
    with database.connection() as connection:
        credentials.lock(connection)
        stored = credentials.all_in_force(connection)
        _require_new(stored, use, keys)
        old = next((one for one in stored if one.use == use), None)
        if old is None:
            raise InputError(_missing(use))
        at = clock.now()
        credentials.retire(connection, old.credential_id, at)
        return _insert(connection, master_key_of(settings), use, keys, permissions, by, at)


def remove(database: Database, use: Use, clock: Clock) -> Credential:
    """Take the keys of a use out of force and forget them.

    Raises:
        InputError: there are none.
    """
    with database.connection() as connection:
        credentials.lock(connection)
        stored = credentials.in_force(connection, use)
        if stored is None:
            raise InputError(_missing(use))
        credentials.retire(connection, stored.credential_id, clock.now())
        end_alert(connection, REFUSED, _name(use), clock.now())
    return stored


def stored_keys(database: Database) -> list[Credential]:
    """Every key in force, of all environments, without its secret."""
    with database.connection() as connection:
        return credentials.all_in_force(connection)


def check(database: Database, settings: Settings, use: Use, clock: Clock, ask: AskVenue) -> Checked:
    """Read from the venue what a key may do, and keep it. A key that may not be used is a critical alert.

    Raises:
        CredentialError: there is no key, or it cannot be opened.
        TransientError: the venue or the database cannot be reached; what was known stays.
        PermanentError: the venue refuses the key.
    """
    stored, keys = _opened(database, master_key_of(settings), use)
    with without_secrets():
        permissions = ask(use.venue, keys)
    refused = refusal(use.purpose, permissions)
    at = clock.now()
    with database.connection() as connection:
        credentials.keep_check(connection, stored.credential_id, permissions, at)
        if refused is None:
            end_alert(connection, REFUSED, _name(use), at)
        else:
            text = f"the {use.purpose} key of {use.venue} ({use.environment}) may not be used: {refused}"
            raise_alert(connection, REFUSED, _name(use), AlertLevel.CRITICAL, text, at)
    return Checked(replace(stored, permissions=permissions, checked_at=at), refused)


def rotate_master(database: Database, settings: Settings) -> int:
    """Seal every key in force with a new master key, while everything runs, and forget the old one.

    Until all are sealed again the file holds both master keys, so that a crash in between loses nothing.

    Returns:
        How many keys were sealed again.

    Raises:
        CredentialError: there is no master key, it does not open all keys, or `TRIPLEGAIN_MASTER_KEY` holds no new one.
    """
    master = master_key_of(settings)
    with master.changing():
        with database.connection() as connection:
            credentials.lock(connection)
            keys = master.with_new()
            box = sealer(keys)
            again = {
                one.credential_id: seal(box, one.use, unseal(box, one.use, one.sealed))
                for one in credentials.all_in_force(connection)
            }
            credentials.seal_again(connection, again)
        if master.given is None:
            master.write(keys[:1])
    return len(again)


def ask_venue(settings: Settings, base_url: str | None = None) -> AskVenue:
    """Reads permissions from the venues themselves, or from what answers at `base_url` in their place."""

    def ask(venue: str, keys: Keys) -> Permissions:
        from triplegain_pipelines.execution.venues.permissions import key_permissions

        found = key_permissions(settings.venues.of(venue), keys, base_url=base_url)
        return Permissions(found.can_read, found.can_trade, found.can_withdraw)

    return ask


def _permissions(use: Use, keys: Keys, ask: AskVenue) -> Permissions | None:
    """What the keys may do, or None where the venue cannot be reached.

    Raises:
        CredentialError: they may not be used so, or the venue refuses them.
    """
    try:
        with without_secrets():
            permissions = ask(use.venue, keys)
    except TransientError:
        return None
    except PermanentError as error:
        msg = f"{use.venue} refuses the key, so it is not stored: {error}"
        raise CredentialError(msg) from None
    refused = refusal(use.purpose, permissions)
    if refused:
        msg = f"the key is not stored as the {use.purpose} key of {use.venue}: {refused}"
        raise CredentialError(msg)
    return permissions


def _require_new(stored: list[Credential], use: Use, keys: Keys) -> None:
    known = next((one for one in stored if one.fingerprint == fingerprint(keys)), None)
    if known is not None:
        kept = known.use
        msg = f"this key is in force as the {kept.purpose} key of {kept.venue} ({kept.environment}); "
        msg += "make another one at the venue" + ("" if kept == use else ": each use has a key of its own")
        raise InputError(msg)


def _insert(
    connection: psycopg.Connection,
    master: MasterKey,
    use: Use,
    keys: Keys,
    permissions: Permissions | None,
    by: str,
    at: datetime,
) -> Credential:
    sealed = seal(sealer(master.read()), use, keys)
    checked_at = None if permissions is None else at
    new = NewCredential(use, sealed, fingerprint(keys), permissions, at, by, checked_at)
    number = credentials.insert(connection, new)
    end_alert(connection, REFUSED, _name(use), at)
    return Credential(number, use, sealed, new.fingerprint, permissions, at, by, checked_at, None)


def _in_force(database: Database, use: Use) -> Credential:
    with database.connection() as connection:
        stored = credentials.in_force(connection, use)
    if stored is None:
        raise CredentialError(_missing(use))
    return stored


def _opened(database: Database, master: MasterKey, use: Use) -> tuple[Credential, Keys]:
    """The row of a use and its keys. Read again where they do not open: the master key may be changed this moment."""
    stored = _in_force(database, use)
    try:
        return stored, unseal(sealer(master.read()), use, stored.sealed)
    except CredentialError:
        again = _in_force(database, use)
        return again, unseal(sealer(master.read()), use, again.sealed)


def _missing(use: Use) -> str:
    return (
        f"there is no {use.purpose} key of {use.venue} for {use.environment}; 'triplegain credentials add {use.venue} "
        f"{use.purpose} --environment {use.environment}' stores one"
    )


def _name(use: Use) -> str:
    return f"{use.venue} {use.purpose} {use.environment}"
