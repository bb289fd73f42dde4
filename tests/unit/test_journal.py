"""X9: what the journal says of a trade, against numbers worked out by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from report_inputs import make_order, make_trade

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.orders import Leg, Side
from triplegain_pipelines.evaluation.journal import Course, Lesson, journal_entry
from triplegain_pipelines.store.performance import TradeRecord

pytestmark = pytest.mark.unit


def trade(exit_price: str, exit_leg: Leg, *, profit: str, direction: Direction = Direction.LONG) -> TradeRecord:
    """Two coins at 100, decided at 99.9, stop 5 away and target 10 away: 10 at risk."""
    return replace(
        make_trade(0, 1.0),
        direction=direction,
        quantity=Decimal(2),
        entry_price=Decimal(100),
        decided_price=Decimal("99.9"),
        exit_price=Decimal(exit_price),
        exit_leg=exit_leg,
        initial_risk=Decimal(10),
        fees=Decimal("0.4"),
        profit=Decimal(profit),
        r_multiple=Decimal(profit) / 10,
        take_profit=Decimal(100 + 10 * direction.sign),
    )


def lessons(made: TradeRecord, high: str, low: str) -> set[Lesson]:
    return set(journal_entry(made, None, Course(Decimal(high), Decimal(low)), "USDT").lessons)


def test_multiples_and_slippage_by_hand() -> None:
    """X9: an R multiple or a slippage with the wrong sign teaches the opposite of what happened."""
    stop = replace(
        make_order(),
        leg=Leg.STOP,
        side=Side.SELL,
        quantity=Decimal(2),
        value=Decimal("189.6"),
        trigger_price=Decimal(95),
    )
    entry = journal_entry(trade("94.8", Leg.STOP, profit="-10.8"), stop, Course(Decimal(102), Decimal("94.8")), "USDT")
    assert entry.r_multiple == Decimal("-1.08")
    assert entry.best_r == pytest.approx(0.4)
    assert entry.worst_r == pytest.approx(-1.04)
    assert entry.entry_slippage_bps == pytest.approx(10.01, abs=0.01)  # bought 0.1 dearer than decided
    assert entry.exit_slippage_bps == pytest.approx(21.05, abs=0.01)  # sold 0.2 cheaper than the trigger
    assert set(entry.lessons) == {Lesson.NEVER_IN_FAVOUR}


def test_a_short_is_seen_from_the_other_side() -> None:
    """X9: a short's best moment is the lowest price."""
    entry = journal_entry(
        trade("90", Leg.TAKE_PROFIT, profit="19.6", direction=Direction.SHORT),
        None,
        Course(Decimal("104.6"), Decimal(90)),
        "USDT",
    )
    assert entry.best_r == pytest.approx(2.0)
    assert entry.worst_r == pytest.approx(-0.92)
    assert set(entry.lessons) == {Lesson.AS_PLANNED, Lesson.NEARLY_STOPPED}


@pytest.mark.parametrize(
    ("made", "high", "low", "expected"),
    [
        (trade("110", Leg.TAKE_PROFIT, profit="19.6"), "110", "99", {Lesson.AS_PLANNED}),
        (trade("95", Leg.STOP, profit="-10.4"), "101", "95", {Lesson.NEVER_IN_FAVOUR}),
        (trade("95", Leg.STOP, profit="-10.4"), "106", "95", {Lesson.GAVE_BACK}),
        (trade("98", Leg.EXIT, profit="-4.4"), "109.6", "98", {Lesson.GAVE_BACK, Lesson.TURNED_AT_TARGET}),
        (trade("103", Leg.EXIT, profit="5.6"), "104", "95.4", {Lesson.NEARLY_STOPPED}),
        (trade("103", Leg.EXIT, profit="5.6"), "104", "97", set()),
        (replace(trade("103", Leg.EXIT, profit="5.6"), fees=Decimal(2)), "104", "97", {Lesson.FEES_HEAVY}),
        (
            replace(trade("103", Leg.EXIT, profit="5.6"), decided_price=Decimal("99.4")),
            "104",
            "97",
            {Lesson.ENTRY_SLIPPED},
        ),
        (
            replace(trade("103", Leg.EXIT, profit="5.6"), initial_risk=None, r_multiple=None),
            "104",
            "97",
            {Lesson.NOT_MEASURABLE},
        ),
    ],
)
def test_each_lesson_has_its_case(made: TradeRecord, high: str, low: str, expected: set[Lesson]) -> None:
    """X9: a lesson drawn where nothing happened, or none where it did."""
    assert lessons(made, high, low) == expected


def test_a_stop_that_slipped() -> None:
    """X9: a gap through the stop is the one thing a journal of stops must not miss."""
    order = replace(
        make_order(), leg=Leg.STOP, side=Side.SELL, quantity=Decimal(2), value=Decimal(187), trigger_price=Decimal(95)
    )
    entry = journal_entry(trade("93.5", Leg.STOP, profit="-13.4"), order, None, "USDT")
    assert entry.lessons == {Lesson.STOP_SLIPPED: "0.30 R"}
    assert (entry.best_r, entry.worst_r) == (None, None)


def test_the_account_of_it_says_why_and_how() -> None:
    """X9: why and how are the decision's own words and the trade's own end."""
    made = trade("110", Leg.TAKE_PROFIT, profit="19.6")
    entry = journal_entry(made, None, None, "USDT")
    assert made.explanation in entry.why
    assert "take profit" in entry.how
    assert entry.closed_at - entry.opened_at == made.closed_at - made.opened_at > timedelta(0)
