"""Works out the state of the market at each decision time of a range, and stores it."""

from datetime import datetime, timedelta

import numpy as np

from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.market_state import (
    HISTORY,
    MARKET_STATE_VERSION,
    Closes,
    hours_before,
    market_state,
)
from triplegain_pipelines.operations.session import Session, decision_times
from triplegain_pipelines.store import market_states
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import decision_rollups, stand_still

_HOUR = timedelta(hours=1)


def work_out(database: Database, session: Session, start: datetime, end: datetime) -> list[MarketState]:
    """The states for the decision times in [start, end) that have come, stored; oldest first."""
    grace = session.settings.profile.decisions.grace
    times = [point + grace for point in decision_times(start, end, session.settings)]
    times = [at for at in times if at <= session.clock.now()]
    if not times:
        return []
    first, last = hours_before(times[0], grace)[0], hours_before(times[-1], grace)[1]
    with database.connection() as connection:
        stand_still(connection)
        hourly = {
            symbol: decision_rollups(connection, session.venue, symbol, Timeframe.H1, first, last + _HOUR)
            for symbol in session.symbols
        }
    closes = {
        symbol: _on_grid(frame["opened_at"].to_list(), frame["close"].to_numpy(), first, last)
        for symbol, frame in hourly.items()
    }
    states = []
    for at in times:
        begin = (hours_before(at, grace)[0] - first) // _HOUR
        length = HISTORY // _HOUR + 1
        states.append(market_state(at, {symbol: series[begin : begin + length] for symbol, series in closes.items()}))
    with database.connection() as connection:
        market_states.save(connection, session.venue, states, MARKET_STATE_VERSION)
    return states


def _on_grid(opened_at: list[datetime], closes: Closes, first: datetime, last: datetime) -> Closes:
    """The closes of every hour from `first` to `last`, NaN where there is none."""
    grid = np.full((last - first) // _HOUR + 1, np.nan)
    places = [(moment - first) // _HOUR for moment in opened_at]
    grid[places] = closes
    return grid
