"""What a concluded study says, as the reports of backtests show it."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from triplegain_pipelines.backtest.study import folds_of
from triplegain_pipelines.evaluation.backtest_verdict import WalkForward, WalkForwardWindow
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.store.studies import StoredStudy, StoredTrial

_SHARPE = "sharpe"


def walk_forward_of(study: StoredStudy, series: CandleSeries) -> WalkForward | None:
    """The walk of a concluded study; None of one that is not concluded.

    Args:
        study: the study.
        series: its bars.
    """
    if study.conclusion is None:
        return None
    ranges = {fold.number: fold for fold in folds_of(study.study)}
    windows = [
        WalkForwardWindow(
            trained_from=series.opened(ranges[one["fold"]].train_start),
            tested_from=series.opened(ranges[one["fold"]].test_start),
            tested_until=series.opened(ranges[one["fold"]].test_stop - 1) + series.timeframe.duration,
            parameters=one["parameters"],
            in_sample_sharpe=_figure(one["in_sample"], _SHARPE),
            out_of_sample_sharpe=_figure(one["out_of_sample"], _SHARPE),
            out_of_sample_return=_figure(one["out_of_sample"], "total_return") or 0.0,
            trades=int(_figure(one["out_of_sample"], "trades") or 0),
        )
        for one in study.conclusion["folds"]
        if one["parameters"] is not None
    ]
    shown = study.conclusion["out_of_sample"]
    return WalkForward(tuple(windows), shown[_SHARPE], shown["deflated_sharpe"], shown["trials"])


def tried_sharpes(trials: list[StoredTrial]) -> pl.DataFrame:
    """A row for each set of parameters: its values, and the mean of its yearly Sharpe ratios where it was trained."""
    rows = [
        {**one.parameters, _SHARPE: one.train[_SHARPE]}
        for one in trials
        if one.train and one.train[_SHARPE] is not None
    ]
    if not rows:
        return pl.DataFrame(schema={_SHARPE: pl.Float64})
    names = [name for name in rows[0] if name != _SHARPE]
    return pl.DataFrame(rows).group_by(names, maintain_order=True).agg(pl.col(_SHARPE).mean())


def _figure(figures: Mapping[str, Any] | None, name: str) -> float | None:
    return None if figures is None else figures[name]
