"""News: headlines and the fear-and-greed index, by the time we first saw them."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets.checks import contract_result, contract_spec
from assets.metadata import table
from assets.partitions import DAYS, ONE_RUN, utc_range
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.operations.feed import Feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.fear_greed import read_fear_greed
from triplegain_pipelines.store.headlines import read_headlines

_FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=30), fail_window=timedelta(hours=2))


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "headlines",
            code_version="2",
            description="News by the time we first saw it; one story in several feeds is one story.",
            kinds={"postgres"},
            freshness_policy=_FRESH,
        ),
        dg.AssetSpec(
            "fear_greed",
            code_version="1",
            description="The fear-and-greed index of each day, by the time we first saw it.",
            kinds={"postgres"},
        ),
    ],
    check_specs=[contract_spec("headlines"), contract_spec("fear_greed")],
    name="news",
    group_name="market",
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
)
def news(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
    feed: dg.ResourceParam[Feed],
) -> Iterator[dg.MaterializeResult]:
    """Both come of one round over all sources. A source that failed is told, and hides no other."""
    from triplegain_pipelines.market.news.frames import fear_greed_frame, headline_frame
    from triplegain_pipelines.operations.news import gather_news

    start, end = utc_range(context)
    summary = gather_news(database, session, feed, start, end)
    with database.connection() as connection:
        headlines = read_headlines(connection, start, end)
        readings = read_fear_greed(connection, start, end)
    sources = [{"source": one.source, "new": one.new, "failure": one.failure or ""} for one in summary.sources]
    shown = [{"first seen": one.first_seen_at, "source": one.source, "title": one.title} for one in headlines[-50:]]
    yield dg.MaterializeResult(
        asset_key="headlines",
        metadata={
            "dagster/row_count": len(headlines),
            "new": summary.new,
            "failed sources": len(summary.failed),
            "sources": table(sources),
            "newest": table(shown),
        },
        check_results=[contract_result("headlines", {"all sources": headline_frame(headlines)})],
        data_version=dg.DataVersion(content_hash([one.headline_id for one in headlines])),
    )
    values = [{"day": one.published_at, "score": one.score, "first seen": one.first_seen_at} for one in readings]
    yield dg.MaterializeResult(
        asset_key="fear_greed",
        metadata={"dagster/row_count": len(values), "values": table(values)},
        check_results=[contract_result("fear_greed", {"index": fear_greed_frame(readings)})],
        data_version=dg.DataVersion(content_hash([[str(value) for value in row.values()] for row in values])),
    )
