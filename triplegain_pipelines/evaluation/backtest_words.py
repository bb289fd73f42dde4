"""A backtest's report in words: numbers as people read them, rows as the page's tables place them. No HTML."""

from typing import Any

import numpy as np

from triplegain_pipelines.evaluation.backtest_benchmarks import SAME_EXPOSURE, benchmark_returns
from triplegain_pipelines.evaluation.backtest_verdict import Judgement, WalkForward, spelt_chance
from triplegain_pipelines.evaluation.performance import POINT_IS_ENOUGH_DAYS, sharpe
from triplegain_pipelines.evaluation.wording import (
    NOTHING,
    bracket,
    lasted,
    moment,
    money,
    number,
    percent,
    plus_minus,
    tone,
)

_SHOWN = 8  # best and worst trades, half of them each


def tiles(judged: Judgement) -> list[dict[str, str]]:
    """The six figures that a trader looks at first."""
    portfolio, trades = judged.figures.portfolio, judged.figures.trades
    fall, random = portfolio.drawdown, judged.random
    return [
        _tile(
            "Return",
            percent(portfolio.total_return, signed=True),
            f"{portfolio.starting_equity:,.0f} became {portfolio.final_equity:,.0f}",
            tone(portfolio.total_return),
        ),
        _tile(
            "Holding instead",
            percent(judged.hold.total_return, signed=True),
            f"{judged.hold.name}, costs paid",
            tone(judged.hold.total_return),
        ),
        _tile("Sharpe ratio", _ratio(judged), _sharpe_note(judged)),
        _tile(
            "Deepest fall",
            percent(fall.depth),
            f"holding {percent(judged.hold.max_drawdown)}; {percent(fall.under_water)} of the time below a peak",
        ),
        _tile(
            "Trades",
            f"{trades.closed:,}",
            f"{percent(trades.win_rate)} won; {percent(judged.figures.fee_share)} of the start went into fees",
        ),
        _tile(
            "Chance of luck",
            NOTHING if random is None else spelt_chance(random.p_value),
            "no trade to enter at random" if random is None else "that random entries do as well",
        ),
    ]


def benchmark_lines(judged: Judgement) -> list[dict[str, str]]:
    """The strategy and every benchmark, side by side."""
    result = judged.case.result
    portfolio = judged.figures.portfolio
    rows: list[tuple[str, float, float | None, float | None]] = [
        (result.strategy, portfolio.total_return, portfolio.drawdown.depth, portfolio.sharpe)
    ]
    rows += [
        (one.name, one.total_return, one.max_drawdown, sharpe(benchmark_returns(one, result)))
        for one in judged.benchmarks
    ]
    random = judged.random
    if random is not None:
        middle = float(np.median(random.draws))
        rows.append((f"random entries, the middle of {len(random.draws):,}", middle, None, None))
    return [
        {
            "name": name,
            "note": f"a constant {judged.figures.net_exposure:.1%} of the equity in it"
            if name == SAME_EXPOSURE
            else "",
            "made": percent(made, signed=True),
            "tone": tone(made),
            "fall": percent(fall),
            "sharpe": number(ratio),
        }
        for name, made, fall, ratio in rows
    ]


def figure_blocks(judged: Judgement) -> list[dict[str, Any]]:
    """Two tables of figures, each line a name, a value and what it means."""
    return [_portfolio_block(judged), _trade_block(judged)]


