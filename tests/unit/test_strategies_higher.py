"""Values of longer timeframes on shorter bars, and what a series remembers of what was computed from it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import polars as pl
import pytest
from price_paths import MINUTE, START, hand_made, random_walk

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators import values as module
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.trend import sma
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.market.series import CandleSeries

pytestmark = pytest.mark.unit


def closes(bars: Bars) -> tuple[Array, ...]:
    """The closes themselves."""
    return (bars.close.copy(),)


def opened_at(series: CandleSeries) -> list[int]:
    """Minutes after midnight at which the bars open."""
    return ((series.opened_at - START) // MINUTE).tolist()


def without(values: IndicatorValues, missing: set[int]) -> IndicatorValues:
    """The same series with some of its candles missing."""
    kept = [bar for bar in range(len(values.series)) if bar not in missing]
    series = values.series
    arrays = [getattr(series, name)[kept] for name in ("opened_at", "open", "high", "low", "close", "volume")]
    return IndicatorValues(CandleSeries(series.symbol, series.timeframe, *arrays))


def test_a_higher_bar_is_seen_from_its_close_on() -> None:
    """I2: quarters of an hour from midnight; the hour of 00:00 closes with the quarter of 00:45, at its close."""
    higher = hand_made([float(bar) for bar in range(1, 12)], Timeframe.M15).higher(Timeframe.H1)
    (seen,) = higher.of(closes)
    nan = float("nan")
    np.testing.assert_array_equal(seen, [nan, nan, nan, 4, 4, 4, 4, 8, 8, 8, 8])
    assert opened_at(higher.series) == [0, 60], "the hour of 02:00 still runs"
    assert higher.place.tolist() == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1]


def test_indicators_are_computed_over_higher_bars_not_over_repeated_ones() -> None:
    """I2: an average of two hours is one of two hours, not of the last two quarters."""
    (average,) = hand_made([float(bar) for bar in range(1, 13)], Timeframe.M15).higher(Timeframe.H1).of(sma, period=2)
    np.testing.assert_array_equal(average, [*[np.nan] * 7, 6, 6, 6, 6, 10])


def test_an_hour_that_the_series_begins_in_does_not_count() -> None:
    """I2: half an hour taken for a whole one has another open, high and volume than the market's."""
    values = hand_made([float(bar) for bar in range(1, 13)], Timeframe.M15)
    late = IndicatorValues(values.series.part(1, 12))
    assert opened_at(late.higher(Timeframe.H1).series) == [60, 120]
    assert late.higher(Timeframe.H1).place.tolist() == [-1] * 6 + [0] * 4 + [1]


def test_an_hour_whose_last_candle_is_missing_is_seen_with_the_next_one() -> None:
    """I2: nobody knows that the hour is over before a candle closes after it; nor may it stay unseen."""
    values = without(hand_made([float(bar) for bar in range(1, 13)], Timeframe.M15), {3, 5})
    (seen,) = values.higher(Timeframe.H1).of(closes)
    # The quarters that are there: 1 2 3 | 5 7 8 | 9 10 11 12.
    np.testing.assert_array_equal(seen, [np.nan, np.nan, np.nan, 3, 3, 8, 8, 8, 8, 12])


def test_the_last_hour_counts_only_when_its_end_is_known() -> None:
    """I2: with the last quarter missing at the end of the series, the hour may still be running."""
    values = without(hand_made([float(bar) for bar in range(1, 9)], Timeframe.M15), {7})
    assert opened_at(values.higher(Timeframe.H1).series) == [0]


