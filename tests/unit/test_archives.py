"""Archives as people have them: every format, every way to be broken, and the recorded files."""

import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START, candle_frame

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import on_grid, validate
from triplegain_pipelines.market.files.archives import read_archive
from triplegain_pipelines.market.files.names import facts_of_name, symbol_of, written_symbol

pytestmark = pytest.mark.unit

CANONICAL = """time,open,high,low,close,volume,trades
2024-08-05T00:00:00Z,10,12,9,11,1.5,3
2024-08-05T00:01:00Z,11,11,10,10.5,0,0
2024-08-05T00:03:00Z,10.5,11,10,10,2,7
"""
KRAKEN = """1722816000,10,12,9,11,1.5,3
1722819600,11,11,10,10.5,0.25,1
"""
BINANCE = """1722816000000,10.0,12.0,9.0,11.0,1.5,1722816059999,15.0,3,0.5,5.0,0
1722816060000,11.0,11.0,10.0,10.5,0.0,1722816119999,0.0,0,0.0,0.0,0
"""
FUTURES_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
BITFINEX = "[[1722816060000,11,10.5,11,10,2.25],[1722816000000,10,11,12,9,1.5]]"
CRYPTODATADOWNLOAD = """Timestamps are UTC timezone,https://www.CryptoDataDownload.com
date,symbol,open,high,low,close,volume_btc,volume
2019-10-17 01-PM,BTCUSD,11,11,10,10.5,2,21
2019-10-17 12-PM,BTCUSD,10,12,9,11,1.5,15
2019-10-17 12-AM,BTCUSD,9,9,9,9,0.5,4.5
"""
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def _zip(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name.replace("__", "."), text)
    return path


def test_canonical_csv(write: Write) -> None:
    """M2: the plain file that everybody can write."""
    path = write("btcusdt_1m_kraken.csv", CANONICAL)
    archive = read_archive(path)
    assert (archive.venue, archive.symbol, archive.timeframe, archive.format) == ("kraken", "BTC/USDT", "1m", "csv")
    assert archive.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert archive.frame.row(0) == (START, 10.0, 12.0, 9.0, 11.0, 1.5, 3)
    assert archive.frame.height == 3


@pytest.mark.parametrize(
    "times",
    [
        ("2024-08-05 00:00:00", "2024-08-05 00:01:00"),
        ("2024-08-05 00:00:00+00:00", "2024-08-05 02:01:00+02:00"),
        ('"2024-08-05T00:00:00.000Z"', '"2024-08-05T00:01:00.000Z"'),
        ("1722816000", "1722816060"),
        ("1722816000.0", "1722816060.0"),
        ("1722816000000", "1722816060000"),
        ("1722816000000000", "1722816060000000"),
        ("1722816000000000000", "1722816060000000000"),
    ],
)
def test_spellings_of_time(write: Write, times: tuple[str, str]) -> None:
    """M2: the same moment in another spelling must not become another candle."""
    rows = "".join(f"{time},1,1,1,1,1\n" for time in times)
    frame = read_archive(write("ethusdt_binance.csv", f"time,open,high,low,close,volume\n{rows}")).frame
    assert frame["opened_at"].to_list() == [START, START.replace(minute=1)]


def test_daily_files_may_spell_dates(write: Write) -> None:
    """M2: a daily file often has dates without a time."""
    text = "Date,Open,High,Low,Close,Volume\n2024-08-05,1,1,1,1,1\n2024-08-06,1,1,1,1,1\n"
    archive = read_archive(write("BTC_USD-1d.csv", text), venue="bitstamp")
    assert (archive.symbol, archive.timeframe, archive.frame["opened_at"][0]) == ("BTC/USD", "1d", START)


def test_kraken_ohlcvt(write: Write) -> None:
    """M2: Kraken's own archive names, with its names for Bitcoin and Dogecoin, and minutes for the timeframe."""
    for name in ("XBTUSD_60.csv", "kraken_ohlcvt_XBTUSD_60.csv"):
        archive = read_archive(write(name, KRAKEN))
        assert (archive.venue, archive.symbol, archive.timeframe) == ("kraken", "BTC/USD", "1h")
        assert archive.format == "kraken-ohlcvt"
        assert archive.frame["trades"].to_list() == [3, 1]
    packed = read_archive(write("XDGUSD_60.csv.gz", gzip.compress(KRAKEN.encode())))
    assert (packed.symbol, packed.frame.height) == ("DOGE/USD", 2)


