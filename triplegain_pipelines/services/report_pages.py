"""Serves the written reports and Data Docs on loopback, so that the links on the Dagster page lead somewhere.

Read only, and only files that our own reports wrote. Run by uvicorn as a factory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from triplegain_pipelines.evaluation.pages import render_template
from triplegain_pipelines.settings import Settings, settings

_REPORTS, _DATA_DOCS = "reports", "data_docs"
_QUALITY = "summary.html"


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """A report to be listed: its name, what it is about, when it was written, and its address."""

    name: str
    subject: str
    written: str
    address: str


def application(of: Settings | None = None) -> Starlette:
    """The web application over the reports of a home; what is written later is served later."""
    home = (of or settings()).home

    def index(_request: Request) -> HTMLResponse:
        return HTMLResponse(render_template("index.html", pages=written_pages(home)))

    folders = [
        Mount(f"/{name}", StaticFiles(directory=home / name, html=True, check_dir=False))
        for name in (_REPORTS, _DATA_DOCS)
    ]
    # A page of another site must not read reports through a name of its own that leads to this machine.
    only_here = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=[Route("/", index), Route("/health", _health), *folders], middleware=[only_here])


def written_pages(home: Path) -> list[WrittenPage]:
    """The reports of a home, newest first."""
    found = sorted(_found(home), key=lambda page: page[0].stat().st_mtime, reverse=True)
    return [
        WrittenPage(name, subject, f"{_moment(path):%Y-%m-%d %H:%M}", quote(path.relative_to(home).as_posix()))
        for path, name, subject in found
    ]


def _found(home: Path) -> Iterator[tuple[Path, str, str]]:
    quality = home / _DATA_DOCS / _QUALITY
    if quality.exists():
        yield quality, "Data quality", "stored tables"
    for path in (home / _REPORTS).glob("*/*.html"):
        yield path, path.stem.replace("_", " "), path.parent.name


def _moment(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _health(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")
