"""R7: the last look at an order before it is written."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from risk_cases import INSTRUMENT, D, intent, limits

from triplegain_pipelines.domain.orders import Intent, Leg, OrderType, Side
from triplegain_pipelines.risk.preflight import Surface, preflight

pytestmark = pytest.mark.unit

LIMITS = limits(money={"max_order_size": D(100)})
SURFACE = Surface(INSTRUMENT, price=D(100), reference=D(100), fee_rate=D("0.001"), balances=None, working=())


def against(order: Intent | None = None, **changes: Any) -> list[str]:
    """The codes of what speaks against an order of one piece at 100."""
    return [reason.code.value for reason in preflight(order or intent(), replace(SURFACE, **changes), LIMITS)]


def test_nothing_speaks_against_a_plain_order() -> None:
    """A look that finds something in every order is switched off by somebody."""
    assert against() == []


@pytest.mark.parametrize(("price", "found"), [("100", []), ("101", []), ("101.01", ["ORDER_TOO_LARGE"])])
def test_an_order_over_the_largest_is_refused_at_the_price_of_now(price: str, found: list[str]) -> None:
    """R4, R7: what was worked out at another price may be too much by now; the band is what it may have moved."""
    assert against(price=D(price), reference=D(price)) == found


@pytest.mark.parametrize(
    ("quantity", "trigger", "found"),
    [
        ("0.5", None, []),
        ("0.50001", None, ["ORDER_OFF_GRID"]),
        ("0.5", "90.01", []),
        ("0.5", "90.001", ["ORDER_OFF_GRID"]),
        ("0.0499", None, ["ORDER_BELOW_MINIMUM"]),
        ("0", None, ["ORDER_BELOW_MINIMUM"]),
        ("-1", None, ["ORDER_BELOW_MINIMUM"]),
    ],
)
def test_the_venues_grid_and_minimums(quantity: str, trigger: str | None, found: list[str]) -> None:
    """R7: an order off the grid is rounded by some venues and refused by others; both after it was written."""
    stop = None if trigger is None else D(trigger)
    kind = OrderType.MARKET if trigger is None else OrderType.STOP
    assert against(intent(quantity=D(quantity), trigger_price=stop, order_type=kind)) == found


@pytest.mark.parametrize(
    ("side", "balances", "found"),
    [
        (Side.BUY, None, []),
        (Side.BUY, {"USDT": D("100.1")}, []),
        (Side.BUY, {"USDT": D("100.09")}, ["BALANCE_TOO_LOW"]),
        (Side.BUY, {"BTC": D(1000)}, ["BALANCE_TOO_LOW"]),
        (Side.SELL, {"BTC": D(1)}, []),
        (Side.SELL, {"USDT": D(1000)}, ["BALANCE_TOO_LOW"]),
    ],
)
def test_the_venue_holds_what_the_order_costs(side: Side, balances: Any, found: list[str]) -> None:
    """R7: the fee is part of the cost, and the books may be wrong about what the venue holds."""
    assert against(intent(side), balances=balances) == found


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("100.99", []),
        ("99.01", []),
        ("98", ["PRICE_OUT_OF_BAND"]),
        ("102", ["PRICE_OUT_OF_BAND"]),
        ("0", ["PRICE_OUT_OF_BAND"]),
    ],
)
def test_a_price_that_ran_away_is_not_chased(reference: str, found: list[str]) -> None:
    """R7: a spike, or a price of another symbol, must not become an order at the market."""
    assert against(reference=D(reference)) == found


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (intent(attempt=2), ["DUPLICATE_ORDER"]),
        (intent(attempt=2, symbol="ETH/USDT"), ["DUPLICATE_ORDER"]),
        (intent(decision_id=UUID(int=9), symbol="ETH/USDT"), []),
        (intent(leg=Leg.STOP, side=Side.SELL), []),
    ],
)
def test_an_order_that_works_already_is_not_sent_again(other: Intent, found: list[str]) -> None:
    """R7, X3: the same leg of the same decision, or the same leg in the same symbol, is the same order twice."""
    assert against(working=(other,)) == found


def test_everything_is_told_at_once() -> None:
    """R7: a person who mends one thing must not meet the next one only at the next order."""
    found = against(intent(quantity=D("3.00001")), reference=D(90), balances={}, working=(intent(attempt=2),))
    assert found == ["ORDER_TOO_LARGE", "ORDER_OFF_GRID", "BALANCE_TOO_LOW", "PRICE_OUT_OF_BAND", "DUPLICATE_ORDER"]