def test_binance_klines(write: Write, tmp_path: Path) -> None:
    """M2: milliseconds before 2025 and microseconds since, bare, gzipped or zipped, give the same candles."""
    bare = read_archive(write("BTCUSDT-1m-2024-08-05.csv", BINANCE))
    assert (bare.venue, bare.symbol, bare.timeframe, bare.format) == ("binance", "BTC/USDT", "1m", "binance-klines")
    micro = "\n".join(",".join(f"{v}000" if i == 0 else v for i, v in enumerate(r.split(","))) for r in BINANCE.split())
    packed = _zip(tmp_path / "BTCUSDT-1m-2025-01-01.zip", **{"BTCUSDT-1m-2025-01-01__csv": micro})
    assert read_archive(packed).frame.equals(bare.frame)
    renamed = _zip(tmp_path / "download.zip", **{"BTCUSDT-1m-2025-01-01__csv": BINANCE})
    assert read_archive(renamed).symbol == "BTC/USDT"
    futures = read_archive(write("BTCUSDT-1m-2024-08.csv.gz", gzip.compress(f"{FUTURES_HEADER}\n{BINANCE}".encode())))
    assert futures.venue == "binanceusdm"
    assert futures.frame.equals(bare.frame)


def test_parquet(write: Write, tmp_path: Path) -> None:
    """M2: Parquet with times in another unit, without a zone, and with a column that has no place."""
    frame = candle_frame([0, 1]).with_columns(
        pl.col("opened_at").dt.replace_time_zone(None).cast(pl.Datetime("ms")), vwap=pl.lit(1.0)
    )
    path = tmp_path / "ethusdt_1m_kraken.parquet"
    frame.rename({"opened_at": "time"}).drop("trades").write_parquet(path)
    archive = read_archive(path)
    assert archive.frame.equals(candle_frame([0, 1]))
    assert archive.ignored == ("vwap",)
    validate("candles", archive.frame)


@pytest.mark.parametrize(
    ("line", "broken", "reason"),
    [
        (3, "2024-08-05T00:01:00Z,11,11,10,abc,0,0", "line 3: close is 'abc', which is not a number"),
        (3, "2024-08-05T00:01:00Z,11,11,10,10.5", "line 3: volume is missing"),
        (3, "2024-08-05T00:01:00Z,11,11,10,10.5,0,0,9", "line 3 has 8 fields instead of 7"),
        (3, "", "line 3: time is missing"),
        (4, "yesterday,10,11,10,10,2,7", "line 4: time is 'yesterday', which is not a time"),
        (2, "2024-08-05T00:00:00Z,10,9,9,11,1.5,3", "line 2: high is below open or close"),
        (2, "2024-08-05T00:00:00Z,10,12,10.5,11,1.5,3", "line 2: low is above open or close"),
        (4, "2024-08-05T00:03:00Z,0,11,0,10,2,7", "line 4: low is not above zero"),
        (4, "2024-08-05T00:03:00Z,10.5,11,10,10,-2,7", "line 4: volume is negative"),
        (4, "2024-08-05T00:03:00Z,10.5,11,10,10,nan,7", "line 4: a price or the volume is not finite"),
        (4, "2024-08-05T00:03:00Z,10.5,11,10,10,2,1.5", "line 4: trades is '1.5', which is not a number"),
        (3, "2024-08-05T00:00:00Z,10,12,9,11,1.5,3", "line 3: .* a second time, with the same values"),
        (3, "2024-08-05T00:00:00Z,10,12,9,11,1.6,3", "line 3: .* a second time, with other values"),
        (4, "2024-08-04T00:03:00Z,10.5,11,10,10,2,7", "line 4: .* comes after a later candle"),
        (3, "1722816060.5,10.5,11,10,10,2,7", "line 3: .*:01:00.500000.* is not on the grid of 1m"),
        (
            3,
            "1722816060000000000000,10.5,11,10,10,2,7",
            "line 3: time is '1722816060000000000000', which is not a time",
        ),
        (4, "2024-08-05T00:03:30Z,10.5,11,10,10,2,7", "line 4: .* is not on the grid of 1m"),
        (2, "1999-08-05T00:00:00Z,10,12,9,11,1.5,3", "line 2: time is before the first Bitcoin"),
    ],
)
def test_a_broken_line_is_refused_with_its_number(write: Write, line: int, broken: str, reason: str) -> None:
    """M2: 'cannot parse file' leaves a person alone with half a million lines."""
    lines = CANONICAL.splitlines()
    lines[line - 1] = broken
    for ending in ("\n", "\r\n"):
        with pytest.raises(InputError, match=rf"^btcusdt_1m_kraken\.csv: {reason}"):
            read_archive(write("btcusdt_1m_kraken.csv", ending.join(lines) + ending))


