"""Every file that people have, into PostgreSQL: all recorded files by a table, and what must never half happen."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START, candle_frame
from servers import Server, fresh_database

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.file_import import import_file
from triplegain_pipelines.store.candles import coverage, read_candles, read_gaps
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.top_of_book import read_top_of_book
from triplegain_pipelines.store.trades import read_trades

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
CLOCK = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Imported:
    """What a file becomes: its kind, rows, and what else its document says; `given` are options for the import."""

    kind: str
    rows: int
    says: dict[str, object] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """Words of the reason for which a file is refused."""

    words: str


BOOK = Refused("order book")


def _candles(rows: int, venue: str, symbol: str, timeframe: str, **says: object) -> Imported:
    return Imported("candles", rows, {"venue": venue, "symbol": symbol, "timeframe": timeframe, **says})


# The candle files of the table in the data's own README are held against that table.
EXPECTED: dict[str, Imported | Refused] = {
    "README.md": Refused("line 1 has no comma"),
    "llm/llm_crypto_messages_2025-11.jsonl.gz": Refused("one JSON object a line (day, model, new_messages"),
    "llm/llm_crypto_positions_2025-11.jsonl": Refused("one JSON object a line (date, id, model, positions)"),
    "llm/llm_headline_scores_2025-07.csv": Refused("its columns are timestamp, headline, score, reason; importable"),
    "news/crypto_news_sentiment_2024-03_2024-05.parquet": Imported("headlines", 835, {"new": 834, "repeated": 1}),
    "news/cryptonews_2021-10_2022-07.parquet": Imported("headlines", 7_524, {"left_out": 28}),
    "news/fear_greed_index_2018-02_2025-06.csv": Imported("fear_greed", 2_703, {"new": 2_703}),
    "raw/binance/NEARUSDT-1m-2024-06.csv.gz": _candles(43_200, "binanceusdm", "NEAR/USDT", "1m", gaps=0),
    "raw/binance/binance_rest_depth1000_2021-10-12.txt.gz": BOOK,
    "raw/binance/binance_ws_2021-10-12.txt.gz": Refused("a recording of messages of wss://stream.binance.com"),
    "raw/binance/btcusdt-depth-snap.csv": BOOK,
    "raw/binance/btcusdt-depth-update.csv": BOOK,
    "raw/binance/futures-APEUSDT-aggTrades-2024-10-18.zip": Imported(
        "trades",
        45_342,
        {"venue": "binanceusdm", "symbol": "APE/USDT", "missing_trades": 0, "candles_new": 24 * 60 - 2},
    ),
    "raw/binance/futures-um-klines-BTCUSDT-1h-2024-10-28.zip": _candles(24, "binanceusdm", "BTC/USDT", "1h"),
    "raw/binance/spot-klines-BTCUSDT-1h-2024-10-28.zip": _candles(24, "binance", "BTC/USDT", "1h"),
    "raw/bitfinex/BTCUSD_1m_19-06-26_20-00-00.json": _candles(120, "bitfinex", "BTC/USD", "1m"),
    "raw/bitfinex/XRPUSD_1m_19-06-01_00-00-00.json": _candles(119, "bitfinex", "XRP/USD", "1m", missing=1),
    "raw/bybit/xrpusdt-ob500.data.zip": BOOK,
    "raw/coinbase/coinbase_ws_2021-04-17.txt.gz": Refused("a recording of messages of wss://ws-feed.pro.coinbase.com"),
    # Five candles stand in it a second time, five hours later, where two parts were joined.
    "raw/cryptodatadownload/Coinbase_BTCUSD_1h.csv.gz": Refused("comes after a later candle; if the file was joined"),
    "raw/freqtrade/XRP_ETH-5m.feather": Imported("candles", 706, {"symbol": "XRP/ETH"}, {"venue": "binance"}),
    "raw/freqtrade/XRP_USDT_USDT-8h-funding_rate.feather": Refused("it holds funding rates"),
    "raw/kraken/kraken_futures_ws_2021-07-22.txt.gz": Refused("a recording of messages of wss://futures.kraken.com"),
    "raw/kraken/kraken_ohlcvt_STORJUSD_60.csv": _candles(1_508, "kraken", "STORJ/USD", "1h"),
    "raw/kraken/kraken_ohlcvt_XBTUSD_60.csv.gz": _candles(70_253, "kraken", "BTC/USD", "1h"),
    "raw/kraken/kraken_rest_asset_pairs.json": Refused("an answer of Kraken's, rates and limits of pairs"),
    "raw/kraken/kraken_rest_assetpairs_2021-04-17.txt.gz": Refused("a recording of messages of https://api.kraken.com"),
    "raw/kraken/kraken_rest_ohlc.json": _candles(
        *(720, "kraken", "BTC/USDT", "1m"),
        not_taken=["entry 721: the candle opened at 2025-11-11T00:17:00+00:00 had not closed when Kraken answered"],
    ),
    "raw/kraken/kraken_rest_order_book.json": Refused("order book of XBTUSDT, which does not say its time"),
    "raw/kraken/kraken_rest_responses_ccxt.json": Refused("JSON with call, description, httpResponse"),
    "raw/kraken/kraken_rest_server_time.json": Refused("an answer of Kraken's, about rfc1123, unixtime"),
    "raw/kraken/kraken_rest_system_status.json": Refused("an answer of Kraken's, about status, timestamp"),
    "raw/kraken/kraken_rest_ticker.json": Refused("an answer of Kraken's, the ticker"),
    "raw/kraken/kraken_rest_trades.json": Imported("trades", 1_000, {"symbol": "BTC/USDT", "missing_trades": 0}),
    "raw/kraken/kraken_trades_BCHEUR.csv": Imported("trades", 148, {"venue": "kraken", "symbol": "BCH/EUR"}),
    "raw/kraken/kraken_trades_BCHEUR_incremental_q2.csv": Imported("trades", 486, {"symbol": "BCH/EUR"}),
    "raw/kraken/kraken_ws_v1_book1000_2021-04-17.txt.gz": Refused("wss://ws.kraken.com (order book)"),
    "raw/kraken/kraken_ws_v1_ticker_2021-04-17.txt.gz": Refused("wss://ws.kraken.com (ticker)"),
    "raw/kraken/kraken_ws_v1_trade_2021-04-17.txt.gz": Refused("wss://ws.kraken.com (trades)"),
    "raw/kraken/kraken_ws_v2_book10_BTCUSD_2026-07-19.jsonl": BOOK,
    "trades/btcusdt_quotes_binance_2021-01-08.parquet": Imported("quotes", 451, {"new": 428, "superseded": 23}),
    "trades/btcusdt_trades_binance_2021-01-08.parquet": Imported("trades", 2_001, {"candles_new": 0}),
    "trades/btcusdt_trades_kraken_2023-11-17_2023-11-22.parquet": Imported(
        "trades", 26_921, {"venue": "kraken", "missing_trades": 26, "candles_new": 5_351}
    ),
    "trades/xrpeth_trades_binance_2019-10-11_2019-10-13.parquet": Imported(
        "trades", 12_477, {"venue": "binance", "symbol": "XRP/ETH", "missing_trades": 0}
    ),
}
FILES = sorted(str(path.relative_to(RECORDED)) for path in RECORDED.rglob("*") if path.is_file())


def _stated(path: str) -> Imported:
    """What the README of the data says of a candle file."""
    name = Path(path).name
    rows = [line.split("|") for line in (RECORDED / "README.md").read_text().splitlines() if f"| {name} |" in line]
    assert len(rows) == 1, f"{path} is a recorded file that neither the table above nor the README of the data knows"
    symbol, timeframe, venue = Path(path).stem.split("_")[:3]
    cells = [cell.strip() for cell in rows[0]]
    missing, gaps = (int(part.strip(" ()").replace(",", "")) for part in cells[6].split("("))
    split = next(f"{symbol[: -len(quote)]}/{quote}" for quote in ("usdt", "usd") if symbol.endswith(quote)).upper()
    return _candles(int(cells[2].replace(",", "")), venue, split, timeframe, missing=missing, gaps=gaps)


@pytest.fixture(scope="module")
def filled(postgres: Server) -> Iterator[Database]:
    """One database for all recorded files: what is said of a file does not depend on those before it."""
    with fresh_database(postgres, "every recorded file") as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="recorded market data is not here: it lies beside the project in shared/data")
@pytest.mark.parametrize("path", FILES)
def test_every_recorded_file(request: pytest.FixtureRequest, path: str) -> None:
    """Hold point 1: all real files import, or are refused with the reason in one line; a new one must be looked at."""
    expected = EXPECTED.get(path) or _stated(path)
    if isinstance(expected, Refused):
        # A file that is refused never reaches the database, so there is none here.
        with pytest.raises(InputError) as refusal:
            import_file(Database("postgresql://nobody@127.0.0.1:1/none"), RECORDED / path, clock=CLOCK)
        text = str(refusal.value)
        assert text.startswith(f"{Path(path).name}: ")
        assert expected.words in text
        assert "\n" not in text
        return
    filled: Database = request.getfixturevalue("filled")
    document = import_file(filled, RECORDED / path, clock=CLOCK, **expected.given).document()
    wanted = {"kind": expected.kind, "rows": expected.rows, **expected.says}
    assert {name: document[name] for name in wanted} == wanted
    if expected.kind in {"candles", "trades"}:
        stored = sum(document.get(name, 0) for name in ("new", "identical", "revised"))
        assert stored == expected.rows


def test_every_row_of_the_table_is_a_file(recorded_data: Path) -> None:
    """Hold point 1: a name that no file has would test nothing."""
    assert set(EXPECTED) <= set(FILES)


def test_trades_agree_with_the_venues_own_candles(database: Database, recorded_data: Path) -> None:
    """Hold point 1: candles of Kraken's trades equal Kraken's own candles, and the venue's own stay where they are."""
    raw = recorded_data / "raw" / "kraken"
    import_file(database, raw / "kraken_rest_ohlc.json", clock=CLOCK)
    trades = import_file(database, raw / "kraken_rest_trades.json", clock=CLOCK).document()
    assert (trades["new"], trades["candles_new"], trades["candles_equal"], trades["candles_differing"]) == (
        *(1_000, 0, 272, 0),
    )
    again = import_file(database, raw / "kraken_rest_trades.json", clock=CLOCK).document()
    assert (again["new"], again["identical"]) == (0, 1_000)
    with database.connection() as connection:
        sources = connection.execute("SELECT DISTINCT split_part(source, ':', 1) FROM market.candles").fetchall()
    assert sources == [("archive",)]


