"""A backtest's report as a page that a trader reads in two minutes: the verdict first, then what it rests on.

The templates only place text; everything that is placed is escaped.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from triplegain_pipelines.evaluation.backtest_charts import (
    SHOWN_TRADES,
    comparison_chart,
    drawdown_chart,
    equity_chart,
    heat_axes,
    heat_chart,
    is_logarithmic,
    market_name,
    price_chart,
    random_chart,
    walk_forward_chart,
)
from triplegain_pipelines.evaluation.backtest_verdict import LUCK, Judgement, Verdict, WalkForward, holm, spelt_chance
from triplegain_pipelines.evaluation.backtest_words import (
    benchmark_lines,
    figure_blocks,
    tiles,
    trade_lines,
    walk_lines,
)
from triplegain_pipelines.evaluation.pages import render_template
from triplegain_pipelines.evaluation.report_page import PLOTLY_FILE
from triplegain_pipelines.evaluation.results_linter import LintCode, Severity
from triplegain_pipelines.evaluation.wording import bracket, moment, number, percent, tone

_TONES = {Severity.ERROR: "loss", Severity.WARNING: "unsure", Severity.NOTE: "soft"}
_SIGNS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.NOTE: "○"}
_PILLS = {
    Verdict.EDGE: "passed",
    Verdict.TOO_LITTLE: "unsure",
    Verdict.IN_SAMPLE: "unsure",
    Verdict.NO_TRADES: "unsure",
}
_SIMULATED = ("Simulated market", "Prices are made up. Nothing here says anything about a real market.")


def render_backtest(judged: Judgement, generated_at: datetime, *, back: str | None = None) -> str:
    """The page of one backtest as HTML; it expects `plotly.min.js` in its own folder.

    Args:
        judged: what it shows.
        generated_at: the present.
        back: address of the comparison that it belongs to.
    """
    result = judged.case.result
    axes, walk = heat_axes(judged), judged.case.walk_forward
    charts = {"equity": equity_chart(judged), "drawdown": drawdown_chart(judged)}
    charts |= {f"price {symbol}": price_chart(judged, symbol) for symbol in result.symbols}
    charts |= {"random": random_chart(judged)} if judged.random else {}
    charts |= {"heat": heat_chart(judged, axes)} if axes else {}
    charts |= {"walk": walk_forward_chart(walk)} if walk else {}
    return render_template(
        "backtest.html",
        title=f"{judged.verdict}: {result.strategy} on {market_name(judged)}",
        strategy=result.strategy,
        market=market_name(judged),
        verdict=judged.verdict.value,
        pill=pill(judged.verdict),
        sentence=judged.sentence,
        period=f"{moment(result.starts_at)} to {moment(result.ends_at)} UTC",
        labels=[_SIMULATED] if judged.case.simulated else [],
        bars=f"{result.bars:,}",
        engine=result.engine,
        tiles=tiles(judged),
        findings=_findings(judged),
        logarithmic=is_logarithmic(judged),
        benchmarks=benchmark_lines(judged),
        figures=figure_blocks(judged),
        random=_random_sentence(judged),
        axes=axes,
        tried=judged.case.trials.height if judged.case.trials is not None else 0,
        walk=walk_lines(walk) if walk else [],
        walk_sentence=_walk_sentence(judged, walk) if walk else "",
        symbols=result.symbols,
        trades=trade_lines(judged),
        closed=result.trades.height,
        shown_on_chart=SHOWN_TRADES,
        provenance=_provenance(judged, generated_at),
        back=back,
        charts=_marked(charts),
        plotly_file=PLOTLY_FILE,
    )


def render_comparison(pages: Sequence[tuple[Judgement, str]], title: str, generated_at: datetime) -> str:
    """Many backtests on one page, each with the address of its own."""
    judged = [one for one, _ in pages]
    chances = dict(zip(range(len(judged)), holm([_chance(one) for one in judged]), strict=True))
    rows = [_row(one, address, chances[place]) for place, (one, address) in enumerate(pages)]
    starts, ends = min(one.case.result.starts_at for one in judged), max(one.case.result.ends_at for one in judged)
    verdict = comparison_verdict(judged)
    return render_template(
        "backtest_comparison.html",
        title=title,
        period=f"{moment(starts)} to {moment(ends)} UTC",
        markets=list(dict.fromkeys(market_name(one) for one in judged)),
        labels=[_SIMULATED] if any(one.case.simulated for one in judged) else [],
        verdict=verdict[0].value,
        pill=pill(verdict[0]),
        sentence=verdict[1],
        rows=rows,
        count=len(judged),
        height=90 + 46 * len({one.case.result.strategy for one in judged}),
        common=_common(judged),
        generated_at=moment(generated_at),
        charts=_marked({"comparison": comparison_chart(judged)}),
        plotly_file=PLOTLY_FILE,
    )


def comparison_verdict(judged: Sequence[Judgement]) -> tuple[Verdict, str]:
    """What many backtests say together: the best of many is lucky, and that is taken out (Holm)."""
    chances = holm([_chance(one) for one in judged])
    shown = [one for one, chance in zip(judged, chances, strict=True) if chance <= LUCK and one.verdict is Verdict.EDGE]
    if shown:
        names = ", ".join(f"{one.case.result.strategy} on {market_name(one)}" for one in shown)
        return Verdict.EDGE, f"After all {len(judged)} were looked at, this is still better than luck: {names}."
    earned = sum(one.figures.portfolio.total_return > 0 for one in judged)
    if not earned:
        return _all_lose(judged)
    beat = sum(_above(one) for one in judged)
    best = min(range(len(judged)), key=lambda place: _chance(judged[place]))
    name = f"{judged[best].case.result.strategy} on {market_name(judged[best])}"
    return Verdict.LUCK, (
        f"None of {len(judged)} is shown to be better than luck. {earned} made money, and {beat} had a better Sharpe "
        f"ratio than holding; the likeliest, {name}, has {spelt_chance(_chance(judged[best]))} alone "
        f"and {spelt_chance(chances[best])} as the best of {len(judged)}. "
        f"Its verdict: {judged[best].verdict.lower()}."
    )


def _all_lose(judged: Sequence[Judgement]) -> tuple[Verdict, str]:
    best = max(judged, key=lambda one: one.figures.portfolio.total_return)
    before = sum(one.figures.portfolio.total_return + one.figures.fee_share > 0 for one in judged)
    return Verdict.LOSES, (
        f"None of {len(judged)} made money after costs; {before} would have before fees. The best, "
        f"{best.case.result.strategy} on {market_name(best)}, made "
        f"{percent(best.figures.portfolio.total_return, signed=True)} where holding made "
        f"{percent(best.hold.total_return, signed=True)}."
    )


def pill(verdict: Verdict) -> str:
    """The class that colours a verdict."""
    return _PILLS.get(verdict, "failed")


def _chance(judged: Judgement) -> float:
    # The weaker of the two proofs: against random entries, and against holding.
    found = [judged.random.p_value if judged.random else None, judged.better_p]
    return max(1.0 if one is None else one for one in found)


def _above(judged: Judgement) -> bool:
    mine, theirs = judged.figures.portfolio.sharpe, judged.hold_sharpe
    return mine is not None and theirs is not None and mine > theirs


def _row(judged: Judgement, address: str, chance: float) -> dict[str, Any]:
    portfolio, result = judged.figures.portfolio, judged.case.result
    walk = judged.case.walk_forward
    errors = [one.code.value for one in judged.findings if one.severity is Severity.ERROR]
    return {
        "address": address,
        "strategy": result.strategy,
        "market": market_name(judged),
        "verdict": judged.verdict.value,
        "pill": pill(judged.verdict),
        "made": percent(portfolio.total_return, signed=True),
        "made_tone": tone(portfolio.total_return),
        "held": percent(judged.hold.total_return, signed=True),
        "sharpe": number(portfolio.sharpe),
        "interval": bracket(judged.interval, ".1f") if judged.interval else "",
        "hold_sharpe": number(judged.hold_sharpe),
        "fall": percent(portfolio.drawdown.depth),
        "trades": f"{judged.figures.trades.closed:,}",
        "fees": percent(judged.figures.fee_share),
        "chance": spelt_chance(_chance(judged)),
        "corrected": spelt_chance(chance),
        "walk": percent(walk.total_return, signed=True) if walk else "not done",
        "walk_tone": tone(walk.total_return) if walk else "soft",
        "errors": ", ".join(errors),
    }


def _common(judged: Sequence[Judgement]) -> list[tuple[str, str, str]]:
    """Codes of the linter that several results share, with how many, so that the page says each once."""
    counts = {
        code: sum(code in {found.code for found in one.findings} for one in judged)
        for code in LintCode
        if code is not LintCode.UNCHECKED
    }
    ordered = sorted((code for code in counts if counts[code]), key=lambda code: -counts[code])
    return [(code.value, f"{counts[code]} of {len(judged)}", code.meaning) for code in ordered]


def _findings(judged: Judgement) -> list[dict[str, str]]:
    return [
        {
            "code": one.code.value,
            "severity": one.severity.value,
            "sign": _SIGNS[one.severity],
            "tone": _TONES[one.severity],
            "message": one.message,
            "advice": one.advice,
        }
        for one in judged.findings
    ]


def _random_sentence(judged: Judgement) -> str:
    random = judged.random
    if random is None:
        return ""
    return (
        f"The same {judged.figures.trades.closed:,} trades, entered at random times {len(random.draws):,} times: "
        f"the strategy did better than {random.percentile:.0%} of them (p = {random.p_value:.3f}). "
        "Size, direction, time in the market and costs are the strategy's; only the moment is chance."
    )


def _walk_sentence(judged: Judgement, walk: WalkForward) -> str:
    deflated = (
        ""
        if walk.deflated is None
        else f" After {walk.trials:,} trials, the chance that it is more than the luck of the best is "
        f"{percent(walk.deflated)} (deflated Sharpe ratio)."
    )
    return (
        f"In sample {percent(judged.figures.portfolio.total_return, signed=True)} with a Sharpe ratio of "
        f"{number(judged.figures.portfolio.sharpe)}; on bars the choice had not seen, one window after the other, "
        f"{percent(walk.total_return, signed=True)} with {number(walk.sharpe)}.{deflated} Both trade positions of the "
        "same size; the walk knows nothing of the account's daily volume, breakers and drawdown ladder."
    )


def _provenance(judged: Judgement, generated_at: datetime) -> list[tuple[str, str]]:
    result = judged.case.result
    return [
        ("Parameters", ", ".join(f"{name} = {value}" for name, value in sorted(result.parameters.items())) or "none"),
        ("Terms", ", ".join(f"{name} = {value:g}" for name, value in sorted(result.costs.items()))),
        ("Engine", result.engine),
        ("Bars", f"{result.bars:,} of {result.timeframe.value}"),
        ("Seed of the draws", f"{judged.case.seed}"),
        ("Written", f"{moment(generated_at)} UTC"),
    ]


def _marked(charts: dict[str, str]) -> dict[str, Any]:
    from markupsafe import Markup

    # plotly writes a '<' as an escape of JSON, so a chart cannot leave its script element.
    return {name: Markup(chart) for name, chart in charts.items()}  # noqa: S704