def test_a_broken_row_of_a_parquet_is_refused_with_its_number(tmp_path: Path) -> None:
    """M2: rows of Parquet are counted from one."""
    path = tmp_path / "btcusdt_1m_kraken.parquet"
    candle_frame([0, 1, 2]).with_columns(high=pl.Series([101.0, 1.0, 101.0])).write_parquet(path)
    with pytest.raises(InputError, match="row 2: high is below open or close"):
        read_archive(path)
    candle_frame([0, 1, 2]).with_columns(close=pl.Series([100.0, 100.0, None])).write_parquet(path)
    with pytest.raises(InputError, match="row 3: close is missing"):
        read_archive(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="Parquet file cannot be read"):
        read_archive(path)


def test_files_that_are_no_candles(write: Write, tmp_path: Path) -> None:
    """M2: each is refused with its true reason."""
    cases = {
        "empty.csv": (b"", "it is empty"),
        "header_btcusdt.csv": (b"time,open,high,low,close,volume\n", "a header and no row"),
        "trades.csv": (
            b"1672531436,90.54,1.1\n",
            r"there is no column open.*\(but time, price, quantity\), so it is not a file of cand",
        ),
        "quotes.csv": (b"time,bid,ask\n1,2,3\n", "line 1: there is no column open, high, low, close, volume"),
        "twice.csv": (b"time,open,open,high,low,close,volume\n1,1,1,1,1,1,1\n", "line 1: a column stands there twice"),
        "picture.png": (b"\x89PNG\r\n\x1a\n\x00\xff", "line 1 is not text"),
        "cut_btcusdt.csv.gz": (gzip.compress(KRAKEN.encode())[:-12], "damaged or cut off"),
        "cut_btcusdt.zip": (_zip(tmp_path / "a.zip", a__csv=BINANCE).read_bytes()[:-30], "damaged or cut off"),
        "two.zip": (_zip(tmp_path / "b.zip", a__csv=BINANCE, b__csv=BINANCE).read_bytes(), "holds 2 files"),
    }
    for name, (content, reason) in cases.items():
        with pytest.raises(InputError, match=reason):
            read_archive(write(name, content))
    with pytest.raises(InputError, match="No such file"):
        read_archive(tmp_path / "absent.csv")


def test_feather(tmp_path: Path) -> None:
    """M2: freqtrade's candle files, compressed or not, with times in nanoseconds, under its folder of the venue."""
    place = tmp_path / "binance"
    place.mkdir()
    for compression in ("uncompressed", "lz4", "zstd"):
        path = place / f"XRP_ETH-1m-{compression}.feather"
        frame = candle_frame([0, 1]).with_columns(pl.col("opened_at").cast(pl.Datetime("ns", "UTC")).alias("date"))
        frame.drop("opened_at", "trades").write_ipc(path, compression=compression)
        archive = read_archive(path)
        assert archive.frame.equals(candle_frame([0, 1]))
        assert (archive.venue, archive.symbol, archive.format) == ("binance", "XRP/ETH", "feather")


def test_a_saved_answer_of_kraken(write: Write) -> None:
    """M4: the newest candle of an answer is still open: taking it would store a value that never was final."""
    rows = [[1722816000 + 60 * n, "10", "12", "9", "11", "0.0", "0.00000000", 0] for n in range(3)]
    answer = {"error": [], "result": {"XXBTZUSD": rows, "last": 1722816060}}
    archive = read_archive(write("answer.json", json.dumps(answer)))
    assert (archive.venue, archive.symbol, archive.timeframe, archive.format) == (
        *("kraken", "BTC/USD", "1m"),
        "kraken-rest-ohlc",
    )
    assert archive.frame.height == 2
    assert archive.frame.row(1) == (START.replace(minute=1), 10.0, 12.0, 9.0, 11.0, 0.0, 0)
    assert archive.left_out == (
        "entry 3: the candle opened at 2024-08-05T00:02:00+00:00 had not closed when Kraken answered",
    )
    for last in (1722816000, "soon", None):
        broken = {"error": [], "result": {"XXBTZUSD": rows, "last": last}}
        with pytest.raises(InputError, match=r"answer\.json: (entry 2: it is newer|.*without the times)"):
            read_archive(write("answer.json", json.dumps(broken)))


