"""Research as a person does it: candles in, backtests, a study, an approval, backtests with what was approved."""

from pathlib import Path
from typing import Any

import pytest
from homes import Home

pytestmark = [pytest.mark.backtest, pytest.mark.slow]

MARKET = ("--from", "2022-07-01", "--to", "2023-07-01")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, recorded_data: Path) -> Home:
    """A home with seven years of hours."""
    made = Home(tmp_path_factory.mktemp("research") / "home")
    made.json("import", recorded_data / "candles" / "btcusdt_1h_binance_2018-01_2025-06.parquet")
    return made


def backtests(home: Home, strategies: str) -> list[dict[str, Any]]:
    found = home.json("backtest", "--strategies", strategies, "--symbols", "BTC/USDT", *MARKET)
    assert Path(found["page"]).exists()
    return found["backtests"]


def test_from_candles_to_approved_parameters(home: Home) -> None:
    """B1, I3, I5: parameters that nobody approved must not be used, and those that somebody did must be."""
    first = backtests(home, "all")
    assert len(first) == 6
    assert all(one["verdict"] and one["benchmarks"]["buy and hold BTC/USDT"] for one in first)
    before = {one["strategy"]: one["parameters"] for one in first}
    study = home.json(
        "optimise", "--strategy", "breakout", "--symbol", "BTC/USDT", "--method", "sobol", "--trials", 10, *MARKET
    )
    assert study["verdict"] in {"significant", "not significant", "not enough data"}
    assert study["out_of_sample"]["trials"] >= 10
    (after,) = backtests(home, "breakout")
    assert after["parameters"] == before["breakout"]
    assert after["walk_forward"]["trials"] == study["out_of_sample"]["trials"]
    approve = ("parameters", "approve", study["parameters_id"], "--reason", "to see that it is used")
    if study["verdict"] != "significant":
        refused = home.run(*approve)
        assert refused.returncode == 1
        assert "--although-not-significant" in refused.stderr
        approve = (*approve, "--although-not-significant")
    approved = home.run(*approve)
    assert approved.returncode == 0, approved.stderr
    (used,) = backtests(home, "breakout")
    assert used["parameters"] == study["proposed"]["parameters"]
    (listed,) = home.json("parameters", "list")["parameters"]
    assert (listed["state"], listed["approved_reason"]) == ("APPROVED", "to see that it is used")
    assert (listed["approved_although"] or "significant") == study["verdict"]
    (life,) = home.json("forks")["studies"]
    assert (life["created"], life["used"], life["expired"]) == (0, 0, 0)
    assert life["destroyed"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("backtest", "--strategies", "momentun", "--symbols", "BTC/USDT", *MARKET), "there is no strategy momentun"),
        (
            ("backtest", "--symbols", "DOGE/USDT", "--venue", "binance", *MARKET),
            "no 1h candles of DOGE/USDT at binance are stored",
        ),
        (("backtest", "--symbols", "DOGE/USDT", *MARKET), "DOGE/USDT"),
        (("optimise", "--strategy", "macd", "--symbol", "BTC/USDT", "--method", "guess", *MARKET), "no method 'guess'"),
        (
            ("parameters", "approve", "00000000-0000-0000-0000-000000000000", "--reason", "why not"),
            "00000000-0000-0000-0000-000000000000",
        ),
    ],
)
def test_a_mistake_is_one_plain_line(home: Home, arguments: tuple[str, ...], words: str) -> None:
    """A person who mistypes must read what was wrong and what there is, not a stack."""
    done = home.run(*arguments)
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
