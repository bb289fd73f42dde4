"""From the outbox to execution: one run for each decision, whatever the ticks do."""

from datetime import timedelta

import dagster as dg

from jobs.execution import execution
from jobs.tags import DECISION, EXECUTES_FOR, run_tags
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import outbox
from triplegain_pipelines.store.database import Database

_MOST_AT_ONCE = 10
_ASK_AGAIN = timedelta(minutes=2)


@dg.sensor(job=execution, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def execution_sensor(
    context: dg.SensorEvaluationContext,  # noqa: ARG001 - Dagster looks for it
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run for each waiting decision. Whether it may trade is decided in that run, inside the transaction.

    A run that failed does not end its decision: every two minutes another one is asked for while it is valid, or while
    its exit waits for an order to be clear. Runs of an account wait for each other, and the fence lets a decision trade
    once, however many runs there are.
    """
    now = session.clock.now()
    with database.connection() as connection:
        found = outbox.waiting(connection, session.schema, session.account)
    waiting = [row for row in found if row.valid_until >= now or row.is_held_up]
    if not waiting:
        return dg.SkipReason(f"no decision of {session.account} waits")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{row.decision_id}:{(now - row.queued_at) // _ASK_AGAIN}",
                run_config={"ops": {"claim": {"config": {"decision_id": str(row.decision_id)}}}},
                tags={
                    **run_tags("execution", session.account, "live" if session.live else "paper"),
                    DECISION: str(row.decision_id),
                    EXECUTES_FOR: session.account,
                },
            )
            for row in waiting[:_MOST_AT_ONCE]
        ]
    )
