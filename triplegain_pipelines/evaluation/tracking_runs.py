"""Which runs a window has in MLflow: its own, one for each forecaster and one for each holding; and what is in them.

A rank is a metric only where the leaderboard gives one. Scores that are no evidence have a name of their own.
"""

from collections import Counter
from collections.abc import Mapping
from math import isfinite

from triplegain_pipelines.evaluation.leaderboard import (
    ForecasterKind,
    ForecastQuality,
    Holding,
    Leaderboard,
    LeaderboardRow,
    ShadowBook,
)
from triplegain_pipelines.evaluation.tracking_content import DailyPoint, TrackedRun
from triplegain_pipelines.evaluation.tracking_models import model_name
from triplegain_pipelines.evaluation.validation import ValidationReport

WINDOW = "window"
BASELINES = frozenset({ForecasterKind.BASELINE_SEAT, ForecasterKind.BASELINE})

_NONE = "none"
_Metrics = Mapping[str, float | None]


def window_run(report: ValidationReport, board: Leaderboard, mode: str, daily: tuple[DailyPoint, ...]) -> TrackedRun:
    """The parent: the account's trading day by day, and what the leaderboard says in words."""
    inputs = report.inputs
    portfolio, trading = inputs.portfolio, inputs.trading
    metrics: _Metrics = {
        "total_return": portfolio.total_return,
        "final_equity": portfolio.final_equity,
        "max_drawdown": portfolio.drawdown.depth,
        "sharpe": portfolio.sharpe,
        "sortino": portfolio.sortino,
        "trades": trading.closed,
        "win_rate": trading.win_rate,
        "profit_factor": trading.profit_factor,
        "expectancy": trading.expectancy,
        "fees": trading.fees,
        "slippage_bps": inputs.execution.slippage_bps,
        "decisions": inputs.decisions.made,
        "settled_events": board.events,
        "compared_events": board.compared,
        "variants_tried": board.trials,
        "effective_voters": board.effective_voters,
    }
    return TrackedRun(
        identity=WINDOW,
        name=f"{inputs.account.account} {inputs.start:%Y-%m-%d} to {inputs.end:%Y-%m-%d}",
        params={
            "account": inputs.account.account,
            "start": inputs.start.isoformat(),
            "end": inputs.end.isoformat(),
            "symbols": ", ".join(board.symbols),
            "mode": mode,
            "baseline": _flag(inputs.baseline),
        },
        metrics=_known(metrics),
        tags={
            **_common_tags(report, mode),
            "kind": WINDOW,
            "verdict": report.verdict.value,
            "summary": report.summary,
            "leaderboard": " ".join(board.verdict),
            "leaders": ", ".join(board.leaders) or _NONE,
        },
        daily=daily,
    )


def nested_runs(report: ValidationReport, board: Leaderboard, mode: str) -> tuple[TrackedRun, ...]:
    """A run for each row of the leaderboard and each holding, every one with a name of its own."""
    common = _common_tags(report, mode)
    times = Counter(row.name for row in board.rows)
    rows = [
        _forecaster_run(row, row.name if times[row.name] == 1 else _series_name(row), board, common)
        for row in board.rows
    ]
    return (*rows, *(_holding_run(holding, common) for holding in board.holdings))


def _series_name(row: LeaderboardRow) -> str:
    return f"{row.name} [{row.variant.variant_id[:8]}]"


