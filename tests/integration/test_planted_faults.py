"""A day with every fault there is, delivered minute by minute through the real path, repaired, and reported."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START
from doubt_frames import MINUTE, quiet, same_as, scaled, with_values
from repair_cases import BTC, Repairs, minute_of, without
from venues.binance import BinanceServer
from venues.loopback import Fault

from triplegain_pipelines.domain.clock import ReplayClock, monotonic_seconds
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES
from triplegain_pipelines.evaluation.data_quality import write_quality_report
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.market.venues.clock import measure_clock
from triplegain_pipelines.market.venues.history import candle_pages
from triplegain_pipelines.operations.intake import take_in_minutes
from triplegain_pipelines.operations.live_minutes import LiveMinutes
from triplegain_pipelines.operations.repair import record_clock, repair
from triplegain_pipelines.operations.rolling import renew_days_of
from triplegain_pipelines.store.candles import read_rollups
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import clock_trusted, read_findings
from triplegain_pipelines.store.series import read_usable_candles

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MINUTES = 1440
TRUTH = quiet(MINUTES)
LOST = (200, 201, 202)  # not delivered, though the venue has them
EMPTY = (300, 301)  # not delivered, and the venue has none
DOUBLED, CONFLICTING, OUTLIER, REVISED, CROSSED = 400, 500, 600, 700, 800
STUCK = 900  # the feed stands for the six minutes after it
SKEWED = range(1000, 1060)  # the venue's clock is three seconds off
REPAIR_EVERY = 60

STREAMED = same_as(TRUTH, STUCK, 6)
# One by one around the faults, and twenty at a time where nothing happens.
_CLOSE = {
    near
    for fault in (*LOST, *EMPTY, DOUBLED, CONFLICTING, OUTLIER, REVISED, CROSSED, *range(STUCK, STUCK + 7))
    for near in range(fault - 3, fault + 5)
} | {SKEWED.start, SKEWED.start + 1, SKEWED.stop, SKEWED.stop + 1}


class Ticking:
    """A clock that starts at a moment and goes on, as real ones do while they are compared."""

    def __init__(self, start: datetime) -> None:
        self._start, self._began = start, monotonic_seconds()

    def now(self) -> datetime:
        """The present moment."""
        return self._start + timedelta(seconds=monotonic_seconds() - self._began)


def deliveries() -> Iterator[range]:
    """The day in pieces, each of minutes that come together."""
    start = 0
    for minute in range(MINUTES):
        if minute in _CLOSE or minute + 1 in _CLOSE or minute % 20 == 19:
            yield range(start, minute + 1)
            start = minute + 1


@dataclass
class Day:
    """The day at the venue and on the way to us. `delivered` is what came of a minute, as the stream would give it."""

    repairs: Repairs
    server: BinanceServer
    seen_bad: list[tuple[int, int]] = field(default_factory=list)
    trusted: dict[int, bool] = field(default_factory=dict)

    def deliver(self, minutes: range) -> None:
        """The minutes close: what came of them is taken in, and the decision series is looked at.

        Between two deliveries nothing changes, so a look after each shows what every moment of the day would see.
        """
        self.repairs.clock.advance_to(START + minutes.stop * MINUTE + timedelta(seconds=11))
        now = self.repairs.clock.now()
        rows = pl.concat([self.rows_of(minute) for minute in minutes])
        if len(minutes) > 1:
            # Nothing happens in them, so they come as a piece of history would, and their roll-ups are made at once.
            self.repairs.deliver(rows)
            with self.repairs.database.connection() as connection:
                renew_days_of(connection, "binance", BTC, [START + minutes.start * MINUTE])
        elif rows.height:
            with self.repairs.database.connection() as connection:
                take_in_minutes(
                    connection,
                    "binance",
                    rows.select(pl.lit(BTC).alias("symbol"), pl.all()),
                    "stream",
                    closed_before=now,
                    settings=self.repairs.settings,
                    at=now,
                )
        self.look(minutes[-1])

    def rows_of(self, minute: int) -> pl.DataFrame:
        """What the stream brings of a minute."""
        row = STREAMED.slice(minute, 1)
        if minute in {*LOST, *EMPTY}:
            return row.clear()
        if minute == DOUBLED:
            return pl.concat([row, row])
        if minute == CONFLICTING:
            return pl.concat([row, with_values(row, 0, volume=99.0)])
        if minute == OUTLIER:
            return scaled(row, 0, 1.3)
        if minute == REVISED:
            return with_values(row, 0, volume=0.25)
        return with_values(row, 0, low=row["high"][0] * 2) if minute == CROSSED else row

    def look(self, minute: int) -> None:
        """What decisions see at this moment must be candles of the truth; note what is not, with when it was seen."""
        now = self.repairs.clock.now()
        with self.repairs.database.connection() as connection:
            seen = read_usable_candles(connection, "binance", BTC, START, now)
            self.trusted[minute] = clock_trusted(connection, "binance", now)
        same = seen.join(TRUTH, on=["opened_at", "open", "high", "low", "close"], how="anti")
        self.seen_bad += [(minute, minute_of(at)) for at in same["opened_at"]]

    def compare_clocks(self) -> None:
        """Measure the venue's clock, and record how it is."""
        venue = self.repairs.settings.venues.of("binance")
        ticking = Ticking(self.repairs.clock.now())
        still, self.server._now = self.server._now, ticking.now
        reading = measure_clock(venue, clock=ticking, base_url=self.server.url)
        self.server._now = still
        record_clock(self.repairs.database, self.repairs.settings, "binance", reading, clock=self.repairs.clock)


