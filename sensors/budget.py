"""What the models' calls cost: looked after beside the calls, so that warnings end and lost calls are booked."""

import dagster as dg

from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import budgets
from triplegain_pipelines.store.database import Database


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def budget_sensor(
    context: dg.SensorEvaluationContext,  # noqa: ARG001 - Dagster looks for it
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
) -> dg.SkipReason:
    """Book calls that were never settled at their worst case, and raise and end the alerts of the budget."""
    with database.connection() as connection:
        lost = budgets.tend(connection, session.settings.models.budget, session.clock.now())
    return dg.SkipReason(f"{len(lost)} calls were lost since the last look")
