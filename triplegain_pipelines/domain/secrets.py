"""Secrets as they pass through memory, and how they are kept out of everything that is written.

What comes into the process as a secret is remembered here for as long as it runs. `redacted` takes every remembered
secret out of a text, in each of the forms in which libraries, venues and proxies write them.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import NoReturn
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

BLANK = "[secret]"

_SHORTEST = 8  # a shorter one would blank ordinary words, and is no secret that holds
_ADDING = Lock()
_forms: frozenset[str] = frozenset()


class Purpose(StrEnum):
    """What a key is for: `watch` keys only read, `trade` keys send orders."""

    WATCH = "watch"
    TRADE = "trade"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do at its venue; None is what could not be found out."""

    can_read: bool | None
    can_trade: bool | None
    can_withdraw: bool | None


@dataclass(frozen=True, slots=True)
class Keys:
    """The key and the secret by which a venue knows an account.

    Neither `repr` nor `str` nor an exception shows them, and they cannot be pickled: they never leave their process.
    """

    api_key: str = field(repr=False)
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        remember(self.api_key, self.secret)

    def __reduce__(self) -> NoReturn:
        msg = "keys of a venue are never pickled: open them where they are used, from the KeyRing"
        raise TypeError(msg)


def remember(*secrets: str) -> None:
    """Have these secrets taken out of whatever is written from now on. Shorter than 8 characters is no secret."""
    global _forms  # noqa: PLW0603 - a secret is one in the whole process, whoever brought it in
    new = {form for secret in secrets for part in _parts(secret) for form in _written_forms(part)}
    with _ADDING:
        _forms |= new


def passwords_in(url: str) -> list[str]:
    """The passwords of a database's URL, as it is written there and as it is meant."""
    parts = urlsplit(url)
    if parts.password == parts.username:  # the name of a user is in every log
        return []
    asked = parse_qs(parts.query).get("password", [])
    return [*asked, *((parts.password, unquote(parts.password)) if parts.password else ())]


def redacted(text: str) -> str:
    """`text` with every remembered secret in it blanked: as it is, percent-encoded, escaped, in base64 and in hex."""
    return _pattern(_forms).sub(BLANK, text) if _forms else text


@contextmanager
def without_secrets() -> Iterator[None]:
    """An exception that leaves has its text, its notes and those of its causes redacted. For calls of venues."""
    try:
        yield
    except Exception as error:
        _redact(error, set())
        raise


@lru_cache(maxsize=1)
def _pattern(forms: frozenset[str]) -> re.Pattern[str]:
    """Made anew only when something is written after another secret came in."""
    return re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form)))))


def _redact(error: BaseException | None, seen: set[int]) -> None:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    error.args = tuple(_without(argument) for argument in error.args)
    if hasattr(error, "__notes__"):
        error.__notes__ = [redacted(note) for note in error.__notes__]
    if hasattr(error, "raw") and isinstance(error.raw, str):  # what a venue said, which is stored
        error.raw = redacted(error.raw)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (error.__cause__, error.__context__, *inner):
        _redact(other, seen)


def _without(argument: object) -> object:
    """An exception's argument without secrets; a structure that holds one becomes a text without it."""
    if isinstance(argument, str):
        return redacted(argument)
    if argument is None or isinstance(argument, int | float | list | BaseException):
        return argument
    text = repr(argument)
    clean = redacted(text)
    return argument if clean == text else clean


def _parts(secret: str) -> list[str]:
    """The secret as a whole, and its lines, which a traceback or a log may indent: keys in PEM have several."""
    lines = secret.split("\n")
    whole = [secret] if len(secret) >= _SHORTEST else []
    return whole + [line for line in lines if len(lines) > 1 and len(line) >= _SHORTEST and "-----" not in line]


def _written_forms(secret: str) -> set[str]:
    data = secret.encode()
    hexadecimal = data.hex()
    forms = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        secret.encode("unicode_escape").decode(),
        hexadecimal,
        hexadecimal.upper(),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
    }
    # Behind other bytes, as in 'user:password', base64 writes it in one of three ways.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        sure = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        forms |= {sure, sure.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= _SHORTEST}
