"""Indicators and snapshots: what each decision may see, computed from the last closed bars and nothing else."""

from collections.abc import Iterator

import dagster as dg

from assets.checks import contract_result, contract_spec
from assets.market import candles, rollups
from assets.metadata import plot, table
from assets.partitions import DAYS, ONE_RUN, utc_range
from triplegain_pipelines.agents.snapshot import SNAPSHOT_VERSION
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.evidence import IndicatorReading, Snapshot
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.indicators import upsert_indicators
from triplegain_pipelines.store.snapshots import save_snapshots


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "indicators",
            deps=[candles, rollups],
            code_version=INDICATORS_VERSION,
            description="The indicators of each timeframe at the last closed bar of each decision time.",
            kinds={"postgres", "polars"},
        ),
        dg.AssetSpec(
            "snapshots",
            deps=["indicators", candles, rollups, "headlines", "fear_greed"],
            code_version=SNAPSHOT_VERSION,
            description="Exactly what an agent may see of a symbol at a decision time, hashed.",
            kinds={"postgres"},
        ),
    ],
    check_specs=[contract_spec("indicators")],
    name="evidence",
    group_name="indicators",
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
)
def evidence(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> Iterator[dg.MaterializeResult]:
    """Both come of one walk over the decision times."""
    from triplegain_pipelines.operations.evidence import gather
    from triplegain_pipelines.store.indicators import indicator_keys

    start, end = utc_range(context)
    readings: list[IndicatorReading] = []
    snapshots: list[Snapshot] = []
    for symbol in session.symbols:
        found = gather(database, session, symbol, start, end)
        with database.connection() as connection:
            upsert_indicators(connection, found.readings)
            save_snapshots(connection, found.snapshots)
        readings += found.readings
        snapshots += found.snapshots
    yield dg.MaterializeResult(
        asset_key="indicators",
        metadata={"dagster/row_count": len(readings), "newest": table([dict(row.readings) for row in readings[-1:]])},
        check_results=[contract_result("indicators", {"readings": indicator_keys(readings)})],
        data_version=dg.DataVersion(content_hash([row.data_hash for row in readings])),
    )
    incomplete = sum(not snapshot.complete for snapshot in snapshots)
    prices = {symbol: [s.reference_price or 0.0 for s in snapshots if s.symbol == symbol] for symbol in session.symbols}
    yield dg.MaterializeResult(
        asset_key="snapshots",
        metadata={"dagster/row_count": len(snapshots), "incomplete": incomplete, "reference prices": plot(prices)},
        data_version=dg.DataVersion(content_hash([snapshot.content_hash for snapshot in snapshots])),
    )
