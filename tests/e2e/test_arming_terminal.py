"""`triplegain live arm` as a person meets it: every switch on, a real terminal, and what they type decides.

The key is one of the exchange on loopback, which is asked what it may do.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import psycopg
import pytest
import yaml
from homes import Home
from live_site import CASH, FEE, INSTRUMENTS

from triplegain_pipelines import settings as package
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState
from triplegain_pipelines.domain.secrets import Keys, Purpose
from triplegain_pipelines.execution.desk import LIVE
from triplegain_pipelines.operations.credentials import add, ask_venue
from triplegain_pipelines.operations.installation import running_home
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store import accounts, breakers, heartbeats
from triplegain_pipelines.store.accounts import Account
from triplegain_pipelines.store.credentials import Use
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres
from triplegain_pipelines.store.live_armings import armed_until
from triplegain_pipelines.store.reports import save_report

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PACKAGE = Path(package.__file__).parents[1]
ALL_ON = {
    "PAPER_TRADING": "false",
    "LIVE_TRADING_ENABLED": "true",
    "ENVIRONMENT": "production",
    "LIVE_TRADING_ACCOUNT": "live",
    "LIVE_TRADING_VENUE": "kraken",
    "TRIPLEGAIN_PROFILE": "live",
}
_PATIENCE = 60.0


@dataclass
class Terminal:
    """A home with every switch on, and the command in a terminal of its own."""

    home: Home
    checkout: Path
    url: str
    config_hash: str

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The command line of `triplegain` in this checkout, and its environment."""
        start = "from triplegain_pipelines.cli import main; main()"
        environment = self.home.environment(PYTHONPATH=str(self.checkout), **ALL_ON)
        return [sys.executable, "-P", "-c", start, *arguments], environment

    def type(self, question: str, answer: bytes, *arguments: str) -> tuple[int, str]:
        """Run the command in a terminal and type `answer` at its `question`; exit code, and what was on the screen."""
        command, environment = self.command(*arguments)
        keyboard, screen = os.openpty()
        try:
            process = subprocess.Popen(
                command, env=environment, stdin=screen, stdout=screen, stderr=screen, start_new_session=True
            )
            os.close(screen)
            shown = _read_until(keyboard, question)
            os.write(keyboard, answer)
            shown += _read_until(keyboard, None)
            return process.wait(_PATIENCE), shown
        finally:
            os.close(keyboard)

    def run(self, *arguments: str) -> str:
        """Run a command that asks nothing, and must succeed."""
        command, environment = self.command(*arguments)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def until(self, later: timedelta = timedelta(0)) -> datetime | None:
        """Until when it is armed, as every order is asked."""
        with psycopg.connect(self.url) as connection:
            return armed_until(connection, "live", SystemClock().now() + later, self.config_hash)

    def armings(self) -> list[tuple[Any, ...]]:
        """Whether each arming was ended, and by whom and why it was made."""
        with psycopg.connect(self.url) as connection:
            query = "SELECT disarmed_at IS NOT NULL, why, disarmed_why FROM ops.live_armings ORDER BY arming_id"
            return connection.execute(query).fetchall()


def _read_until(keyboard: int, words: str | None) -> str:
    """What comes on the screen until `words` are there, or until the program has gone where there are none."""
    shown = b""
    while words is None or words.encode() not in shown:
        ready, _, _ = select.select([keyboard], [], [], _PATIENCE)
        assert ready, f"nothing more came on the screen: {shown!r}"
        part = b""
        with suppress(OSError):  # the other end is closed
            part = os.read(keyboard, 4096)
        if not part:
            assert words is None, f"it ended without asking: {shown!r}"
            break
        shown += part
    return shown.decode().replace("\r\n", "\n")


def edited_checkout(folder: Path) -> Path:
    """The program beside a configuration of its own, in which models sit in the seats."""
    own = folder / "triplegain_pipelines"
    own.mkdir(parents=True)
    for entry in PACKAGE.iterdir():
        if entry.name not in {"settings", "__pycache__"}:
            (own / entry.name).symlink_to(entry)
    copytree(PACKAGE / "settings", own / "settings", ignore=ignore_patterns("__pycache__"))
    copytree(PACKAGE.parent / "config", folder / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        (folder / name).symlink_to(PACKAGE.parent / name)
    models = folder / "config" / "models.yaml"
    models.write_text(yaml.safe_dump(yaml.safe_load(models.read_text()) | {"offline": False}))
    return folder


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    home, checkout = Home(tmp_path / "home"), edited_checkout(tmp_path / "checkout")
    chosen = {name.removeprefix("TRIPLEGAIN_").lower(): value for name, value in ALL_ON.items()}
    chosen["deployment"] = chosen.pop("environment")
    own = load_settings(Environment(home=home.path, **chosen), checkout / "config")
    paper = load_settings(own.environment.model_copy(update={"profile": "paper"}), checkout / "config")
    clock = SystemClock()
    now, server = clock.now(), EmbeddedPostgres(home.path / "postgres")
    server.ensure()
    try:
        exchange = LoopbackExchange(INSTRUMENTS, {"USDT": CASH}, FEE, clock)
        with running_home(own) as urls, LoopbackServer(exchange) as venue:
            database = Database(urls.triplegain)
            keys = Keys(venue.api_key, venue.api_secret)
            use = Use("production", "kraken", Purpose.TRADE)
            add(database, own, use, keys, by="ann", clock=clock, ask=ask_venue(own, venue.url))
            assert venue.calls
            with database.connection() as connection:
                opened = Account("live", "kraken", "USDT", Decimal(2_100), simulated=False, opened_at=now)
                accounts.insert(connection, LIVE, opened)
                closed = BreakerState.CLOSED
                states = {name: Breaker(name, closed, now, ReasonCode.WITHIN_LIMITS.value, 0) for name in BreakerName}
                breakers.insert(connection, "live", states)
                heartbeats.beat(connection, heartbeats.CLOCK, "kraken", now)
                save_report(
                    connection,
                    document={"counts_for_live": True, "config_hash": paper.config_hash},
                    account="paper",
                    start=now - timedelta(days=15),
                    end=now - timedelta(hours=1),
                    verdict="PASSED",
                    path="x.html",
                    created_at=now - timedelta(hours=1),
                )
            database.close()
            yield Terminal(home, checkout, urls.triplegain, own.config_hash)
    finally:
        server.stop()


def test_what_a_person_types_arms_it_or_not(terminal: Terminal) -> None:
    """X7: the confirmation was never typed at a terminal, and real money hangs on it alone once all switches are on."""
    ask, arm = "Type the name of the account to confirm: ", ("live", "arm", "--why", "first day")
    for wrong, said in ((b"LIVE\n", "'LIVE' is not the account's name 'live'"), (b"\4", "Aborted")):
        code, shown = terminal.type(ask, wrong, *arm)
        assert code == 1, shown
        assert said in shown.replace("\n", " ")
        assert "Traceback" not in shown
    assert (terminal.armings(), terminal.until()) == ([], None)
    code, shown = terminal.type(ask, b"live\n", *arm)
    assert code == 0, shown
    assert "real money" in shown
    assert "live is armed until" in shown
    state = json.loads(terminal.run("live", "check", "--json"))
    assert (state["ready"], state["armed_until"]) == (True, str(terminal.until()))
    assert terminal.until(later=timedelta(hours=24)) is None
    assert terminal.run("live", "disarm", "--why", "enough").strip() == "disarmed: live"
    assert terminal.until() is None
    assert terminal.armings() == [(True, "first day", "enough")]
    assert terminal.run("orders", "unclear", "--account", "live").strip() == "no order is unclear"
