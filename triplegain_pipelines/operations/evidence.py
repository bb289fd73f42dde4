"""Loads what the evidence of a range of decisions needs, and nothing more, and has it gathered."""

from datetime import datetime, timedelta

from triplegain_pipelines.agents.evidence import Evidence, gather_evidence
from triplegain_pipelines.agents.snapshot import MAXIMUM_FEAR_GREED_AGE
from triplegain_pipelines.agents.window import history
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.operations.feed import known_headlines
from triplegain_pipelines.operations.news import known_fear_greed
from triplegain_pipelines.operations.session import Session, decision_times
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import decision_candles, decision_rollups, stand_still

_NEWS = timedelta(days=1)


def gather(database: Database, session: Session, symbol: str, start: datetime, end: datetime) -> Evidence:
    """Indicator rows and snapshots of `symbol` for the decision times in [start, end) that have come."""
    grace = session.settings.profile.decisions.grace
    times = [point for point in decision_times(start, end, session.settings) if point + grace <= session.clock.now()]
    venue, minute = session.venue, Timeframe.M1
    with database.connection() as connection:
        # All that a snapshot rests on as of one moment, whatever a stream stores meanwhile.
        stand_still(connection)
        frames = {minute: decision_candles(connection, venue, symbol, start - history(minute), end)}
        for timeframe in ROLLUP_TIMEFRAMES:
            frames[timeframe] = decision_rollups(connection, venue, symbol, timeframe, start - history(timeframe), end)
        headlines = known_headlines(connection, session, start - _NEWS, end)
        fear_greed = known_fear_greed(connection, session, start - MAXIMUM_FEAR_GREED_AGE, end)
    return gather_evidence(
        venue=venue,
        symbol=symbol,
        candles=frames,
        decision_times=times,
        grace=grace,
        headlines=headlines,
        fear_greed=fear_greed,
        weights=session.settings.market.timeframe_weights,
    )