def _forecaster_run(row: LeaderboardRow, name: str, board: Leaderboard, common: Mapping[str, str]) -> TrackedRun:
    variant, calls = row.variant, row.calls
    metrics: dict[str, float | None] = {
        "model_rank": row.rank,
        "coverage": calls.coverage,
        "abstention_rate": calls.abstention_rate,
        "asked": calls.asked,
        "answered": calls.answered,
        "abstentions": calls.asked - calls.answered,
        "tokens": calls.tokens,
        "cost_usd": float(calls.cost_usd),
        "latency_p50_ms": calls.latency_p50_ms,
        "latency_p95_ms": calls.latency_p95_ms,
        "compared_brier": row.compared_brier,
        "in_confidence_set": row.in_confidence_set,
        "beats_baselines_p": row.beats_baselines_p,
        "spa_p": row.spa_p,
        "shapley": row.shapley,
        **{f"abstained_{code.lower()}": count for code, count in calls.reasons.items()},
        **_book_metrics(row.shadow_book),
        **(_scores(row.quality, "") if row.quality else {}),
        **(_scores(row.unranked_quality, "unranked_") if row.unranked_quality else {}),
    }
    return TrackedRun(
        identity=variant.variant_id,
        name=name,
        params={
            "forecaster": variant.forecaster,
            "kind": variant.kind.value,
            "model": variant.model or _NONE,
            "template_hash": variant.template_hash or _NONE,
            "parameters_hash": variant.parameters_hash or _NONE,
            "mode": common["mode"],
            "baseline": _flag(variant.kind in BASELINES),
        },
        metrics=_known(metrics),
        tags={
            **common,
            "kind": variant.kind.value,
            "seat": row.seat or _NONE,
            "registered_model": model_name(row.seat) if row.seat else _NONE,
            "model": variant.model or _NONE,
            "template_hash": variant.template_hash or _NONE,
            "baseline": _flag(variant.kind in BASELINES),
            "model_rank": f"{row.rank}" if row.rank else row.gate or "no rank: not better than a constant",
            "leads": _flag(bool({row.name, variant.forecaster} & set(board.leaders))),
            "evidence": ", ".join(f"{kind.value}: {count}" for kind, count in sorted(row.evidence.items())) or _NONE,
            "leak": row.leak or _NONE,
        },
    )


def _scores(quality: ForecastQuality, prefix: str) -> dict[str, float | None]:
    hits = quality.hits_interval
    scores: dict[str, float | None] = {
        "model_accuracy": quality.hits,
        "model_accuracy_low": hits.low if hits else None,
        "model_accuracy_high": hits.high if hits else None,
        "brier": quality.brier,
        "brier_low": quality.brier_interval.low,
        "brier_high": quality.brier_interval.high,
        "log_loss": quality.log_loss,
        "ece": quality.calibration_error,
        "settled": quality.settled,
        "independent": quality.independent,
        "mean_p_up": quality.mean_p_up,
        "share_up": quality.share_up,
    }
    return {f"{prefix}{name}": value for name, value in scores.items()}


def _book_metrics(book: ShadowBook | None) -> dict[str, float | None]:
    if book is None:
        return {}
    return {
        "shadow_net_return": book.net_return,
        "shadow_gross_return": book.gross_return,
        "shadow_final_equity": float(book.final_equity),
        "shadow_bill_usd": float(book.bill_usd),
        "shadow_max_drawdown": book.max_drawdown,
        "shadow_sharpe": book.sharpe,
        "shadow_deflated_sharpe": book.deflated_sharpe,
        "shadow_trades": book.trades,
    }


def _holding_run(holding: Holding, common: Mapping[str, str]) -> TrackedRun:
    return TrackedRun(
        identity=f"holding {holding.name}",
        name=holding.name,
        params={"forecaster": holding.name, "kind": "holding", "baseline": "true"},
        metrics=_known({"total_return": holding.total_return, "max_drawdown": holding.max_drawdown}),
        tags={**common, "kind": "holding", "baseline": "true"},
    )


def _common_tags(report: ValidationReport, mode: str) -> dict[str, str]:
    inputs = report.inputs
    return {
        "account": inputs.account.account,
        "mode": mode,
        "simulated": _flag(inputs.simulated),
        "baseline": _flag(inputs.baseline),
        "replay": _flag(inputs.replay),
        "paper": _flag(inputs.paper),
        "config_hash": inputs.config_hash,
        "result_hash": inputs.result_hash,
        "code_versions": "; ".join(f"{part} {', '.join(known)}" for part, known in inputs.code_versions.items()),
    }


def _known(metrics: _Metrics) -> dict[str, float]:
    """Those that have a value: MLflow's databases take neither NaN nor infinity as they are."""
    return {name: float(value) for name, value in metrics.items() if value is not None and isfinite(value)}


def _flag(value: bool) -> str:  # noqa: FBT001
    return "true" if value else "false"
