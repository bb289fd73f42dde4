"""Circuit breakers: evaluated and latched inside the tick, because a run would come ten seconds later.

Without its heartbeat no order that adds risk is written: a sensor that stopped means closed trading.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from assets.portfolio import BOOKS
from triplegain_pipelines.domain.errors import AccountBusyError
from triplegain_pipelines.domain.risk import BreakerState, TradingMode
from triplegain_pipelines.domain.timeframes import day_partition
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.operations.feed import Feed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database

if TYPE_CHECKING:
    from triplegain_pipelines.execution.guard import GuardReport
    from triplegain_pipelines.operations.watch import Cursor


@dg.sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def breaker_sensor(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
    desk: dg.ResourceParam[Desk],
    feed: dg.ResourceParam[Feed],
) -> dg.SensorResult | dg.SkipReason:
    """Walk resting orders through the newest candles, mark the account, trip what must trip, and beat.

    Lineage is told of the days on which fills were booked: no run does it for what a tick books.
    """
    from triplegain_pipelines.operations.watch import open_session_account, watch

    open_session_account(desk, session)
    try:
        tick = watch(database, session, desk, feed, _walked(context.cursor))
    except AccountBusyError as busy:
        return dg.SkipReason(f"the order path is at work, the next tick goes on: {busy}")
    return dg.SensorResult(
        skip_reason=_sentence(tick.report), cursor=_cursor(tick.walked), asset_events=_materialisations(tick.booked)
    )


def _cursor(walked: "Cursor") -> str:
    return json.dumps(
        {
            symbol: [seen.newest.isoformat(), *(minute.isoformat() for minute in seen.missing)]
            for symbol, seen in walked.items()
        }
    )


def _walked(cursor: str | None) -> "Cursor":
    from triplegain_pipelines.operations.watch import Walked

    try:
        read = json.loads(cursor or "{}").items()
        times = {symbol: [datetime.fromisoformat(at) for at in written] for symbol, written in read}
        return {symbol: Walked(newest, tuple(missing)) for symbol, (newest, *missing) in times.items()}
    except (ValueError, AttributeError, TypeError):
        return {}  # a cursor that cannot be read only costs work: candles are walked again, to no effect


def _materialisations(booked: Sequence[datetime]) -> list[dg.AssetMaterialization]:
    days = sorted({day_partition(at) for at in booked})
    return [
        dg.AssetMaterialization(book.key, partition=day, metadata={"told_by": "breaker_sensor"})
        for book in BOOKS
        for day in days
    ]


def _sentence(report: "GuardReport") -> str:
    numbers = f"equity {report.equity:.2f}, drawdown {report.drawdown:.2%}, day's loss {report.daily_loss:.2%}"
    stopped = [
        f"{name} {breaker.state}"
        for name, breaker in report.breakers.items()
        if breaker.state is not BreakerState.CLOSED
    ]
    if report.mode is not TradingMode.ACTIVE:
        stopped.insert(0, f"mode {report.mode}")
    return f"{numbers}; {', '.join(stopped) or 'all breakers closed'}"
