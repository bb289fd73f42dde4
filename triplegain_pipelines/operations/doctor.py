"""What is installed, reachable and configured; what is missing, and how to mend it. Changes nothing."""

import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

from triplegain_pipelines.domain.errors import TripleGainError
from triplegain_pipelines.execution.disk import LOW, least_room
from triplegain_pipelines.settings import PROJECT, Settings
from triplegain_pipelines.settings.profile import Profile
from triplegain_pipelines.store.catalogue import Catalogue, read_catalogue
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.extensions import Extensions, find_extensions, offered_extensions
from triplegain_pipelines.store.server import database_urls, embedded_server, state_folders

_GIB = 2**30


class State(StrEnum):
    """How a finding ends. Only BAD keeps the pipeline from running."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` says what to do where the state is not GOOD."""

    subject: str
    state: State
    detail: str
    mend: str = ""

    def document(self) -> dict[str, str]:
        """The form for --json."""
        return {"subject": self.subject, "state": self.state, "detail": self.detail, "mend": self.mend}


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, in the order in which a person would mend it."""
    looks: tuple[Callable[[Settings], list[Finding]], ...] = (
        _python,
        _packages,
        _disk,
        _profile,
        _database,
        _ports,
    )
    return [finding for look in looks for finding in look(settings)]


def _python(_settings: Settings) -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    return [Finding("python", State.GOOD, f"{version} in {sys.prefix}")]


def _packages(_settings: Settings) -> list[Finding]:
    wanted = dict(_pinned())
    found = {name: _installed(name) for name in wanted}
    wrong = [
        f"{name} {found[name] or 'missing'} (locked: {version})"
        for name, version in wanted.items()
        if found[name] != version
    ]
    if wrong:
        return [Finding("packages", State.BAD, "; ".join(wrong), "run 'make setup'")]
    return [Finding("packages", State.GOOD, f"{len(wanted)} packages as locked")]


def _pinned() -> list[tuple[str, str]]:
    names = (
        "dagster",
        "dagster-postgres",
        "ccxt",
        "polars",
        "pandera",
        "litellm",
        "mlflow",
        "great-expectations",
        "psycopg",
    )
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    pins = dict(line.split(" ")[0].split("==") for line in lines if "==" in line and not line.startswith((" ", "#")))
    return [(name, pins[name]) for name in names]


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _disk(settings: Settings) -> list[Finding]:
    folder, free = least_room(state_folders(settings))
    detail = f"{free / _GIB:.1f} GiB free for {folder}"
    if free < LOW:
        return [Finding("disk", State.BAD, detail, "free some space, or set TRIPLEGAIN_HOME to another disk")]
    return [Finding("disk", State.GOOD, detail)]


def _profile(settings: Settings) -> list[Finding]:
    profile = settings.profile
    market = f"{profile.venue}, {', '.join(profile.symbols)}, account {profile.account}"
    seats = "baselines sit in all six seats" if settings.models.offline else "six models"
    return [
        Finding("profile", State.GOOD, f"{settings.environment.profile}: {market}"),
        Finding("seats", State.GOOD, seats if settings.environment.llm_enabled else "turned off by LLM_ENABLED=false"),
        Finding("trading", State.GOOD, _trading(profile)),
    ]


def _trading(profile: Profile) -> str:
    if profile.live is None:
        return "on paper"
    return f"with real money at {profile.venue}, once it is armed; 'triplegain live check' says what is missing"


def _database(settings: Settings) -> list[Finding]:
    kind = "embedded" if embedded_server(settings) else "TRIPLEGAIN_DATABASE_URL"
    try:
        database = Database(database_urls(settings).triplegain)
        database.check()  # a pool would go on trying for a while
        with database.connection() as connection:
            catalogue = read_catalogue(connection)
            extensions = extension_findings(find_extensions(connection), offered_extensions(connection))
        database.close()
    except TripleGainError as error:
        return [Finding("database", State.NOTE, f"{kind}: {error}", "'make demo' and 'make up' start it")]
    detail = f"{kind} at {database.place}, PostgreSQL {catalogue.server_version}"
    if not catalogue.writable:
        mend = "no new risk is taken; let it write again: free its disk, or name the server that writes"
        return [Finding("database", State.BAD, f"{detail} only lets read", mend), *_inside(catalogue, extensions)]
    return [
        Finding("database", State.GOOD, detail),
        *_inside(catalogue, extensions),
    ]


def extension_findings(found: Extensions, offered: Mapping[str, str]) -> list[Finding]:
    """What there is of TimescaleDB and its toolkit in a migrated database, and what it is used for.

    Args:
        found: what the database has and uses.
        offered: name and version of what the server could make.
    """
    return [_timescaledb(found, offered.get("timescaledb")), _toolkit(found, offered.get("timescaledb_toolkit"))]


def _timescaledb(found: Extensions, offered: str | None) -> Finding:
    subject, again = "timescaledb", "'make up' tries again"
    if found.timescaledb is None and offered is None:
        return Finding(subject, State.GOOD, "not on this server: plain tables, the same answers")
    if found.timescaledb is None:
        detail = f"the server has {offered}, but did not let us make it here; plain tables are used"
        mend = f"add it to shared_preload_libraries, let a superuser run 'CREATE EXTENSION timescaledb'; {again}"
        return Finding(subject, State.NOTE, detail, mend)
    if found.lacks is not None:
        detail = f"{found.timescaledb} is not used: {found.lacks}; plain tables are used"
        return Finding(subject, State.NOTE, detail, f"update it, or choose timescaledb.license=timescale; {again}")
    if not found.aggregates:
        return Finding(subject, State.NOTE, f"{found.timescaledb} is there, the tables are still plain", again)
    uses = "hypertables with column store, retention of top of book, continuous aggregates for charts"
    return Finding(subject, State.GOOD, f"{found.timescaledb}: {uses}")


def _toolkit(found: Extensions, offered: str | None) -> Finding:
    subject = "timescaledb_toolkit"
    if found.toolkit is not None:
        uses = "candlesticks of trades, time-weighted averages, percentile sketches, lttb for charts"
        return Finding(subject, State.GOOD, f"{found.toolkit}: {uses}")
    if offered is None:
        return Finding(subject, State.GOOD, "not on this server: plain SQL, the same answers")
    detail = f"the server has {offered}, but did not let us make it here, or in a schema that is not searched"
    mend = "let a superuser run 'CREATE EXTENSION timescaledb_toolkit SCHEMA public'"
    return Finding(subject, State.NOTE, f"{detail}; plain SQL is used", mend)


def _inside(catalogue: Catalogue, extensions: list[Finding]) -> list[Finding]:
    if catalogue.revision is None:
        return [Finding("schema", State.NOTE, "not migrated yet", "'make demo' and 'make up' migrate it")]
    findings = [Finding("schema", State.GOOD, f"revision {catalogue.revision}"), *extensions]
    if not catalogue.candles:
        return [*findings, Finding("candles", State.NOTE, "none stored", "'triplegain import FILE' or 'make demo'")]
    return [
        *findings,
        Finding(
            "candles", State.GOOD, f"{catalogue.candles:,} stored, newest {catalogue.newest_candle:%Y-%m-%d %H:%M} UTC"
        ),
    ]


def _ports(settings: Settings) -> list[Finding]:
    ports = {"webserver": settings.environment.webserver_port, "mlflow": settings.environment.mlflow_port}
    return [_port(name, port) for name, port in ports.items()]


def _port(name: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            mend = f"if it is not 'make up', set TRIPLEGAIN_{name.upper()}_PORT to another port"
            return Finding(f"port {port}", State.NOTE, f"something listens where {name} belongs", mend)
    return Finding(f"port {port}", State.GOOD, f"free for {name}")
