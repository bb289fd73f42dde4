"""A web server on loopback that answers as publishers do: feeds, block pages, redirects, cookies, silence, dripping."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Self


@dataclass(frozen=True)
class Page:
    """What a path answers.

    `claims` is the length that the header says where it differs from the body's; `hangs` never answers; `drips` sends
    the body a byte at a time, each before the client's patience for one read would end.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = "application/rss+xml"
    headers: Mapping[str, str] = field(default_factory=dict)
    claims: int | None = None
    hangs: bool = False
    drips: bool = False

    @classmethod
    def redirect(cls, location: str) -> "Page":
        """A redirect."""
        return cls(status=302, headers={"Location": location})


@dataclass
class NewsServer:
    """The server, started by `with`. A page with an `ETag` answers 304 to whoever has it."""

    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    server._serve(self)
                except (BrokenPipeError, ConnectionResetError):
                    """The client has had enough."""

            def log_message(self, *arguments: object) -> None:
                """Keeps quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Its port."""
        return self._http.server_port

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append((request.path, dict(request.headers.items())))
        page = self.pages.get(request.path, Page(b"not here", 404, "text/plain"))
        if page.hangs:
            self._stopping.wait()
            return
        etag = page.headers.get("ETag")
        if etag and request.headers.get("If-None-Match") == etag:
            request.send_response(304)
            request.end_headers()
            return
        request.send_response(page.status)
        request.send_header("Content-Type", page.content_type)
        request.send_header("Content-Length", str(len(page.body) if page.claims is None else page.claims))
        for name, value in page.headers.items():
            request.send_header(name, value)
        request.end_headers()
        if page.drips:
            for byte in page.body:
                request.wfile.write(bytes([byte]))
                request.wfile.flush()
                if self._stopping.wait(0.1):
                    return
        else:
            request.wfile.write(page.body)