def trade_lines(judged: Judgement) -> list[dict[str, str]]:
    """The best and the worst trades: of few all, in the order of their profits."""
    ordered = judged.case.result.trades.sort("profit", descending=True)
    if ordered.height > _SHOWN:
        ordered = ordered.head(_SHOWN // 2).vstack(ordered.tail(_SHOWN // 2))
    return [
        {
            "symbol": trade["symbol"],
            "side": "long" if trade["direction"] > 0 else "short",
            "entered": moment(trade["entered_at"]),
            "lasted": lasted(trade["exited_at"] - trade["entered_at"]),
            "entry": f"{trade['entry_price']:,.6g}",
            "exit": f"{trade['exit_price']:,.6g}",
            "profit": money(trade["profit"], signed=True),
            "tone": tone(trade["profit"]),
            "multiple": NOTHING if trade["r_multiple"] is None else f"{trade['r_multiple']:+.2f} R",
            "why": f"{trade['entry_reason']} → {trade['exit_reason'].replace('_', ' ')}".strip(" →"),
        }
        for trade in ordered.iter_rows(named=True)
    ]


def walk_lines(walk: WalkForward) -> list[dict[str, str]]:
    """The windows of a walk-forward."""
    return [
        {
            "trained": f"chosen on bars from {window.trained_from:%d %b %Y}",
            "tested": f"{place}. {window.tested_from:%d %b %Y} to {window.tested_until:%d %b %Y}",
            "parameters": ", ".join(f"{name} {value}" for name, value in sorted(window.parameters.items())),
            "inside": number(window.in_sample_sharpe),
            "outside": number(window.out_of_sample_sharpe),
            "made": percent(window.out_of_sample_return, signed=True),
            "tone": tone(window.out_of_sample_return),
            "trades": f"{window.trades:,}",
        }
        for place, window in enumerate(walk.windows, start=1)
    ]


def _portfolio_block(judged: Judgement) -> dict[str, Any]:
    figures, portfolio = judged.figures, judged.figures.portfolio
    fall = portfolio.drawdown
    return {
        "title": "Equity",
        "lines": [
            (
                "Yearly growth",
                percent(figures.growth, signed=True),
                "under a year: not scaled up" if figures.growth is None else "of 365 days",
            ),
            ("Sharpe ratio, yearly", _ratio(judged), "of daily returns, times √365"),
            ("Sortino ratio, yearly", number(portfolio.sortino), "over all days, losing ones below"),
            (
                "Calmar ratio",
                number(portfolio.calmar),
                "since the start: under a year" if portfolio.calmar_since_start else "yearly growth over deepest fall",
            ),
            (
                "Deepest fall",
                percent(fall.depth),
                f"{fall.days:.0f} days from peak to " + ("recovery" if fall.recovered_at else "the end"),
            ),
            ("Time under water", percent(fall.under_water), "share of the period below a peak"),
            ("Time in the market", percent(figures.time_in_market), ""),
            ("Mean exposure", percent(figures.mean_exposure), f"{percent(figures.net_exposure)} net of shorts"),
            (
                "Turnover",
                NOTHING if figures.turnover_yearly is None else f"{figures.turnover_yearly:,.1f}",
                "times the mean equity, a year",
            ),
        ],
    }


def _trade_block(judged: Judgement) -> dict[str, Any]:
    figures, trades = judged.figures, judged.figures.trades
    shorts = trades.closed - figures.longs
    interval = trades.win_rate_interval
    return {
        "title": "Closed trades",
        "lines": [
            ("Trades", f"{trades.closed:,}", f"{figures.longs:,} long, {shorts:,} short"),
            ("Won", percent(trades.win_rate), "" if interval is None else f"95 %: {bracket(interval, '.0%')}"),
            (
                "Profit factor",
                number(trades.profit_factor),
                "won over lost, after fees" if trades.profit_factor is not None else f"{trades.wins} won, none lost",
            ),
            ("Expectancy", money(trades.expectancy, signed=True), plus_minus(trades.expectancy_error, "a trade")),
            ("Mean R", number(trades.mean_r, signed=True), plus_minus(trades.r_error, "times the initial risk")),
            (
                "Average win and loss",
                f"{money(trades.average_win, signed=True)} / {money(trades.average_loss, signed=True)}",
                "",
            ),
            (
                "Holding time",
                NOTHING if figures.mean_holding is None else lasted(figures.mean_holding),
                f"most losses in a row: {figures.longest_loss_run}",
            ),
            ("Fees", money(trades.fees), f"{percent(figures.fee_share)} of the starting equity"),
            (
                "Fee drag",
                percent(trades.fee_drag),
                "fees over profit before fees" if trades.fee_drag is not None else "no profit before fees",
            ),
            ("Still open at the end", f"{judged.case.result.open_at_end}", "marked at the last close, not closed"),
        ],
    }


def _ratio(judged: Judgement) -> str:
    # Under sixty days the point says nothing that its interval does not contradict.
    portfolio = judged.figures.portfolio
    if portfolio.days >= POINT_IS_ENOUGH_DAYS or judged.interval is None:
        return number(portfolio.sharpe)
    return bracket(judged.interval, ".1f")


def _sharpe_note(judged: Judgement) -> str:
    interval = f"95 %: {bracket(judged.interval, '.1f')}; " if judged.interval else ""
    return f"{interval}holding {number(judged.hold_sharpe)}"


def _tile(name: str, value: str, note: str, tone_of: str = "") -> dict[str, str]:
    return {"name": name, "value": value, "note": note, "tone": tone_of}
