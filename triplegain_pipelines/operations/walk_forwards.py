"""What a concluded study says, as the reports of backtests show it."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from triplegain_pipelines.backtest.study import folds_of
from triplegain_pipelines.evaluation.backtest_verdict import WalkForward, WalkForwardWindow
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.store.studies import StoredStudy, StoredTrial
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

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


def tried_sharpes(trials: Sequence[StoredTrial]) -> pl.DataFrame:
    """A row for each set of parameters that was tried: its values, and the mean of its yearly Sharpe ratios in sample.

    The ratio is null where the parameters never traded.
    """
    rows = [{**one.parameters, _SHARPE: one.train[_SHARPE]} for one in trials if one.train]
    if not rows:
        return pl.DataFrame(schema={_SHARPE: pl.Float64})
    names = [name for name in rows[0] if name != _SHARPE]
    frame = pl.DataFrame(rows, schema_overrides={_SHARPE: pl.Float64}, infer_schema_length=None)
    return frame.group_by(names, maintain_order=True).agg(pl.col(_SHARPE).mean())


def neighbourhood(
    tried: pl.DataFrame, strategy: Strategy, parameters: StrategyParameters
) -> tuple[float | None, tuple[float | None, ...]]:
    """What parameters showed in sample, and what those one step of the grid beside them did.

    Neighbours that were not tried are left out, and all are where the parameters themselves were not.

    Args:
        tried: as of `tried_sharpes`.
        strategy: whose grid tells what one step is.
        parameters: of the strategy.
    """
    names = [name for name in tried.columns if name != _SHARPE]
    shown = {tuple(row[name] for name in names): row[_SHARPE] for row in tried.iter_rows(named=True)}
    own = parameters.model_dump()
    if tuple(own.get(name) for name in names) not in shown:
        return None, ()
    beside = []
    for name, values in strategy.grid.items():
        steps = sorted(set(values))
        place = steps.index(own[name]) if own[name] in steps else None
        for step in () if place is None else (place - 1, place + 1):
            if 0 <= step < len(steps):
                key = tuple((own | {name: steps[step]}).get(one) for one in names)
                beside += [shown[key]] if key in shown else []
    return shown[tuple(own[name] for name in names)], tuple(beside)


def _figure(figures: Mapping[str, Any] | None, name: str) -> float | None:
    return None if figures is None else figures[name]
