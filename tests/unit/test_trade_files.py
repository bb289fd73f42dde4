"""Files of trades and quotes: every format, every way to be broken, and which minutes become candles."""

import gzip
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe
from triplegain_pipelines.market.files.archives import read_archive
from triplegain_pipelines.market.files.quote_files import QUOTE_COLUMNS, read_quote_file
from triplegain_pipelines.market.files.times import as_time
from triplegain_pipelines.market.files.trade_files import TradeFile, read_trade_file
from triplegain_pipelines.market.files.whole_minutes import whole_minutes
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.market.trades import TRADE_COLUMNS

pytestmark = pytest.mark.unit

START = datetime(2024, 8, 5, tzinfo=UTC)
SECONDS = int(START.timestamp())
TRADES = """time,trade_id,side,price,amount
2024-08-05T00:00:00.5Z,17,buy,10.5,1.5
2024-08-05T00:01:00Z,18,sell,10.25,0.5
2024-08-05T00:01:00Z,19,,10,2
"""
QUOTES = """timestamp,symbol,ask_size,ask,bid_size,bid
2024-08-05T00:00:00.5Z,BTC/USDT,1,101,2,100
2024-08-05T00:00:00.5Z,BTC/USDT,1,102,2,101
2024-08-05T00:00:01Z,BTC/USDT,3,103,4,102
"""
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def _told(file: TradeFile) -> tuple[str, str, str]:
    return file.venue, file.symbol, file.format.value


def test_a_table_of_trades(write: Write, tmp_path: Path) -> None:
    """M2: the same trades as CSV, Parquet and Feather, packed or not, are the same."""
    file = read_trade_file(write("btcusdt_trades_kraken.csv", TRADES))
    assert _told(file) == ("kraken", "BTC/USDT", "csv")
    assert dict(file.frame.schema) == dict(TRADE_COLUMNS)
    assert file.frame.rows() == [
        ("17", START + timedelta(milliseconds=500), 10.5, 1.5, "buy"),
        ("18", START + timedelta(minutes=1), 10.25, 0.5, "sell"),
        ("19", START + timedelta(minutes=1), 10.0, 2.0, None),
    ]
    packed = write("btcusdt_trades_kraken.csv.gz", gzip.compress(TRADES.encode()))
    assert read_trade_file(packed).frame.equals(file.frame)
    table = file.frame.with_columns(pl.col("trade_id").cast(pl.Int64), pl.col("traded_at").alias("timestamp"))
    table.drop("traded_at").write_parquet(tmp_path / "btcusdt_kraken.parquet")
    table.drop("traded_at").write_ipc(tmp_path / "btcusdt_kraken.feather")
    for name in ("btcusdt_kraken.parquet", "btcusdt_kraken.feather"):
        assert read_trade_file(tmp_path / name).frame.equals(file.frame)


def test_the_taker_is_not_the_maker(tmp_path: Path) -> None:
    """M2: where the buyer was the maker, the taker sold: turned round, every flow of orders would be wrong."""
    path = tmp_path / "btcusdt_trades_binance.parquet"
    pl.DataFrame(
        {"timestamp": [START, START], "trade_id": [1, 2], "price": [1.0, 1.0], "quantity": [1.0, 1.0]}
    ).with_columns(buyer_maker=pl.Series(["True", "False"])).write_parquet(path)
    assert read_trade_file(path).frame["side"].to_list() == ["sell", "buy"]


def test_time_and_sales_of_kraken(write: Write) -> None:
    """M2: trades without ids get the same ids at every import, and keep their order within a second."""
    lines = "".join(f"{SECONDS},{price}000,0.5\n" for price in ("90.5", "90.1", "90.5"))
    file = read_trade_file(write("BCHEUR.csv", f"{lines}{SECONDS + 1},90,1\n"))
    assert _told(file) == ("kraken", "BCH/EUR", "kraken-time-and-sales")
    ids = [f"file:{SECONDS}000000:{place}" for place in range(3)] + [f"file:{SECONDS + 1}000000:0"]
    assert file.frame["trade_id"].to_list() == ids
    assert file.frame["price"].to_list() == [90.5, 90.1, 90.5, 90.0]


