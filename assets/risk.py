"""What risk knows of the market at each decision time."""

import dagster as dg

from assets.market import candles, rollups
from assets.metadata import plot
from assets.partitions import DAYS, ONE_RUN, utc_range
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.indicators.market_state import MARKET_STATE_VERSION
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database


@dg.asset(
    group_name="decisions",
    deps=[candles, rollups],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version=MARKET_STATE_VERSION,
    kinds={"postgres"},
    # Before the decisions of the same run, which may be acted on as soon as they are made.
    op_tags={"dagster/priority": "1"},
)
def market_states(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """Volatilities, how unusual they are, and correlations, of hourly closes. Without them no new risk is taken."""
    from triplegain_pipelines.operations.market_states import work_out
    from triplegain_pipelines.store.market_states import as_document

    states = work_out(database, session, *utc_range(context))
    missing = {symbol: sum(symbol not in one.percentiles for one in states) for symbol in session.symbols}
    known = {
        symbol: [one.volatilities[symbol] for one in states if symbol in one.volatilities] for symbol in session.symbols
    }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(states),
            "not known": missing,
            "annual volatility": plot(known),
        },
        data_version=dg.DataVersion(content_hash([[one.as_of, as_document(one)] for one in states])),
    )
