"""Laws of the levels and plans: a worse price takes no stop back, a short is a long in the mirror, none sells twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.levels import Due, Tick, due, reached, resting_legs
from triplegain_pipelines.execution.protection_plan import Rules, plan_protection
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

pytestmark = pytest.mark.unit

AT = datetime(2024, 8, 5, tzinfo=UTC)
BTC = "BTC/USDT"
ENTRY = Decimal(1000)
GRID = Instrument(BTC, Decimal("0.01"), Decimal("0.1"), Decimal("0.05"), Decimal(5))
TRAITS = VenueTraits(
    absence_is_final=False,
    expiry=timedelta(seconds=5),
    holds_pairs=False,
    holds_stops=True,
    dead_man_timer=False,
)
prices = st.decimals(1, 1999, places=1)
distances = st.decimals("0.1", 900, places=1)
quantities = st.decimals("0.05", 50, places=4)
spans = st.integers(0, 600).map(lambda seconds: timedelta(seconds=seconds))
legs = st.frozensets(st.sampled_from([Leg.STOP, Leg.TAKE_PROFIT]))


def position(quantity: Decimal, stop: Decimal, target: Decimal) -> Position:
    sign = 1 if quantity > 0 else -1
    return Position(
        account="test",
        symbol=BTC,
        decision_id=UUID(int=1),
        quantity=quantity,
        average_entry=ENTRY,
        decided_price=ENTRY,
        stop_loss=ENTRY - sign * stop,
        take_profit=ENTRY + sign * target,
        initial_risk=None,
        fees=Decimal(0),
        realised=Decimal(0),
        exited=Decimal(0),
        exit_value=Decimal(0),
        opened_at=AT,
    )


def order(leg: Leg, attempt: int, quantity: Decimal, state: OrderState, trigger: Decimal | None) -> Order:
    intent = Intent(
        account="test",
        decision_id=UUID(int=1),
        symbol=BTC,
        leg=leg,
        attempt=attempt,
        side=Side.SELL,
        order_type=OrderType.MARKET if leg is Leg.EXIT else OrderType(leg.value),
        quantity=quantity,
        decided_price=ENTRY,
        trigger_price=trigger,
    )
    return Order(intent, UUID(int=2), state, Decimal(0), submitted_at=AT)


def tick(price: Decimal) -> Tick:
    return Tick(BTC, price, price, AT)


@given(distances, distances, prices, distances)
def test_a_worse_price_does_not_take_a_stop_back(
    stop: Decimal, target: Decimal, price: Decimal, further: Decimal
) -> None:
    """R2: once the stop is reached, every price beyond it reaches it too."""
    held = position(Decimal(1), stop, target)
    assume(price - further > 0)
    if reached(held, tick(price)) is Leg.STOP:
        assert reached(held, tick(price - further)) is Leg.STOP


@given(distances, distances, prices)
def test_a_short_is_a_long_in_the_mirror(stop: Decimal, target: Decimal, price: Decimal) -> None:
    """X4: a sign that is right on one side only would hold the shorts' stops where their targets are."""
    long = reached(position(Decimal(1), stop, target), tick(price))
    assert reached(position(Decimal(-1), stop, target), tick(2 * ENTRY - price)) is long


@given(st.sampled_from([None, Leg.STOP, Leg.TAKE_PROFIT]), legs, spans, spans)
def test_nothing_is_left_that_rests_and_has_its_time(
    leg: Leg | None, resting: frozenset[Leg], passed: timedelta, patience: timedelta
) -> None:
    """X3: an exit on top of a stop that is being filled would sell twice; no stop at all would lose everything."""
    called_for = due(leg, resting, passed, patience)
    if leg is None:
        assert called_for is Due.NOTHING
    elif leg not in resting:
        assert called_for in {Due.LEAVE_AT_STOP, Due.LEAVE_AT_TARGET}
    elif passed <= patience:
        assert called_for is Due.ASK


live = st.lists(
    st.tuples(
        st.sampled_from([Leg.STOP, Leg.TAKE_PROFIT, Leg.EXIT]),
        quantities,
        st.sampled_from([OrderState.OPEN, OrderState.PENDING_CANCEL, OrderState.UNKNOWN, OrderState.PENDING_SUBMIT]),
        st.sampled_from([Decimal("900.0"), Decimal("910.0")]),
    ),
    max_size=4,
)


@given(quantity=quantities, found=live, holds_stops=st.booleans(), one_sided=st.booleans())
def test_no_plan_ever_sells_more_than_there_is(
    quantity: Decimal, found: list[tuple[Leg, Decimal, OrderState, Decimal]], *, holds_stops: bool, one_sided: bool
) -> None:
    """Trap 24: what is placed sells, with all that works in the symbol, no more than there is; and it comes to rest."""
    held = position(quantity, Decimal(100), Decimal(200))
    if one_sided:
        held = replace(held, take_profit=None)
    working = [order(leg, number + 1, size, state, trigger) for number, (leg, size, state, trigger) in enumerate(found)]
    rules = Rules(replace(TRAITS, holds_stops=holds_stops), GRID, AT)
    for _ in range(4):
        plan = plan_protection(held, working, working, rules)
        selling = sum(one.open_quantity for one in working)
        assert not (plan.place and (plan.cancel or any(one.is_unresolved for one in working)))
        assert not plan.place or selling + sum(intent.quantity for intent in plan.place) <= quantity
        assert all(intent.quantity % GRID.quantity_step == 0 for intent in plan.place)
        assert all(one.state is not OrderState.UNKNOWN for one in plan.cancel if one.intent.leg is Leg.STOP)
        # Everything asked of the venue is done, and everything unknown turns out to be open.
        working = [one for one in working if one not in plan.cancel]
        working = [replace(one, state=OrderState.OPEN) if one.is_unresolved else one for one in working]
        assert not plan.place or all(one.intent.leg is Leg.STOP for one in working)
        working += [replace(order(Leg.STOP, 9, Decimal(1), OrderState.OPEN, None), intent=one) for one in plan.place]
    exits = [one for one in working if one.intent.leg is Leg.EXIT]
    if exits:
        assert working == exits
        return
    assert not plan.place
    assert not plan.cancel
    assert sum(one.open_quantity for one in working) <= quantity
    assert (Leg.STOP in resting_legs(held, working, GRID)) is (plan.held is None)
    assert plan.held in {None, ReasonCode.STOP_HELD}
