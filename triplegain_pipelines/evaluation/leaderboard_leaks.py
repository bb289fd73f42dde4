"""Whether a forecaster on the board is too good to be true, and whether it was better where it may remember.

The first is leak_check's rank correlation with the returns of the bars that the forecast was about. The second compares
a model with itself: what it forecast before its knowledge cutoff with what it forecast after it.
"""

import math
from datetime import timedelta

import numpy as np
import polars as pl

from triplegain_pipelines.evaluation.evidence_gate import independent_forecasts
from triplegain_pipelines.evaluation.leaderboard import Evidence
from triplegain_pipelines.evaluation.leaderboard_evidence import is_evidence
from triplegain_pipelines.evaluation.leak_check import looks_ahead
from triplegain_pipelines.evaluation.probability_scores import squared_errors

_FEWEST = 30.0  # independent forecasts on each side of the cutoff
_CERTAIN = 3.0  # standard errors: one look in a thousand is wrong


def returns_of_bars(outcomes: pl.DataFrame, interval: timedelta, horizon_hours: int, bars: int) -> pl.DataFrame:
    """The log returns of the bars after each event, from decision to decision and to the horizon at last.

    Returns:
        `symbol`, `as_of`, `bar_1` ... `bar_<bars>`, null where a decision or its outcome is missing. With one bar it is
        the return over the horizon.
    """
    settled = outcomes.filter(pl.col("horizon_hours") == horizon_hours)
    found = settled.select("symbol", "as_of", price_0=pl.col("entry_price"), last=pl.col("exit_price"))
    prices = settled.select("symbol", "as_of", "entry_price")
    for bar in range(1, bars):
        later = prices.select("symbol", pl.col("as_of") - bar * interval, pl.col("entry_price").alias(f"price_{bar}"))
        found = found.join(later, on=["symbol", "as_of"], how="left", maintain_order="left")
    found = found.rename({"last": f"price_{bars}"})
    steps = range(1, bars + 1)
    returns = [(pl.col(f"price_{bar}") / pl.col(f"price_{bar - 1}")).log().alias(f"bar_{bar}") for bar in steps]
    return found.select("symbol", "as_of", *returns)


def what_leaks(settled: pl.DataFrame, bars: pl.DataFrame, interval: timedelta, lag: int) -> str | None:
    """What makes a forecaster suspect, in words; None where nothing does.

    Args:
        settled: its settled forecasts, whatever their evidence: `symbol`, `as_of`, `moment`, `p_up` (null: abstained),
            `went_up`, `evidence`.
        bars: from `returns_of_bars`.
        interval: between two decisions.
        lag: how many later moments share a part of one forecast's future.
    """
    rows = settled.drop_nulls("p_up")
    if rows.is_empty():
        return None
    at = rows.join(bars, on=["symbol", "as_of"], how="left", maintain_order="left")
    names = [name for name in bars.columns if name.startswith("bar_")]
    returns = at.select(pl.col(names).fill_null(float("nan"))).to_numpy().astype(np.float64)
    p_up = rows.get_column("p_up").to_numpy().astype(np.float64)
    # The bars of neighbouring events are different ones: only the likeness of symbols takes something away.
    independent = _independent(rows, 0)
    found = looks_ahead(p_up, returns, independent=min(independent, float(len(p_up))))
    if found.named:
        return f"{found.note} (a bar is {interval // timedelta(minutes=1)} minutes)"
    return _remembers(rows, lag)


def _remembers(rows: pl.DataFrame, lag: int) -> str | None:
    """Whether what was forecast before the cutoff is better than what was forecast after it, beyond luck."""
    before, after = rows.filter(pl.col("evidence") == Evidence.PRE_CUTOFF.value), rows.filter(is_evidence())
    if min(_independent(before, lag), _independent(after, lag)) < _FEWEST:
        return None
    (old, old_error), (new, new_error) = _brier(before, lag), _brier(after, lag)
    error = math.hypot(old_error, new_error)
    if not error or (new - old) / error < _CERTAIN:
        return None
    return (
        f"remembers: a Brier score of {old:.4f} before the knowledge cutoff and of {new:.4f} after it, "
        f"{(new - old) / error:.1f} standard errors apart"
    )


def _independent(rows: pl.DataFrame, lag: int) -> float:
    went_up = rows.get_column("went_up").to_numpy().astype(np.bool_)
    return independent_forecasts(went_up, rows.get_column("moment").to_numpy().astype(np.int64), lag=lag)


def _brier(rows: pl.DataFrame, lag: int) -> tuple[float, float]:
    """The mean squared error and its standard error."""
    p_up = rows.get_column("p_up").to_numpy().astype(np.float64)
    errors = squared_errors(p_up, rows.get_column("went_up").to_numpy().astype(np.bool_))
    return float(errors.mean()), float(errors.std()) / _independent(rows, lag) ** 0.5
