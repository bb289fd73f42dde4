"""Market data: candles, their gaps and their roll-ups, every five minutes."""

import dagster as dg

from assets.partitions import today
from jobs.tags import run_tags
from triplegain_pipelines.settings import settings

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
