"""How good probability forecasts were: proper scores of seats, consensus and plain baselines on the same events.

The scores themselves are `probability_scores`'. Money is not counted here; the two scoreboards are never mixed.
Horizons overlap, so intervals rest on the effective number of forecasts and not on their count.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from triplegain_pipelines.evaluation.evidence_gate import not_enough
from triplegain_pipelines.evaluation.performance import Interval
from triplegain_pipelines.evaluation.probability_scores import (
    EVEN,
    Bools,
    Floats,
    brier,
    expected_calibration_error,
    hit_rate,
    log_loss,
    squared_errors,
)

ALWAYS_EVEN = "always 50 %"
BASE_RATE = "base rate in hindsight"

_NORMAL_95 = 1.959963984540054


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
    constants = ((ALWAYS_EVEN, pl.lit(EVEN)), (BASE_RATE, pl.col("went_up").mean()))
    return scores + [
        _score(name, "baseline", events.with_columns(p_up=p_up), overlap, needed) for name, p_up in constants
    ]


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
    hits = hit_rate(p_up, went_up, overlap=overlap)
    return ForecastScore(
        name=name,
        kind=kind,
        asked=rows.height,
        answered=rows.height - rows.get_column("p_up").null_count(),
        settled=count,
        effective=effective,
        accuracy=hits.value if hits else None,
        accuracy_interval=hits.interval if hits else None,
        brier=brier(p_up, went_up),
        brier_interval=_brier_interval(p_up, went_up, effective) if count else None,
        log_loss=log_loss(p_up, went_up),
        calibration_error=expected_calibration_error(p_up, went_up),
        note=None if effective >= needed else not_enough(effective, needed),
    )


def _brier_interval(p_up: Floats, went_up: Bools, effective: float) -> Interval:
    """95 % interval of the mean by the normal approximation, with the effective count."""
    errors = squared_errors(p_up, went_up)
    mean, margin = float(np.mean(errors)), _NORMAL_95 * float(np.std(errors)) / effective**0.5
    return Interval(max(0.0, mean - margin), min(1.0, mean + margin))
