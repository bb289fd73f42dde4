"""Benchmarks worked by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from triplegain_pipelines.evaluation.benchmarks import CASH, EQUAL_WEIGHT, benchmarks, hold_name

pytestmark = pytest.mark.unit

START = datetime(2024, 8, 1, tzinfo=UTC)
END = START + timedelta(hours=4)
BTC, ETH = "BTC/USDT", "ETH/USDT"


def prices(rows: list[tuple[str, int, float]]) -> pl.DataFrame:
    """Prices of (symbol, hours after the start, price)."""
    return pl.DataFrame(
        [(symbol, START + timedelta(hours=hours), price) for symbol, hours, price in rows],
        schema={"symbol": pl.String, "at": pl.Datetime("us", "UTC"), "price": pl.Float64},
        orient="row",
    )


@pytest.fixture
def found() -> dict[str, tuple[float, float]]:
    frame = prices([(BTC, 0, 100), (BTC, 1, 80), (BTC, 3, 150), (ETH, 0, 10), (ETH, 2, 5), (ETH, 4, 10)])
    listed = benchmarks(frame, [BTC, ETH], START, END, 2100)
    return {item.name: (item.total_return, item.max_drawdown) for item in listed}


def test_holding_is_measured_from_the_first_price(found: dict[str, tuple[float, float]]) -> None:
    """B1: BTC 100 -> 80 -> 150 is +50 % with a fall of 20 %; ETH comes back from half."""
    assert found[hold_name(BTC)] == (pytest.approx(0.5), pytest.approx(0.2))
    assert found[hold_name(ETH)] == (pytest.approx(0.0), pytest.approx(0.5))


def test_equal_weight_buys_once_and_never_rebalances(found: dict[str, tuple[float, float]]) -> None:
    """B1: values 2100, 1890 (0.8, 1), 1365 (0.8, 0.5), 2100 (1.5, 0.5), 2625 (1.5, 1): +25 %, fall 35 %."""
    assert found[EQUAL_WEIGHT] == (pytest.approx(0.25), pytest.approx(0.35))


def test_cash_does_nothing(found: dict[str, tuple[float, float]]) -> None:
    """B1: not to trade is an alternative too."""
    assert found[CASH] == (0, 0)


def test_curves_start_with_the_starting_equity_and_cover_the_period() -> None:
    """A chart that starts its lines at different heights compares nothing."""
    for benchmark in benchmarks(prices([(BTC, 1, 50), (BTC, 2, 60)]), [BTC], START, END, 2100):
        assert benchmark.curve["at"][0] == START
        assert benchmark.curve["at"][-1] == END
        assert benchmark.curve["value"][0] == pytest.approx(2100)


def test_a_symbol_without_prices_has_no_benchmark() -> None:
    """A hold of one of two symbols must not be called an equal-weight hold."""
    names = {item.name for item in benchmarks(prices([(BTC, 0, 1)]), [BTC, ETH], START, END, 2100)}
    assert names == {hold_name(BTC), CASH}
    assert [item.name for item in benchmarks(prices([]), [BTC], START, END, 2100)] == [CASH]


def test_bitcoin_is_compared_with_also_when_it_is_not_traded() -> None:
    """B1: buy-and-hold BTC is a benchmark of every account, and no part of an equal weight it does not hold."""
    found = {
        item.name: item.total_return
        for item in benchmarks(prices([(BTC, 0, 1), (BTC, 4, 3), (ETH, 0, 1), (ETH, 4, 2)]), [ETH], START, END, 2100)
    }
    assert found[hold_name(BTC)] == pytest.approx(2)
    assert found[EQUAL_WEIGHT] == pytest.approx(1)