def test_a_saved_answer_of_kraken(write: Write) -> None:
    """M2: times finer than a microsecond are cut, for rounding could move a trade into the next minute."""
    row = '["105433.60000", "0.00027625", 1722816059.9999999, "b", "l", "", 10218208]'
    text = f'{{"error": [], "result": {{"XBTUSDT": [{row}], "last": "1"}}}}'
    file = read_trade_file(write("answer.json", text))
    assert _told(file) == ("kraken", "BTC/USDT", "kraken-rest-trades")
    at = START + timedelta(seconds=59, microseconds=999_999)
    assert file.frame.rows() == [("10218208", at, 105433.6, 0.00027625, "buy")]
    assert file.ignored == ("type", "misc")


def test_files_of_binance(tmp_path: Path) -> None:
    """M2: aggregates count something else than trades, so their ids must not meet; seven fields may be candles too."""
    aggregate = f"171,0.7,19.0,5,6,{SECONDS}958,false"
    header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    trade = f"171,0.7,19.0,13.3,{SECONDS}958,True"
    cases = {
        f"{header}\n{aggregate}": ("binanceusdm", "binance-aggregate-trades", "agg:171", "buy"),
        aggregate: ("binanceusdm", "binance-aggregate-trades", "agg:171", "buy"),
        f"{aggregate},true": ("binance", "binance-aggregate-trades", "agg:171", "buy"),
        f"{trade},True": ("binance", "binance-trades", "171", "sell"),
        trade: ("binanceusdm", "binance-trades", "171", "sell"),
    }
    path = tmp_path / "APEUSDT-2024-08-05.zip"
    for text, (venue, kind, trade_id, side) in cases.items():
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("APEUSDT-2024-08-05.csv", text)
        file = read_trade_file(path)
        assert _told(file) == (venue, "APE/USDT", kind)
        assert file.frame.rows() == [(trade_id, START + timedelta(milliseconds=958), 0.7, 19.0, side)]
        assert file.aggregated == (trade_id != "171")


@pytest.mark.parametrize(
    ("line", "broken", "reason"),
    [
        (2, "2024-08-05T00:00:00.5Z,17,buy,0,1.5", "line 2: the price is not a finite number above zero"),
        (2, "2024-08-05T00:00:00.5Z,17,buy,inf,1.5", "line 2: the price is not a finite number above zero"),
        (2, "2024-08-05T00:00:00.5Z,17,buy,1e999,1.5", "line 2: the price is not a finite number above zero"),
        (3, "2024-08-05T00:01:00Z,18,sell,10.25,nan", "line 3: the quantity is not a finite number above zero"),
        (3, "2024-08-05T00:01:00Z,18,sell,10.25,-1", "line 3: the quantity is not a finite number above zero"),
        (3, "2024-08-05T00:01:00Z,18,sell,ten,1", "line 3: price is 'ten', which is not a number"),
        (3, "2024-08-05T00:01:00Z,18,sell,,1", "line 3: price is missing"),
        (3, "2024-08-05T00:01:00Z,,sell,10,1", "line 3: trade_id is missing"),
        (3, "2024-08-05T00:01:00Z,18,short,10,1", "line 3: side is 'short'; it must be buy or sell"),
        (4, "2024-08-05T00:01:00Z,18,sell,10,1", "line 4: the trade's id stands there a second time"),
        (4, "2024-08-05T00:00:59Z,19,sell,10,1", "line 4: the time is before that of the trade before it"),
        (3, "2024-08-05T00:01:00Z,1 8,sell,10,1", "line 3: the trade's id is longer than 64 characters, or not plain"),
        (2, "1999-08-05T00:01:00Z,17,sell,10,1", "line 2: the time is before the first Bitcoin"),
        (2, "99999999999999999999,17,sell,10,1", "line 2: time is '99999999999999999999', which is not a time"),
    ],
)
def test_a_broken_trade_is_refused_with_its_line(write: Write, line: int, broken: str, reason: str) -> None:
    """M2: a trade that is left out or mended makes a candle that never was."""
    lines = TRADES.splitlines()
    lines[line - 1] = broken
    with pytest.raises(InputError, match=rf"^btcusdt_trades_kraken\.csv: {reason}"):
        read_trade_file(write("btcusdt_trades_kraken.csv", "\n".join(lines)))


