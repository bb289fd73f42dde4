"""The same question has the same answer: in a fresh database, and after a kill."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from homes import PROGRAM, Home, imported_home

pytestmark = [pytest.mark.backtest, pytest.mark.slow]

# Two days with entries, a take profit and an exit: something is under way at any moment of a kill.
_RANGE = ("2024-08-08", "2024-08-10")
_BETWEEN_LOOKS = 0.005  # seconds, of a walk of seconds
_ARGUMENTS = ("replay", "--symbols", "BTC/USDT,ETH/USDT", "--from", _RANGE[0], "--to", _RANGE[1], "--json")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, recorded_data: Path) -> str:
    """The result hash of an undisturbed run."""
    home = imported_home(tmp_path_factory.mktemp("reference") / "home", recorded_data)
    summary = home.replay(*_RANGE)
    assert summary["fills"] > 0
    return str(summary["result_hash"])


@pytest.mark.parametrize("seed", range(int(os.environ.get("TRIPLEGAIN_KILLS", "1"))))
def test_a_killed_run_ends_the_same_when_started_again(
    tmp_path: Path, recorded_data: Path, reference: str, seed: int
) -> None:
    """X3, B2: whatever dies when, no order is sent twice, no fill is lost, and another database has the same result."""
    home = imported_home(tmp_path / "home", recorded_data)
    draw = np.random.default_rng(seed)
    # Somewhere in the walk or shortly before: the step in which orders are sent.
    events = int(draw.integers(1, 60))
    kill_after_events(home, events)
    summary = home.replay(*_RANGE)
    assert summary["result_hash"] == reference, f"seed {seed}: killed after {events} events"
    with home.rows() as connection:
        twice = connection.execute(
            """SELECT decision_id, leg FROM paper_trading.intents i JOIN paper_trading.orders o USING (client_order_id)
               WHERE o.state <> 'LOST' GROUP BY 1, 2 HAVING count(*) > 1"""
        ).fetchall()
    assert twice == []


def kill_after_events(home: Home, events: int) -> None:
    """Start the replay and kill it, children and all, once its account's trail has that many events."""
    with home.rows() as connection:
        connection.autocommit = True
        connection.execute("SET statement_timeout = '5s'")
        with subprocess.Popen(
            [str(PROGRAM), *_ARGUMENTS],
            env=home.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as running:
            counted = 0
            while counted < events and running.poll() is None:
                row = connection.execute("SELECT count(*) FROM paper_trading.trading_events").fetchone()
                counted = row[0] if row else 0
                with suppress(subprocess.TimeoutExpired):
                    running.wait(_BETWEEN_LOOKS)  # to ask all the time takes a third of the machine from the replay
            family = [running.pid, *(child.pid for child in psutil.Process(running.pid).children(recursive=True))]
            for pid in family:
                os.kill(pid, signal.SIGKILL)
