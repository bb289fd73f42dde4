"""How fast market data goes in, out and up: bulk import, reading, roll-ups, and the minute in which 50 symbols close.

    .venv/bin/python benchmarks/market_data.py [DATABASE_URL]

Without a URL it starts an embedded PostgreSQL of its own in a temporary folder. With one the database is migrated,
written to and not cleaned up: give an empty one. The data are generated from a fixed seed, with prices of two and
volumes of eight decimal places as venues publish them.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import dagster as dg
import numpy as np
import polars as pl
from own_database import fresh_database

from assets import market
from triplegain_pipelines.domain.clock import ReplayClock, monotonic_seconds
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.rollups import roll_up_all
from triplegain_pipelines.operations.archive_import import import_archive
from triplegain_pipelines.operations.feed import StoredFeed
from triplegain_pipelines.operations.intake import take_in_minutes
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.store.binary_copy import Block, copy_in_binary
from triplegain_pipelines.store.candles import read_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.minutes import upsert_minutes

SEED = 20_240_805
START = datetime(2024, 1, 1, tzinfo=UTC)
CLOCK = ReplayClock(datetime(2030, 1, 1, tzinfo=UTC))
MILLION = 1_000_000
YEAR = 525_600
MINUTES_OF_DAY = 1440
SYMBOLS = (4, 20, 50, 100, 200)
LIVE_MINUTES = 10
LIVE_GOALS = {50: "<= 250 ms"}
ROUNDS = 3
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def main() -> None:
    """Print the table."""
    with fresh_database() as database, tempfile.TemporaryDirectory() as folder:
        rows = [*bulk(database, Path(folder)), *rolling(), *growth(database)]
    width = max(len(what) for what, _, _ in rows)
    for what, measured, goal in (("what", "measured", "goal"), *rows):
        sys.stdout.write(f"{what:<{width}}  {measured:>36}  {goal}\n")


def bulk(database: Database, folder: Path) -> Iterator[tuple[str, str, str]]:
    """A million candles of one symbol: COPY alone, the import around it, the same again, and reading them."""
    frame = candles(MILLION, seed=SEED)
    path = folder / "btcusdt_1m_binance.parquet"
    frame.rename({"opened_at": "time"}).write_parquet(path)

    def copy() -> None:
        key = {"venue": "copy", "symbol": "BTC/USDT", "timeframe": "1m", "source": "archive:0123456789abcdef"}
        with database.connection() as connection:
            connection.execute("TRUNCATE market.candles")
            copy_in_binary(connection, ("market", "candles"), [Block(key, frame)])

    def first_import() -> None:
        with database.connection() as connection:
            connection.execute("TRUNCATE market.candles, market.candle_gaps")
        import_archive(database, path, clock=CLOCK)

    def read() -> None:
        with database.connection() as connection:
            read_candles(connection, "binance", "BTC/USDT", Timeframe.M1, START, CLOCK.now())

    yield "COPY alone, 1 M candles", rate(MILLION, seconds(copy)), ""
    yield "import from Parquet, 1 M candles", rate(MILLION, seconds(first_import)), ">= 300,000/s"
    yield "the same file again", rate(MILLION, seconds(lambda: import_archive(database, path, clock=CLOCK))), ""
    yield "read 1 M candles into polars", spent(seconds(read)), "<= 1 s"


def rolling() -> Iterator[tuple[str, str, str]]:
    """A year of minutes to five timeframes, beside polars' own grouping, which adds volumes with rounding."""
    year = candles(YEAR, seed=SEED + 1)

    def peer() -> None:
        for timeframe in ROLLUP_TIMEFRAMES:
            year.group_by_dynamic("opened_at", every=f"{timeframe.minutes}m").agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
                minutes=pl.len(),
            )

    yield "roll-ups, a year to five timeframes, exact", spent(seconds(lambda: roll_up_all(year))), "<= 100 ms"
    yield "the same by polars group_by_dynamic", spent(seconds(peer)), ""


def growth(database: Database) -> Iterator[tuple[str, str, str]]:
    """What more symbols cost."""
    for count in SYMBOLS:
        names = [f"S{number:03}/USDT" for number in range(count)]
        days = {name: candles(MINUTES_OF_DAY, seed=SEED + number) for number, name in enumerate(names)}
        yield from day_of_symbols(database, f"venue{count}", days)


