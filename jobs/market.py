"""Market data: collected every five minutes, repaired every quarter of an hour, its oldest quotes dropped every day."""

from dataclasses import asdict
from datetime import datetime, timedelta

import dagster as dg

from assets.metadata import table
from assets.partitions import today
from jobs.tags import KIND, QUIET, run_tags
from triplegain_pipelines.domain.errors import PermanentError
from triplegain_pipelines.domain.timeframes import day_partition
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.database import Database

_HISTORY = timedelta(days=30)
_REPAIRED = timedelta(days=7)

market_data = dg.define_asset_job(
    "market_data",
    selection=["candles", "candle_gaps", "data_findings", "rollups", "headlines", "fear_greed"],
    description="Collect the newest candles and news, record gaps and findings, and roll the candles up.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(job=market_data, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def market_data_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every five minutes, into today's partition."""
    return dg.RunRequest(partition_key=today(context), tags=run_tags("market", settings().profile.account))


@dg.op(tags={KIND: "market"})
def ask_the_venue_again(
    context: dg.OpExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> None:
    """Fill gaps, settle held candles and make the roll-ups of the days that changed anew, for each venue followed."""
    from triplegain_pipelines.operations.repair import repair

    if session.simulated:
        context.log.info("the simulated market has no gaps that could be asked for")
        return
    since = session.clock.now() - _REPAIRED
    summaries = [
        repair(database, session.settings, venue, session.symbols, clock=session.clock, since=since)
        for venue in session.venues
    ]
    context.add_output_metadata({"venues": table([asdict(summary) for summary in summaries])})


@dg.job(executor_def=dg.in_process_executor, description="Ask the venues again about gaps and doubtful candles.")
def repair_market_data() -> None:
    """One op: what it does is in the database, and its findings are the asset `data_findings`."""
    ask_the_venue_again()


@dg.schedule(job=repair_market_data, cron_schedule="7-59/15 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def repair_schedule() -> dg.RunRequest:
    """Every quarter of an hour, away from the full hour at which decisions are made."""
    return dg.RunRequest(tags=run_tags("market", settings().profile.account))


@dg.op(tags={KIND: "market"})
def drop_the_oldest_quotes(
    context: dg.OpExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> None:
    """Delete the best prices that nobody keeps any longer; with TimescaleDB its own policy has done so."""
    from triplegain_pipelines.store.top_of_book import drop_old_quotes

    with database.connection() as connection:
        dropped = drop_old_quotes(connection, session.clock.now())
    context.add_output_metadata({"dropped": dropped})


@dg.job(executor_def=dg.in_process_executor, description="Drop what market data is kept for a time only.")
def expire_market_data() -> None:
    """One op; candles, trades and findings are evidence, and stay."""
    drop_the_oldest_quotes()


@dg.schedule(job=expire_market_data, cron_schedule="40 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def expire_schedule() -> dg.RunRequest:
    """Every night, away from reports and decisions."""
    return dg.RunRequest(tags=run_tags("market", settings().profile.account))


def catch_up(defs: dg.Definitions, instance: dg.DagsterInstance, newest: datetime | None, now: datetime) -> None:
    """Collect the simulated market's candles of the days that nobody was there to collect.

    Without them the hourly indicators would be warming up for a week. A venue's REST history does not reach that far:
    there an archive is imported.

    Raises:
        PermanentError: the run failed.
    """
    earliest = now - _HISTORY
    first = max(newest, earliest) if newest else earliest
    days = {"start": first, "end": now}
    result = defs.resolve_job_def("market_data").execute_in_process(
        instance=instance,
        tags={f"dagster/asset_partition_range_{edge}": day_partition(day) for edge, day in days.items()},
        run_config={"loggers": QUIET},
        raise_on_error=False,
    )
    if not result.success:
        msg = f"the run {result.run_id} of market_data failed; see it in the Dagster page"
        raise PermanentError(msg)
