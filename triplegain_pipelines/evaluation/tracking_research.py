"""Backtests and studies as windows of MLflow, from the rows that PostgreSQL has of them."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.evaluation.tracking_charts import Chart, Line, Panel
from triplegain_pipelines.evaluation.tracking_content import TrackedRun, TrackedWindow
from triplegain_pipelines.store.backtests import StoredBacktest
from triplegain_pipelines.store.studies import StoredStudy

_FIGURES = ("total_return", "sharpe", "sortino", "time_in_market", "mean_exposure")
_OF_TRADES = ("closed", "win_rate", "profit_factor", "expectancy", "mean_r", "fees")


def backtest_windows(backtests: Sequence[StoredBacktest]) -> list[TrackedWindow]:
    """A window for each market's timeframe and period, with a run for each backtest of it."""
    ordered = sorted(backtests, key=lambda one: (*_market(one), one.strategy, one.created_at))
    return [_backtests(list(some)) for _, some in groupby(ordered, key=_market)]


def study_window(study: StoredStudy) -> TrackedWindow:
    """A concluded study: its evidence, and a run for what each fold chose.

    Raises:
        ValueError: it is not concluded.
    """
    asked, conclusion = study.study, study.conclusion
    if conclusion is None:
        msg = f"study {study.study_id} is not concluded; there is nothing to show of it yet"
        raise ValueError(msg)
    about = f"{asked.strategy} {asked.symbol} {asked.timeframe}"
    shown = conclusion["out_of_sample"]
    params = {
        "strategy": asked.strategy,
        "symbol": asked.symbol,
        "timeframe": asked.timeframe,
        "method": asked.method,
        "seed": str(asked.seed),
        "trials in each fold": str(asked.trials_per_fold),
        "folds": str(len(asked.folds)),
    }
    run = TrackedRun(
        identity=str(study.study_id),
        name=f"study of {about}",
        params=params,
        metrics=_known({f"out_of_sample_{name}": value for name, value in shown.items()})
        | _known({"in_sample_sharpe": conclusion["in_sample"]["sharpe"]}),
        tags={"verdict": conclusion["verdict"], "venue": asked.venue, "code_version": asked.code_version},
    )
    return TrackedWindow(
        window_id=str(study.study_id),
        start=asked.starts_at,
        end=asked.ends_at,
        judged=None,
        run=run,
        nested=tuple(_fold(study, fold) for fold in conclusion["folds"]),
        charts={"walk_forward.png": _walk(about, conclusion["folds"])},
        documents={"conclusion.json": conclusion},
        traces=(),
    )


def _backtests(backtests: Sequence[StoredBacktest]) -> TrackedWindow:
    first = backtests[0]
    period = f"{first.starts_at:%Y-%m-%d} to {first.ends_at:%Y-%m-%d}"
    window_id = str(deterministic_id("backtest window", *_market(first)))
    run = TrackedRun(
        identity=window_id,
        name=f"backtests {first.timeframe}, {period}",
        params={"venue": first.venue, "timeframe": first.timeframe, "period": period},
        metrics={"backtests": float(len(backtests))},
        tags={"venue": first.venue},
    )
    return TrackedWindow(
        window_id=window_id,
        start=first.starts_at,
        end=first.ends_at,
        judged=None,
        run=run,
        nested=tuple(_backtest(one) for one in backtests),
        charts={},
        documents={"findings.json": {str(one.backtest_id): list(one.findings) for one in backtests}},
        traces=(),
    )


def _backtest(backtest: StoredBacktest) -> TrackedRun:
    portfolio, trades = _part(backtest.figures, "portfolio"), _part(backtest.figures, "trades")
    return TrackedRun(
        identity=str(backtest.backtest_id),
        name=f"{backtest.strategy} on {', '.join(backtest.symbols)}",
        params={
            "strategy": backtest.strategy,
            "symbols": ", ".join(backtest.symbols),
            "engine": backtest.engine,
            **{name: str(value) for name, value in backtest.parameters.items()},
        },
        metrics=_known(
            {name: portfolio.get(name) for name in _FIGURES}
            | {f"trades_{name}": trades.get(name) for name in _OF_TRADES}
            | {"max_drawdown": _part(portfolio, "drawdown").get("depth"), "doubts": len(backtest.findings)}
        ),
        tags={
            "verdict": backtest.verdict,
            "trades_hash": backtest.trades_hash,
            "data_hash": backtest.data_hash,
            "code_version": backtest.code_version,
        },
    )


def _fold(study: StoredStudy, fold: Mapping[str, object]) -> TrackedRun:
    chosen = _part(fold, "parameters")
    return TrackedRun(
        identity=f"{study.study_id} fold {fold['fold']}",
        name=f"fold {fold['fold']}",
        params={name: str(value) for name, value in chosen.items()} or {"chosen": "nothing: no trial traded"},
        metrics=_known(
            {
                "in_sample_sharpe": _part(fold, "in_sample").get("sharpe"),
                "out_of_sample_sharpe": _part(fold, "out_of_sample").get("sharpe"),
                "out_of_sample_total_return": _part(fold, "out_of_sample").get("total_return"),
            }
        ),
        tags={},
    )


def _walk(about: str, folds: Sequence[Mapping[str, object]]) -> Chart:
    lines = []
    for name, part in (("chosen on (in sample)", "in_sample"), ("not seen by the choice", "out_of_sample")):
        points = [(one["fold"], _part(one, part).get("sharpe")) for one in folds]
        known = tuple((float(str(fold)), float(str(value))) for fold, value in points if value is not None)
        lines.append(Line(name, known))
    return Chart(f"Walk forward of {about}", "fold", "yearly Sharpe ratio", (Panel("", tuple(lines), ((0.0, 0.0),)),))


def _market(backtest: StoredBacktest) -> tuple[str, str, str, str]:
    return (
        backtest.venue,
        backtest.timeframe,
        f"{backtest.starts_at:%Y-%m-%d}",
        f"{backtest.ends_at:%Y-%m-%d}",
    )


def _part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _known(values: Mapping[str, object]) -> dict[str, float]:
    """Metrics are numbers; what has no value has no metric."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
