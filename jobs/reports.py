"""Reports: validation, data quality, the leaderboard of the seats and the models' comparison, once a day."""

import dagster as dg

from jobs.tags import run_tags
from triplegain_pipelines.settings import settings

reports = dg.define_asset_job(
    "reports",
    selection=dg.AssetSelection.groups("reports"),
    description="Validation, data quality with Data Docs, the leaderboard, and the models' comparison in MLflow.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(job=reports, cron_schedule="10 0 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def reports_schedule() -> dg.RunRequest:
    """Every night at ten past midnight UTC, about the two weeks before."""
    return dg.RunRequest(tags=run_tags("research", settings().profile.account))
