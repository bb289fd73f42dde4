"""The validation report in words: numbers as people read them, rows as the page's tables place them.

No calculation of a metric is made here, and no HTML.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from triplegain_pipelines.evaluation.benchmarks import hold_name
from triplegain_pipelines.evaluation.comparison import HORIZON_HOURS
from triplegain_pipelines.evaluation.narratives import Narrative, narrate, trade_rows
from triplegain_pipelines.evaluation.report_evidence import (
    SHOWN_GAPS,
    SHOWN_HAPPENINGS,
    call_line,
    decision_sentence,
    forecaster_line,
    gap_line,
    gap_sentence,
    happening_lines,
    happening_sentence,
    minimum_sentence,
    provenance,
    row_list,
    stages,
    timeline,
)
from triplegain_pipelines.evaluation.rewording import Fact, Rewording, newest_groups
from triplegain_pipelines.evaluation.validation import Outcome, ValidationReport
from triplegain_pipelines.evaluation.validation_inputs import BITCOIN, SymbolFigures, ValidationInputs
from triplegain_pipelines.evaluation.wording import (
    NOTHING,
    basis_points,
    bracket,
    lasted,
    moment,
    money,
    number,
    percent,
    plain,
    plus_minus,
    tone,
)

_SHOWN_TRADES = 12


def page_context(report: ValidationReport, generated_at: datetime, rewording: Rewording) -> dict[str, Any]:
    """Everything the template places, as text."""
    inputs = report.inputs
    told = [narrate(trade, inputs.account.currency) for trade in reversed(inputs.trades)]
    return {
        "title": f"{report.verdict}: validation of {inputs.account.account}",
        "account": inputs.account,
        "verdict": report.verdict.value,
        "period": f"{moment(inputs.start)} to {moment(inputs.end)} UTC",
        "symbols": inputs.symbols,
        "labels": report.labels,
        "summary": report.summary,
        "live_sentence": _live_sentence(report),
        "tiles": _tiles(inputs),
        "criteria": report.criteria,
        "tones": {Outcome.PASSED: "gain", Outcome.FAILED: "loss", Outcome.NOT_ENOUGH_DATA: "unsure"},
        "signs": {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.NOT_ENOUGH_DATA: "○"},
        "comparison": _comparison(inputs),
        "missing_benchmarks": _missing_benchmarks(inputs),
        "figures": [_portfolio_figures(inputs), _trade_figures(inputs)],
        "by_symbol": [_symbol_line(figures) for figures in inputs.by_symbol],
        "charted": charted_symbols(inputs),
        "narratives": [_story(narrative, inputs, rewording) for narrative in told],
        "shown": _SHOWN_TRADES,
        "writer": rewording.label,
        "wording": rewording.sentence,
        "happenings": happening_lines(inputs, rewording),
        "happening_sentence": happening_sentence(inputs),
        "positions": _position_lines(inputs),
        "decision_sentence": decision_sentence(inputs),
        "stages": stages(inputs),
        "minimum_sentence": minimum_sentence(inputs),
        "horizon": HORIZON_HOURS,
        "forecasters": [forecaster_line(score) for score in inputs.forecasters],
        "calls": [call_line(calls) for calls in inputs.calls],
        "timeline": timeline(inputs),
        "gaps": [gap_line(gap) for gap in inputs.gaps[:SHOWN_GAPS]],
        "gap_sentence": gap_sentence(inputs),
        "provenance": provenance(inputs, generated_at),
    }


def shown_facts(inputs: ValidationInputs) -> list[Sequence[Fact]]:
    """The sentences that a reader sees without opening more, in the groups in which a seat is asked to word them."""
    told = [narrate(trade, inputs.account.currency) for trade in inputs.trades]
    trades = [
        Fact(one.trade.closed_at, sentence, fixed)
        for one in told
        for sentence, fixed in ((one.opening, one.opening_fixed), (one.ending, one.ending_fixed))
    ]
    happenings = [Fact(one.at, one.sentence, one.fixed) for one in inputs.happenings]
    return [*newest_groups(trades, 2 * _SHOWN_TRADES), *newest_groups(happenings, SHOWN_HAPPENINGS)]


def charted_symbols(inputs: ValidationInputs) -> list[str]:
    """The account's symbols that have prices."""
    known = set(inputs.prices["symbol"].unique())
    return [symbol for symbol in inputs.symbols if symbol in known]


