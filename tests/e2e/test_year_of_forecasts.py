"""A year of real hourly candles with the offline seats, from import to the leaderboard: what must hold at its end.

Minutes shorter than an hour are not real here (`hourly_minutes`): forecasts, outcomes and scores rest on the real open
of each hour, money in the books on prices that stand still within it. It takes long; TRIPLEGAIN_FORECAST_DAYS shortens
it. Time and memory are printed at the end.
"""

import json
import os
import resource
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import PROGRAM, Home
from hourly_minutes import write_minutes

from triplegain_pipelines.domain.clock import monotonic_seconds

pytestmark = [pytest.mark.backtest, pytest.mark.slow, pytest.mark.long]

DAYS = int(os.environ.get("TRIPLEGAIN_FORECAST_DAYS", "365"))
_FIRST = datetime(2023, 1, 1, tzinfo=UTC)
_END = _FIRST + timedelta(days=DAYS)
_HISTORY = timedelta(days=min(400, 3 * DAYS + 60))  # what daily indicators look back on; a short run has less
_HOURS = "btcusdt_1h_binance_2018-01_2025-06.parquet"
_BASELINES = {"always 50 %", "always up", "base rate known before", "persistence", "momentum of a day"}
_SHADOWS = 8


@dataclass(frozen=True)
class Year:
    """The replayed time, its leaderboard, and what it took: seconds by step, and the largest process in MB."""

    home: Home
    summary: dict[str, Any]
    board: dict[str, Any]
    seconds: dict[str, float]
    megabytes: float


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory, recorded_data: Path) -> Year:
    """The whole way with the real command."""
    folder = tmp_path_factory.mktemp("year")
    home = Home(folder / "home")
    minutes = folder / "btcusdt_1m_binance.parquet"
    write_minutes(recorded_data / "candles" / _HOURS, minutes, _FIRST - _HISTORY, _END)
    days = ("--from", f"{_FIRST:%Y-%m-%d}", "--to", f"{_END:%Y-%m-%d}")
    seconds: dict[str, float] = {}

    def run(*arguments: object) -> dict[str, Any]:
        started = monotonic_seconds()
        command = [str(PROGRAM), *map(str, arguments), "--json"]
        done = subprocess.run(command, env=home.environment(), capture_output=True, text=True, check=False)
        seconds[str(arguments[0])] = monotonic_seconds() - started
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    run("import", minutes)
    summary = run("replay", "--symbols", "BTC/USDT", *days)
    board = run("leaderboard", *days, "--report")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Year(home, summary, board, seconds, largest)


def test_every_hour_is_forecast_and_settled(year: Year) -> None:
    """A7: an hour without six forecasts or without its outcome is one that nobody is judged by."""
    hours = DAYS * 24
    assert year.summary["decisions"] == hours
    assert year.summary["forecasts"] + year.summary["abstentions"] == 6 * hours
    # The exchange was down for two hours in March 2023; the last four hours settle after the end.
    assert year.board["events"] >= hours - 20


def test_seats_consensus_shadows_and_baselines_meet_on_one_board(year: Year) -> None:
    """A7: a forecaster that is missing on the board is one that the consensus was not compared with."""
    rows = {row["name"]: row for row in year.board["rows"]}
    assert sum("baseline:" in name for name in rows) == 6
    assert rows.keys() >= _BASELINES
    assert rows["consensus"]["compared_brier"] is not None
    assert all(rows[name]["compared_brier"] is not None and rows[name]["spa_p"] is not None for name in _BASELINES)
    assert year.board["trials"] >= 6 + 1 + _SHADOWS
    assert year.board["compared"] == year.board["events"]


def test_the_verdict_promises_nothing_that_the_rows_do_not_hold(year: Year) -> None:
    """A7: whoever leads has passed the gate, beats every baseline and is in the confidence set; nobody else leads."""
    rows = {row["name"]: row for row in year.board["rows"]}
    for name in year.board["leaders"]:
        assert rows[name]["gate"] is None
        assert rows[name]["in_confidence_set"]
        assert rows[name]["leak"] is None
        assert rows[name]["compared_brier"] < min(rows[one]["compared_brier"] for one in _BASELINES)
    assert all(row["rank"] is None for row in rows.values() if row["gate"] is not None)
    assert any("Baselines sit in the seats" in sentence for sentence in year.board["verdict"])


def test_the_page_says_it_and_what_it_took_is_told(year: Year, capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 5, point 6: the verdict stands on a page that a trader reads, and time and memory are known."""
    page = Path(year.board["report"]).read_text()
    assert year.board["verdict"][0].split(":")[0] in page
    took = ", ".join(f"{step} {seconds:,.0f} s" for step, seconds in year.seconds.items())
    with capsys.disabled():
        print(f"\n{DAYS} days: {took}; largest process {year.megabytes:,.0f} MB")
        print("\n".join(year.board["verdict"]))
    assert year.megabytes < 4096
