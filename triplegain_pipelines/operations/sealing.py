"""Sealing keys of venues with a master key that is not in the database.

It is in the file `keys/master.key` of the home, or in `TRIPLEGAIN_MASTER_KEY`. Either holds one master key or several:
the first seals, each of them opens, so that the master key can be changed while everything runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import CredentialError
from triplegain_pipelines.domain.secrets import Keys, Purpose, remember
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store.credentials import Use

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

VARIABLE = "TRIPLEGAIN_MASTER_KEY"

_NOT_DUMPABLE = 4  # PR_SET_DUMPABLE of Linux
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class MasterKey:
    """Where the master key is: in the file `path`, unless `given` names it. `given` is never shown."""

    path: Path
    given: str | None

    def __repr__(self) -> str:
        return f"MasterKey(in {VARIABLE if self.given else self.path})"

    def read(self) -> list[str]:
        """The master keys, the one that seals first.

        Raises:
            CredentialError: there is none, or others than the owner can read it.
        """
        if self.given is not None:
            return _keys_of(self.given, VARIABLE)
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            msg = f"there is no master key in {self.path}; restore the file from your backup, or set {VARIABLE}"
            raise CredentialError(msg) from None
        except OSError as error:
            msg = f"the master key in {self.path} cannot be read: {error.strerror}; it has to be a file of your own"
            raise CredentialError(msg) from None
        with os.fdopen(descriptor) as file:
            self._require_private(os.fstat(file.fileno()))
            return _keys_of(file.read(), str(self.path))

    def make(self) -> None:
        """Make the file with a new master key, unless there is a master key. Of two processes that try, one does."""
        if self.given is not None or self.path.exists():
            return
        with self.changing():
            if not self.path.exists():
                self.write([_new_key()])

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.parent.chmod(0o700)
        with FileLock(self.path.with_suffix(".lock")):
            yield

    def write(self, keys: list[str]) -> None:
        """Replace the file in one step; it is on the disk when this returns, and only its owner can read it."""
        remember(*keys)
        made = self.path.with_suffix(".new")
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        made.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def with_new(self) -> list[str]:
        """The master keys behind a new one, which seals from now on; written where the file holds them.

        Raises:
            CredentialError: the environment gives them, and no second one behind the one that seals.
        """
        keys = self.read()
        if self.given is None:
            keys = [_new_key(), *keys]
            self.write(keys)
        elif len(keys) == 1:
            msg = (
                f"{VARIABLE} holds one key; put a new one in front, with a comma between them, and run this again; "
                "'openssl rand -base64 32 | tr +/ -_' makes one"
            )
            raise CredentialError(msg)
        return keys

    def _require_private(self, found: os.stat_result) -> None:
        if found.st_uid != os.geteuid() or found.st_mode & _OTHERS or not stat.S_ISREG(found.st_mode):
            msg = (
                f"others can read or replace the master key in {self.path} (mode {stat.S_IMODE(found.st_mode):04o}, "
                f"owner {found.st_uid}); let only its owner have it: 'chmod 600', and take it for known: rotate the "
                "keys of the venues, then 'triplegain credentials rotate --master'"
            )
            raise CredentialError(msg)


def master_key_of(settings: Settings) -> MasterKey:
    """Where the master key of this home is."""
    given = settings.environment.master_key
    return MasterKey(settings.home / "keys" / "master.key", given.get_secret_value() if given else None)


def sealer(keys: list[str]) -> MultiFernet:
    """What seals with the first of the master keys and opens with each. The process writes no core dump from now on."""
    from cryptography.fernet import Fernet, MultiFernet

    forbid_core_dumps()
    return MultiFernet([Fernet(key) for key in keys])


def seal(box: MultiFernet, use: Use, keys: Keys) -> bytes:
    """Seal keys for one use; opened for another they are refused."""
    content = [use.environment, use.venue, use.purpose, keys.api_key, keys.secret]
    return box.encrypt(json.dumps(content).encode())


def unseal(box: MultiFernet, use: Use, sealed: bytes) -> Keys:
    """The keys that were sealed for this use.

    Raises:
        CredentialError: another master key sealed them, they were changed, or they were sealed for another use.
    """
    from cryptography.fernet import InvalidToken

    try:
        environment, venue, purpose, api_key, secret = json.loads(box.decrypt(sealed))
    except InvalidToken:
        msg = (
            f"the {use.purpose} key of {use.venue} ({use.environment}) cannot be opened with this master key; restore "
            "the master key it was stored with, or remove the key and add it again"
        )
        raise CredentialError(msg) from None
    keys = Keys(api_key, secret)
    if Use(environment, venue, Purpose(purpose)) != use:
        msg = (
            f"the row of the {use.purpose} key of {use.venue} ({use.environment}) holds the {purpose} key of {venue} "
            f"({environment}): somebody changed the database; remove the key, and find out who"
        )
        raise CredentialError(msg)
    return keys


def fingerprint(keys: Keys) -> str:
    """Tells two keys apart, and tells neither: keys are random and too long to be guessed."""
    return content_hash(["credential", keys.api_key, keys.secret])[:12]


def forbid_core_dumps() -> None:
    """A crash of this process writes no memory to the disk from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":  # a handler that cores are piped to is not bound by the limit
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_NOT_DUMPABLE, 0, 0, 0, 0)


def _new_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def _keys_of(text: str, where: str) -> list[str]:
    from cryptography.fernet import Fernet

    keys = text.replace(",", " ").split()
    remember(*keys)
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        keys = []
    if not keys:
        msg = f"{where} does not hold master keys: 32 bytes in URL-safe base64 each; restore it from your backup"
        raise CredentialError(msg)
    return keys
