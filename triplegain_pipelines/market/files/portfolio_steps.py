"""Recorded portfolios of models, one JSON object a line: read as a stranger's file, and checked against themselves.

A step names no price. The cash that it moved over the amount is one, and because all models traded at the same prices
of a day, the steps of one model check those of the others. A line whose numbers do not follow from the step before it
is refused, and the file with it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.recorded import RecordedAction, RecordedStep

_MOST_LINES = 100_000
_LONGEST_LINE = 20_000
_MOST_HOLDINGS = 200
_FIRST_DAY = date(2009, 1, 3)
_LARGEST, _SMALLEST = Decimal(10) ** 12, Decimal(10) ** -12
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/ -]{0,59}")
_PAIR = re.compile(r"([A-Z0-9]{2,15})-([A-Z]{3,5})")
_CASH = "CASH"
_FIELDS = {"model", "date", "id", "positions"}
_ACTIONS = {
    "buy_crypto": RecordedAction.BUY,
    "sell_crypto": RecordedAction.SELL,
    "no_trade": RecordedAction.NONE,
}
# The file rounds holdings to four decimals and cash to some, the amount to none.
_ROUNDING = Decimal("0.0001")
_SAME_PRICE = Decimal("0.001")  # relative; trades of a few units of cash are rounded the most


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as it stands in the file, with the types it must have."""

    number: int
    model: str
    day: date
    step: int
    action: RecordedAction
    symbol: str | None
    amount: Decimal
    cash: Decimal
    holdings: Mapping[str, Decimal]


def are_portfolio_steps(keys: set[str]) -> bool:
    """Whether an object with these keys is a step of a recorded portfolio."""
    return keys >= _FIELDS


def read_portfolio_steps(text: str) -> tuple[RecordedStep, ...]:
    """The steps of a text with one JSON object a line, in its order.

    Raises:
        InputError: a line is broken, or does not follow from those before it. The message names the line.
    """
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        msg = f"it holds {len(lines):,} lines, more than the {_MOST_LINES:,} that are read at once; split it"
        raise InputError(msg)
    steps = _chained([_line(number, line) for number, line in enumerate(lines, 1) if line.strip()])
    _require_one_price(steps)
    return tuple(steps)


def _line(number: int, text: str) -> _Line:
    if len(text) > _LONGEST_LINE:
        _refuse(number, f"it has {len(text):,} characters, more than {_LONGEST_LINE:,}")
    try:
        found = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=str)
    except (ValueError, RecursionError, ArithmeticError):
        _refuse(number, "it is no JSON object")
    if not isinstance(found, dict) or set(found) - {"this_action"} != _FIELDS:
        _refuse(number, f"it must have {', '.join(sorted(_FIELDS))} and perhaps this_action, and nothing else")
    action, symbol, amount = _action(number, found.get("this_action"))
    cash, holdings = _holdings(number, found["positions"])
    model = found["model"]
    if not (isinstance(model, str) and _MODEL.fullmatch(model)):
        _refuse(number, "its model must be a name of at most 60 letters, digits and signs")
    step = _number(number, "id", found["id"])
    if step != step.to_integral_value():
        _refuse(number, f"its id must be a whole number, not {step}")
    return _Line(number, model, _day(number, found["date"]), int(step), action, symbol, amount, cash, holdings)


def _action(number: int, found: object) -> tuple[RecordedAction, str | None, Decimal]:
    if found is None:
        return RecordedAction.START, None, Decimal(0)
    if not isinstance(found, dict) or set(found) != {"action", "symbol", "amount"}:
        _refuse(number, "its this_action must have action, symbol and amount, and nothing else")
    action = _ACTIONS.get(found["action"]) if isinstance(found["action"], str) else None
    if action is None:
        _refuse(number, f"its action must be one of {', '.join(_ACTIONS)}")
    amount = _number(number, "amount", found["amount"])
    if action is RecordedAction.NONE:
        if found["symbol"] or amount:
            _refuse(number, "it traded nothing, but names a symbol or an amount")
        return action, None, Decimal(0)
    if not amount:
        _refuse(number, "it traded an amount of 0")
    return action, _symbol(number, found["symbol"]), amount


