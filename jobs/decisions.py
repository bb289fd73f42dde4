"""Decisions: the cycle from candles to the consensus of the six seats, every hour, and the same over history.

One in-process job: the six seats run by asyncio inside one asset, and a run's start is its latency.
"""

import dagster as dg

from assets.partitions import today
from jobs.tags import run_tags
from triplegain_pipelines.settings import settings

decision_cycle = dg.define_asset_job(
    "decision_cycle",
    selection=dg.AssetSelection.assets("market_states", "consensus_decisions").upstream(),
    description="From candles to what risk has to know and to consensus decisions; those that act go to the outbox.",
    executor_def=dg.in_process_executor,
)

decision_history = dg.define_asset_job(
    "decision_history",
    selection=dg.AssetSelection.groups("indicators", "signals", "decisions"),
    description="Evidence, forecasts and decisions over days whose candles are stored.",
    executor_def=dg.in_process_executor,
)


# One minute past: the candles of the decision are closed and past their grace, and the next price is there.
@dg.schedule(job=decision_cycle, cron_schedule="1 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def decision_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every hour, into today's partition."""
    return dg.RunRequest(partition_key=today(context), tags=run_tags("decision", settings().profile.account))
