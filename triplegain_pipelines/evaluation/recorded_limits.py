"""What recorded portfolios cannot tell, in sentences made from what their fields hold."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from triplegain_pipelines.domain.recorded import RecordedAction, RecordedStep
from triplegain_pipelines.evaluation.recorded_calls import NEXT_DAY, Prices, day_prices, direction_calls, settle_calls
from triplegain_pipelines.evaluation.recorded_records import RecordedBoard


def what_they_allow(board: RecordedBoard, steps: Sequence[RecordedStep]) -> list[str]:
    """How the figures of the board came about: the rules that were fixed before."""
    prices, calls = day_prices(steps), direction_calls(steps)
    settled = settle_calls(calls, prices, NEXT_DAY)
    return [
        (
            f"{len(steps):,} steps of {len(board.rows)} models, {board.first:%Y-%m-%d} to {board.last:%Y-%m-%d}, come "
            f"to {len(calls):,} calls of up or down: what a model bought and sold of one symbol on one day, netted."
        ),
        (
            f"A call is settled over one day, from the next day's price on: {len(settled):,} of {len(calls):,} "
            "settled. The records name no price. The cash that moved over the amount is one, the same for all on a day."
        ),
        f"Returns have {board.side_cost:.2%} of fee and slippage deducted for each side, as our paper venue has them.",
    ]


def what_they_do_not_allow(board: RecordedBoard, steps: Sequence[RecordedStep]) -> list[str]:
    """What must not be read out of the board, and why."""
    prices = day_prices(steps)
    symbols = sorted({symbol for step in steps for symbol in step.holdings})
    idle = sum(step.action is RecordedAction.NONE for step in steps)
    lost = sum(step.overwritten for step in steps)
    places = (board.last - board.first).days * len(symbols)
    known = sum(day > board.first for day, _ in prices)
    return [
        (
            "No probability, no confidence is recorded: there is no Brier score, no log loss and no calibration. "
            "Taking the size of a trade for confidence would be our invention."
        ),
        f"No horizon is recorded. One day is our choice; whoever meant a month is judged unfairly.{_trend(prices)}",
        (
            f"One stretch of {(board.last - board.first).days} days, one portfolio of each model: the calls of a day "
            "rise and fall together, so they are worth far fewer than their number. No repetition shows how much of a "
            "result is luck."
        ),
        (
            f"Abstentions are not recorded: {idle} steps traded nothing, and of a symbol that was not traded on a day "
            "nobody can tell whether it was judged, kept on purpose or overlooked."
        ),
        (
            "A sale is a call of down only with good will: they could sell only what they held, to take a profit, to "
            "raise cash or to balance. No model could be short."
        ),
        (
            f"Prices are known for {known:,} of {places:,} symbols and days: those that somebody traded. Calls settle "
            "more often where the models were busy, which is a selection. The day's price was known to the model that "
            "traded at it, and the time of day is not recorded."
        ),
        f"Nobody paid for trading: {_free_trades(steps)}",
        (
            f"{lost} of {len(steps):,} steps were overwritten when the recording went back to an earlier step. They "
            "count as calls; the portfolios go on without them."
        ),
        (
            "Prompts, tools, parameters and knowledge cutoffs are not recorded: another wording is another model, "
            "and what a model remembered cannot be told from what it foresaw. Cost and latency are not recorded."
        ),
        "Which models and runs were published was the publisher's choice. What failed and was left out is not here.",
        _together(board),
    ]


def _trend(prices: Prices) -> str:
    """How the most traded symbol moved over the records: one direction makes one side look clever."""
    by_symbol: dict[str, dict[date, Decimal]] = {}
    for (day, symbol), price in prices.items():
        by_symbol.setdefault(symbol, {})[day] = price
    if not by_symbol:
        return ""
    symbol, known = max(by_symbol.items(), key=lambda one: (len(one[1]), one[0]))
    move = known[max(known)] / known[min(known)] - 1
    return f" Over these days {symbol} moved by {move:+.1%}: a market of one direction flatters whoever leant that way."


def _free_trades(steps: Sequence[RecordedStep]) -> str:
    sides: dict[tuple[date, str], set[RecordedAction]] = {}
    for step in steps:
        if step.symbol is not None:
            sides.setdefault((step.day, step.symbol), set()).add(step.action)
    both = sum(len(found) > 1 for found in sides.values())
    return (
        f"{both} times a symbol was bought and sold on one day, each time at one price, so there was neither a "
        "spread nor a fee. Their own worth is therefore too high, and is shown as they kept it."
    )


def _together(board: RecordedBoard) -> str:
    models, days = len(board.rows), (board.last - board.first).days
    return (
        f"A Model Confidence Set needs the same events of all: on {board.together} of {days} days each of {models} "
        "models made a call that settled. None is computed, nobody is ranked, and the rows stand in order of names."
    )
