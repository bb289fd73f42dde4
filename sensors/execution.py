"""From the outbox to execution: one run for each decision, whatever the ticks do."""

import dagster as dg

from jobs.execution import execution
from jobs.tags import DECISION, EXECUTES_FOR, run_tags
from triplegain_pipelines.execution.desk import PAPER
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import outbox
from triplegain_pipelines.store.database import Database

_MOST_AT_ONCE = 10


@dg.sensor(job=execution, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def execution_sensor(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run for each waiting decision. Whether it may trade is decided in that run, inside the transaction.

    The cursor only saves work: the run key makes a decision run once, and the fence makes it trade once.
    """
    cursor = int(context.cursor) if context.cursor and context.cursor.isdecimal() else 0
    with database.connection() as connection:
        waiting = outbox.waiting(connection, PAPER, session.account, cursor, _MOST_AT_ONCE)
    if not waiting:
        return dg.SkipReason(f"no decision of {session.account} waits behind number {cursor}")
    requests = [
        dg.RunRequest(
            run_key=str(row.decision_id),
            run_config={"ops": {"claim": {"config": {"decision_id": str(row.decision_id)}}}},
            tags={
                **run_tags("execution", session.account),
                DECISION: str(row.decision_id),
                EXECUTES_FOR: session.account,
            },
        )
        for row in waiting
    ]
    return dg.SensorResult(run_requests=requests, cursor=str(waiting[-1].outbox_id))
