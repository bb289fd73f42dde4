"""Trades and quotes in PostgreSQL: each once, in their order, never changed silently."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg
import pytest

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.market.files.quote_files import QUOTE_COLUMNS
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.market.trades import TRADE_COLUMNS
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.extensions import find_extensions
from triplegain_pipelines.store.hypertables import TOP_OF_BOOK_DAYS
from triplegain_pipelines.store.top_of_book import (
    QuoteCount,
    drop_old_quotes,
    read_top_of_book,
    upsert_quotes,
    upsert_top_of_book,
)
from triplegain_pipelines.store.trades import TradeCount, read_trades, upsert_trades

pytestmark = pytest.mark.integration

START = datetime(2024, 8, 5, tzinfo=UTC)
DAY = timedelta(days=1)
SERIES = ("kraken", "BTC/USDT")
Row = tuple[str, datetime, float, float, str | None]


def _frame(*rows: Row) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(TRADE_COLUMNS), orient="row")


TRADES: tuple[Row, ...] = (
    ("9", START, 100.0, 0.1, "buy"),
    ("10", START, 101.0, 0.30000000000000004, "sell"),
    ("11", START + timedelta(microseconds=1), 100.5, 1e-8, None),
)


def test_trades_are_stored_once(connection: psycopg.Connection) -> None:
    """M2: a file imported twice, or overlapping another, must not double the volume."""
    assert upsert_trades(connection, *SERIES, _frame(*TRADES[:2]), "file") == TradeCount(2, 0)
    assert upsert_trades(connection, *SERIES, _frame(*TRADES), "again") == TradeCount(1, 2)
    assert upsert_trades(connection, *SERIES, _frame(), "nothing") == TradeCount(0, 0)
    # 9 comes before 10, though its text does not; every bit of a number is kept.
    stored = read_trades(connection, *SERIES, START, START + DAY)
    assert stored.rows() == list(TRADES)
    assert dict(stored.schema) == dict(TRADE_COLUMNS)
    assert read_trades(connection, *SERIES, START, START + timedelta(microseconds=1)).height == 2
    assert read_trades(connection, "binance", "BTC/USDT", START, START + DAY).is_empty()
    sources = connection.execute("SELECT DISTINCT source FROM market.trades ORDER BY source").fetchall()
    assert sources == [("again",), ("file",)]


@pytest.mark.parametrize(
    "other",
    [
        ("10", START, 101.5, 0.30000000000000004, "sell"),
        ("10", START, 101.0, 0.3, "sell"),
        ("10", START, 101.0, 0.30000000000000004, "buy"),
        ("10", START + timedelta(seconds=1), 101.0, 0.30000000000000004, "sell"),
        ("10", START - timedelta(minutes=59), 101.0, 0.30000000000000004, "sell"),
    ],
)
def test_a_changed_trade_is_refused(database: Database, other: Row) -> None:
    """M4: venues do not change trades: one of the two sources is wrong, and to keep the last would be a guess."""
    with database.connection() as connection:
        upsert_trades(connection, *SERIES, _frame(*TRADES), "file")
    with (
        pytest.raises(DataError, match=r"trade 10 of BTC/USDT at kraken is stored with other values \(.*price 101.0"),
        database.connection() as connection,
    ):
        upsert_trades(connection, *SERIES, _frame(other, ("12", START + DAY, 1.0, 1.0, None)), "other")
    with database.connection() as connection:
        assert read_trades(connection, *SERIES, START - DAY, START + 2 * DAY).rows() == list(TRADES)


def test_the_same_trade_with_a_cut_time(connection: psycopg.Connection) -> None:
    """M2: ccxt knows times to the millisecond, Kraken to the microsecond: that is no second trade."""
    exact = ("7", START + timedelta(microseconds=1_999), 100.0, 1.0, "buy")
    cut = ("7", START + timedelta(microseconds=1_000), 100.0, 1.0, "")
    upsert_trades(connection, *SERIES, _frame(exact), "file")
    assert upsert_trades(connection, *SERIES, _frame(cut), "rest") == TradeCount(0, 1)
    assert read_trades(connection, *SERIES, START, START + DAY).rows() == [exact]
    upsert_trades(connection, "coinbase", "BTC/USDT", _frame(cut), "rest")
    assert upsert_trades(connection, "coinbase", "BTC/USDT", _frame(exact), "file") == TradeCount(0, 1)


def test_two_kinds_of_ids_do_not_mix(connection: psycopg.Connection) -> None:
    """M4: aggregates and trades of the same hour are the same volume twice."""
    upsert_trades(connection, *SERIES, _frame(*TRADES), "trades")
    for trade_id in ("agg:9", "file:1722816000000000:0"):
        with pytest.raises(DataError, match=f"ids such as {trade_id}: the same trades would count twice"):
            upsert_trades(connection, *SERIES, _frame((trade_id, START, 100.0, 0.1, None)), "other")
    later = _frame(("agg:9", START + DAY, 100.0, 0.1, None))
    assert upsert_trades(connection, *SERIES, later, "another day") == TradeCount(1, 0)


def test_top_of_book(connection: psycopg.Connection) -> None:
    """M5: within a moment a book has several tops; the first stored stays, and the others are counted."""
    later = START + timedelta(seconds=1)
    tops = [TopOfBook(*SERIES, at, 100.0, 1.0, 100.1, 0.0) for at in (START, later)]
    assert upsert_top_of_book(connection, tops, "stream") == QuoteCount(2, 0, 0)
    assert upsert_top_of_book(connection, [], "stream") == QuoteCount(0, 0, 0)
    quotes = pl.DataFrame(
        [(START, 100.0, 1.0, 100.1, 0.0), (later, 99.0, 1.0, 100.1, 0.0), (later + DAY, 99.0, 1.0, 99.5, 2.0)],
        schema=dict(QUOTE_COLUMNS),
        orient="row",
    )
    assert upsert_quotes(connection, *SERIES, quotes, "file") == QuoteCount(1, 1, 1)
    stored = read_top_of_book(connection, *SERIES, START, START + DAY)
    assert stored.rows() == [(START, 100.0, 1.0, 100.1, 0.0), (later, 100.0, 1.0, 100.1, 0.0)]
    assert dict(stored.schema) == dict(QUOTE_COLUMNS)
    with pytest.raises(DataError, match=r"BTC/USDT at kraken: bid 101.0 is not below ask 101.0"):
        upsert_top_of_book(connection, [TopOfBook(*SERIES, START, 101.0, 1.0, 101.0, 1.0)], "stream")


@pytest.mark.parametrize("extra", [timedelta(0), timedelta(microseconds=1)])
def test_streamed_quotes_are_kept_for_a_time_and_imported_ones_for_good(
    connection: psycopg.Connection, extra: timedelta
) -> None:
    """M2: two hundred symbols make fifty million rows a month, and a server without TimescaleDB drops none."""
    now = START + TOP_OF_BOOK_DAYS * DAY + extra
    tops = [TopOfBook(venue, symbol, START, 1.0, 1.0, 2.0, 1.0) for venue in "ab" for symbol in ("X/USDT", "Y/USDT")]
    later = [replace(top, at=now) for top in tops]
    upsert_top_of_book(connection, [*tops, *later], "stream")
    imported = pl.DataFrame([(START, 1.0, 1.0, 2.0, 1.0)], schema=dict(QUOTE_COLUMNS), orient="row")
    upsert_quotes(connection, *SERIES, imported, "quotes:1")
    timescale = find_extensions(connection).aggregates
    assert drop_old_quotes(connection, now) == (0 if timescale or not extra else 4)
    assert read_top_of_book(connection, *SERIES, START, now).height == 1
    assert read_top_of_book(connection, "b", "Y/USDT", now, now + DAY).height == 1
    assert drop_old_quotes(connection, now) == 0
