"""X9: the journal of a trade: why, how it went, what it cost against the plan, and what was learnt.

A lesson is a rule over the trade's own numbers, with the numbers beside it: nobody's opinion after the fact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.explained_code import ExplainedCode
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.evaluation.narratives import narrate
from triplegain_pipelines.store.performance import ExecutedOrder, TradeRecord

# Rises with every change that can change an entry.
JOURNAL_VERSION = "1"

_CLOSE_TO = 0.1  # of what was at risk
_HALF_WAY = 0.5
_BASIS_POINTS = 10_000


class Lesson(ExplainedCode):
    """What a trade taught, with what it means in `meaning`."""

    AS_PLANNED = "AS_PLANNED", "The target was reached before the stop."
    NEVER_IN_FAVOUR = "NEVER_IN_FAVOUR", "The price never moved half of the risk in the trade's favour."
    GAVE_BACK = "GAVE_BACK", "The trade was up by all that was at risk, and ended at a loss."
    TURNED_AT_TARGET = "TURNED_AT_TARGET", "The price came within a tenth of the risk to the target, and turned."
    NEARLY_STOPPED = "NEARLY_STOPPED", "The price came within a tenth of the risk to the stop, and the trade won."
    STOP_SLIPPED = "STOP_SLIPPED", "The stop was filled worse than its trigger by over a tenth of the risk."
    ENTRY_SLIPPED = "ENTRY_SLIPPED", "The entry cost over a tenth of the risk in slippage against the decision's price."
    FEES_HEAVY = "FEES_HEAVY", "Fees cost over a tenth of what was at risk."
    NOT_MEASURABLE = "NOT_MEASURABLE", "Nothing was at risk by the plan, so nothing can be learnt from its multiples."


@dataclass(frozen=True, slots=True)
class Course:
    """The market while the trade was open: its highest and lowest price in quote currency."""

    high: Decimal
    low: Decimal


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One trade, flat to flat.

    `best_r` and `worst_r` are the furthest that the price went for and against the trade, in multiples of what was at
    risk at its entry; None where nothing was at risk or no candles are stored. Slippage is in basis points, positive
    where it cost money: of the entry against the decision's price, of the exit against its trigger or decision.
    """

    decision_id: UUID
    symbol: str
    opened_at: datetime
    closed_at: datetime
    why: str
    how: str
    profit: Decimal
    r_multiple: Decimal | None
    best_r: float | None
    worst_r: float | None
    entry_slippage_bps: float
    exit_slippage_bps: float | None
    lessons: Mapping[Lesson, str] = field(default_factory=dict)


def journal_entry(
    trade: TradeRecord, exit_order: ExecutedOrder | None, course: Course | None, currency: str
) -> JournalEntry:
    """The entry of `trade`.

    Args:
        trade: the trade with the words of its decision and verdict.
        exit_order: the order that closed it, for the price it should have got.
        course: the market while it was open, or None where no candles are stored.
        currency: of prices and profit.
    """
    told = narrate(trade, currency)
    best, worst = _excursions(trade, course)
    return JournalEntry(
        decision_id=trade.decision_id,
        symbol=trade.symbol,
        opened_at=trade.opened_at,
        closed_at=trade.closed_at,
        why=" ".join(part for part in (told.opening, told.quote, told.risk) if part),
        how=told.ending,
        profit=trade.profit,
        r_multiple=trade.r_multiple,
        best_r=best,
        worst_r=worst,
        entry_slippage_bps=_slippage(trade.entry_price, trade.decided_price, trade.direction.sign),
        exit_slippage_bps=None
        if exit_order is None
        else _slippage(exit_order.value / exit_order.quantity, exit_order.wanted_price, -trade.direction.sign),
        lessons=dict(_lessons(trade, exit_order, best, worst)),
    )


def _excursions(trade: TradeRecord, course: Course | None) -> tuple[float | None, float | None]:
    risk = _unit_risk(trade)
    if course is None or risk is None:
        return None, None
    moves = [float((price - trade.entry_price) * trade.direction.sign / risk) for price in (course.high, course.low)]
    return max(0.0, *moves), min(0.0, *moves)


def _unit_risk(trade: TradeRecord) -> Decimal | None:
    if trade.initial_risk is None or trade.initial_risk <= 0:
        return None
    return trade.initial_risk / trade.quantity


def _slippage(got: Decimal, wanted: Decimal, sign: int) -> float:
    return float((got / wanted - 1) * sign * _BASIS_POINTS)


def _lessons(
    trade: TradeRecord, exit_order: ExecutedOrder | None, best: float | None, worst: float | None
) -> Iterator[tuple[Lesson, str]]:
    risk = _unit_risk(trade)
    if risk is None or trade.r_multiple is None or trade.initial_risk is None:
        yield Lesson.NOT_MEASURABLE, "no risk by the plan"
        return
    made = float(trade.r_multiple)
    if trade.exit_leg is Leg.TAKE_PROFIT:
        yield Lesson.AS_PLANNED, f"{made:+.2f} R"
    if best is not None and worst is not None:
        yield from _lessons_of_course(trade, made, best, worst)
    entry_cost = float((trade.entry_price - trade.decided_price) * trade.direction.sign / risk)
    if entry_cost > _CLOSE_TO:
        yield Lesson.ENTRY_SLIPPED, f"{entry_cost:.2f} R"
    if exit_order is not None and trade.exit_leg is Leg.STOP:
        missed = (exit_order.wanted_price - exit_order.value / exit_order.quantity) * trade.direction.sign
        if float(missed / risk) > _CLOSE_TO:
            yield Lesson.STOP_SLIPPED, f"{float(missed / risk):.2f} R"
    fees = float(trade.fees / trade.initial_risk)
    if fees > _CLOSE_TO:
        yield Lesson.FEES_HEAVY, f"{fees:.2f} R"


def _lessons_of_course(trade: TradeRecord, made: float, best: float, worst: float) -> Iterator[tuple[Lesson, str]]:
    if best < _HALF_WAY and made < 0:
        yield Lesson.NEVER_IN_FAVOUR, f"{best:+.2f} R at best"
    if best >= 1 and made < 0:
        yield Lesson.GAVE_BACK, f"{best:+.2f} R at best, {made:+.2f} R at the end"
    target = trade.planned_reward
    if trade.exit_leg is not Leg.TAKE_PROFIT and target is not None and target - _CLOSE_TO <= best < target:
        yield Lesson.TURNED_AT_TARGET, f"{best:+.2f} R of {target:+.2f} R"
    if made > 0 and -1 < worst <= _CLOSE_TO - 1:
        yield Lesson.NEARLY_STOPPED, f"{worst:+.2f} R at worst"