def test_the_order_of_lists_is_told_by_the_prices(write: Write) -> None:
    """M2: Bitfinex puts close before high. Read in the usual order, every high would be a close."""
    bitfinex = read_archive(write("BTCUSD_1m.json", BITFINEX))
    assert (bitfinex.venue, bitfinex.format) == ("bitfinex", "bitfinex-candles")
    assert bitfinex.frame["opened_at"].to_list() == [START, START.replace(minute=1)]
    assert bitfinex.frame.row(0)[1:6] == (10.0, 12.0, 9.0, 11.0, 1.5)
    coinbase = read_archive(write("BTC-USD_1m.json", "[[1722816060,10,11.5,11,10.5,2],[1722816000,9,12,10,11,1.5]]"))
    assert (coinbase.venue, coinbase.frame.row(0)[1:6]) == ("coinbase", (10.0, 12.0, 9.0, 11.0, 1.5))
    usual = "[[1722816000000,10,12,9,11,1.5],[1722816060000,11,11.5,10,10.5,2]]"
    assert read_archive(write("BTC_USD_1m_okx.json", usual)).frame.equals(
        coinbase.frame.with_columns(high=pl.Series([12.0, 11.5]))
    )
    for rows, reason in (
        ("[[1722816000000,1,1,1,1,5],[1722816060000,1,1,1,1,5]]", "more than one order fits"),
        ("[[1722816000000,1,5,2,9,5],[1722816060000,9,1,4,2,5]]", "no known order"),
        ("[[1722816000000,1,5,2,9]]", "a list of lists of 5 values"),
        ("[[1722816000000,10,11,12,9,1.5],[1722816060000,11]]", "entry 2 has 2 values instead of 6"),
        ("[[1722816000000,10,[11],12,9,1.5]]", "entry 1 holds a list in a list"),
    ):
        with pytest.raises(InputError, match=reason):
            read_archive(write("BTCUSD_1m.json", rows))


def test_cryptodatadownload(write: Write) -> None:
    """M2: newest first, hours of twelve, and `volume` in dollars beside `volume_btc`."""
    archive = read_archive(write("Coinbase_BTCUSD_1h.csv", CRYPTODATADOWNLOAD))
    assert (archive.venue, archive.symbol, archive.timeframe, archive.format) == (
        *("coinbase", "BTC/USD", "1h"),
        "cryptodatadownload",
    )
    assert [time.hour for time in archive.frame["opened_at"]] == [0, 12, 13]
    assert archive.frame["volume"].to_list() == [0.5, 1.5, 2.0]
    assert archive.ignored == ("volume",)
    with pytest.raises(InputError, match=r"line 4: high is below open"):
        read_archive(write("Coinbase_BTCUSD_1h.csv", CRYPTODATADOWNLOAD.replace("10,12,9,11,1.5", "10,9,9,11,1.5")))
    with pytest.raises(InputError, match=r"it holds BTC/USD, but --symbol says ETH/USD"):
        read_archive(write("Coinbase_BTCUSD_1h.csv", CRYPTODATADOWNLOAD), symbol="ETH/USD")
    with pytest.raises(InputError, match=r"several symbols \(BTCUSD, ETHUSD\)"):
        read_archive(write("Coinbase_BTCUSD_1h.csv", CRYPTODATADOWNLOAD.replace("12-PM,BTCUSD", "12-PM,ETHUSD")))
    with pytest.raises(InputError, match=r"which column is the volume in BTC\? There are volume_eth"):
        read_archive(
            write("Coinbase_BTCUSD_1h.csv", CRYPTODATADOWNLOAD.replace("volume_btc,volume", "volume_eth,cost"))
        )


