"""What the breakers look at beside the account, as history tells it, and nothing that came later.

Strategies and volatility stand as they did at the newest decision. Data is as old as the newest candle: quotes between
candles, which keep data young in a market where nobody trades, and crossed books were not recorded.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from triplegain_pipelines.backtest.minutes import MINUTE, Minutes
from triplegain_pipelines.execution.surroundings import Surroundings, highest_percentile
from triplegain_pipelines.risk.strategies import StrategyResult, standings
from triplegain_pipelines.settings.risk import BreakerSettings
from triplegain_pipelines.store import market_states
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.replays import Replay
from triplegain_pipelines.store.strategies import settled_results


class RecordedSurroundings:
    """The surroundings of a replay's account, moved on from one decision to the next.

    Args:
        database: with the results of all forecasts of the replay.
        replay: the account, its market and its time.
        minutes: candles by symbol, from the replay's start on.
        rules: how far back the breakers look.
    """

    def __init__(
        self, database: Database, replay: Replay, minutes: Mapping[str, Minutes], rules: BreakerSettings
    ) -> None:
        self._database, self._replay, self._minutes = database, replay, minutes
        self._judged = timedelta(hours=rules.all_strategies_losing.window_hours)
        self._counted = timedelta(minutes=rules.anomaly.window_minutes)
        with database.connection() as connection:
            self._results = settled_results(connection, replay.account, replay.starts_at - self._judged, replay.ends_at)
        self._strategies: Mapping[str, tuple[int, float]] = {}
        self._percentile: float | None = None

    def decide(self, at: datetime) -> None:
        """Take over strategies and volatility as they stood at the decisions of `at`."""
        first = bisect_right(self._results, at - self._judged, key=_settled_at)
        last = bisect_right(self._results, at, key=_settled_at)
        self._strategies = standings(self._results[first:last])
        with self._database.connection() as connection:
            market = market_states.newest(connection, self._replay.venue, at)
        self._percentile = highest_percentile(market, self._minutes)

    def at(self, at: datetime, failed: Sequence[datetime]) -> Surroundings:
        """What the breakers see at `at`; `failed` are the times at which orders failed."""
        ends = [
            series.opened_at(last) + MINUTE
            for series in self._minutes.values()
            if (last := series.position(at) - 1) >= 0
        ]
        return Surroundings(
            strategies=self._strategies,
            percentile=self._percentile,
            data_age=at - max(ends, default=self._replay.starts_at),
            crossed=(),
            errors=sum(at - self._counted < moment <= at for moment in failed),
        )


def _settled_at(one: StrategyResult) -> datetime:
    return one.settled_at