def _write(path: Path, *rows: tuple[int, float, float]) -> Path:
    """A file of trades of (id, seconds after the start, price)."""
    lines = [f"{int(START.timestamp()) + second},{number},{price},1" for number, second, price in rows]
    path.write_text("\n".join(["time,trade_id,price,amount", *lines]))
    return path


GIVEN = {"symbol": "BTC/USDT", "venue": "kraken"}
TRADES = ((1, 30, 9.0), (2, 70, 10.0), (3, 130, 12.0), (5, 250, 11.0), (6, 310, 13.0), (7, 370, 1.0))


def test_trades_become_candles_only_where_that_is_sure(database: Database, tmp_path: Path) -> None:
    """M4: minutes that a file cuts, or in which a trade is missing, are gaps to be repaired; a venue's candle stays."""
    candle_frame([5]).write_parquet(tmp_path / "candles.parquet")
    import_file(database, tmp_path / "candles.parquet", clock=CLOCK, timeframe=Timeframe.M1, **GIVEN)
    found = import_file(database, _write(tmp_path / "trades.csv", *TRADES), clock=CLOCK, **GIVEN).document()
    assert (found["missing_trades"], found["candles_new"], found["candles_equal"], found["candles_differing"]) == (
        *(1, 1, 0, 1),
    )
    series = ("kraken", "BTC/USDT", Timeframe.M1)
    with database.connection() as connection:
        candles = read_candles(connection, *series, START, START + HOUR)
        gaps = read_gaps(connection, *series, START, START + HOUR)
        trades = read_trades(connection, *series[:2], START, START + HOUR)
        sources = connection.execute("SELECT source FROM market.candles ORDER BY opened_at").fetchall()
    assert candles.select("opened_at", "close", "volume", "trades").rows() == [
        (START + timedelta(minutes=1), 10.0, 1.0, 1),
        (START + timedelta(minutes=5), 100.0, 1.0, None),
    ]
    assert [source.partition(":")[0] for (source,) in sources] == ["trades", "archive"]
    assert [(gap[0].minute, gap[1].minute, gap[3]) for gap in gaps.rows()] == [
        *((0, 0, "missing"), (2, 4, "missing"), (6, 6, "missing")),
    ]
    assert trades.height == 6


