"""Loads what a replay walks over: its decisions and its 1-minute candles."""

from collections.abc import Callable
from datetime import datetime

from triplegain_pipelines.backtest.walk import WalkPlan, walk_history
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decisions
from triplegain_pipelines.store.replays import Replay
from triplegain_pipelines.store.series import decision_candles


def walk_replay(
    database: Database,
    session: Session,
    start: datetime,
    end: datetime,
    on_progress: Callable[[datetime], None] | None = None,
) -> None:
    """Walk the session's account through [start, end), from the start or from where it was killed."""
    with database.connection() as connection:
        frames = {symbol: decision_candles(connection, session.venue, symbol, start, end) for symbol in session.symbols}
        decisions = read_decisions(connection, session.account, start, end)
    plan = WalkPlan(
        replay=Replay(session.account, session.symbols, session.venue, start, end, session.settings.config_hash),
        currency=session.currency,
        simulated=session.simulated,
        candles=frames,
        decisions=decisions,
        paper=session.settings.profile.paper,
        limits=session.settings.risk,
        instruments={symbol: Instrument(symbol) for symbol in session.symbols},
        validity=session.settings.profile.decisions.validity,
    )
    walk_history(database, plan, on_progress)