def day_of_symbols(database: Database, venue: str, days: dict[str, pl.DataFrame]) -> Iterator[tuple[str, str, str]]:
    """A day stored and rolled up, and its last minutes one by one: late in the day they are dearest."""
    together = pl.concat(day.with_columns(symbol=pl.lit(name)) for name, day in days.items())
    live_from = START + timedelta(minutes=MINUTES_OF_DAY - LIVE_MINUTES)
    day = together.filter(pl.col("opened_at") < live_from)
    stored = seconds(lambda: store(database, venue, day), rounds=1)
    rolled = seconds(lambda: [roll_up_all(frame) for frame in days.values()])
    times = [
        seconds(lambda newest=newest: live_minute(database, venue, newest), rounds=1)
        for newest in together.filter(pl.col("opened_at") >= live_from).partition_by("opened_at", maintain_order=True)
    ]
    ran = seconds(lambda: run_assets(database, venue, list(days)), rounds=1)
    label = f"{len(days)} symbols"
    yield f"{label}: store a day of minutes", f"{spent(stored)} = {rate(day.height, stored)}", ""
    yield f"{label}: roll the day up", spent(rolled), ""
    live = f"{spent(median(times))}, slowest {spent(max(times))}"
    yield f"{label}: one live minute x 6 timeframes, median", live, LIVE_GOALS.get(len(days), "")
    yield f"{label}: a run of the market's four assets over the day", spent(ran), ""


def store(database: Database, venue: str, frame: pl.DataFrame) -> None:
    """Store candles of many symbols in one transaction."""
    with database.connection() as connection:
        upsert_minutes(connection, venue, frame, "benchmark")


def live_minute(database: Database, venue: str, frame: pl.DataFrame) -> None:
    """Take one minute of all symbols in, as the stream service does: screened, stored, rolled up, judged."""
    closed = frame["opened_at"][0] + timedelta(minutes=1)
    with database.connection() as connection:
        take_in_minutes(connection, venue, frame, "stream", closed_before=closed, settings=load_settings(), at=closed)


def run_assets(database: Database, venue: str, names: list[str]) -> None:
    """One run of the market's assets over the day, in this process: what a schedule's run takes after its start."""
    session = Session("benchmark", venue, tuple(names), replay=True, settings=load_settings(), clock=CLOCK)
    assets = [market.candles, market.candle_gaps, market.data_findings, market.rollups]
    resources = {"database": database, "session": session, "feed": StoredFeed()}
    result = dg.materialize(assets, partition_key=f"{START:%Y-%m-%d}", resources=resources, run_config=_QUIET)
    if not result.success:
        message = "the run of the assets failed; its messages are above"
        raise SystemExit(message)


def candles(count: int, *, seed: int) -> pl.DataFrame:
    """So many minutes from 2024 on: a random walk of prices, a wide spread of volumes, no gap."""
    draw = np.random.default_rng(seed)
    close = np.round(30_000 * np.exp(np.cumsum(draw.normal(0, 5e-4, count))), 2)
    opened = np.concatenate([[30_000.0], close[:-1]])
    return pl.DataFrame(
        {
            "opened_at": pl.datetime_range(
                START, START + timedelta(minutes=count - 1), "1m", time_unit="us", time_zone="UTC", eager=True
            ),
            "open": opened,
            "high": np.maximum(opened, close) + 1.25,
            "low": np.minimum(opened, close) - 1.25,
            "close": close,
            "volume": np.round(draw.lognormal(1, 1.5, count), 8),
            "trades": draw.integers(1, 5000, count),
        },
        schema=dict(CANDLE_COLUMNS),
    )


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The shortest of some runs, in seconds: what else the machine does only ever adds."""
    times = []
    for _ in range(rounds):
        started = monotonic_seconds()
        work()
        times.append(monotonic_seconds() - started)
    return min(times)


def rate(count: int, took: float) -> str:
    """Candles a second."""
    return f"{count / took:,.0f} candles/s"


def spent(took: float) -> str:
    """Milliseconds."""
    return f"{took * 1000:,.1f} ms"


if __name__ == "__main__":
    main()