def test_newest_first_is_turned_round(write: Write) -> None:
    """M2: answers of many venues begin with the newest trade; within a second the order must turn as well."""
    lines = TRADES.splitlines()
    turned = "\n".join([lines[0], *reversed(lines[1:])])
    expected = read_trade_file(write("btcusdt_kraken.csv", TRADES)).frame
    assert read_trade_file(write("btcusdt_kraken.csv", turned)).frame.equals(expected)


def _trades(*rows: tuple[int, float, float]) -> pl.DataFrame:
    """Trades of (id, seconds after the start, price), a quantity of 1 each."""
    values = [(str(number), START + timedelta(seconds=second), price, 1.0, None) for number, second, price in rows]
    return pl.DataFrame(values, schema=dict(TRADE_COLUMNS), orient="row")


def test_only_whole_minutes_become_candles() -> None:
    """M4: the first and the last minute of a file are cut, and a cut minute looks like a real candle."""
    found = whole_minutes(_trades((1, 30, 9.0), (2, 70, 10.0), (3, 110, 12.0), (4, 125, 11.0)))
    assert found.candles.rows() == [(START + timedelta(minutes=1), 10.0, 12.0, 10.0, 12.0, 2.0, 2)]
    assert (found.first, found.end) == (START, START + timedelta(minutes=3))
    assert whole_minutes(_trades((1, 30, 9.0))).candles.is_empty()


def test_no_candle_where_a_trade_is_missing() -> None:
    """M4: freqtrade loses every thousandth trade of Kraken's; the volume of that minute would be too small."""
    rows = [(1, 30, 9.0), (2, 70, 10.0), (3, 130, 12.0), (5, 250, 11.0), (6, 310, 11.0), (7, 370, 1.0)]
    found = whole_minutes(_trades(*rows))
    # Number 4 lies anywhere from minute 2 to minute 4.
    assert [time.minute for time in found.candles["opened_at"]] == [1, 5]
    assert found.missing_trades == 1
    # Numbers that many markets share say nothing about one of them.
    shared = whole_minutes(_trades(*((number * 10, second, price) for number, second, price in rows)))
    assert shared.candles.height == 4
    assert shared.missing_trades == 0


def test_aggregates_do_not_count_trades() -> None:
    """M4: the number of aggregates is not the number of trades that the venue's candle states."""
    trades = _trades((1, 30, 9.0), (2, 70, 10.0), (3, 125, 11.0)).with_columns("agg:" + pl.col("trade_id"))
    assert whole_minutes(trades, aggregated=True).candles["trades"].to_list() == [None]
    holed = _trades((1, 30, 9.0), (2, 70, 9.0), (4, 125, 11.0), (5, 190, 9.0), (6, 250, 1.0))
    assert whole_minutes(holed.with_columns("agg:" + pl.col("trade_id"))).missing_trades == 1


@settings(deadline=None)
@given(
    microseconds=st.integers(10**15, 4 * 10**15),
    digits=st.integers(0, 9),
    finer=st.integers(0, 999),
)
def test_times_are_exact_to_the_microsecond(microseconds: int, digits: int, finer: int) -> None:
    """M2: law: a count of seconds with any number of decimals is the microsecond it lies in, never the one after."""
    nanoseconds = microseconds * 1000 + finer
    whole, fraction = divmod(nanoseconds, 10**9)
    written = f"{fraction:09d}"[:digits]
    kept = int(written[:6].ljust(6, "0"))
    expected = EPOCH + timedelta(seconds=whole, microseconds=kept)
    spellings = [f"{whole}.{written}" if digits else str(whole), str(whole * 10**9 + kept * 1000 + finer)]
    frame = pl.DataFrame({"time": spellings})
    assert frame.select(as_time("time", pl.String())).to_series().to_list() == [expected, expected]


