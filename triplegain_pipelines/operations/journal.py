"""Keeps the journal of an account: an entry for every trade that closed and has none yet."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

import polars as pl
import psycopg

from triplegain_pipelines.domain.market import exact_price
from triplegain_pipelines.evaluation.journal import JOURNAL_VERSION, Course, journal_entry
from triplegain_pipelines.store import journal
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.journal import JournalRow
from triplegain_pipelines.store.performance import (
    ExecutedOrder,
    TradeRecord,
    executed_orders,
    read_account,
    trade_records,
)
from triplegain_pipelines.store.series import decision_candles

_MINUTE = timedelta(minutes=1)
_MOMENT = timedelta(microseconds=1)


def keep_journal(database: Database, schema: str, account: str) -> int:
    """Write the entries that are missing; how many there were. Doing it again writes nothing."""
    with database.connection() as connection:
        span = journal.unwritten(connection, schema, account)
        if span is None:
            return 0
        opened = read_account(connection, schema, account)
        trades = trade_records(connection, schema, account, span[0] - _MOMENT, span[1])
        done = executed_orders(connection, schema, account, min(one.opened_at for one in trades) - _MOMENT, span[1])
        entries = [
            journal_entry(trade, _exit(done, trade), _course(connection, opened.venue, trade), opened.currency)
            for trade in trades
        ]
        return journal.insert(connection, schema, account, [asdict(entry) for entry in entries], JOURNAL_VERSION)


def newest_entries(database: Database, schema: str, account: str, most: int) -> list[JournalRow]:
    """At most so many entries of the account, the trade that closed last first."""
    with database.connection() as connection:
        return journal.newest(connection, schema, account, most)


def _exit(done: Sequence[ExecutedOrder], trade: TradeRecord) -> ExecutedOrder | None:
    """The last order of the leg that ended the trade."""
    ended = [
        order
        for order in done
        if (order.symbol, order.leg) == (trade.symbol, trade.exit_leg)
        and trade.opened_at <= order.filled_at <= trade.closed_at
    ]
    return ended[-1] if ended else None


def _course(connection: psycopg.Connection, market: str, trade: TradeRecord) -> Course | None:
    """The market over the minutes that the trade was open in, its own prices included."""
    candles = decision_candles(connection, market, trade.symbol, trade.opened_at, trade.closed_at + _MINUTE)
    if candles.is_empty():
        return None
    high, low = candles.select(pl.col("high").max(), pl.col("low").min()).row(0)
    own: list[Decimal] = [trade.entry_price, trade.exit_price]
    return Course(max(exact_price(high), *own), min(exact_price(low), *own))