@pytest.fixture(scope="module")
def truth_server() -> Iterator[tuple[BinanceServer, ReplayClock]]:
    clock = ReplayClock(START)
    with BinanceServer({BTC: without(TRUTH, *EMPTY)}, now=clock.now) as server:
        yield server, clock


def test_every_planted_fault_is_found_repaired_and_never_decided_by(
    database: Database, truth_server: tuple[BinanceServer, ReplayClock], tmp_path: Path
) -> None:
    """M4: a gap, a double, a conflict, a wrong tick, a correction, a stuck feed, a crossed candle, a wrong clock."""
    server, clock = truth_server
    repairs = Repairs(database, "binance", {"binance": server.url}, clock=clock)
    day = Day(repairs, server)
    live = LiveMinutes(database, repairs.settings, "binance", (BTC,), clock, base_url=server.url)
    live.load()
    for minutes in deliveries():
        day.deliver(minutes)
        minute = minutes[-1]
        if minute in {SKEWED.start, SKEWED.stop}:
            server.skew = timedelta(seconds=3 if minute == SKEWED.start else 0)
            day.compare_clocks()
        if minute % REPAIR_EVERY == REPAIR_EVERY - 1:
            assert live.ask(BTC)
            summary = repairs.run()
            assert not summary.failures
            day.look(minute)
    clock.advance_to(START + MINUTES * MINUTE + timedelta(minutes=1))
    end = START + MINUTES * MINUTE
    last = repairs.run()

    # No decision ever saw a bad candle.
    assert day.seen_bad == []
    # Nothing new was decided while the clocks were apart.
    assert {minute: minute not in range(SKEWED.start + 1, SKEWED.stop + 1) for minute in day.trusted} == day.trusted

    # Every fault was found, called by its name, and ended.
    with database.connection() as connection:
        found = read_findings(connection, "binance", None, START, end)
    endings = {(one.finding.code.value, minute_of(one.finding.at)): one.settlement for one in found}
    named = {place: ending and ending.value for place, ending in endings.items()}
    stuck = {("STUCK_FEED", minute): "corrected" for minute in range(STUCK + 1, STUCK + 7)}
    rewritten = [OUTLIER, REVISED, *range(STUCK + 1, STUCK + 7)]
    assert named == {
        ("DUPLICATE", DOUBLED): None,
        ("CONFLICTING", CONFLICTING): "corrected",
        ("OUTLIER", OUTLIER): "corrected",
        ("CROSSED", CROSSED): "corrected",
        ("CLOCK_SKEW", SKEWED.start + 1): "over",
        **stuck,
        **{("REVISED", minute): None for minute in rewritten},
    }

    # What the venue had is there, in the roll-ups too; what it had not is an outage.
    with database.connection() as connection:
        usable = read_usable_candles(connection, "binance", BTC, START, end)
        rolled = {
            timeframe: read_rollups(connection, "binance", BTC, timeframe, START, end)
            for timeframe in ROLLUP_TIMEFRAMES
        }
        gaps = connection.execute("SELECT kind, sum(missing)::int FROM market.candle_gaps GROUP BY kind ORDER BY kind")
        counted = gaps.fetchall()
    assert usable.equals(without(TRUTH, *EMPTY))
    assert all(frame.equals(roll_up(usable, timeframe)) for timeframe, frame in rolled.items())
    assert dict(counted)["outage"] == len(EMPTY)
    assert (last.still_missing, last.still_held) == (0, 0)

    # And a person can read it.
    report = write_quality_report(
        database,
        tmp_path / "docs",
        venue="binance",
        symbols=[BTC],
        account="test",
        start=START,
        end=end,
        rules=repairs.settings.market.quality,
    )
    assert report.success, report.suites
    page = report.summary_path.read_text()
    for code in {code for code, _ in named} | {"outage", "3.00 s", "refused"}:
        assert code in page
    assert not report.figures.flags
    assert "Simulated market" not in page


def test_the_same_faults_in_the_venues_own_answers_are_found(database: Database) -> None:
    """M4: a page of REST history that is out of order, doubled and crossed is taken for what it is worth."""

    def spoil(rows: list[list[object]]) -> list[list[object]]:
        doubled = [*rows[::2], *rows[1::2], rows[3], [*rows[5][:5], "77.0", *rows[5][6:]]]
        return [[*row[:2], "0.01", *row[3:]] if row[0] == rows[7][0] else row for row in doubled]

    now = START + 60 * MINUTE + timedelta(seconds=30)
    with BinanceServer({BTC: TRUTH}, now=lambda: now) as server:
        repairs = Repairs(database, "binance", {"binance": server.url}, clock=ReplayClock(now))
        server.faults.append(Fault("spoilt", rows=spoil))
        venue = repairs.settings.venues.of("binance")
        (page,) = candle_pages(venue, BTC, START, now, clock=repairs.clock, base_url=server.url)
        repairs.deliver(page.frame)
        assert repairs.endings() == [
            ("DUPLICATE", 3, None),
            ("CONFLICTING", 5, None),
            ("CONFLICTING", 5, None),
            ("CROSSED", 7, None),
        ]
        summary = repair(
            database,
            repairs.settings,
            "binance",
            [BTC],
            clock=repairs.clock,
            since=START,
            base_urls=repairs.urls,
        )
        assert (summary.repaired, summary.still_missing) == (2, 0)
        assert repairs.usable().equals(TRUTH.head(60))
