"""The walk of a replay through time: the order path of paper trading, at recorded candles and a replay's clock."""

from datetime import timedelta

import dagster as dg

from assets.partitions import Window
from jobs.execution import tell_lineage
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database


@dg.op
def walk_history(
    context: dg.OpExecutionContext,
    config: Window,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
) -> None:
    """Act on the account's decisions in order of time; a walk that was killed goes on where it was."""
    from triplegain_pipelines.operations.replaying import walk_replay

    start, end = config.period(session.clock.now())
    walk_replay(database, session, start, end)
    days = [start + timedelta(days=number) for number in range((end - start).days)]
    tell_lineage(context, days, {"account": session.account})


@dg.job(description="Paper execution over a stretch of history.", executor_def=dg.in_process_executor)
def replay_execution() -> None:
    """Walk the decisions of a replay."""
    walk_history()
