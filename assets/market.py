"""Market data: candles as published, their gaps, and the longer candles rolled up from them."""

from datetime import datetime

import dagster as dg

from assets.checks import contract_result, contract_spec
from assets.metadata import plot, table
from assets.partitions import DAYS, ONE_RUN, utc_range
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.operations.feed import Feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.headlines import upsert_headlines


@dg.asset(
    group_name="market",
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="1",
    kinds={"postgres"},
    check_specs=[contract_spec("candles")],
)
def candles(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
    feed: dg.ResourceParam[Feed],
) -> dg.MaterializeResult:
    """1-minute candles of all symbols as the venue published them; an open candle is never among them."""
    from triplegain_pipelines.market.digest import frame_digest
    from triplegain_pipelines.operations.feed import collect
    from triplegain_pipelines.store.candles import read_candles

    start, end = utc_range(context)
    rows, frames = [], {}
    for symbol in session.symbols:
        counts = collect(database, session, feed, symbol, start, end)
        with database.connection() as connection:
            frame = read_candles(connection, session.venue, symbol, Timeframe.M1, start, end)
        frames[symbol] = frame
        span = {"first": frame["opened_at"].min(), "last": frame["opened_at"].max()}
        rows.append({"symbol": symbol, "rows": frame.height, "new": counts.new, "revised": counts.revised, **span})
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(frame.height for frame in frames.values()),
            "simulated market": session.simulated,
            "symbols": table(rows),
            "closes": plot({symbol: frame["close"].to_list() for symbol, frame in frames.items()}),
        },
        check_results=[contract_result("candles", frames)],
        data_version=dg.DataVersion(content_hash([session.venue, *map(frame_digest, frames.values())])),
    )


@dg.asset(
    group_name="market",
    deps=[candles],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="1",
    kinds={"postgres"},
)
def candle_gaps(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Where 1-minute candles are missing on the grid. A gap is a row; nothing is filled in."""
    from triplegain_pipelines.market.gaps import find_gaps
    from triplegain_pipelines.store.candles import read_candles, replace_gaps, stored_range

    start, end = utc_range(context)
    rows = []
    for symbol in session.symbols:
        with database.connection() as connection:
            stored = stored_range(connection, session.venue, symbol, Timeframe.M1)
            times = read_candles(connection, session.venue, symbol, Timeframe.M1, start, end)["opened_at"]
            gaps = find_gaps(times, Timeframe.M1, *_overlap(start, end, stored))
            replace_gaps(connection, session.venue, symbol, Timeframe.M1, start, end, gaps)
        rows += [{"symbol": symbol, **gap} for gap in gaps.iter_rows(named=True)]
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(rows), "gaps": table(rows[:100])},
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
    kinds={"postgres", "polars"},
    check_specs=[contract_spec("rollups")],
)
def rollups(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Candles of 5m, 15m, 1h, 4h and 1d, each made of the 1-minute candles and never of the venue's own."""
    from triplegain_pipelines.market.digest import frame_digest
    from triplegain_pipelines.market.rollups import roll_up
    from triplegain_pipelines.store.candles import read_candles, upsert_rollups

    start, end = utc_range(context)
    frames = {}
    for symbol in session.symbols:
        with database.connection() as connection:
            minutes = read_candles(connection, session.venue, symbol, Timeframe.M1, start, end)
            for timeframe in ROLLUP_TIMEFRAMES:
                frame = roll_up(minutes, timeframe)
                upsert_rollups(connection, session.venue, symbol, timeframe, frame)
                frames[f"{symbol} {timeframe}"] = frame
    rows = [{"rollup": name, "rows": frame.height, "minutes": frame["minutes"].sum()} for name, frame in frames.items()]
    return dg.MaterializeResult(
        metadata={"dagster/row_count": sum(frame.height for frame in frames.values()), "rollups": table(rows)},
        check_results=[contract_result("rollups", frames)],
        data_version=dg.DataVersion(content_hash([session.venue, *map(frame_digest, frames.values())])),
    )


@dg.asset(group_name="market", partitions_def=DAYS, backfill_policy=ONE_RUN, code_version="1", kinds={"postgres"})
def headlines(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], feed: dg.ResourceParam[Feed]
) -> dg.MaterializeResult:
    """News by the time we first saw it; where there is no source there are none."""
    start, end = utc_range(context)
    found = feed.headlines(start, end)
    with database.connection() as connection:
        new = upsert_headlines(connection, found)
    rows = [{"first seen": item.first_seen_at, "source": item.source, "title": item.title} for item in found[-50:]]
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(found), "new": new, "newest": table(rows)},
        data_version=dg.DataVersion(content_hash([item.headline_id for item in found])),
    )
