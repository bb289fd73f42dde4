"""The check that every horizon that is over has its outcome, on a real Dagster instance and a real database."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import dagster as dg
import pytest
from candle_frames import START, candle_frame
from repair_cases import quick_settings
from seats_data import make_snapshot

from assets.decisions import forecast_outcomes
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.operations.settlement import examine_settlement
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

DAY, HOUR, GRACE = timedelta(days=1), timedelta(hours=1), timedelta(seconds=10)
FIRST = START + 12 * HOUR + GRACE  # 2024-08-05 12:00:10
LATE = START + 5 * DAY
BTC = "BTC/USDT"


@pytest.fixture
def market(database: Database) -> Database:
    """Two snapshots an hour apart, and candles of four days."""
    _store(database, list(range(4 * 1440)))
    return database


def _store(database: Database, minutes: list[int]) -> None:
    with database.connection() as connection:
        save_snapshots(connection, [make_snapshot(as_of=FIRST), make_snapshot(as_of=FIRST + HOUR)])
        upsert_candles(connection, "binance", BTC, Timeframe.M1, candle_frame(minutes), "test")


def _settled(
    database: Database, day: str, now: datetime = LATE
) -> tuple[dg.AssetCheckEvaluation, dg.ExecuteInProcessResult]:
    session = Session("paper", "binance", (BTC,), replay=False, settings=quick_settings(), clock=ReplayClock(now))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [forecast_outcomes],
            partition_key=day,
            resources={"database": database, "session": session},
            instance=instance,
        )
        (check,) = result.get_asset_check_evaluations()
        return check, result


def _numbers(check: dg.AssetCheckEvaluation) -> Mapping[str, object]:
    return {name: check.metadata[name].value for name in ("overdue", "without a price")}


def test_all_settled_passes_and_the_cost_is_kept(market: Database) -> None:
    """A7: both horizons of both forecasts, with what a round trip costs by the settings of that day."""
    check, result = _settled(market, "2024-08-06")
    assert (check.passed, result.success) == (True, True)
    with market.connection() as connection:
        found = connection.execute(
            "SELECT horizon_hours, round_trip_cost FROM research.forecast_outcomes ORDER BY as_of, horizon_hours"
        ).fetchall()
    assert found == [(hours, pytest.approx(0.003)) for hours in (4, 24, 4, 24)]


def test_a_horizon_that_nobody_settled_fails_as_an_error_and_stops_nothing(market: Database) -> None:
    """A7: the ancestor never scored its six models, unnoticed; a day that no run settled is found later."""
    check, result = _settled(market, "2024-08-08")  # its own reach ends at 2024-08-06 23:50
    assert not check.passed
    assert (check.severity, check.blocking, result.success) == (dg.AssetCheckSeverity.ERROR, False, True)
    assert _numbers(check) == {"overdue": 4, "without a price": 0}
    assert str(FIRST) in str(check.metadata["first of them"].value)
    assert "Materialise" in str(check.description)
    _settled(market, "2024-08-06")
    assert _settled(market, "2024-08-08")[0].passed


def test_a_hole_in_the_market_is_told_apart(database: Database) -> None:
    """M4: where no price is, none is made up; it is no fault of the pipeline, and is said all the same."""
    exit_at = 17 * 60  # of the 4 hours of the second forecast
    _store(database, [minute for minute in range(4 * 1440) if not exit_at - 5 <= minute < exit_at + 15])
    check, _ = _settled(database, "2024-08-06")
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert _numbers(check) == {"overdue": 0, "without a price": 1}


@pytest.mark.parametrize(("early", "overdue"), [(timedelta(seconds=1), 0), (timedelta(0), 1)])
def test_what_is_not_over_yet_is_not_missing(market: Database, early: timedelta, overdue: int) -> None:
    """A7: a check that cries at every fresh forecast is soon looked at by nobody; one that waits for ever is none."""
    # Entry and exit may each be 10 minutes late; the exit's candle takes a minute to close and has its grace.
    now = FIRST + 4 * HOUR + timedelta(minutes=21) + GRACE - early
    session = Session("paper", "binance", (BTC,), replay=False, settings=quick_settings(), clock=ReplayClock(now))
    assert len(examine_settlement(market, session, START, START + DAY).overdue) == overdue


def test_days_long_gone_are_not_looked_at(market: Database) -> None:
    """Noise: a hole of last month is no news; it is in the report of that time."""
    check, _ = _settled(market, "2024-08-14", START + 12 * DAY)
    assert check.passed
