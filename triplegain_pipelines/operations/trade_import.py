"""The import of a file of trades: stored with the candles of those of its minutes that are whole."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psycopg

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import DataError, InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.files.trade_files import TradeFile, read_trade_file
from triplegain_pipelines.market.files.whole_minutes import WholeMinutes, whole_minutes
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.operations.import_summary import ImportSummary
from triplegain_pipelines.store.candle_writes import lock_series
from triplegain_pipelines.store.candles import read_candles, upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.gaps import record_gaps
from triplegain_pipelines.store.trades import upsert_trades

_PRICES = ("open", "high", "low", "close")
# A venue adds up decimals and publishes the sum; files of trades may hold the rounding of those who wrote them.
_SAME_VOLUME = 1e-9


@dataclass(frozen=True, slots=True)
class CandleCount:
    """What became of the candles of whole minutes: stored; agreeing with a stored one; differing from it."""

    new: int
    equal: int
    differing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeSummary(ImportSummary):
    """What became of a file of trades.

    `missing_trades` is how many trades its numbering leaves out. `candles` are those made of its whole minutes; where
    a minute has a candle already, that one stays.
    """

    missing_trades: int
    candles: CandleCount

    def document(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return ImportSummary.document(self) | {
            "missing_trades": self.missing_trades,
            "candles_new": self.candles.new,
            "candles_equal": self.candles.equal,
            "candles_differing": self.candles.differing,
        }


def import_trades(
    database: Database, path: Path, *, clock: Clock, symbol: str | None = None, venue: str | None = None
) -> TradeSummary:
    """Store the trades of a file, all or none, and the candles that they make where no candle is stored.

    A minute in which trades are missing becomes no candle: it is recorded as a gap, for the repair to ask the venue.

    Args:
        database: where to.
        path: of a format that `read_trade_file` understands.
        clock: a trade that happened later than now is refused, and the file with it.
        symbol: where the file does not tell it.
        venue: where the file does not tell it.

    Raises:
        InputError: the file cannot be imported, or contradicts what is stored; nothing of it was stored.
        UnavailableError: the database cannot be reached; nothing was stored.
    """
    trades = read_trade_file(path, symbol=symbol, venue=venue)
    first, last = trades.frame["traded_at"][0], trades.frame["traded_at"][-1]
    if last > clock.now():
        msg = f"{path.name}: it holds a trade of {last.isoformat()}, which is still to come; correct its time"
        raise InputError(msg)
    minutes = whole_minutes(trades.frame, aggregated=trades.aggregated)
    source = f"trades:{trades.digest[:16]}"
    try:
        with database.connection() as connection:
            count = upsert_trades(connection, trades.venue, trades.symbol, trades.frame, source)
            candles = _store_candles(connection, trades, minutes, source)
    except DataError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error
    return TradeSummary(
        file=str(path),
        format=trades.format.value,
        venue=trades.venue,
        symbol=trades.symbol,
        rows=trades.frame.height,
        first=first,
        last=last,
        new=count.new,
        identical=count.identical,
        missing_trades=minutes.missing_trades,
        candles=candles,
        ignored=trades.ignored,
    )


def _store_candles(
    connection: psycopg.Connection, trades: TradeFile, minutes: WholeMinutes, source: str
) -> CandleCount:
    """Store the candles of minutes that have none, and bring the gaps between first and last trade up to date."""
    series = (trades.venue, trades.symbol, Timeframe.M1)
    lock_series(connection, trades.venue, [trades.symbol], Timeframe.M1)
    stored = read_candles(connection, *series, minutes.first, minutes.end)
    new = minutes.candles.join(stored, on="opened_at", how="anti", maintain_order="left")
    if new.height:
        upsert_candles(connection, *series, new, source)
    known = pl.concat([stored["opened_at"], new["opened_at"]]).sort()
    gaps = find_gaps(known, Timeframe.M1, minutes.first, minutes.end)
    record_gaps(connection, *series, minutes.first, minutes.end, gaps)
    both = minutes.candles.join(stored, on="opened_at", suffix="_stored")
    equal = both.filter(
        *(pl.col(name) == pl.col(f"{name}_stored") for name in _PRICES),
        (pl.col("volume") - pl.col("volume_stored")).abs() <= _SAME_VOLUME * pl.col("volume"),
    ).height
    return CandleCount(new.height, equal, both.height - equal)