def test_a_file_that_contradicts_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    """M2: all or nothing: neither the trades before the contradiction nor the candles of them may stay."""
    import_file(database, _write(tmp_path / "first.csv", (5, 190, 10.0)), clock=CLOCK, **GIVEN)
    rows = [(number, 60 * number, 10.0) for number in range(2, 5)]
    changed = _write(tmp_path / "changed.csv", *rows, (5, 190 + 60, 10.5))
    with pytest.raises(InputError, match=r"^changed\.csv: the trade 5 of BTC/USDT at kraken is stored with other"):
        import_file(database, changed, clock=CLOCK, **GIVEN)
    with database.connection() as connection:
        assert read_trades(connection, "kraken", "BTC/USDT", START, START + HOUR).height == 1
        assert coverage(connection) == []


def test_what_is_still_to_come_is_refused(database: Database, tmp_path: Path) -> None:
    """M1: a trade or quote of tomorrow is a wrong clock or zone, and would be seen before it was."""
    early = ReplayClock(START + timedelta(seconds=369))
    with pytest.raises(InputError, match=r"^trades\.csv: it holds a trade of 2024-08-05T00:06:10.*still to come"):
        import_file(database, _write(tmp_path / "trades.csv", *TRADES), clock=early, **GIVEN)
    quotes = tmp_path / "quotes.csv"
    quotes.write_text("time,bid,bid_size,ask,ask_size\n2024-08-05T00:06:10Z,1,1,2,1\n")
    with pytest.raises(InputError, match=r"^quotes\.csv: it holds a quote of 2024-08-05T00:06:10.*still to come"):
        import_file(database, quotes, clock=early, **GIVEN)
    assert import_file(database, quotes, clock=CLOCK, **GIVEN).document()["new"] == 1
    assert import_file(database, quotes, clock=CLOCK, **GIVEN).document()["identical"] == 1
    with database.connection() as connection:
        assert read_trades(connection, "kraken", "BTC/USDT", START, START + HOUR).is_empty()
        stored = read_top_of_book(connection, "kraken", "BTC/USDT", START, START + HOUR)
    assert stored.select("bid", "ask").rows() == [(1.0, 2.0)]


def test_options_that_would_go_unheard(database: Database, tmp_path: Path) -> None:
    """M2: who says --timeframe of trades, or --venue of news, means another file."""
    trades = _write(tmp_path / "trades.csv", *TRADES)
    with pytest.raises(InputError, match=r"^trades\.csv: it holds trades, which have none; leave out --timeframe"):
        import_file(database, trades, clock=CLOCK, timeframe=Timeframe.M1, **GIVEN)
    index = tmp_path / "index.csv"
    index.write_text("date,value\n2024-08-05,40\n")
    with pytest.raises(InputError, match=r"^index\.csv: it holds fear and greed.* leave out --symbol and --venue"):
        import_file(database, index, clock=CLOCK, **GIVEN)
    assert import_file(database, index, clock=CLOCK).document()["kind"] == "fear_greed"
    with pytest.raises(InputError, match=r"^absent\.csv: it cannot be read: No such file"):
        import_file(database, tmp_path / "absent.csv", clock=CLOCK)
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"^other\.parquet: its columns are a, b; importable are candles"):
        import_file(database, tmp_path / "other.parquet", clock=CLOCK)
