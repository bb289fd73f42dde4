"""Rebalancing: queue what brings the account back to its target weights. The execution sensor does the rest."""

import dagster as dg

from jobs.tags import run_tags
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import settings


@dg.op
def queue(context: dg.OpExecutionContext, desk: dg.ResourceParam[Desk], session: dg.ResourceParam[Session]) -> None:
    """Plan, and put the trades into the outbox: each is judged and executed in a run of its own."""
    from triplegain_pipelines.agents.headline_tones import sentiment_version
    from triplegain_pipelines.operations.rebalancing import queue_rebalancing

    configured = session.settings
    document = queue_rebalancing(desk, configured.profile, sentiment_version(configured.models)).document()
    for trade in document["trades"]:
        context.log.info("%s %s %s: %s", trade["action"], trade["quantity"], trade["symbol"], trade["reason"])
    for kept in document["kept"]:
        context.log.info("keep %s: %s", kept["symbol"], kept["reason"])


@dg.job(
    description="Queue the trades that bring the account back to its target weights.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "60"},
)
def rebalance() -> None:
    """One plan, from what the account holds to the outbox."""
    queue()


# Off until a person turns it on. Not at a full hour, when the seats decide.
@dg.schedule(job=rebalance, cron_schedule="31 12 * * 1", default_status=dg.DefaultScheduleStatus.STOPPED)
def rebalance_schedule() -> dg.RunRequest:
    """Every Monday."""
    return dg.RunRequest(tags=run_tags("rebalancing", settings().profile.account))
