"""Writing the reports of backtests: a page and a JSON for each, and a comparison where there are several.

The same results give the same files, but for the time of writing on the page; a second writing replaces them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.backtest_benchmarks import benchmark_returns
from triplegain_pipelines.evaluation.backtest_page import comparison_verdict, render_backtest, render_comparison
from triplegain_pipelines.evaluation.backtest_verdict import BacktestCase, Judgement, judge
from triplegain_pipelines.evaluation.files import write_atomically
from triplegain_pipelines.evaluation.performance import sharpe
from triplegain_pipelines.evaluation.report_page import place_plotly

_HASH = 8


def write_backtest_report(
    folder: Path, cases: Sequence[BacktestCase], *, generated_at: datetime, title: str = "Strategies compared"
) -> Path:
    """Judge backtests and write their pages into `folder`, which gets plotly.js too.

    Args:
        folder: where pages and JSON go; made where it is missing.
        cases: one gives its page, several a comparison that links to theirs.
        generated_at: the present.
        title: of the comparison.

    Returns:
        The page to open first. Its JSON lies beside it under the same name.

    Raises:
        InputError: there is no case, or two are the same.
        DataError: candles of a symbol are missing.
    """
    return write_judged(folder, [judge(case) for case in cases], generated_at=generated_at, title=title)


def write_judged(
    folder: Path, judged: Sequence[Judgement], *, generated_at: datetime, title: str = "Strategies compared"
) -> Path:
    """As `write_backtest_report`, of what was judged already."""
    names = [_name(one) for one in judged]
    if not names or len(set(names)) < len(names):
        what = "two of the backtests are the same" if names else "there is no backtest to report on"
        msg = f"{what}; give each strategy, market, period and set of parameters once"
        raise InputError(msg)
    together = f"comparison-{content_hash(canonical_json(sorted(names)))[:_HASH]}.html" if len(names) > 1 else None
    place_plotly(folder)
    for one, name in zip(judged, names, strict=True):
        _write(folder / f"{name}.html", render_backtest(one, generated_at, back=together), report_document(one))
    if together is None:
        return folder / f"{names[0]}.html"
    pages = [(one, f"{name}.html") for one, name in zip(judged, names, strict=True)]
    verdict, sentence = comparison_verdict(judged)
    document = {
        "title": title,
        "verdict": verdict,
        "sentence": sentence,
        "backtests": [{"page": page, **report_document(one)} for one, page in pages],
    }
    _write(folder / together, render_comparison(pages, title, generated_at), json.loads(canonical_json(document)))
    return folder / together


def report_document(judged: Judgement) -> dict[str, Any]:
    """The report as JSON values, without curves and without the time of writing."""
    result, walk, random = judged.case.result, judged.case.walk_forward, judged.random
    figures = asdict(judged.figures)
    figures.pop("returns")
    holding = figures.pop("mean_holding")
    document = {
        "strategy": result.strategy,
        "parameters": dict(result.parameters),
        "symbols": result.symbols,
        "timeframe": result.timeframe,
        "engine": result.engine,
        "period": {"start": result.starts_at, "end": result.ends_at, "bars": result.bars},
        "terms": dict(result.costs),
        "simulated": judged.case.simulated,
        "verdict": judged.verdict,
        "sentence": judged.sentence,
        "figures": {**figures, "mean_holding_seconds": None if holding is None else holding.total_seconds()},
        "benchmarks": {
            one.name: {
                "total_return": one.total_return,
                "max_drawdown": one.max_drawdown,
                "sharpe": sharpe(benchmark_returns(one, result)),
            }
            for one in judged.benchmarks
        },
        "sharpe_bootstrap": None if judged.interval is None else asdict(judged.interval),
        "better_than_holding_p": judged.better_p,
        "random_entries": None
        if random is None
        else {
            "strategy": random.strategy,
            "percentile": random.percentile,
            "p_value": random.p_value,
            "draws": len(random.draws),
            "seed": random.seed,
        },
        "findings": [{**asdict(one), "advice": one.advice} for one in judged.findings],
        "walk_forward": None if walk is None else {**asdict(walk), "total_return": walk.total_return},
        "open_at_end": result.open_at_end,
        "refusals": dict(result.refusals),
    }
    values: dict[str, Any] = json.loads(canonical_json(document))
    return values


def _name(judged: Judgement) -> str:
    result = judged.case.result
    market = "-".join(symbol.replace("/", "").lower() for symbol in result.symbols)
    run = content_hash(canonical_json([dict(result.parameters), dict(result.costs), result.engine]))[:_HASH]
    period = f"{result.starts_at:%Y%m%d}-{result.ends_at:%Y%m%d}"
    return f"backtest-{result.strategy}-{market}-{result.timeframe.value}-{period}-{run}"


def _write(page: Path, html: str, document: dict[str, Any]) -> None:
    write_atomically(page, html)
    write_atomically(page.with_suffix(".json"), json.dumps(document, indent=2, ensure_ascii=False) + "\n")