def _live_sentence(report: ValidationReport) -> str:
    if report.counts_for_live:
        return "This one may count as a condition for live trading."
    return (
        "This one can never count for live trading, whatever its result, because of what is said at the top."
        if (report.inputs.simulated or report.inputs.baseline or report.inputs.replay)
        else "Until then live trading stays shut."
    )


def _paid(paid_in: float) -> str:
    return f", of it {paid_in:+,.2f} paid in or out" if paid_in else ""


def _tiles(inputs: ValidationInputs) -> list[dict[str, str]]:
    portfolio, trading = inputs.portfolio, inputs.trading
    bitcoin = inputs.bitcoin
    fall = portfolio.drawdown
    return [
        {
            "name": "Return",
            "value": percent(portfolio.total_return, signed=True),
            "tone": tone(portfolio.total_return),
            "note": f"{portfolio.final_equity:,.2f} {inputs.account.currency}{_paid(portfolio.paid_in)}",
        },
        {
            "name": "Holding bitcoin",
            "value": percent(bitcoin.total_return if bitcoin else None, signed=True),
            "tone": tone(bitcoin.total_return if bitcoin else None),
            "note": "over the same period",
        },
        {
            "name": "Maximum drawdown",
            "value": percent(fall.depth),
            "tone": "",
            "note": f"{fall.days:.1f} days from peak to " + ("recovery" if fall.recovered_at else "the end")
            if fall.depth > 0
            else "never below a peak",
        },
        {
            "name": "Sharpe ratio",
            "value": number(portfolio.sharpe),
            "tone": "",
            "note": f"95 %: {bracket(portfolio.sharpe_interval, '.1f')}" if portfolio.sharpe_interval else "no ratio",
        },
        {
            "name": "Win rate",
            "value": percent(trading.win_rate),
            "tone": "",
            "note": f"{trading.wins} won, {trading.losses} lost, {trading.break_even} even",
        },
        {
            "name": "Profit factor",
            "value": number(trading.profit_factor),
            "tone": "",
            "note": "won over lost, after fees" if trading.profit_factor is not None else f"{trading.losses} losses",
        },
    ]


def _comparison(inputs: ValidationInputs) -> list[dict[str, str]]:
    rows = [("this account", inputs.portfolio.total_return, inputs.portfolio.drawdown.depth)]
    rows += [(item.name, item.total_return, item.max_drawdown) for item in inputs.benchmarks]
    return [
        {
            "name": name,
            "total_return": percent(total, signed=True),
            "tone": tone(total),
            "drawdown": percent(fall),
        }
        for name, total, fall in rows
    ]


def _missing_benchmarks(inputs: ValidationInputs) -> list[str]:
    wanted = dict.fromkeys([*inputs.symbols, f"{BITCOIN}/{inputs.account.currency}"])
    return [symbol for symbol in wanted if inputs.benchmark(hold_name(symbol)) is None]


