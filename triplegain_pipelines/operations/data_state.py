"""How the market data stands now: age of the newest candle, open gaps, streams, sources, alerts. It only reads."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store import alerts, sources
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.market_overview import SeriesState, read_series_states
from triplegain_pipelines.store.streams import StreamState, read_stream_states

_SILENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class DataState:
    """The state of the market data of a profile at `at`."""

    at: datetime
    market: str
    source: str
    series: tuple[SeriesState, ...]
    streams: tuple[StreamState, ...]
    alerts: tuple[alerts.Alert, ...]

    def age_seconds(self, series: SeriesState) -> float | None:
        """Seconds since the newest candle of a series closed; None where there is none."""
        if series.newest_opened_at is None:
            return None
        return (self.at - series.newest_opened_at - Timeframe.M1.duration).total_seconds()

    def is_connected(self, stream: StreamState) -> bool:
        """Whether a channel is known to be connected: what its service has not confirmed lately is not."""
        return stream.connected and self.at - stream.beat_at <= _SILENCE

    def document(self) -> dict[str, Any]:
        """The form for --json. `data_age_seconds` and `websocket_connected` bear the names of the metrics."""
        return {
            "at": self.at.isoformat(),
            "market": self.market,
            "simulated": self.market == SIMULATED_VENUE,
            "source": self.source,
            "data_age_seconds": {one.symbol: self.age_seconds(one) for one in self.series if one.venue == self.source},
            "websocket_connected": {one.endpoint: self.is_connected(one) for one in self.streams},
            "series": [
                {
                    "venue": one.venue,
                    "symbol": one.symbol,
                    "newest": one.newest_opened_at,
                    "age_seconds": self.age_seconds(one),
                    "minutes_missing": one.minutes_missing,
                    "candles_held": one.candles_held,
                }
                for one in self.series
            ],
            "alerts": [{"level": one.level, "text": one.text, "since": one.raised_at} for one in self.alerts],
        }


def data_state(database: Database, settings: Settings, clock: Clock) -> DataState:
    """Read the state of the profile's market data.

    Raises:
        UnavailableError: the database does not answer; nothing is known then.
    """
    profile = settings.profile
    venues = [venue for venue in (profile.venue, profile.backup_venue) if venue]
    with database.connection() as connection:
        return DataState(
            at=clock.now(),
            market=profile.venue,
            source=sources.current_source(connection, profile.venue),
            series=tuple(read_series_states(connection, venues, profile.symbols)),
            streams=tuple(read_stream_states(connection, venues)),
            alerts=tuple(alerts.open_alerts(connection)),
        )
