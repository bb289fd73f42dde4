"""A home for end-to-end tests: the real command in a process of its own, on a state folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from triplegain_pipelines.store.embedded import EmbeddedPostgres

PROGRAM = Path(sys.executable).parent / "triplegain"
BTC = "btcusdt_1m_binance_2024-07_2024-08.parquet"
ETH = "ethusdt_1m_binance_2024-07_2024-08.parquet"


@dataclass(frozen=True)
class Home:
    """A state folder and the command that works on it."""

    path: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command on this home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIPLEGAIN_", "DAGSTER_"))}
        return {**kept, "TRIPLEGAIN_HOME": str(self.path), "NO_COLOR": "1", "COLUMNS": "200", **more}

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `triplegain` to its end."""
        command = [str(PROGRAM), *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment(**environment), capture_output=True, text=True, timeout=600, check=False
        )

    def json(self, *arguments: object) -> dict[str, Any]:
        """Run `triplegain … --json`, which must succeed, and parse what it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def replay(self, first: str, end: str, symbols: str = "BTC/USDT,ETH/USDT") -> dict[str, Any]:
        """Replay whole days of what is stored."""
        return self.json("replay", "--symbols", symbols, "--from", first, "--to", end)

    @contextmanager
    def rows(self) -> Iterator[psycopg.Connection]:
        """A connection to the home's database, its server started for as long."""
        server = EmbeddedPostgres(self.path / "postgres")
        server.ensure()
        try:
            with psycopg.connect(server.url("triplegain"), options="-c timezone=UTC") as connection:
                yield connection
        finally:
            server.stop()


def imported_home(path: Path, recorded: Path) -> Home:
    """A home that holds the recorded minutes of BTC/USDT and ETH/USDT around the crash of 5 August 2024."""
    made = Home(path)
    done = made.run("import", recorded / "candles" / BTC, recorded / "candles" / ETH)
    assert done.returncode == 0, done.stderr
    return made