def _portfolio_figures(inputs: ValidationInputs) -> dict[str, Any]:
    portfolio, execution = inputs.portfolio, inputs.execution
    return {
        "title": "Portfolio and execution",
        "lines": [
            ("Sortino ratio, yearly", number(portfolio.sortino), "over all days, losing ones below"),
            (
                "Calmar ratio",
                number(portfolio.calmar),
                "since the start: the period is under a year" if portfolio.calmar_since_start else "",
            ),
            ("Time under water", percent(portfolio.drawdown.under_water), "share of the period below a peak"),
            ("Time in the market", percent(portfolio.time_in_market), ""),
            ("Mean exposure", percent(portfolio.mean_exposure), "share of the equity in positions"),
            (
                "Turnover",
                "none" if execution.turnover is None else f"{execution.turnover:.2f}",
                "times the mean equity",
            ),
            ("Orders filled", f"{execution.filled_orders:,}", f"worth {execution.traded_value:,.0f}"),
            ("Slippage", basis_points(execution.slippage_bps), "market orders against the price decided on"),
            ("Slippage of stops and targets", basis_points(execution.trigger_slippage_bps), "against their trigger"),
        ],
    }


def _trade_figures(inputs: ValidationInputs) -> dict[str, Any]:
    trading, currency = inputs.trading, inputs.account.currency
    settled, right = inputs.decisions.unanimous_settled, inputs.decisions.unanimous_right
    return {
        "title": f"Trades, in {currency}",
        "lines": [
            ("Net profit", money(trading.net_profit, signed=True), "closed trades, after fees"),
            ("Average win", money(trading.average_win, signed=True), f"{trading.wins} trades"),
            ("Average loss", money(trading.average_loss, signed=True), f"{trading.losses} trades"),
            ("Expectancy", money(trading.expectancy, signed=True), plus_minus(trading.expectancy_error, "a trade")),
            ("Mean R", number(trading.mean_r, signed=True), plus_minus(trading.r_error, "times the initial risk")),
            ("Trades without a stop", f"{trading.without_stop}", "they have no R"),
            ("Fees", money(trading.fees), "of closed trades"),
            ("Fee drag", percent(trading.fee_drag), "fees over profit before fees"),
            (
                "Right when unanimous",
                percent(right / settled if settled else None),
                f"{right} of {settled} settled; {inputs.decisions.unanimous} unanimous decisions",
            ),
        ],
    }


def _symbol_line(figures: SymbolFigures) -> dict[str, Any]:
    trades = figures.trades
    return {
        "symbol": figures.symbol,
        "cells": [
            {"text": f"{trades.closed}", "tone": ""},
            {"text": percent(trades.win_rate), "tone": ""},
            {"text": money(trades.net_profit, signed=True), "tone": tone(trades.net_profit)},
            {"text": money(trades.fees), "tone": ""},
            {"text": number(trades.profit_factor), "tone": ""},
            {"text": number(trades.mean_r, signed=True), "tone": ""},
            {"text": percent(figures.hold_return, signed=True), "tone": tone(figures.hold_return)},
        ],
    }


def _story(narrative: Narrative, inputs: ValidationInputs, rewording: Rewording) -> dict[str, str]:
    trade = narrative.trade
    return {
        "opened": moment(trade.opened_at),
        "symbol": trade.symbol,
        "how": f"{trade.direction.lower()}, {lasted(trade.closed_at - trade.opened_at)}, "
        f"{trade.exit_leg.replace('_', ' ').lower()}",
        "profit": f"{trade.profit:+,.2f}",
        "multiple": "" if trade.r_multiple is None else f"{trade.r_multiple:+.2f} R",
        "tone": tone(float(trade.profit)),
        "opening": rewording.of(narrative.opening),
        "risk": narrative.risk,
        "ending": rewording.of(narrative.ending),
        "facts": rewording.facts(narrative.opening, narrative.ending),
        "quote": narrative.quote,
        "rows": row_list(trade_rows(trade, inputs.schema, inputs.account.account)),
    }


def _position_lines(inputs: ValidationInputs) -> list[tuple[str, ...]]:
    return [
        (
            item.symbol,
            plain(item.quantity),
            plain(item.average_entry),
            plain(item.stop_loss) if item.stop_loss else NOTHING,
            plain(item.take_profit) if item.take_profit else NOTHING,
            moment(item.opened_at),
        )
        for item in inputs.positions
    ]
