"""Seats, consensus and plain baselines on one board, ranked only where a rank means something.

The scores themselves are forecast_scores.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from triplegain_pipelines.evaluation.forecast_scores import ForecastScore, score_forecasters
from triplegain_pipelines.store.outcomes import read_scored

HORIZON_HOURS = 4  # the horizon that decisions are made on
# Independent forecasts that show a hit rate of 55 % among six forecasters: 80 % power, 5 %, Bonferroni.
MINIMUM_FORECASTS = 1208


@dataclass(frozen=True, slots=True)
class RankedScore:
    """A forecaster's score and its place by Brier score among all of them; None while there is not enough data."""

    score: ForecastScore
    rank: int | None


def compare_forecasters(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime, interval: timedelta
) -> list[RankedScore]:
    """The board of the forecasts behind the account's decisions in `[start, end)`, made every `interval`."""
    scored = read_scored(connection, account, start, end, HORIZON_HOURS)
    horizon = timedelta(hours=HORIZON_HOURS)
    return ranked(score_forecasters(scored, horizon=horizon, interval=interval, needed=MINIMUM_FORECASTS))


def ranked(scores: Sequence[ForecastScore]) -> list[RankedScore]:
    """The scores with their ranks, best Brier score first; an order of noise is no ranking, so all or none get one."""
    if any(score.note is not None or score.brier is None for score in scores):
        return [RankedScore(score, None) for score in scores]
    order = sorted(scores, key=lambda score: (score.brier or 0.0, score.name))
    return [RankedScore(score, place) for place, score in enumerate(order, 1)]
