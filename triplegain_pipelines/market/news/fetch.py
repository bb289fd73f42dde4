"""One hardened GET for addresses of strangers: bounded in time, size and redirects, without cookies, conditional.

aiohttp, which the streams need anyway, is the client because its time-out covers the whole exchange: one that drips a
byte now and then cannot hold up the other sources, as it could with time-outs for each read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from triplegain_pipelines.domain.errors import TransientError

if TYPE_CHECKING:
    import aiohttp

MAXIMUM_REDIRECTS = 3

_CHUNK = 65_536
_OK = 200
_NOT_MODIFIED = 304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    # Some publishers refuse clients without a name.
    "User-Agent": "TripleGainPipelines/0.1 (feed reader)",
    # A compressed answer could be a thousand times larger than what was counted on the way.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer, and its content type as the server says it."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last whole answer of an address and what a conditional request says about it."""

    answer: Answer
    conditions: dict[str, str]


class Fetcher:
    """Gets answers, and remembers the last one of each address as long as the process lives.

    Where an address says that nothing has changed, the remembered answer is given again: what was read and could not be
    stored the last time is not lost.
    """

    def __init__(self, *, timeout_seconds: float, largest_answer_bytes: int) -> None:
        self._timeout = timeout_seconds
        self._largest = largest_answer_bytes
        self._kept: dict[str, _Kept] = {}

    def get(self, name: str, url: str) -> Answer:
        """The answer of `url`. Not for use inside a running event loop.

        Args:
            name: of the source, for the error.
            url: http or https.

        Raises:
            TransientError: no whole answer within the limits.
        """
        import aiohttp

        shown = _without_secrets(url)
        try:
            return asyncio.run(self._get(url))
        except TimeoutError as error:
            msg = f"{name}: {shown} did not answer within {self._timeout:g} s; it is asked again the next time"
            raise TransientError(msg) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refusal = _refusal_behind(error)
            if refusal is not None:
                msg = f"{name}: {shown} {refusal}"
                raise TransientError(msg) from None
            # Not the error's own text: aiohttp puts the whole address into it, and what the stranger sent.
            reason = (isinstance(error, OSError) and error.strerror) or "no answer that is HTTP"
            msg = f"{name}: {shown} could not be read ({type(error).__name__}: {reason[:200]}); check the address"
            raise TransientError(msg) from None
        except _RefusedError as error:
            msg = f"{name}: {shown} {error}"
            raise TransientError(msg) from error

    async def _get(self, url: str) -> Answer:
        import aiohttp

        kept = self._kept.get(url)
        headers = {**_HEADERS, **(kept.conditions if kept else {})}
        target = url
        private_allowed = True

        def open_socket(address: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, (host, *_) = address
            if not private_allowed:
                _require_public(host, target)
            return socket.socket(family, kind, protocol)

        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(socket_factory=open_socket, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=headers,
        ) as client:
            # One time-out for all redirects together.
            async with asyncio.timeout(self._timeout):
                for _ in range(MAXIMUM_REDIRECTS + 1):
                    async with client.get(target, allow_redirects=False) as response:
                        if response.status not in _REDIRECTS:
                            return await self._answer(url, response, kept)
                        target = _redirected(target, response.headers.get("Location", ""))
                        # The configured host itself is the operator's choice, also where it is a private one.
                        private_allowed = urlsplit(target).hostname == urlsplit(url).hostname
        msg = f"redirects more than {MAXIMUM_REDIRECTS} times; put its present address into config/news.yaml"
        raise _RefusedError(msg)

    async def _answer(self, url: str, response: aiohttp.ClientResponse, kept: _Kept | None) -> Answer:
        if response.status == _NOT_MODIFIED and kept:
            return kept.answer
        if response.status != _OK:
            msg = f"answered with status {response.status}; it is asked again the next time"
            raise _RefusedError(msg)
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            msg = "answered in a compressed form that was not asked for, which cannot be measured before it is opened"
            raise _RefusedError(msg)
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._largest:
                msg = f"answered with more than {self._largest} bytes; raise largest_answer_bytes if that is right"
                raise _RefusedError(msg)
        answer = Answer(bytes(body), response.headers.get("Content-Type", "")[:100])
        self._kept[url] = _Kept(answer, _conditions(response))
        return answer


class _RefusedError(Exception):
    """An answer that is not taken, and why."""


class _PrivateAddressError(OSError):
    """A redirect leads to an address that is not of the public network. An OSError, as aiohttp expects of a socket."""


def _conditions(response: aiohttp.ClientResponse) -> dict[str, str]:
    said = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
    return {ours: response.headers[theirs] for ours, theirs in said.items() if theirs in response.headers}


def _redirected(current: str, location: str) -> str:
    """Where a redirect leads, if it may be followed."""
    target = urljoin(current, location)
    parts = urlsplit(target)
    if not location or parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        msg = "redirects to something that is not a plain web address"
        raise _RefusedError(msg)
    if urlsplit(current).scheme == "https" and parts.scheme == "http":
        msg = "redirects from https to http, where anybody could write its news"
        raise _RefusedError(msg)
    return target


def _require_public(address: str, target: str) -> None:
    """See that a stranger does not send us into the private network.

    It is the address that the socket is opened to. A look at the name before would not do: the stranger's name server
    may answer that look with another address than the connection.
    """
    if not ipaddress.ip_address(address).is_global:
        msg = f"redirects to {str(urlsplit(target).hostname)[:100]}, which is not a public host"
        raise _PrivateAddressError(msg)


def _refusal_behind(error: BaseException) -> str | None:
    """Why the connection was refused by us; None where it was not."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, _PrivateAddressError):
            return str(behind)
        behind = behind.__cause__ or behind.__context__
    return None


def _without_secrets(url: str) -> str:
    """The address without what may be a key: user, password and everything behind the path."""
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    return f"{parts.scheme}://{host}{parts.path}"
