"""Keys of venues: sealed at rest, refused where they can withdraw, rotated while they are used."""

import os
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import CredentialError, InputError, PermanentError, UnavailableError
from triplegain_pipelines.domain.secrets import Keys, Permissions, Purpose
from triplegain_pipelines.operations.credentials import (
    KeyRing,
    add,
    check,
    key_ring,
    refusal,
    remove,
    rotate,
    rotate_master,
    stored_keys,
)
from triplegain_pipelines.operations.sealing import MasterKey, master_key_of
from triplegain_pipelines.settings import Environment, Settings, load_settings
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.credentials import Use
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TRADE = Use("development", "kraken", Purpose.TRADE)
WATCH = Use("development", "kraken", Purpose.WATCH)
OLD, NEW = Keys("old-api-key-1", "b2xkLXNlY3JldC0x"), Keys("new-api-key-2", "bmV3LXNlY3JldC0y")
TRADES = Permissions(can_read=True, can_trade=True, can_withdraw=False)
READS = Permissions(can_read=True, can_trade=False, can_withdraw=False)


@dataclass
class Venue:
    """What a venue says that keys may do; `down` is one that cannot be reached."""

    permissions: Permissions = TRADES
    down: bool = False
    asked: list[Keys] = field(default_factory=list)
    refuses: str = ""

    def __call__(self, venue: str, keys: Keys) -> Permissions:
        """The permissions, as a test has set them."""
        self.asked.append(keys)
        if self.down:
            msg = f"{venue} does not answer"
            raise UnavailableError(msg)
        if self.refuses:
            raise PermanentError(self.refuses)
        return self.permissions