def test_parts_of_different_time_zones_are_not_sorted_together(write: Write) -> None:
    """M4: a recorded file repeats five candles five hours later where its parts were joined; sorted, they look real."""
    lines = CRYPTODATADOWNLOAD.splitlines()
    joined = [*lines[:4], "2019-10-17 05-PM,BTCUSD,9,9,9,9,0.5,4.5", lines[4], "2019-10-16 11-PM,BTCUSD,9,9,9,9,1,9"]
    with pytest.raises(InputError, match=r"line 4: .*T12:00.* comes after a later candle; if the file was joined of"):
        read_archive(write("Coinbase_BTCUSD_1h.csv", "\n".join(joined)))


def test_funding_rates_are_no_candles(tmp_path: Path) -> None:
    """M2: freqtrade keeps funding rates in the columns of candles."""
    path = tmp_path / "XRP_USDT_USDT-8h-funding_rate.feather"
    zeros = candle_frame([0, 480]).with_columns(open=pl.lit(0.0001), high=0.0, low=0.0, close=0.0, volume=0.0)
    zeros.write_ipc(path)
    with pytest.raises(InputError, match="it holds funding rates"):
        read_archive(path, venue="binanceusdm")


def test_contracts_are_not_coins(write: Write) -> None:
    """M2: Binance's coin-margined volumes are numbers of contracts of 100 dollars."""
    with pytest.raises(InputError, match="coin-margined"):
        read_archive(write("BTCUSD_PERP-1m-2024-08.csv", f"{FUTURES_HEADER}\n{BINANCE}"))


def test_symbols_as_they_are_written() -> None:
    """M2: the same market under its names."""
    assert [symbol_of(pair) for pair in ("XXBTZUSD", "XETHXXBT", "XBTUSDT", "XRPETH")] == [
        *("BTC/USD", "ETH/BTC", "BTC/USDT", "XRP/ETH"),
    ]
    assert [written_symbol(text) for text in ("BTC/USDT:USDT", "eth_eur", "a/b/c", "", "B\0C/USD")] == [
        *("BTC/USDT", "ETH/EUR", None, None, None),
    ]


def test_what_cannot_be_found_is_asked_for(write: Write) -> None:
    """Issue 2: a guess would file the candles under a wrong name."""
    with pytest.raises(InputError, match="--venue"):
        read_archive(write("btcusdt_1m.csv", CANONICAL))
    with pytest.raises(InputError, match="--symbol"):
        read_archive(write("mine.csv", CANONICAL), venue="kraken")
    one = "\n".join(CANONICAL.splitlines()[:2])
    with pytest.raises(InputError, match=r"one candle only.*--timeframe"):
        read_archive(write("btcusdt.csv", one), venue="kraken")
    given = read_archive(write("mine.csv", one), venue="okx", symbol="LTC/EUR", timeframe=Timeframe.M1)
    assert (given.venue, given.symbol, given.timeframe) == ("okx", "LTC/EUR", "1m")
    with pytest.raises(InputError, match="BTC/USDT"):
        read_archive(write("mine.csv", one), venue="okx", symbol="ltceur", timeframe=Timeframe.M1)


