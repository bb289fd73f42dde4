"""Backtests side by side, a row each: for the terminal and for the Dagster page."""

from collections.abc import Sequence

from triplegain_pipelines.evaluation.backtest_verdict import Judgement
from triplegain_pipelines.evaluation.wording import NOTHING, number, percent


def backtest_table(judged: Sequence[Judgement]) -> list[dict[str, str]]:
    """A row for each case, in their order."""
    return [_row(one) for one in judged]


def _row(judged: Judgement) -> dict[str, str]:
    result, portfolio, trades = judged.case.result, judged.figures.portfolio, judged.figures.trades
    walk = judged.case.walk_forward
    return {
        "strategy": result.strategy,
        "symbol": ", ".join(result.symbols),
        "return": percent(portfolio.total_return, signed=True),
        "holding": percent(judged.hold.total_return, signed=True),
        "Sharpe": number(portfolio.sharpe),
        "out of sample": NOTHING if walk is None else number(walk.sharpe),
        "deepest fall": percent(portfolio.drawdown.depth),
        "trades": f"{trades.closed:,}",
        "won": percent(trades.win_rate),
        "luck": NOTHING if judged.random is None else f"p {judged.random.p_value:.2f}",
        "doubts": str(len(judged.findings)),
        "verdict": judged.verdict.value,
    }
