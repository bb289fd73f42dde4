"""The rule by which forecasts are settled."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from triplegain_pipelines.evaluation.outcomes import settle

pytestmark = pytest.mark.unit

T = datetime(2024, 8, 5, 12, tzinfo=UTC)
GRACE = timedelta(seconds=10)
AS_OF = T + GRACE
LATER = T + timedelta(days=3)


def candles(*, hours=30, missing=()):
    """Open is 1000 + the minute since T."""
    minutes = [minute for minute in range(hours * 60) if minute not in missing]
    return pl.DataFrame(
        {
            "opened_at": pl.Series(
                [T + timedelta(minutes=minute) for minute in minutes], dtype=pl.Datetime("us", "UTC")
            ),
            "open": [1000.0 + minute for minute in minutes],
        }
    )


def outcomes(frame, *, as_of=(AS_OF,), now=LATER, horizons=(4, 24)):
    return settle(frame, "BTC/USDT", as_of, horizons=horizons, now=now, grace=GRACE, round_trip_cost=0.003)


def test_entry_and_exit_are_the_next_opens():
    """B2: entry at the close that made the forecast would be look-ahead. As of 12:00:10 the first open is 12:01."""
    rows = outcomes(candles()).rows(named=True)
    assert rows == [
        {
            "symbol": "BTC/USDT",
            "as_of": AS_OF,
            "horizon_hours": hours,
            "settled_at": T + timedelta(hours=hours, minutes=2) + GRACE,
            "entry_price": 1001.0,
            "exit_price": 1001.0 + 60 * hours,
            "return": pytest.approx(60 * hours / 1001),
            "went_up": True,
            "round_trip_cost": 0.003,
        }
        for hours in (4, 24)
    ]


def test_candle_that_opens_at_as_of_is_the_entry():
    """B2: 'at or after': with no grace the candle of that very minute counts."""
    assert outcomes(candles(), as_of=[T], horizons=[4])["entry_price"].item() == 1000.0


@pytest.mark.parametrize(("seconds_early", "settled"), [(0, 1), (1, 0)])
def test_outcome_is_known_when_the_exit_candle_has_closed(seconds_early, settled):
    """B2: a slope learnt from an exit that had not closed would know the future."""
    due = T + timedelta(hours=4, minutes=2) + GRACE
    assert outcomes(candles(), now=due - timedelta(seconds=seconds_early), horizons=[4]).height == settled


def test_later_candles_change_nothing():
    """B2: an outcome is the same whether or not more history has arrived."""
    known = outcomes(candles(hours=5), horizons=[4])
    assert known.equals(outcomes(candles(hours=30), horizons=[4]))
    assert known.height == 1


@pytest.mark.parametrize(
    ("missing", "entry"),
    [(range(1, 10), 1010.0), (range(1, 11), None), (range(1, 300), None)],
)
def test_missing_entry(missing, entry):
    """M4: an entry more than 10 minutes late settles another forecast: 12:10 is 9:50 late, 12:11 is 10:50."""
    rows = outcomes(candles(missing=missing), horizons=[4])
    assert rows["entry_price"].to_list() == ([] if entry is None else [entry])


@pytest.mark.parametrize(("missing", "exit_price"), [(range(241, 251), 1251.0), (range(241, 252), None)])
def test_missing_exit(missing, exit_price):
    """M4: an exit hours late would score another horizon."""
    rows = outcomes(candles(missing=missing), horizons=[4])
    assert rows["exit_price"].to_list() == ([] if exit_price is None else [exit_price])


def test_no_move_is_not_up():
    """A5: a tie has to fall on one side, by rule: up means above."""
    flat = candles().with_columns(open=pl.lit(5.0))
    assert outcomes(flat)["went_up"].to_list() == [False, False]


def test_nothing_to_settle():
    """M4: no candles and no forecasts are normal on a first day."""
    assert outcomes(candles(hours=0)).is_empty()
    assert outcomes(candles(), as_of=[]).is_empty()
