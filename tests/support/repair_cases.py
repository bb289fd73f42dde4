"""A venue on loopback with a store beside it, for tests of intake and repair."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from candle_frames import START
from doubt_frames import MINUTE

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.intake import IntakeResult, take_in
from triplegain_pipelines.operations.repair import RepairSummary, repair
from triplegain_pipelines.settings import CONFIG, Environment, Settings, load_settings
from triplegain_pipelines.store.candles import read_gaps
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import StoredFinding, read_findings
from triplegain_pipelines.store.series import read_usable_candles

BTC, ETH = "BTC/USDT", "ETH/USDT"
NOW = START + timedelta(hours=12, seconds=30)


def quick_settings(backup: str | None = None) -> Settings:
    """The settings of the profile `paper`, with venues that mind no hurry: they are on loopback."""
    settings = load_settings(Environment(profile="paper"), CONFIG)
    venues = {
        name: venue.model_copy(update={"calls_per_second": 1000.0}) for name, venue in settings.venues.venues.items()
    }
    return settings.model_copy(
        update={
            "venues": settings.venues.model_copy(update={"venues": venues}),
            "profile": settings.profile.model_copy(update={"backup_venue": backup}),
        }
    )


@dataclass
class Repairs:
    """A database, a venue and what asks it. `urls` are the addresses of the servers by venue."""

    database: Database
    venue: str
    urls: Mapping[str, str]
    settings: Settings = field(default_factory=quick_settings)
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(NOW))

    def deliver(self, frame: pl.DataFrame, symbol: str = BTC, *, venue: str | None = None) -> IntakeResult:
        """Take in candles as a stream would deliver them."""
        with self.database.connection() as connection:
            return take_in(
                connection,
                venue or self.venue,
                symbol,
                frame,
                "stream",
                closed_before=self.clock.now(),
                settings=self.settings,
                at=self.clock.now(),
            )

    def run(self, *symbols: str, since: datetime = START, **options: Any) -> RepairSummary:
        """Repair, from the first minute on if nothing else is said."""
        return repair(
            self.database,
            self.settings,
            self.venue,
            symbols or (BTC,),
            clock=self.clock,
            since=since,
            base_urls=self.urls,
            **options,
        )

    def usable(self, symbol: str = BTC) -> pl.DataFrame:
        """What decisions may see."""
        with self.database.connection() as connection:
            return read_usable_candles(connection, self.venue, symbol, START, NOW)

    def gaps(self, symbol: str = BTC) -> list[tuple[int, int, str]]:
        """Recorded gaps: first and last minute from START on, and kind."""
        with self.database.connection() as connection:
            gaps = read_gaps(connection, self.venue, symbol, Timeframe.M1, START, NOW)
        return [
            (minute_of(first), minute_of(last), kind)
            for first, last, kind in gaps.select("starts_at", "ends_at", "kind").rows()
        ]

    def findings(self, symbol: str | None = BTC) -> list[StoredFinding]:
        """All findings of the venue."""
        with self.database.connection() as connection:
            return read_findings(connection, self.venue, symbol, START, NOW + timedelta(days=1))

    def endings(self) -> list[tuple[str, int, str | None]]:
        """Code, minute and settlement of each finding."""
        return [
            (one.finding.code.value, minute_of(one.finding.at), one.settlement.value if one.settlement else None)
            for one in self.findings()
        ]


def minute_of(moment: datetime) -> int:
    """Minutes from START to a moment."""
    return (moment - START) // MINUTE


def without(frame: pl.DataFrame, *minutes: int) -> pl.DataFrame:
    """The frame without the candles of these minutes."""
    gone = [START + minute * MINUTE for minute in minutes]
    return frame.filter(~pl.col("opened_at").is_in(gone))