def test_name_and_content_must_agree_on_the_timeframe(write: Write) -> None:
    """M2: hours filed as minutes would leave 59 of 60 candles missing and every indicator wrong."""
    with pytest.raises(InputError, match="the name says 1m, but no two candles are closer than 60 minutes"):
        read_archive(write("BTCUSDT-1m-2024.csv", BINANCE.replace("1722816060000", "1722819600000")))
    with pytest.raises(InputError, match="the name says 1m, but --timeframe says 1h"):
        read_archive(write("btcusdt_1m_kraken.csv", CANONICAL), timeframe=Timeframe.H1)
    with pytest.raises(InputError, match="is not on the grid of 1h"):
        read_archive(write("XBTUSD_60.csv", KRAKEN.replace("1722819600", "1722816060")))
    with pytest.raises(InputError, match="timeframe 720m; supported are 1m"):
        read_archive(write("XBTUSD_720.csv", KRAKEN))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("btcusdt_1m_binance_2024-07_2024-08.parquet", ("BTC/USDT", "binance", "1m")),
        ("spot-klines-BTCUSDT-1h-2024-10-28.zip", ("BTC/USDT", "binance", "1h")),
        ("futures-um-klines-BTCUSDT-1h-2024-10-28.zip", ("BTC/USDT", "binanceusdm", "1h")),
        ("data/spot/monthly/klines/ETHUSDT/15m/ETHUSDT-15m-2025-01.zip", ("ETH/USDT", "binance", "15m")),
        ("data/futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2025-01-01.zip", ("ETH/USDT", "binanceusdm", "1m")),
        ("NEARUSDT-1m-2024-06.csv.gz", ("NEAR/USDT", None, "1m")),
        ("BTC_USDT-5m.csv", ("BTC/USDT", None, "5m")),
        ("xbt-usd kraken 4h.csv", ("BTC/USD", "kraken", "4h")),
        ("DOTUSD_5.csv", ("DOT/USD", None, None)),
        ("candles.csv", (None, None, None)),
    ],
)
def test_what_names_say(name: str, facts: tuple[str | None, str | None, str | None]) -> None:
    """M2: symbol, venue and timeframe are found where the name has them."""
    found = facts_of_name(name)
    assert (found.symbol, found.venue, found.timeframe) == facts


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("binance/BTC_USDT_USDT-1h-futures.csv", None),  # as freqtrade keeps them
        ("btcusdt_perp_binance_1h.csv", None),
        ("kraken_1h.csv", "BTC/USDT:USDT"),
    ],
)
def test_contracts_are_never_taken_for_spot(tmp_path: Path, name: str, symbol: str | None) -> None:
    """M2: a perpetual has prices and volumes of its own; under the spot symbol they would pass for it."""
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    stated, column = (f"{symbol},", "symbol,") if symbol else ("", "")
    place.write_text(f"{column}time,open,high,low,close,volume\n{stated}1722819600,1,2,1,2,5\n")
    with pytest.raises(InputError, match="futures or perpetual contracts"):
        read_archive(place)
    assert read_archive(place, venue="binanceusdm").venue == "binanceusdm"


def test_every_recorded_candle_file_is_read(recorded_data: Path) -> None:
    """M2: what users have on disk can be imported: name, rows and grid are those that the data's table states."""
    table = [line.split("|") for line in (recorded_data / "README.md").read_text().splitlines() if ".parquet |" in line]
    stated = {row[1].strip(): row for row in table if len(row) > 9}
    files = sorted((recorded_data / "candles").glob("*.parquet"))
    assert len(files) == 32
    for path in files:
        symbol, step, venue = path.stem.split("_")[:3]
        archive = read_archive(path)
        assert (archive.venue, archive.timeframe, archive.symbol.replace("/", "").lower()) == (venue, step, symbol)
        assert archive.frame.height == int(stated[path.name][2].replace(",", ""))
        first = datetime.strptime(stated[path.name][3].strip(), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        assert archive.frame["opened_at"][0] == first
        assert archive.frame.select(on_grid("opened_at", archive.timeframe).all()).item()


@pytest.mark.parametrize(
    ("path", "venue", "symbol", "timeframe", "rows"),
    [
        ("kraken/kraken_ohlcvt_XBTUSD_60.csv.gz", "kraken", "BTC/USD", "1h", 70_253),
        ("kraken/kraken_ohlcvt_STORJUSD_60.csv", "kraken", "STORJ/USD", "1h", 1_508),
        ("binance/spot-klines-BTCUSDT-1h-2024-10-28.zip", "binance", "BTC/USDT", "1h", 24),
        ("binance/futures-um-klines-BTCUSDT-1h-2024-10-28.zip", "binanceusdm", "BTC/USDT", "1h", 24),
        ("binance/NEARUSDT-1m-2024-06.csv.gz", "binanceusdm", "NEAR/USDT", "1m", 43_200),
    ],
)
def test_recorded_files_in_the_venues_own_formats(
    recorded_data: Path, path: str, venue: str, symbol: str, timeframe: str, rows: int
) -> None:
    """M2: the venues' own files, unchanged."""
    archive = read_archive(recorded_data / "raw" / path)
    assert (archive.venue, archive.symbol, archive.timeframe) == (venue, symbol, timeframe)
    assert archive.frame.height == rows
    validate("candles", archive.frame)


def test_the_export_of_kraken_equals_its_canonical_copy(recorded_data: Path) -> None:
    """M2: the two ways in must lead to the same candles."""
    export = read_archive(recorded_data / "raw/kraken/kraken_ohlcvt_XBTUSD_60.csv.gz")
    copy = read_archive(recorded_data / "candles/btcusd_1h_kraken_2013-10_2023-01.parquet")
    assert export.frame.equals(copy.frame)
    assert export.symbol == copy.symbol
