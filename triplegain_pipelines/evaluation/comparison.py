"""Scores of the seats, the consensus and two constants behind one account's decisions, for its validation report.

Nobody is ranked here: whose forecasts are evidence, and who is ahead of whom, is the leaderboard's question. The
scores themselves are forecast_scores.py's.
"""

from datetime import datetime, timedelta

import psycopg

from triplegain_pipelines.evaluation.evidence_gate import EDGE, minimum_forecasts
from triplegain_pipelines.evaluation.forecast_scores import ForecastScore, score_forecasters
from triplegain_pipelines.store.outcomes import read_scored

HORIZON_HOURS = 4  # the horizon that decisions are made on
# Independent forecasts that show a hit rate of 55 % among six forecasters: 80 % power, 5 %, Bonferroni; 1,208.
MINIMUM_FORECASTS = minimum_forecasts(EDGE, forecasters=6)


def compare_forecasters(
    connection: psycopg.Connection, account: str, start: datetime, end: datetime, interval: timedelta
) -> list[ForecastScore]:
    """The scores of the forecasts behind the account's decisions in `[start, end)`, made every `interval`."""
    scored = read_scored(connection, account, start, end, HORIZON_HOURS)
    horizon = timedelta(hours=HORIZON_HOURS)
    return score_forecasters(scored, horizon=horizon, interval=interval, needed=MINIMUM_FORECASTS)
