"""How good probability forecasts were: proper scores of seats, consensus and plain baselines on the same events.

Money is not counted here; the two scoreboards are never mixed. Horizons overlap, so intervals rest on the
effective number of forecasts and not on their count.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from triplegain_pipelines.evaluation.performance import Interval, wilson_interval

ALWAYS_EVEN = "always 50 %"
BASE_RATE = "base rate in hindsight"

_NORMAL_95 = 1.959963984540054
_BINS = 10
_SMALLEST = 1e-15  # a wrong certainty costs about 35, not infinity

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """The scores of one forecaster. Those of settled forecasts are None where none has settled.

    `kind` is seat, baseline seat, consensus or baseline. `effective` is how many independent forecasts the
    settled ones are worth. `accuracy` counts forecasts on one side of one half only. `calibration_error` is
    the expected calibration error over ten bins. `coverage` is the share of the calls that have a settled
    answer. `note` says so where there are too few for a comparison.
    """

    name: str
    kind: str
    asked: int
    answered: int
    settled: int
    effective: float
    accuracy: float | None
    accuracy_interval: Interval | None
    brier: float | None
    brier_interval: Interval | None
    log_loss: float | None
    calibration_error: float | None
    note: str | None

    @property
    def coverage(self) -> float:
        """Share of the calls whose answer could be scored."""
        return self.settled / self.asked if self.asked else 0.0

    @property
    def abstention_rate(self) -> float:
        """Share of the calls that brought no answer."""
        return 1 - self.answered / self.asked if self.asked else 0.0


def score_forecasters(
    scored: pl.DataFrame, *, horizon: timedelta, interval: timedelta, needed: int
) -> list[ForecastScore]:
    """A score for each forecaster in `scored`, and for two baselines on the events that have settled.

    The baselines are one half always, which scores a Brier of 0.25, and the share of rises in these very
    events, which nobody could know before: the best that a constant can do.

    Args:
        scored: `forecaster`, `baseline`, `symbol`, `as_of`, `p_up` (null: abstained), `went_up` (null: not settled).
        horizon: of the forecasts.
        interval: between two forecasts about one symbol.
        needed: independent forecasts under which nothing can be told; the note says how many there are.
    """
    overlap = min(1.0, interval / horizon)
    scores = [
        _score(str(name), _kind(str(name), rows), rows, overlap, needed)
        for (name,), rows in scored.group_by("forecaster", maintain_order=True)
    ]
    events = scored.unique(["symbol", "as_of"], maintain_order=True).filter(pl.col("went_up").is_not_null())
    if events.is_empty():
        return scores
    constants = ((ALWAYS_EVEN, pl.lit(0.5)), (BASE_RATE, pl.col("went_up").mean()))
    return scores + [
        _score(name, "baseline", events.with_columns(p_up=p_up), overlap, needed) for name, p_up in constants
    ]


def brier_score(p_up: Floats, went_up: Bools) -> float:
    """Mean squared distance of the forecast from what happened (Brier 1950): 0 is perfect, 0.25 is always one half."""
    return float(np.mean((p_up - went_up) ** 2))


def log_loss(p_up: Floats, went_up: Bools) -> float:
    """Mean negative log-likelihood, natural logarithm; always one half scores 0.6931."""
    clipped = np.clip(p_up, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(went_up, np.log(clipped), np.log1p(-clipped))))


def expected_calibration_error(p_up: Floats, went_up: Bools) -> float:
    """Mean distance between forecast and frequency over ten equal bins, weighted by count (Naeini et al. 2015)."""
    bins = np.minimum((p_up * _BINS).astype(np.int64), _BINS - 1)
    forecast = np.bincount(bins, weights=p_up, minlength=_BINS)
    happened = np.bincount(bins, weights=went_up, minlength=_BINS)
    return float(np.sum(np.abs(forecast - happened)) / len(p_up))


def _kind(name: str, rows: pl.DataFrame) -> str:
    if name == "consensus":
        return name
    return "baseline seat" if rows.get_column("baseline").any() else "seat"


def _score(name: str, kind: str, rows: pl.DataFrame, overlap: float, needed: int) -> ForecastScore:
    settled = rows.drop_nulls(["p_up", "went_up"])
    p_up = settled.get_column("p_up").to_numpy().astype(np.float64)
    went_up = settled.get_column("went_up").to_numpy().astype(np.bool_)
    count = len(p_up)
    effective = count * overlap
    on_a_side = p_up != 0.5  # noqa: PLR2004 - one half is on no side, so it can be neither right nor wrong
    accuracy = float(np.mean((p_up > 0.5)[on_a_side] == went_up[on_a_side])) if on_a_side.any() else None  # noqa: PLR2004
    sides = float(on_a_side.sum()) * overlap
    return ForecastScore(
        name=name,
        kind=kind,
        asked=rows.height,
        answered=rows.height - rows.get_column("p_up").null_count(),
        settled=count,
        effective=effective,
        accuracy=accuracy,
        accuracy_interval=None if accuracy is None else wilson_interval(accuracy * sides, sides),
        brier=brier_score(p_up, went_up) if count else None,
        brier_interval=_brier_interval(p_up, went_up, effective) if count else None,
        log_loss=log_loss(p_up, went_up) if count else None,
        calibration_error=expected_calibration_error(p_up, went_up) if count else None,
        note=None if effective >= needed else f"not enough data: {effective:,.0f} of {needed:,} needed",
    )


def _brier_interval(p_up: Floats, went_up: Bools, effective: float) -> Interval:
    """95 % interval of the mean by the normal approximation, with the effective count."""
    errors = (p_up - went_up) ** 2
    mean, margin = float(np.mean(errors)), _NORMAL_95 * float(np.std(errors)) / effective**0.5
    return Interval(max(0.0, mean - margin), min(1.0, mean + margin))
