"""Execution: `claim -> check_risk -> submit -> settle`, an op each, with ids between them and side effects in the core.

Nothing here retries: an unknown outcome is resolved with the venue, never sent again. The fence is in the trading
database, so two runs at once can do no harm; the pool and the tags only make the waiting visible.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import dagster as dg

from assets.portfolio import BOOKS
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.domain.reasons import Reason
from triplegain_pipelines.domain.timeframes import day_partition
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.store.fences import TAKEOVER_SECONDS
from triplegain_pipelines.store.outbox import OutboxStatus

POOL = "execution"


class Decision(dg.Config):
    """The decision to act on."""

    decision_id: str


@dg.op(out=dg.Out(Claim, is_required=False), pool=POOL)
def claim(context: dg.OpExecutionContext, config: Decision, desk: dg.ResourceParam[Desk]) -> Iterator[dg.Output[Claim]]:
    """Take the decision from the outbox; without a claim the rest of the run is skipped."""
    from triplegain_pipelines.execution.order_path import OrderPath

    with OrderPath(desk, wait=TAKEOVER_SECONDS) as path:
        claimed = path.claim(UUID(config.decision_id))
    if isinstance(claimed, Reason):
        context.log.info(claimed.sentence())
    else:
        yield dg.Output(claimed)


@dg.op(pool=POOL)
def check_risk(context: dg.OpExecutionContext, desk: dg.ResourceParam[Desk], claimed: Claim) -> Claim:
    """Judge the decision; what risk and fence allow is written as an order in the same transaction."""
    from triplegain_pipelines.execution.order_path import OrderPath

    with OrderPath(desk, wait=TAKEOVER_SECONDS) as path:
        step = path.check_risk(claimed.decision_id, claimed.token)
    context.log.info(step.reason.sentence())
    return claimed


@dg.op(pool=POOL)
def submit(context: dg.OpExecutionContext, desk: dg.ResourceParam[Desk], checked: Claim) -> Claim:
    """Send the order once."""
    from triplegain_pipelines.execution.order_path import OrderPath

    with OrderPath(desk, wait=TAKEOVER_SECONDS) as path:
        step = path.submit(checked.decision_id, checked.token)
    context.log.info(step.reason.sentence())
    return checked


@dg.op(pool=POOL)
def settle(context: dg.OpExecutionContext, desk: dg.ResourceParam[Desk], submitted: Claim) -> None:
    """Book what was filled, protect the position, write how the decision ended."""
    from triplegain_pipelines.execution.order_path import OrderPath

    with OrderPath(desk, wait=TAKEOVER_SECONDS) as path:
        status = path.settle(submitted.decision_id, submitted.token)
    if status is OutboxStatus.DONE:
        tell_lineage(context, [desk.clock.now()], {"decision": str(submitted.decision_id)})


@dg.job(
    description="Act on one decision, behind the risk checks.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "60"},
)
def execution() -> None:
    """One decision from the outbox to its fills."""
    settle(submit(check_risk(claim())))


def tell_lineage(context: dg.OpExecutionContext, days: Sequence[datetime], facts: Mapping[str, str]) -> None:
    """Say that the books of an account grew on `days`, so that lineage reaches from candles to orders and equity."""
    for book in BOOKS:
        for day in days:
            context.log_event(dg.AssetMaterialization(book.key, partition=day_partition(day), metadata=dict(facts)))