def test_quotes(write: Write) -> None:
    """M5: of several quotes of one moment the last was valid afterwards; the others are counted, not lost unsaid."""
    file = read_quote_file(write("btcusdt_quotes_binance.csv", QUOTES))
    assert (file.venue, file.symbol, file.rows, file.superseded) == ("binance", "BTC/USDT", 3, 1)
    assert dict(file.frame.schema) == dict(QUOTE_COLUMNS)
    assert file.frame.rows() == [
        (START + timedelta(milliseconds=500), 101.0, 2.0, 102.0, 1.0),
        (START + timedelta(seconds=1), 102.0, 4.0, 103.0, 3.0),
    ]
    named = QUOTES.replace("ask_size,ask,bid_size,bid", "best_ask_qty,best_ask_price,best_bid_qty,best_bid_price")
    assert read_quote_file(write("btcusdt_quotes_binance.csv", named)).frame.equals(file.frame)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("2024-08-05T00:00:01Z,BTC/USDT,3,102,4,102", "line 5: the bid is not below the ask"),
        ("2024-08-05T00:00:01Z,BTC/USDT,3,103,4,0", "line 5: the bid is not above zero"),
        ("2024-08-05T00:00:01Z,BTC/USDT,inf,103,4,102", "line 5: a value is not finite"),
        ("2024-08-05T00:00:01Z,BTC/USDT,-3,103,4,102", "line 5: a size is negative"),
        ("2024-08-05T00:00:01Z,ETH/USDT,3,103,4,102", "it holds several symbols"),
        ("2024-08-05T00:00:00.1Z,BTC/USDT,3,103,4,102", "line 5: the time is before that of the quote before it"),
    ],
)
def test_a_broken_quote_is_refused(write: Write, broken: str, reason: str) -> None:
    """M5: a crossed or impossible quote is no price."""
    lines = QUOTES.splitlines()
    with pytest.raises(InputError, match=rf"^btcusdt_quotes_binance\.csv: {reason}"):
        read_quote_file(write("btcusdt_quotes_binance.csv", "\n".join([*lines, broken])))
    with pytest.raises(InputError, match="no column bid_quantity"):
        read_quote_file(write("btcusdt_quotes_binance.csv", QUOTES.replace("bid_size", "b")))


def test_one_kind_of_file_is_not_read_as_another(write: Write) -> None:
    """M2: prices of an order book read as trades would be stored as if somebody had paid them."""
    with pytest.raises(InputError, match="it holds quotes, not trades"):
        read_trade_file(write("a.csv", QUOTES))
    with pytest.raises(InputError, match="it holds trades, not quotes"):
        read_quote_file(write("a.csv", TRADES))
    levels = (
        "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\nBTCUSDT,1,1,1,b,snap,1,1,1\n"
    )
    with pytest.raises(InputError, match=r"levels or changes of an order book; .* import quotes"):
        read_trade_file(write("a.csv", levels))


def test_trades_of_a_recorded_file_add_up_to_the_venues_own_candles(recorded_data: Path) -> None:
    """Hold point 1: where no trade is missing, candles made of Kraken's trades equal Kraken's own."""
    trades = read_trade_file(recorded_data / "trades" / "btcusdt_trades_kraken_2023-11-17_2023-11-22.parquet").frame
    theirs = read_archive(recorded_data / "candles" / "btcusdt_15m_kraken_2023-03_2024-03.parquet").frame
    found = whole_minutes(trades)
    assert found.missing_trades == 26
    cut = (
        trades.select(opened_at=pl.col("traded_at").dt.truncate("1m"))
        .unique()
        .join(found.candles, on="opened_at", how="anti")
        .select(pl.col("opened_at").dt.truncate("15m"))
        .unique()
    )
    ours = roll_up(found.candles, Timeframe.M15).join(cut, on="opened_at", how="anti")
    both = ours.join(theirs, on="opened_at", suffix="_theirs")
    assert both.height > 450
    for column in ("open", "high", "low", "close"):
        assert both.filter(pl.col(column) != pl.col(f"{column}_theirs")).is_empty()
    assert both.filter((pl.col("volume") / pl.col("volume_theirs") - 1).abs() > 1e-9).is_empty()


def test_a_quantity_in_an_unknown_currency_is_refused(write: Write) -> None:
    """M2: with `qty` beside `amount` one is in the quote currency, and volumes would be 60,000 times too large."""
    rows = "time,id,price,qty,amount\n2024-08-05T00:00:00Z,1,60000,0.5,30000\n"
    with pytest.raises(InputError, match="which column is the quantity"):
        read_trade_file(write("btcusdt_kraken_trades.csv", rows))
    renamed = read_trade_file(write("btcusdt_kraken_trades.csv", rows.replace("qty", "quantity")))
    assert renamed.frame["quantity"].to_list() == [0.5]
