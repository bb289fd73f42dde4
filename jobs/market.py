"""Market data: candles, their gaps and their roll-ups, every five minutes."""

from datetime import datetime, timedelta

import dagster as dg

from assets.partitions import today
from jobs.tags import QUIET, run_tags
from triplegain_pipelines.domain.errors import PermanentError
from triplegain_pipelines.domain.timeframes import day_partition
from triplegain_pipelines.settings import settings

_HISTORY = timedelta(days=30)

market_data = dg.define_asset_job(
    "market_data",
    selection=["candles", "candle_gaps", "rollups", "headlines"],
    description="Collect the newest candles, record their gaps and roll them up.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(job=market_data, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def market_data_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every five minutes, into today's partition."""
    return dg.RunRequest(partition_key=today(context), tags=run_tags("market", settings().profile.account))


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
