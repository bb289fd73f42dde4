"""What prices call for between two looks at the books: once each time, again where it failed, nothing for nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.levels import Due, Tick
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.services.guardian_watch import AccountState, Watch
from triplegain_pipelines.store.orders import Order

pytestmark = pytest.mark.unit

AT = datetime(2024, 8, 5, tzinfo=UTC)
BTC = "BTC/USDT"
SECOND = timedelta(seconds=1)


def position(stop: str = "9800", decision: int = 1) -> Position:
    return Position(
        account="test",
        symbol=BTC,
        decision_id=UUID(int=decision),
        quantity=Decimal(1),
        average_entry=Decimal(10_000),
        decided_price=Decimal(10_000),
        stop_loss=Decimal(stop),
        take_profit=Decimal(10_400),
        initial_risk=None,
        fees=Decimal(0),
        realised=Decimal(0),
        exited=Decimal(0),
        exit_value=Decimal(0),
        opened_at=AT,
    )


def order(leg: Leg, state: OrderState = OrderState.OPEN) -> Order:
    intent = Intent(
        "test", UUID(int=1), BTC, leg, 1, Side.SELL, OrderType.MARKET, Decimal(1), Decimal(10_000), Decimal(9_800)
    )
    return Order(intent, UUID(int=2), state, Decimal(0), submitted_at=AT)


def state(*working: Order, held: Position | None = None, mode: TradingMode = TradingMode.ACTIVE) -> AccountState:
    return AccountState(AT, mode, stopped=False, flatten=False, held=(held or position(),), working=working)


def watching(*working: Order, mode: TradingMode = TradingMode.ACTIVE) -> Watch:
    watch = Watch({BTC: Instrument(BTC)}, patience=10 * SECOND)
    watch.take(state(*working, mode=mode))
    return watch


def tick(price: str, seconds: float = 0) -> Tick:
    return Tick(BTC, Decimal(price), Decimal(price), AT + seconds * SECOND)


def test_a_level_that_is_held_here_is_called_for_at_once_and_once() -> None:
    """X2: a second exit while the first one is being sent would only wait for its lock."""
    watch = watching()
    assert watch.see(tick("9900")) is None
    call = watch.see(tick("9799", 1))
    assert call is not None
    assert (call.due, call.leg, call.price) == (Due.LEAVE_AT_STOP, Leg.STOP, Decimal(9799))
    watch.begin(BTC)
    assert watch.see(tick("9790", 2)) is None


def test_what_failed_is_called_for_again_ever_more_slowly() -> None:
    """Trap 27: a refused exit that is sent again with every tick gets the key banned; one that never is loses all."""
    watch, called = watching(), []
    for number in range(200):
        call = watch.see(tick("9700", number / 4))
        if call is not None:
            called.append(number / 4)
            watch.begin(BTC)
            watch.end(call, AT + number / 4 * SECOND, over=False)
    assert called == [0, 1, 3, 7, 15, 31]


def test_a_stop_at_the_venue_has_its_time_and_then_is_not_waited_for() -> None:
    """X2: a venue that does not fill a stop that was passed is the reason for a second line."""
    watch = watching(order(Leg.STOP))
    due = {}
    for number in range(12):
        call = watch.see(tick("9700", number))
        if call is not None:
            due[number] = call.due
            watch.begin(BTC)
            watch.end(call, AT + number * SECOND, over=False)
    assert due == {**dict.fromkeys((0, 1, 3, 7), Due.ASK), 11: Due.LEAVE_AT_STOP}


def test_the_time_beyond_a_level_begins_anew_when_the_price_comes_back() -> None:
    """X2: a price that touches the level now and then has not been beyond it all the while."""
    watch = watching(order(Leg.STOP))
    for number in range(30):
        call = watch.see(tick("9700" if number % 6 else "9900", number))
        assert call is None or call.due is Due.ASK


def test_another_position_begins_its_own_time() -> None:
    """X2: the old position's wait must not be held against the stop of a new one."""
    watch = watching(order(Leg.STOP))
    watch.see(tick("9700"))
    watch.take(state(order(Leg.STOP), held=position(decision=2)))
    call = watch.see(tick("9700", 60))
    assert call is not None
    assert call.due is Due.ASK


@pytest.mark.parametrize("unsure", [OrderState.UNKNOWN, OrderState.PENDING_SUBMIT, OrderState.PENDING_CANCEL])
def test_a_stop_that_may_not_rest_is_held_here(unsure: OrderState) -> None:
    """X3: between its sending and its confirmation a stop is nobody's, unless the guardian holds the level."""
    call = watching(order(Leg.STOP, unsure)).see(tick("9700"))
    assert call is not None
    assert call.due is Due.LEAVE_AT_STOP


@pytest.mark.parametrize(("price", "due"), [("9700", Due.LEAVE_AT_STOP), ("10500", None)])
def test_halted_only_what_protects_is_done(price: str, due: Due | None) -> None:
    """R6: under the emergency stop a target is no reason to trade, and a stop still is."""
    call = watching(mode=TradingMode.HALTED).see(tick(price))
    assert (call and call.due) is due


def test_an_older_price_does_not_come_after_a_newer_one() -> None:
    """Trap 33: the answer to a question from before the fall would call the position safe."""
    watch = watching()
    assert watch.see(tick("9900", 2)) is None
    assert watch.see(tick("9700", 1)) is None
    assert watch.ticks[BTC].bid == 9900


def test_time_alone_moves_things_while_the_price_is_fresh() -> None:
    """X2: no tick comes for a while, and the venue has still not filled its stop; an old price moves nothing."""
    watch = watching(order(Leg.STOP))
    watch.see(tick("9700"))
    assert [call.due for call in watch.judge_again(AT + 11 * SECOND, 20 * SECOND)] == [Due.LEAVE_AT_STOP]
    assert watch.judge_again(AT + 21 * SECOND, 20 * SECOND) == []


@pytest.mark.parametrize(
    ("working", "wanted"),
    [
        ((), False),
        ((order(Leg.ENTRY),), True),
        ((order(Leg.ENTRY), order(Leg.STOP)), False),
        ((order(Leg.ENTRY), order(Leg.STOP, OrderState.UNKNOWN)), False),
        ((order(Leg.STOP),), False),
    ],
)
def test_the_timer_is_wanted_only_where_it_cancels_no_stop(working: tuple[Order, ...], *, wanted: bool) -> None:
    """The venue's dead-man timer cancels everything: set while a stop rests, it would take the stop."""
    assert state(*working).wants_dead_man is wanted
