"""What was known at an earlier moment, and `verify`, whatever comes after the decision."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
import psycopg
import pytest
from builders import BTC
from candle_frames import START, candle_frame
from decided_floor import (
    AS_OF,
    DECIDED_AT,
    MARKET,
    MINUTE,
    assert_identical,
    deliver,
    make_decision,
    market_data_step,
    market_minutes,
    minutes_of,
    roll_up,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.quality import Finding, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, ROLLUP_TIMEFRAMES, Timeframe
from triplegain_pipelines.market.failover import Switch
from triplegain_pipelines.market.intake import published
from triplegain_pipelines.store.candles import read_candles, upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import open_findings, record_findings, settle_all
from triplegain_pipelines.store.known_series import known_series
from triplegain_pipelines.store.minutes import renew_rollups
from triplegain_pipelines.store.series import decision_candles, decision_rollups
from triplegain_pipelines.store.sources import last_switch, record_switch

pytestmark = pytest.mark.integration

BACKUP = "other"
SEEN = DECIDED_AT - 5 * MINUTE
LONG_AGO = DECIDED_AT - timedelta(days=9, minutes=7)
CANDLES = market_minutes()


def _now(connection: psycopg.Connection) -> datetime:
    [(moment,)] = connection.execute("SELECT clock_timestamp()").fetchall()
    return moment


def _other_values(*minutes: datetime) -> pl.DataFrame:
    """These candles as a venue would correct them: a tenth lower, with another volume."""
    prices = [(pl.col(name) * 0.9).round(2) for name in ("open", "high", "low", "close")]
    return minutes_of(CANDLES, *minutes).with_columns(*prices, pl.col("volume") + 1)


def _doubt(frame: pl.DataFrame) -> list[Finding]:
    return [
        Finding(MARKET, BTC, row["opened_at"], QualityCode.OUTLIER, "rest", {}, published(row))
        for row in frame.iter_rows(named=True)
    ]


def _hold(database: Database, frame: pl.DataFrame) -> None:
    with database.connection() as connection:
        record_findings(connection, _doubt(frame), _now(connection))
    roll_up(database, frame)


def _settle(database: Database, frame: pl.DataFrame, settlement: Settlement) -> None:
    with database.connection() as connection:
        settle_all(connection, [one.finding_id for one in _doubt(frame)], settlement, _now(connection))
    roll_up(database, frame)


def _switch(database: Database, to_venue: str, at: datetime) -> None:
    with database.connection() as connection:
        last = last_switch(connection, MARKET)
        leaving = last.to_venue if last else MARKET
        record_switch(connection, MARKET, Switch(leaving, to_venue, at, "test"), {})


def _look(
    connection: psycopg.Connection, symbol: str, window: tuple[datetime, datetime]
) -> dict[Timeframe, pl.DataFrame]:
    """What decisions see of the market now."""
    made = {one: decision_rollups(connection, MARKET, symbol, one, *window) for one in ROLLUP_TIMEFRAMES}
    return {Timeframe.M1: decision_candles(connection, MARKET, symbol, *window), **made}


# ---- The law: what was seen at a moment can be told at any later one ------------------------------------------------


@dataclass
class _World:
    """A market of 12 minutes, to which anything may happen that happens to one."""

    database: Database
    switched: int = 0

    def delivered(self, venue: str, minute: int, price: int, *, doubted: bool) -> None:
        """A candle comes, by the rules of the intake: other values end a doubt, the doubted ones open it again."""
        frame = candle_frame([minute], price=100.0 + price)
        with self.database.connection() as connection:
            at = _now(connection)
            upsert_candles(connection, venue, BTC, Timeframe.M1, frame, "test")
            self._settle(connection, venue, minute, frame, at)
            if doubted:
                [row] = frame.iter_rows(named=True)
                doubt = Finding(venue, BTC, row["opened_at"], QualityCode.OUTLIER, "test", {}, published(row))
                record_findings(connection, [doubt], at)
            renew_rollups(connection, venue, [BTC], START + minute * MINUTE)

    def doubted(self, venue: str, minute: int) -> None:
        """A stored candle is doubted, long after it came."""
        opened_at = START + minute * MINUTE
        with self.database.connection() as connection:
            stored = read_candles(connection, venue, BTC, Timeframe.M1, opened_at, opened_at + MINUTE)
            rows = stored.iter_rows(named=True)
            doubts = [
                Finding(venue, BTC, opened_at, QualityCode.STUCK_FEED, "test", {}, published(row)) for row in rows
            ]
            record_findings(connection, doubts, _now(connection))
            renew_rollups(connection, venue, [BTC], opened_at)

    def confirmed(self, venue: str, minute: int) -> None:
        """The venue stands by a doubted candle."""
        with self.database.connection() as connection:
            ids = [one.finding_id for one in self._open(connection, venue, minute)]
            settle_all(connection, ids, Settlement.CONFIRMED, _now(connection))
            renew_rollups(connection, venue, [BTC], START + minute * MINUTE)

    def source_changed(self, minute: int) -> None:
        """The market goes to the other venue from a minute on that no switch came after."""
        self.switched = max(self.switched + 1, minute)
        with self.database.connection() as connection:
            last = last_switch(connection, MARKET)
            leaving = last.to_venue if last else MARKET
            taking = BACKUP if leaving == MARKET else MARKET
            at = START + self.switched * MINUTE + timedelta(seconds=20)
            record_switch(connection, MARKET, Switch(leaving, taking, at, "test"), {})

    def _open(self, connection: psycopg.Connection, venue: str, minute: int) -> list:
        at = START + minute * MINUTE
        return open_findings(connection, venue, [BTC], at, at + MINUTE, [QualityCode.OUTLIER, QualityCode.STUCK_FEED])

    def _settle(
        self, connection: psycopg.Connection, venue: str, minute: int, frame: pl.DataFrame, at: datetime
    ) -> None:
        others = [
            one.finding_id
            for one in self._open(connection, venue, minute)
            if (one.finding.published or {})["close"] != frame.item(0, "close")
        ]
        settle_all(connection, others, Settlement.CORRECTED, at)


_VENUES = st.sampled_from([MARKET, BACKUP])
_MINUTES = st.integers(0, 11)
_EVENTS = st.one_of(
    st.tuples(st.just("delivered"), _VENUES, _MINUTES, st.integers(0, 2), st.booleans()),
    # The same minute again and again: doubted, corrected, and back to the doubted values.
    st.tuples(st.just("delivered"), st.just(MARKET), st.just(3), st.integers(0, 1), st.just(True)),  # noqa: FBT003
    st.tuples(st.just("doubted"), _VENUES, _MINUTES),
    st.tuples(st.just("confirmed"), _VENUES, _MINUTES),
    st.tuples(st.just("switched"), _MINUTES),
)


def _happen(world: _World, event: tuple) -> None:
    match event:
        case ("delivered", venue, minute, price, doubted):
            world.delivered(venue, minute, price, doubted=doubted)
        case ("doubted", venue, minute):
            world.doubted(venue, minute)
        case ("confirmed", venue, minute):
            world.confirmed(venue, minute)
        case ("switched", minute):
            world.source_changed(minute)


@pytest.mark.no_cover
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(_EVENTS, min_size=1, max_size=14))
def test_what_was_seen_at_a_moment_can_be_told_at_any_later_one(database: Database, events: list[tuple]) -> None:
    """D4: revisions, doubts and switches of afterwards must neither reach back nor take away what was seen."""
    window = (START, START + timedelta(days=1))
    with database.connection() as connection:
        connection.execute("TRUNCATE market.candles, market.candle_revisions, market.rollups, market.data_findings")
        connection.execute("TRUNCATE market.source_switches")
    world = _World(database)
    seen = []
    for event in events:
        _happen(world, event)
        with database.connection() as connection:
            seen.append((_now(connection), _look(connection, BTC, window)))
    with database.connection() as connection:
        for moment, frames in seen:
            known = known_series(connection, MARKET, BTC, dict.fromkeys(DECISION_TIMEFRAMES, window), moment)
            for timeframe, frame in frames.items():
                assert known[timeframe].equals(frame), (moment, timeframe, known[timeframe], frame)


# ---- verify: what came after the decision changes nothing -----------------------------------------------------------


def test_a_correction_is_a_new_revision_and_the_decision_keeps_what_it_saw(database: Database) -> None:
    """Issue 3, D1: candles that the decision saw are corrected, minutes and days back; it can still be repeated."""
    deliver(database, CANDLES)
    decided = make_decision(database)
    deliver(database, _other_values(SEEN, DECIDED_AT - MINUTE, LONG_AGO))
    assert_identical(database, decided)


def test_a_held_candle_that_is_confirmed_later_was_not_seen(database: Database) -> None:
    """M4: confirmed today, it is usable today; the decision was made without it."""
    deliver(database, CANDLES)
    doubted = minutes_of(CANDLES, SEEN, LONG_AGO)
    _hold(database, doubted)
    decided = make_decision(database)
    _settle(database, doubted, Settlement.CONFIRMED)
    assert_identical(database, decided)


def test_a_candle_that_is_doubted_later_was_seen(database: Database) -> None:
    """M4: a doubt counts from when it was found."""
    deliver(database, CANDLES)
    decided = make_decision(database)
    _hold(database, minutes_of(CANDLES, SEEN, LONG_AGO))
    assert_identical(database, decided)


def test_a_doubt_that_is_opened_again_did_not_hold_the_values_between(database: Database) -> None:
    """M4: doubted, corrected, decided on, and the doubted values come back: its row tells of the ends only."""
    deliver(database, CANDLES)
    doubted = _other_values(SEEN)
    deliver(database, doubted)
    _hold(database, doubted)
    deliver(database, minutes_of(CANDLES, SEEN))
    _settle(database, doubted, Settlement.CORRECTED)
    decided = make_decision(database)
    deliver(database, doubted)
    _hold(database, doubted)
    with database.connection() as connection:
        assert len(open_findings(connection, MARKET, [BTC], SEEN, AS_OF, [QualityCode.OUTLIER])) == 1
    assert_identical(database, decided)


def test_a_late_candle_fills_a_gap_and_was_not_seen(database: Database) -> None:
    """M3: the repair fills a gap hours later; the decision had the hole."""
    late = minutes_of(CANDLES, SEEN, LONG_AGO, DECIDED_AT - MINUTE)
    deliver(database, CANDLES.join(late, on="opened_at", how="anti"))
    decided = make_decision(database)
    deliver(database, late)
    assert_identical(database, decided)


def test_the_source_is_switched_back_and_the_decision_keeps_its_venue(database: Database) -> None:
    """M7: a decision made on the backup's candles stays one, also where a switch is recorded late for a time before."""
    deliver(database, CANDLES)
    backup = minutes_of(CANDLES, *(DECIDED_AT - number * MINUTE for number in range(1, 300)))
    deliver(database, backup.with_columns(pl.col("volume") * 2), venue=BACKUP)
    _switch(database, BACKUP, DECIDED_AT - timedelta(minutes=70, seconds=-20))
    decided = make_decision(database)
    assert decided.snapshot.content["timeframes"]["1m"]["volumes"][-1] == pytest.approx(backup["volume"][-1] * 2)
    _switch(database, MARKET, DECIDED_AT - timedelta(minutes=30))
    _switch(database, BACKUP, AS_OF + timedelta(minutes=30))
    assert_identical(database, decided)


def test_a_candle_that_was_being_written_was_not_seen(database: Database) -> None:
    """D1: its time lies before the decision's, but nobody could see it until its writer was done."""
    late = minutes_of(CANDLES, SEEN)
    deliver(database, CANDLES.join(late, on="opened_at", how="anti"))
    with database.connection() as connection:
        upsert_candles(connection, MARKET, BTC, Timeframe.M1, late, "rest")
        decided = make_decision(database)
    roll_up(database, late)
    assert_identical(database, decided)
    assert "before it was stored" in market_data_step(database, decided).detail
