"""Market data: candles as published, their gaps and findings, and the longer candles rolled up from them."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from assets.checks import contract_result, contract_spec, delivered_result, delivered_spec
from assets.metadata import WIDTH, plot, table
from assets.partitions import DAYS, ONE_RUN, utc_range
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.feed import Feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.operations.feed import Collected

# For the page only: an order compares the candle's time with the clock itself.
FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=7), fail_window=timedelta(minutes=15))

STREAMED = [
    dg.AssetSpec(
        "top_of_book",
        group_name="market",
        kinds={"postgres"},
        description="Best bid and ask of every symbol, every few seconds; written by the stream service.",
    ),
    dg.AssetSpec(
        "trades",
        group_name="market",
        kinds={"postgres"},
        description="Single trades that were imported; candles are built of those whose minute is whole.",
    ),
]


@dg.asset(
    group_name="market",
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="1",
    kinds={"postgres"},
    check_specs=[contract_spec("candles"), delivered_spec("candles")],
    freshness_policy=FRESH,
)
def candles(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
    feed: dg.ResourceParam[Feed],
) -> dg.MaterializeResult:
    """1-minute candles of all symbols as the venue published them; an open candle is never among them.

    Where the venue fails, what is stored counts: a stream or the backup may have brought it.
    """
    from triplegain_pipelines.market.digest import frame_digest
    from triplegain_pipelines.operations.feed import collect_all
    from triplegain_pipelines.store.candles import read_candles
    from triplegain_pipelines.store.chart import chart_line

    start, end = utc_range(context)
    collected = collect_all(database, session, feed, start, end)
    frames, lines = {}, {}
    for symbol in session.symbols:
        with database.connection() as connection:
            frames[symbol] = read_candles(connection, session.venue, symbol, Timeframe.M1, start, end)
            lines[symbol] = chart_line(connection, session.venue, symbol, start, end, WIDTH)["close"].to_list()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(frame.height for frame in frames.values()),
            "simulated market": session.simulated,
            "symbols": table([_symbol_row(symbol, frame, collected) for symbol, frame in frames.items()]),
            "closes": plot(lines),
        },
        check_results=[contract_result("candles", frames), delivered_result(collected.failures)],
        data_version=dg.DataVersion(content_hash([session.venue, *map(frame_digest, frames.values())])),
    )


def _symbol_row(symbol: str, frame: "pl.DataFrame", collected: "Collected") -> dict[str, object]:
    """What the page says about a symbol. Of one that was not delivered no number is known, and 0 would be one."""
    counts = collected.counts.get(symbol)
    return {
        "symbol": symbol,
        "rows": frame.height,
        "new": counts.new if counts else "",
        "revised": counts.revised if counts else "",
        "failure": collected.failures.get(symbol, ""),
        "first": frame["opened_at"].min(),
        "last": frame["opened_at"].max(),
    }


@dg.asset(
    group_name="market",
    deps=[candles],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="1",
    kinds={"postgres"},
    check_specs=[contract_spec("candle_gaps")],
)
def candle_gaps(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Where 1-minute candles are missing on the grid, and why. A gap is a row; nothing is filled in."""
    from triplegain_pipelines.market.gaps import find_gaps
    from triplegain_pipelines.store.candles import opening_times, read_gaps, stored_range
    from triplegain_pipelines.store.gaps import record_gaps

    start, end = utc_range(context)
    frames = {}
    for symbol in session.symbols:
        series = (session.venue, symbol, Timeframe.M1)
        with database.connection() as connection:
            window = _overlap(start, end, stored_range(connection, *series))
            times = opening_times(connection, *series, *window)
            record_gaps(connection, *series, *window, find_gaps(times, Timeframe.M1, *window))
            frames[symbol] = read_gaps(connection, *series, start, end)
    rows = [{"symbol": symbol, **gap} for symbol, frame in frames.items() for gap in frame.iter_rows(named=True)]
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(rows), "gaps": table(rows[:100])},
        check_results=[contract_result("candle_gaps", frames)],
        data_version=dg.DataVersion(content_hash([[str(value) for value in row.values()] for row in rows])),
    )


def _overlap(start: datetime, end: datetime, stored: tuple[datetime, datetime] | None) -> tuple[datetime, datetime]:
    """The part of [start, end) in which candles are to be expected: from the first to the last that is stored."""
    if stored is None:
        return start, start
    return max(start, stored[0]), min(end, stored[1] + Timeframe.M1.duration)


@dg.asset(
    group_name="market",
    deps=[candles],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="1",
    kinds={"postgres"},
    check_specs=[contract_spec("data_findings")],
)
def data_findings(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """What was wrong with the data by a rule, and how it ended. A candle that is held is seen by no decision."""
    from triplegain_pipelines.store.findings import findings_frame, read_findings

    start, end = utc_range(context)
    with database.connection() as connection:
        found = [one for venue in session.venues for one in read_findings(connection, venue, None, start, end)]
    rows = [
        {
            "at": one.finding.at,
            "venue": one.finding.venue,
            "symbol": one.finding.symbol,
            "code": one.finding.code.value,
            "effect": one.finding.code.effect.value,
            "ended": one.settlement.value if one.settlement else "open",
            "detail": dict(one.finding.detail),
        }
        for one in found
    ]
    held = sum(one.held and one.settled_at is None for one in found)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(rows), "candles held back": held, "newest": table(rows[-100:])},
        check_results=[contract_result("data_findings", {session.venue: findings_frame(found)})],
        data_version=dg.DataVersion(content_hash([[str(value) for value in row.values()] for row in rows])),
    )


@dg.asset(
    group_name="market",
    deps=[candles, data_findings],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="2",
    kinds={"postgres", "polars"},
    check_specs=[contract_spec("rollups")],
    freshness_policy=FRESH,
)
def rollups(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Candles of 5m, 15m, 1h, 4h and 1d, each made of one venue's 1-minute candles that decisions may see."""
    from triplegain_pipelines.market.digest import frame_digest
    from triplegain_pipelines.operations.rolling import roll_up_days

    start, end = utc_range(context)
    made = {
        f"{venue} {symbol} {timeframe}": frame
        for venue in session.venues
        for symbol in session.symbols
        for timeframe, frame in roll_up_days(database, venue, symbol, start, end).items()
    }
    frames = {name: frame for name, frame in made.items() if frame.height}
    rows = [{"rollup": name, "rows": frame.height, "minutes": frame["minutes"].sum()} for name, frame in frames.items()]
    return dg.MaterializeResult(
        metadata={"dagster/row_count": sum(frame.height for frame in frames.values()), "rollups": table(rows)},
        check_results=[contract_result("rollups", frames)],
        data_version=dg.DataVersion(content_hash([session.venue, *map(frame_digest, frames.values())])),
    )
