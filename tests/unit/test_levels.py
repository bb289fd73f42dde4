"""Which level a price has reached, by hand-worked cases: what rests, what is held here, how long it was passed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.execution.levels import Due, Tick, due, is_short, is_tradable, reached, safe_trigger
from triplegain_pipelines.portfolio.positions import Position

pytestmark = pytest.mark.unit

AT = datetime(2024, 8, 5, tzinfo=UTC)
BTC = "BTC/USDT"
PATIENCE = timedelta(seconds=10)
MOMENT = timedelta(seconds=1)
BOTH = frozenset({Leg.STOP, Leg.TAKE_PROFIT})
GRID = Instrument(BTC, Decimal("0.001"), Decimal("0.01"), Decimal("0.001"), Decimal(5))


def position(quantity: str = "0.5", stop: str | None = "9800", target: str | None = "10400") -> Position:
    return Position(
        account="test",
        symbol=BTC,
        decision_id=UUID(int=1),
        quantity=Decimal(quantity),
        average_entry=Decimal(10_000),
        decided_price=Decimal(10_000),
        stop_loss=None if stop is None else Decimal(stop),
        take_profit=None if target is None else Decimal(target),
        initial_risk=None,
        fees=Decimal(0),
        realised=Decimal(0),
        exited=Decimal(0),
        exit_value=Decimal(0),
        opened_at=AT,
    )


def tick(bid: str, ask: str | None = None) -> Tick:
    return Tick(BTC, Decimal(bid), Decimal(ask or bid), AT)


LONG, SHORT = position(), position("-0.5", stop="10200", target="9600")


@pytest.mark.parametrize(
    ("held", "bid", "ask", "leg"),
    [
        (LONG, "9999", "10001", None),
        (LONG, "9800.01", "9801", None),
        (LONG, "9800", "9801", Leg.STOP),  # reached is enough
        (LONG, "9000", "9801", Leg.STOP),
        (LONG, "10399.99", "10400", None),  # nobody pays 10,400 yet
        (LONG, "10400", "10401", Leg.TAKE_PROFIT),
        (SHORT, "10199", "10199.99", None),
        (SHORT, "10199", "10200", Leg.STOP),
        (SHORT, "9600", "9600.01", None),
        (SHORT, "9599", "9600", Leg.TAKE_PROFIT),
        (position(stop=None, target=None), "1", "1", None),
        (position(stop="9800", target=None), "20000", "20000", None),
    ],
)
def test_a_level_is_reached_at_the_price_at_which_one_could_leave(
    held: Position, bid: str, ask: str, leg: Leg | None
) -> None:
    """X1: the wrong side of the book would act a spread too early on a target and too late on a stop."""
    assert reached(held, tick(bid, ask)) is leg


@pytest.mark.parametrize(
    ("leg", "resting", "seconds", "called_for"),
    [
        (None, frozenset(), 100, Due.NOTHING),
        (Leg.STOP, frozenset(), 0, Due.LEAVE_AT_STOP),
        (Leg.TAKE_PROFIT, frozenset(), 0, Due.LEAVE_AT_TARGET),
        (Leg.TAKE_PROFIT, {Leg.STOP}, 0, Due.LEAVE_AT_TARGET),
        (Leg.STOP, {Leg.STOP}, 0, Due.ASK),
        (Leg.STOP, {Leg.STOP}, 10, Due.ASK),
        (Leg.STOP, {Leg.STOP}, 11, Due.LEAVE_AT_STOP),  # the second line
        (Leg.TAKE_PROFIT, BOTH, 1000, Due.ASK),  # a target that is filled late costs nothing
    ],
)
def test_what_rests_is_left_to_the_venue_for_a_while(
    leg: Leg | None, resting: frozenset[Leg], seconds: int, called_for: Due
) -> None:
    """X2: a stop that the venue does not fill must not be the only one, and one that it is filling must be let be."""
    assert due(leg, resting, timedelta(seconds=seconds), PATIENCE) is called_for


@pytest.mark.parametrize(
    ("held", "level", "trigger"),
    [(LONG, "9800.001", "9800.01"), (LONG, "9800.01", "9800.01"), (SHORT, "10200.009", "10200")],
)
def test_a_stop_is_rounded_to_the_safe_side(held: Position, level: str, trigger: str) -> None:
    """Trap 11: rounded the other way, the stop would lose more than the risk that was let through."""
    assert safe_trigger(held, Decimal(level), GRID) == Decimal(trigger)


@pytest.mark.parametrize(
    ("quantity", "wanted", "short"),
    [("0.5", "0.5", False), ("0.499", "0.5", True), ("0.4999", "0.5", False), ("0.6", "0.5", False)],
)
def test_a_difference_that_no_order_can_be_made_of_is_none(quantity: str, wanted: str, *, short: bool) -> None:
    """Trap 4: a stop must not be taken from the book for a difference too small to be sold."""
    assert is_short(Decimal(quantity), Decimal(wanted), GRID) is short


@pytest.mark.parametrize(
    ("quantity", "price", "tradable"),
    [("0", "10000", False), ("0.001", "10000", True), ("0.001", "4999", False), ("0.0009", "10000", False)],
)
def test_dust_is_told_from_what_can_be_sold(quantity: str, price: str, *, tradable: bool) -> None:
    """Trap 4: an order below the venue's minimum would be refused for ever."""
    assert is_tradable(Decimal(quantity), Decimal(price), GRID) is tradable
