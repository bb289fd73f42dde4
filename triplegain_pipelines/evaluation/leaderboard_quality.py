"""The scores of one forecaster's settled forecasts, with intervals that rest on how many independent ones they are.

Forecasts of four hours made every hour share three quarters of their future, and the symbols of one market move
together: a thousand of them may be worth a hundred. Counting all of them would make every interval too narrow.
"""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.evaluation.evidence_gate import independent_forecasts
from triplegain_pipelines.evaluation.leaderboard import CalibrationBin, ForecastQuality
from triplegain_pipelines.evaluation.performance import Interval
from triplegain_pipelines.evaluation.probability_scores import (
    Bools,
    Floats,
    brier,
    calibration_curve,
    expected_calibration_error,
    hit_rate,
    log_loss,
    squared_errors,
)

_NORMAL_95 = 1.959963984540054


def overlapping(horizon: timedelta, interval: timedelta) -> int:
    """How many later moments share a part of a forecast's future.

    >>> overlapping(timedelta(hours=4), timedelta(hours=1)), overlapping(timedelta(hours=4), timedelta(hours=6))
    (3, 0)
    """
    return -(-horizon // interval) - 1


def moments_of(rows: pl.DataFrame, interval: timedelta) -> NDArray[np.int64]:
    """The number of each row's decision time on the grid of decisions."""
    first = pl.lit(EPOCH).cast(pl.Datetime("us", "UTC"))
    count = (pl.col("as_of") - first).dt.total_microseconds() // (interval // timedelta(microseconds=1))
    return np.asarray(rows.select(count).to_series().to_numpy(), dtype=np.int64)


def forecast_quality(rows: pl.DataFrame, interval: timedelta, lag: int) -> ForecastQuality | None:
    """The scores of `as_of`, `p_up`, `went_up`, all of them answered and settled; None without any.

    Args:
        rows: one a forecast.
        interval: between two decisions.
        lag: from `overlapping`.
    """
    if rows.is_empty():
        return None
    p_up = rows.get_column("p_up").to_numpy().astype(np.float64)
    went_up = rows.get_column("went_up").to_numpy().astype(np.bool_)
    count = max(1.0, independent_forecasts(went_up, moments_of(rows, interval), lag=lag))
    hits = hit_rate(p_up, went_up, overlap=min(1.0, count / len(p_up)))
    errors = squared_errors(p_up, went_up)
    score, loss, distance = brier(p_up, went_up), log_loss(p_up, went_up), expected_calibration_error(p_up, went_up)
    assert score is not None and loss is not None and distance is not None  # noqa: S101, PT018 - there are forecasts
    return ForecastQuality(
        settled=len(p_up),
        independent=count,
        brier=score,
        brier_interval=_mean_interval(errors, count),
        log_loss=loss,
        calibration_error=distance,
        calibration=_calibration(p_up, went_up),
        hits=None if hits is None else hits.value,
        hits_interval=None if hits is None else hits.interval,
        mean_p_up=float(p_up.mean()),
        share_up=float(went_up.mean()),
    )


def _mean_interval(errors: Floats, count: float) -> Interval:
    """95 % interval of the mean by the normal approximation, with the independent count."""
    mean, margin = float(errors.mean()), _NORMAL_95 * float(errors.std()) / count**0.5
    return Interval(max(0.0, mean - margin), min(1.0, mean + margin))


def _calibration(p_up: Floats, went_up: Bools) -> tuple[CalibrationBin, ...]:
    curve = calibration_curve(p_up, went_up)
    return tuple(
        CalibrationBin(count=int(count), mean_p_up=float(forecast), share_up=float(happened))
        for forecast, happened, count in zip(curve.forecast, curve.happened, curve.count, strict=True)
    )