@pytest.mark.parametrize(("timeframe", "gaps"), [(Timeframe.H1, 0.0), (Timeframe.H4, 0.2), (Timeframe.D1, 0.05)])
def test_higher_bars_are_the_roll_ups_of_the_market(timeframe: Timeframe, gaps: float) -> None:
    """I2: an arithmetic of its own here would test strategies on other bars than those that are traded."""
    series = random_walk(2000, seed=11, gaps=gaps, first=37)
    higher = IndicatorValues(series).higher(timeframe).series
    names = ("opened_at", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame({name: getattr(series, name) for name in names})
    rolled = roll_up(frame.with_columns(pl.col("opened_at").cast(pl.Datetime("us", "UTC"))), timeframe)
    step = timeframe.minutes * MINUTE
    opened = rolled["opened_at"].dt.epoch("us").to_numpy()
    whole = (opened >= series.opened_at[0]) & (opened + step <= series.closed_at[-1])
    np.testing.assert_array_equal(higher.opened_at, opened[whole])
    for name in names[1:]:
        np.testing.assert_array_equal(getattr(higher, name), rolled[name].to_numpy()[whole])
    assert len(higher) > 15


def test_no_bar_sees_one_that_closes_later() -> None:
    """B1: the one thing that must hold for every bar, gaps or not."""
    series = random_walk(3000, seed=12, gaps=0.3, first=5)
    for timeframe in (Timeframe.H1, Timeframe.H4, Timeframe.D1):
        higher = IndicatorValues(series).higher(timeframe)
        seen = higher.place >= 0
        assert (higher.series.closed_at[higher.place[seen]] <= series.closed_at[seen]).all()
        following = np.minimum(higher.place + 1, len(higher.series) - 1)
        last = higher.place == len(higher.series) - 1
        assert (last | (higher.series.closed_at[following] > series.closed_at)).all(), "the newest one, not an old one"


def test_its_own_timeframe_is_the_series_itself() -> None:
    """I2: a grid with a daily filter is also run on daily bars."""
    values = hand_made([1.0, 2.0, 3.0, 4.0], Timeframe.D1)
    higher = values.higher(Timeframe.D1)
    assert higher.series is values.series
    assert higher.of(sma, period=2)[0] is values.of(sma, period=2)[0]


@pytest.mark.parametrize("timeframe", [Timeframe.M15, Timeframe.M30])
def test_a_shorter_timeframe_is_refused(timeframe: Timeframe) -> None:
    """I2: what happened within a bar is not known from the bar; made-up values would look like it."""
    with pytest.raises(DataError, match="cannot be made of the 1h candles of BTC/USDT"):
        hand_made([1.0, 2.0]).higher(timeframe)


def test_a_series_without_a_whole_higher_bar_has_no_values() -> None:
    """A symbol that was listed this morning has no day yet."""
    for bars in (0, 3):
        (seen,) = hand_made([1.0] * bars).higher(Timeframe.D1).of(sma, period=2)
        assert len(seen) == bars
        assert np.isnan(seen).all()


def test_each_value_is_computed_once_and_cannot_be_changed() -> None:
    """A sweep asks hundreds of times; and one that writes into shared memory would spoil all that come after it."""
    values = hand_made([1.0, 2.0, 3.0])
    calls = []

    def counted(bars: Bars, *, period: int) -> tuple[Array, ...]:
        calls.append(period)
        return sma(bars, period=period)

    first = values.of(counted, period=2)
    assert values.of(counted, period=2) is first
    values.of(counted, period=3)
    assert calls == [2, 3]
    with pytest.raises(ValueError, match="read-only"):
        first[0][0] = 1.0


def test_threads_wait_for_the_same_value_and_not_for_others() -> None:
    """A sweep's threads must not compute an indicator twice, nor queue up behind one that they did not ask for."""
    values, together, calls = hand_made([1.0, 2.0, 3.0]), Barrier(2, timeout=10), []

    def meets(bars: Bars, *, period: int) -> tuple[Array, ...]:
        calls.append(period)
        together.wait()  # broken unless both periods are being computed at the same time
        return (bars.close.copy(),)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda period: values.of(meets, period=period), [2, 3, 2, 3]))
    assert sorted(calls) == [2, 3]
    assert found[0] is found[2]
    assert found[1] is found[3]


def test_what_fails_is_asked_again() -> None:
    """An indicator that failed once must say why each time, and not leave the next one waiting for ever."""
    values = hand_made([1.0, 2.0])

    def broken(bars: Bars) -> tuple[Array, ...]:
        raise DataError("no")  # noqa: EM101

    for _ in range(2):
        with pytest.raises(DataError, match="no"):
            values.of(broken)


def test_the_oldest_values_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """P: a sweep over many parameters on a year of minutes would otherwise keep 4 MB for each of them."""
    monkeypatch.setattr(module, "MOST_BYTES", 3 * 80)
    monkeypatch.setattr(module, "FEWEST_KEPT", 1)
    values = hand_made([float(bar) for bar in range(10)])
    kept = {period: values.of(sma, period=period) for period in (2, 3, 4)}
    assert values.of(sma, period=2) is kept[2]
    values.of(sma, period=5)
    assert values.of(sma, period=2) is kept[2], "asked for lately"
    again = values.of(sma, period=3)
    assert again is not kept[3], "asked for longest ago"
    np.testing.assert_array_equal(again[0], kept[3][0])


def test_of_a_long_series_a_few_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """P: ten years of minutes have values larger than the limit; a sweep would compute each again for each pair."""
    monkeypatch.setattr(module, "MOST_BYTES", 80)
    values = hand_made([float(bar) for bar in range(10)])
    kept = {period: values.of(sma, period=period) for period in range(2, 2 + module.FEWEST_KEPT)}
    assert all(values.of(sma, period=period) is one for period, one in kept.items())