def _holdings(number: int, found: object) -> tuple[Decimal, dict[str, Decimal]]:
    if not isinstance(found, dict) or _CASH not in found or len(found) > _MOST_HOLDINGS:
        _refuse(number, f"its positions must be an object with {_CASH} and at most {_MOST_HOLDINGS} entries")
    amounts = {name: _number(number, "positions", amount) for name, amount in found.items()}
    return amounts.pop(_CASH), {_symbol(number, name): amount for name, amount in sorted(amounts.items())}


def _symbol(number: int, found: object) -> str:
    pair = _PAIR.fullmatch(found) if isinstance(found, str) else None
    if pair is None:
        _refuse(number, "its symbols must be like BTC-USDT")
    return f"{pair[1]}/{pair[2]}"


def _day(number: int, found: object) -> date:
    try:
        day = date.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        day = None
    if day is None or day < _FIRST_DAY:
        _refuse(number, "its date must be a day like 2025-11-01")
    return day


def _number(number: int, name: str, found: object) -> Decimal:
    if not isinstance(found, Decimal) or not (found == 0 or _SMALLEST <= found <= _LARGEST):
        _refuse(number, f"its {name} must hold 0 or numbers from {_SMALLEST} to {_LARGEST:,}")
    return found


def _chained(lines: Sequence[_Line]) -> list[RecordedStep]:
    """Each line as a step after its parent: the newest line of its model with the number before it."""
    steps: list[RecordedStep] = []
    chains: dict[str, list[int]] = {}
    for line in lines:
        chain = chains.setdefault(line.model, [])
        if chain and line.day < steps[chain[-1]].day:
            _refuse(line.number, f"its day is before that of line {steps[chain[-1]].line} of the same model")
        while chain and steps[chain[-1]].step >= line.step:
            lost = chain.pop()
            steps[lost] = replace(steps[lost], overwritten=True)
        parent = steps[chain[-1]] if chain else None
        chain.append(len(steps))
        steps.append(_after(parent, line))
    return steps


def _after(parent: RecordedStep | None, line: _Line) -> RecordedStep:
    """The line as the step after `parent`, when its numbers follow from it."""
    if (parent is None) != (line.action is RecordedAction.START) or line.step != (parent.step + 1 if parent else 0):
        _refuse(line.number, "its id does not follow the step before it; each model starts with id 0 and no action")
    if parent is None and any(line.holdings.values()):
        _refuse(line.number, "it starts with holdings, and what they cost is not known; a portfolio starts with cash")
    return RecordedStep(
        line=line.number,
        model=line.model,
        day=line.day,
        step=line.step,
        action=line.action,
        symbol=line.symbol,
        amount=line.amount,
        price=None if parent is None else _price(parent, line),
        cash=line.cash,
        holdings=line.holdings,
        overwritten=False,
    )


def _price(parent: RecordedStep, line: _Line) -> Decimal | None:
    """What the cash that moved says the price was; None where nothing was traded."""
    signed = {RecordedAction.BUY: line.amount, RecordedAction.SELL: -line.amount}.get(line.action, Decimal(0))
    for symbol in sorted({*parent.holdings, *line.holdings}):
        moved = line.holdings.get(symbol, Decimal(0)) - parent.holdings.get(symbol, Decimal(0))
        due = signed if symbol == line.symbol else Decimal(0)
        if abs(moved - due) > _ROUNDING:
            _refuse(line.number, f"it moved {moved} {symbol}, but its action says {due}")
    paid = parent.cash - line.cash
    if line.symbol is None:
        if paid:
            _refuse(line.number, "its cash changed without a trade")
        return None
    price = paid / signed
    if price <= 0:
        _refuse(line.number, "its cash moved against its action")
    return price


def _require_one_price(steps: Sequence[RecordedStep]) -> None:
    """All trades of a symbol on a day have one price: else a number is wrong, and nobody could say which."""
    first: dict[tuple[date, str], RecordedStep] = {}
    for step in steps:
        if step.price is None or step.symbol is None:
            continue
        other = first.setdefault((step.day, step.symbol), step)
        if other.price is not None and abs(step.price / other.price - 1) > _SAME_PRICE:
            why = f"its price of {step.price:.6g} for {step.symbol} is not that of line {other.line}, {other.price:.6g}"
            _refuse(step.line, why)


def _refuse(number: int, why: str) -> NoReturn:
    msg = f"line {number}: {why}; correct it or get the file again"
    raise InputError(msg)


def object_keys(line: str) -> set[str]:
    """The keys of a line that is a JSON object; none of one that is not."""
    try:
        found: Any = json.loads(line[:_LONGEST_LINE])
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()
