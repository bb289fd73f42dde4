"""Circuit breakers: evaluated and latched inside the tick, because a run would come ten seconds later.

Without its heartbeat no order that adds risk is written: a sensor that stopped means closed trading.
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from triplegain_pipelines.domain.errors import AccountBusyError
from triplegain_pipelines.domain.risk import BreakerState
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.operations.feed import Feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database

if TYPE_CHECKING:
    from triplegain_pipelines.execution.guard import GuardReport


@dg.sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def breaker_sensor(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
    desk: dg.ResourceParam[Desk],
    feed: dg.ResourceParam[Feed],
) -> dg.SkipReason:
    """Walk resting orders through the newest candles, mark the account, trip what must trip, and beat."""
    from triplegain_pipelines.operations.watch import open_session_account, watch

    open_session_account(desk, session)
    try:
        report, walked = watch(database, session, desk, feed, _walked(context.cursor))
    except AccountBusyError as busy:
        return dg.SkipReason(f"the order path is at work, the next tick goes on: {busy}")
    context.update_cursor(json.dumps({symbol: at.isoformat() for symbol, at in walked.items()}))
    return dg.SkipReason(_sentence(report))


def _walked(cursor: str | None) -> dict[str, datetime]:
    try:
        return {symbol: datetime.fromisoformat(at) for symbol, at in json.loads(cursor or "{}").items()}
    except (ValueError, AttributeError, TypeError):
        return {}  # a cursor that cannot be read only costs work: candles are walked again, to no effect


def _sentence(report: "GuardReport") -> str:
    numbers = f"equity {report.equity:.2f}, drawdown {report.drawdown:.2%}, day's loss {report.daily_loss:.2%}"
    stopped = [
        f"{name} {breaker.state}"
        for name, breaker in report.breakers.items()
        if breaker.state is not BreakerState.CLOSED
    ]
    return f"{numbers}; {', '.join(stopped) or 'all breakers closed'}"
