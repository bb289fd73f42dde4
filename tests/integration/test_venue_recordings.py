"""Recorded markets of Binance, Kraken and a sparse one in Coinbase's format, over the loopback venues and real HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from venues.binance import BinanceServer, archived_klines
from venues.coinbase import CoinbaseServer
from venues.kraken import KrakenServer
from venues.loopback import LoopbackServer
from venues.quick import quick_venue

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.trades import TRADE_COLUMNS
from triplegain_pipelines.market.venues.history import candle_pages, fetch_candles, trade_pages

pytestmark = pytest.mark.integration

_BAR = ["opened_at", "open", "high", "low", "close", "volume"]


def test_binances_archive_through_its_rest_interface(recorded_data: Path) -> None:
    """M1: the archive's rows are those of the klines call; both ways into our tables must give the same bits."""
    path = recorded_data / "raw" / "binance" / "NEARUSDT-1m-2024-06.csv.gz"
    names = ["open_time", "open", "high", "low", "close", "volume"]
    archive = pl.read_csv(path, columns=names).head(4 * 1440)
    start = datetime(2024, 6, 1, tzinfo=UTC)
    until = start + timedelta(days=4)
    with BinanceServer(now=lambda: until) as server:
        server.tape.candles["NEAR/USDT"] = archived_klines(path)
        frame = fetch_candles(
            quick_venue("binance"), "NEAR/USDT", start, until, clock=ReplayClock(until), base_url=server.url
        )
        assert server.calls.count("klines") == 6
    assert frame["opened_at"].dt.epoch("ms").to_list() == archive["open_time"].to_list()
    for name in names[1:]:
        assert frame[name].to_list() == archive[name].cast(pl.Float64).to_list()


@pytest.mark.parametrize(
    ("name", "server_type", "file", "first", "days"),
    [
        ("coinbase", CoinbaseServer, "btcusd_1m_bitfinex_2019.parquet", datetime(2019, 3, 9, tzinfo=UTC), 2),
        ("binance", BinanceServer, "btcusdt_1m_binance_2021-03_2021-04.parquet", datetime(2021, 4, 25, tzinfo=UTC), 1),
    ],
    ids=["sparse minutes", "an outage of five hours"],
)
def test_holes_of_real_markets_stay_holes(
    recorded_data: Path, name: str, server_type: type[LoopbackServer], file: str, first: datetime, days: int
) -> None:
    """M1, trap 18: minutes without a candle neither end the paging nor are filled, and the venue answered for all."""
    until = first + timedelta(days=days)
    rows = (
        pl.scan_parquet(recorded_data / "candles" / file)
        .rename({"time": "opened_at"})
        .with_columns(pl.col("opened_at").cast(CANDLE_COLUMNS["opened_at"]))
        .filter(pl.col("opened_at").is_between(first, until, closed="left"))
        .select(_BAR)
        .collect()
    )
    assert 0 < rows.height < days * 1440, "the stretch must have holes"
    clock = ReplayClock(until)
    with server_type({"BTC/USDT": rows}, now=clock.now) as server:
        pages = list(candle_pages(quick_venue(name), "BTC/USDT", first, until, clock=clock, base_url=server.url))
    assert pl.concat(page.frame for page in pages).select(_BAR).equals(rows)
    assert (pages[0].answered_from, pages[-1].reached) == (first, until)


def test_days_of_recorded_kraken_trades_page_by_page(recorded_data: Path) -> None:
    """M1: 26,921 real trades over 27 pages, many of one moment; every one comes, once, with its own time and price."""
    recorded = pl.read_parquet(recorded_data / "trades" / "btcusdt_trades_kraken_2023-11-17_2023-11-22.parquet")
    trades = recorded.select(
        pl.col("trade_id").cast(pl.String),
        traded_at="time",
        price="price",
        quantity="amount",
        side="side",
    ).sort("traded_at", pl.col("trade_id").cast(pl.Int64))
    assert trades.schema == dict(TRADE_COLUMNS)
    first, now = datetime(2023, 11, 17, tzinfo=UTC), datetime(2023, 11, 23, tzinfo=UTC)
    clock = ReplayClock(now)
    with KrakenServer(trades={"BTC/USDT": trades}, now=clock.now) as server:
        pages = trade_pages(quick_venue("kraken"), "BTC/USDT", first, now, clock=clock, base_url=server.url)
        assert pl.concat(page.frame for page in pages).equals(trades)
        assert server.calls.count("Trades") >= 27