@dataclass
class Safe:
    """A home with its database, a clock and a venue, and what a person does to its keys."""

    database: Database
    settings: Settings
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(NOON))
    venue: Venue = field(default_factory=Venue)

    def add(self, keys: Keys = OLD, use: Use = TRADE) -> None:
        """Store keys."""
        add(self.database, self.settings, use, keys, by="ann", clock=self.clock, ask=self.venue)

    def rotate(self, keys: Keys = NEW, use: Use = TRADE) -> None:
        """Replace keys."""
        rotate(self.database, self.settings, use, keys, by="ann", clock=self.clock, ask=self.venue)

    def ring(self) -> KeyRing:
        """A key ring as a process of its own would have it."""
        return key_ring(self.database, self.settings)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Rows of any query."""
        with self.database.connection() as connection:
            return connection.execute(query.encode()).fetchall()

    @property
    def file(self) -> Path:
        """The file of the master key."""
        return self.settings.home / "keys" / "master.key"


@pytest.fixture
def safe(database: Database, tmp_path: Path) -> Safe:
    return Safe(database, load_settings(Environment(home=tmp_path, profile="paper")))


@pytest.mark.parametrize(
    ("purpose", "permissions", "words"),
    [
        (Purpose.TRADE, TRADES, None),
        (Purpose.WATCH, READS, None),
        (Purpose.WATCH, None, "never read"),
        (Purpose.TRADE, None, "never read"),
        (Purpose.TRADE, READS, "cannot send and cancel orders"),
        (Purpose.TRADE, Permissions(True, None, False), "cannot send and cancel orders"),  # noqa: FBT003
        (Purpose.WATCH, TRADES, "must not"),
        (Purpose.WATCH, Permissions(True, None, False), "must not"),  # noqa: FBT003
        (Purpose.TRADE, Permissions(True, True, True), "can withdraw"),  # noqa: FBT003
        (Purpose.WATCH, Permissions(True, False, True), "can withdraw"),  # noqa: FBT003
        (Purpose.TRADE, Permissions(True, True, None), "does not say whether it can withdraw"),  # noqa: FBT003
        (Purpose.WATCH, Permissions(True, False, None), "does not say whether it can withdraw"),  # noqa: FBT003
        (Purpose.TRADE, Permissions(False, True, False), "cannot read"),  # noqa: FBT003
        (Purpose.WATCH, Permissions(None, False, False), "cannot read"),  # noqa: FBT003
    ],
)
def test_what_a_key_may_do_decides_whether_it_is_used(
    purpose: Purpose, permissions: Permissions | None, words: str | None
) -> None:
    """X8: a key that can withdraw, or of which nobody knows, would let a thief take the money and not just trade it."""
    refused = refusal(purpose, permissions)
    assert (refused is None) == (words is None)
    assert words is None or words in str(refused)


def test_a_key_comes_back_as_it_was_and_lies_sealed_in_the_database(safe: Safe) -> None:
    """X8: who reads the database, or a backup of it, must not have the keys."""
    safe.add()
    assert safe.ring().keys("kraken", Purpose.TRADE) == OLD
    [(sealed,)] = safe.rows("SELECT sealed FROM ops.credentials")
    assert isinstance(sealed, bytes)
    assert OLD.secret.encode() not in sealed
    assert OLD.api_key.encode() not in sealed
    (stored,) = stored_keys(safe.database)
    assert (stored.permissions, stored.stored_by, stored.checked_at) == (TRADES, "ann", NOON)
    for text in (repr(stored), repr(OLD), str(OLD), repr(safe.ring()), repr(master_key_of(safe.settings))):
        assert OLD.secret not in text
        assert OLD.api_key not in text


@pytest.mark.parametrize(
    ("use", "permissions"),
    [
        (TRADE, Permissions(True, True, True)),  # noqa: FBT003
        (TRADE, Permissions(True, True, None)),  # noqa: FBT003
        (WATCH, TRADES),
        (TRADE, READS),
    ],
)
def test_a_key_of_wrong_permissions_is_not_stored(safe: Safe, use: Use, permissions: Permissions) -> None:
    """X8: such a key must not come near the machine that trades."""
    safe.venue.permissions = permissions
    with pytest.raises(CredentialError, match="not stored"):
        safe.add(use=use)
    assert safe.rows("SELECT * FROM ops.credentials") == []


def test_a_key_that_the_venue_refuses_is_not_stored_and_not_shown(safe: Safe) -> None:
    """X8: a venue that repeats the key in its refusal must not bring it onto the screen."""
    safe.venue.refuses = f"EAPI:Invalid key {OLD.api_key} {OLD.secret}"
    with pytest.raises(CredentialError, match=r"Invalid key \[secret\] \[secret\]") as caught:
        safe.add()
    assert OLD.secret not in str(caught.value)
    assert safe.rows("SELECT * FROM ops.credentials") == []


def test_without_the_venue_a_key_is_stored_and_not_used_until_it_is_checked(safe: Safe) -> None:
    """X8: what a key may do is not assumed; and a venue that is down must not stop a person from preparing."""
    safe.venue.down = True
    safe.add()
    ring = safe.ring()
    with pytest.raises(CredentialError, match="never read"):
        ring.keys("kraken", Purpose.TRADE)
    with pytest.raises(UnavailableError):
        check(safe.database, safe.settings, TRADE, safe.clock, safe.venue)
    safe.venue.down = False
    assert check(safe.database, safe.settings, TRADE, safe.clock, safe.venue).refused is None
    assert ring.keys("kraken", Purpose.TRADE) == OLD


def test_a_check_that_finds_withdrawal_stops_the_key_at_once_and_raises_an_alert(safe: Safe) -> None:
    """X8: permissions are changed at the venue, behind our back: the next use must already be refused."""
    safe.add()
    ring = safe.ring()
    assert ring.keys("kraken", Purpose.TRADE) == OLD
    safe.venue.permissions = Permissions(can_read=True, can_trade=True, can_withdraw=True)
    assert "can withdraw" in str(check(safe.database, safe.settings, TRADE, safe.clock, safe.venue).refused)
    with pytest.raises(CredentialError, match="may not be used: it can withdraw"):
        ring.keys("kraken", Purpose.TRADE)
    with safe.database.connection() as connection:
        (alert,) = open_alerts(connection)
    assert (alert.kind, alert.level) == ("credential_refused", "critical")
    safe.venue.permissions = TRADES
    check(safe.database, safe.settings, TRADE, safe.clock, safe.venue)
    assert ring.keys("kraken", Purpose.TRADE) == OLD
    with safe.database.connection() as connection:
        assert open_alerts(connection) == []


def test_a_running_process_takes_the_new_key_at_its_next_use(safe: Safe) -> None:
    """X8: a rotation must not need a stop, during which positions would be unwatched."""
    safe.add()
    ring = safe.ring()
    first = ring.keys("kraken", Purpose.TRADE)
    assert ring.keys("kraken", Purpose.TRADE) is first
    safe.clock.advance_to(NOON + timedelta(days=1))
    safe.rotate()
    assert ring.keys("kraken", Purpose.TRADE) == NEW
    rows = safe.rows("SELECT retired_at, length(sealed) > 0, checked_at FROM ops.credentials ORDER BY credential_id")
    assert rows == [(safe.clock.now(), False, NOON), (None, True, safe.clock.now())]


def test_a_key_is_found_at_every_moment_of_many_rotations(safe: Safe) -> None:
    """X8: between the old key and the new one there must be no moment without any, for keys and for the master key."""
    safe.add()
    ring, stop, seen = safe.ring(), threading.Event(), set()
    failures: list[Exception] = []

    def use() -> None:
        while not stop.is_set():
            try:
                seen.add(ring.keys("kraken", Purpose.TRADE).api_key)
                KeyRing(safe.database, ring._master, "development").keys("kraken", Purpose.TRADE)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
                failures.append(error)
                return

    user = threading.Thread(target=use)
    user.start()
    for number in range(15):
        safe.rotate(Keys(f"rotated-key-{number}", f"c2VjcmV0LW51bWJlci{number:02}"))
        rotate_master(safe.database, safe.settings)
    stop.set()
    user.join()
    assert failures == []
    assert len(seen) > 1


def test_a_key_that_is_opened_while_the_master_key_changes_is_read_again(safe: Safe) -> None:
    """X8: the row was sealed with the old master key and the file holds the new one already: no reason to stop."""
    safe.add()

    @dataclass(frozen=True)
    class Changing(MasterKey):
        """The file as a reader meets it who is overtaken once."""

        overtaken: list[int] = field(default_factory=list)

        def read(self) -> list[str]:
            if not self.overtaken:
                self.overtaken.append(rotate_master(safe.database, safe.settings))
            return MasterKey.read(self)

    master = Changing(safe.file, None)
    assert KeyRing(safe.database, master, "development").keys("kraken", Purpose.TRADE) == OLD
    assert master.overtaken == [1]


def test_a_rotation_is_refused_while_the_venue_is_down(safe: Safe) -> None:
    """X8: an unchecked key in the place of one that works would leave positions without anybody who can close them."""
    safe.add()
    safe.venue.down = True
    with pytest.raises(CredentialError, match="the old one stays in force"):
        safe.rotate()
    assert safe.ring().keys("kraken", Purpose.TRADE) == OLD


def test_a_rotation_that_fails_leaves_the_old_key_in_force(safe: Safe) -> None:
    """X8: retired and not replaced, a key would be gone: both happen in one transaction or not at all."""
    safe.add()
    with safe.database.connection() as connection:
        connection.execute("ALTER TABLE ops.credentials ADD CHECK (credential_id < 2)")
    with pytest.raises(psycopg.errors.CheckViolation):
        safe.rotate()
    assert safe.ring().keys("kraken", Purpose.TRADE) == OLD


def test_environments_and_purposes_have_keys_of_their_own(safe: Safe) -> None:
    """X8: a test against staging must not be able to trade with the money of production, nor a watcher to trade."""
    production = Use("production", "kraken", Purpose.TRADE)
    safe.add(use=production)
    with pytest.raises(CredentialError, match="no trade key of kraken for development"):
        safe.ring().keys("kraken", Purpose.TRADE)
    with pytest.raises(InputError, match=r"in force as the trade key of kraken \(production\)"):
        safe.add(use=TRADE)
    safe.venue.permissions = READS
    with pytest.raises(InputError, match="each use has a key of its own"):
        safe.add(use=WATCH)
    safe.add(NEW, WATCH)
    with pytest.raises(CredentialError, match="no trade key"):
        safe.ring().keys("kraken", Purpose.TRADE)
    assert safe.ring().keys("kraken", Purpose.WATCH) == NEW


def test_a_row_moved_to_another_use_is_refused(safe: Safe) -> None:
    """X8: who can write to the database must not be able to pass a key of staging off as one of production."""
    safe.add()
    with safe.database.connection() as connection:
        connection.execute("UPDATE ops.credentials SET environment = 'production'")
    ring = KeyRing(safe.database, master_key_of(safe.settings), "production")
    with pytest.raises(CredentialError, match="somebody changed the database"):
        ring.keys("kraken", Purpose.TRADE)


def test_a_second_key_for_a_use_and_a_rotation_of_nothing_are_refused(safe: Safe) -> None:
    """X8: two keys for one use would leave open which one trades."""
    with pytest.raises(InputError, match="there is no trade key"):
        safe.rotate()
    safe.add()
    with pytest.raises(InputError, match="already; 'rotate' replaces it"):
        safe.add(NEW)
    with pytest.raises(InputError, match="in force as the trade key"):
        safe.rotate(OLD)


def test_a_removed_key_is_gone_from_the_database(safe: Safe) -> None:
    """X8: what is not needed any more must not be there to be stolen; that it was there stays known."""
    safe.add()
    ring = safe.ring()
    ring.keys("kraken", Purpose.TRADE)
    remove(safe.database, TRADE, safe.clock)
    with pytest.raises(CredentialError, match="there is no trade key"):
        ring.keys("kraken", Purpose.TRADE)
    assert safe.rows("SELECT sealed, retired_at FROM ops.credentials") == [(b"", NOON)]
    with pytest.raises(InputError, match="there is no trade key"):
        remove(safe.database, TRADE, safe.clock)


def test_the_master_key_is_made_for_its_owner_alone(safe: Safe) -> None:
    """X8: the file opens everything; as a new file is made by default, everybody on the machine could read it."""
    old = os.umask(0)
    try:
        safe.add()
    finally:
        os.umask(old)
    assert stat.S_IMODE(safe.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(safe.file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_master_key_that_others_can_reach_is_refused(safe: Safe, mode: int) -> None:
    """X8: a key that others could have read is to be taken for known, and used no more."""
    safe.add()
    safe.file.chmod(mode)
    with pytest.raises(CredentialError, match="others can read or replace"):
        safe.ring().keys("kraken", Purpose.TRADE)
    with pytest.raises(CredentialError, match="others can read or replace"):
        safe.add(NEW, Use("staging", "kraken", Purpose.TRADE))


def test_a_link_to_a_master_key_is_refused(safe: Safe) -> None:
    """X8: behind a link could be a file that others write."""
    safe.add()
    elsewhere = safe.file.rename(safe.settings.home / "elsewhere")
    safe.file.symlink_to(elsewhere)
    with pytest.raises(CredentialError, match="has to be a file of your own"):
        safe.ring().keys("kraken", Purpose.TRADE)


def test_a_lost_master_key_is_not_made_anew_over_stored_keys(safe: Safe) -> None:
    """X8: a new one opens nothing: a person has to know, and restore the old one."""
    safe.add()
    safe.file.unlink()
    with pytest.raises(CredentialError, match="restore the file"):
        safe.ring().keys("kraken", Purpose.TRADE)
    with pytest.raises(CredentialError, match="restore the file"):
        safe.add(NEW, Use("staging", "kraken", Purpose.TRADE))
    assert not safe.file.exists()


def test_another_master_key_opens_nothing_and_says_so(safe: Safe) -> None:
    """X8: a wrong backup must be told apart from a broken database."""
    safe.add()
    safe.file.unlink()
    MasterKey(safe.file, None).make()
    with pytest.raises(CredentialError, match="cannot be opened with this master key"):
        safe.ring().keys("kraken", Purpose.TRADE)


def test_a_broken_master_key_is_refused_and_not_shown(safe: Safe) -> None:
    """X8: an error about the file must not print what is in it."""
    safe.add()
    safe.file.write_text("half-of-a-planted-key\n")
    with pytest.raises(CredentialError, match="does not hold master keys") as caught:
        safe.ring().keys("kraken", Purpose.TRADE)
    assert "planted" not in str(caught.value)


def test_the_master_key_is_rotated_and_the_old_one_opens_nothing_any_more(safe: Safe) -> None:
    """X8: after a leak of the master key a new one must take its place without asking for all keys again."""
    safe.add()
    before = safe.file.read_text()
    assert rotate_master(safe.database, safe.settings) == 1
    assert safe.file.read_text() != before
    assert len(safe.file.read_text().split()) == 1
    assert stat.S_IMODE(safe.file.stat().st_mode) == 0o600
    assert safe.ring().keys("kraken", Purpose.TRADE) == OLD
    safe.file.write_text(before)
    with pytest.raises(CredentialError, match="cannot be opened"):
        safe.ring().keys("kraken", Purpose.TRADE)


def test_a_rotation_of_the_master_key_that_breaks_off_loses_nothing(safe: Safe) -> None:
    """X8: with the database gone in the middle, the file must still open what was sealed before."""
    safe.add()
    with safe.database.connection() as connection:
        connection.execute("ALTER TABLE ops.credentials ADD CHECK (octet_length(sealed) = 1) NOT VALID")
    with pytest.raises(psycopg.errors.CheckViolation):
        rotate_master(safe.database, safe.settings)
    assert len(safe.file.read_text().split()) == 2
    assert safe.ring().keys("kraken", Purpose.TRADE) == OLD


def test_a_master_key_from_the_environment_seals_and_rotates(safe: Safe) -> None:
    """X8: where the home is on a shared disk the master key comes from outside, and no file is made."""
    from cryptography.fernet import Fernet

    first, second = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    def given(keys: str) -> Settings:
        environment = safe.settings.environment.model_copy(update={"master_key": SecretStr(keys)})
        return safe.settings.model_copy(update={"environment": environment})

    safe.settings = given(first)
    safe.add()
    assert not safe.file.exists()
    with pytest.raises(CredentialError, match="holds one key"):
        rotate_master(safe.database, safe.settings)
    safe.settings = given(f"{second},{first}")
    assert rotate_master(safe.database, safe.settings) == 1
    safe.settings = given(second)
    assert safe.ring().keys("kraken", Purpose.TRADE) == OLD
    assert first not in repr(safe.settings)
    assert second not in repr(safe.settings)


def test_a_process_that_opened_keys_writes_no_core_dump() -> None:
    """X8: a crash writes the memory of the process to the disk, with every key in it."""
    program = """
import os, resource
from triplegain_pipelines.operations.sealing import sealer
from cryptography.fernet import Fernet
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
sealer([Fernet.generate_key().decode()])
import ctypes
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
