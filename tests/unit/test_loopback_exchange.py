"""The exchange on loopback without a protocol: its books, its faults, its clock and its prices."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.market import Candle, Instrument
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.market.simulator import SimulatedMarket
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.control import Control
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind, FaultPlan, fault_plan
from triplegain_pipelines.rehearsal.orders import (
    FeeIn,
    OrderRequest,
    OrderStatus,
    RefusedError,
    VenueRefusal,
    VenueRules,
)
from triplegain_pipelines.rehearsal.prices import PriceDriver, Tick, candles_of, quoted, ticks_of, ticks_of_market

pytestmark = pytest.mark.unit
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BTC = Instrument("BTC/USDT", Decimal("0.001"), Decimal("0.1"), Decimal("0.001"), Decimal(5))
BNB = Instrument("BNB/USDT", Decimal("0.01"), Decimal("0.1"), Decimal("0.01"), Decimal(5))
SELL_STOP = OrderRequest("BTC/USDT", Side.SELL, Decimal(1), trigger=Decimal(90))
BUY = OrderRequest("BTC/USDT", Side.BUY, Decimal(1))
STARTED = {"BTC": Decimal(2), "USDT": Decimal(1000), "BNB": Decimal(1)}


def opened(fee_currency: str | None = None, **balances: Decimal) -> LoopbackExchange:
    """An exchange with the market at 100 / 101 and a fee of a tenth of a per cent."""
    made = LoopbackExchange([BTC, BNB], {**STARTED, **balances}, Decimal("0.001"), ReplayClock(NOW), fee_currency)
    made.set_price("BTC/USDT", Decimal(100), Decimal(101))
    made.set_price("BNB/USDT", Decimal(50), Decimal(50))
    return made


def refusal(exchange: LoopbackExchange, request: OrderRequest) -> VenueRefusal:
    """Why an order is refused."""
    before = (exchange.orders, exchange.balances, exchange.held)
    with pytest.raises(RefusedError) as caught:
        exchange.submit(request)
    assert (exchange.orders, exchange.balances, exchange.held) == before
    return caught.value.refusal


_amounts = st.integers(1, 3000).map(lambda steps: Decimal(steps) / 1000)
_prices = st.integers(500, 2000).map(lambda steps: Decimal(steps) / 10)
_requests = st.builds(
    OrderRequest,
    st.just("BTC/USDT"),
    st.sampled_from(Side),
    _amounts,
    client_id=st.sampled_from([None, "a", "b"]),
    limit=st.none() | _prices,
    trigger=st.none() | _prices,
    rising=st.booleans(),
    immediate=st.booleans(),
    fee_in=st.sampled_from([None, *FeeIn]),
    in_parts=st.booleans(),
)
_steps = st.one_of(
    st.tuples(st.just("submit"), _requests),
    st.tuples(st.just("price"), _prices),
    st.tuples(st.just("cancel"), st.tuples(st.integers(0, 20), st.booleans())),
    st.tuples(st.just("arrive"), st.none()),
)


def take(exchange: LoopbackExchange, step: tuple[str, Any]) -> None:
    """One step of a random history; what is refused changes nothing."""
    name, asked = step
    try:
        if name == "submit":
            exchange.submit(asked)
        elif name == "price":
            exchange.set_price("BTC/USDT", asked, asked + Decimal("0.1"))
        elif name == "arrive":
            exchange.arrived()
        elif exchange.orders:
            number = exchange.orders[asked[0] % len(exchange.orders)].number
            exchange.cancel(number, fill_after=asked[1])
    except RefusedError:
        pass


@given(
    st.lists(_steps, max_size=30),
    st.sampled_from([None, "BNB"]),
    st.builds(VenueRules, st.booleans(), st.booleans(), st.sampled_from(FeeIn)),
)
@settings(deadline=None, max_examples=200)
def test_books_are_right_after_every_step(
    steps: list[tuple[str, Any]], fee_currency: str | None, rules: VenueRules
) -> None:
    """Prevents an exchange that makes or loses money (X4): trades explain every balance, and none is negative."""
    exchange = opened(fee_currency)
    exchange.rules = rules
    for step in [*steps, ("arrive", None), ("arrive", None)]:
        take(exchange, step)
        with localcontext(EXACT):
            changes: dict[str, Decimal] = defaultdict(Decimal)
            for trade in exchange.trades:
                changes["BTC"] += trade.side.sign * trade.quantity
                changes["USDT"] -= trade.side.sign * trade.cost
                changes[trade.fee_currency] -= trade.fee
            assert exchange.balances == {name: amount + changes[name] for name, amount in STARTED.items()}
            held = exchange.held
            assert all(0 <= held[name] <= exchange.balances[name] for name in STARTED)
            kept = [order for order in exchange.orders if order.open or order.late is not None]
            assert sum(held.values()) == sum(order.held for order in kept)
            for order in exchange.orders:
                mine = [trade for trade in exchange.trades if trade.order == order.number]
                assert order.filled == sum(trade.quantity for trade in mine) <= order.request.quantity
                assert (order.status is OrderStatus.FILLED) == (order.rest == 0)
        assert len({trade.number for trade in exchange.trades}) == len(exchange.trades)
        named = [order.request.client_id for order in exchange.orders if order.open and order.request.client_id]
        assert len(named) == len(set(named))
    assert all(order.late is None for order in exchange.orders)


def test_stops_are_filled_at_the_market() -> None:
    """Prevents stops that fill at their trigger through a gap (trap 31)."""
    exchange = opened()
    stop = exchange.submit(SELL_STOP)
    exchange.set_price("BTC/USDT", Decimal("90.1"), Decimal(91))
    assert exchange.orders[0].open
    exchange.set_price("BTC/USDT", Decimal(80), Decimal(81))
    assert [(trade.order, trade.price) for trade in exchange.trades] == [(stop.number, Decimal(80))]


def test_an_order_may_wait_for_a_rise() -> None:
    """Prevents a target that fires on the way down, and a stop of a buy likewise."""
    exchange = opened()
    target = exchange.submit(replace(SELL_STOP, trigger=Decimal(110), rising=True))
    stop = exchange.submit(replace(BUY, trigger=Decimal(120), rising=True))
    for bid, done in ((90, []), (110, [target.number]), (120, [target.number, stop.number])):
        exchange.set_price("BTC/USDT", Decimal(bid), Decimal(bid))
        assert [trade.order for trade in exchange.trades] == done


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (replace(BUY, quantity=Decimal("0.0015")), VenueRefusal.QUANTITY_STEP),
        (replace(BUY, quantity=Decimal(0)), VenueRefusal.QUANTITY_STEP),
        (replace(BUY, quantity=Decimal("0.001")), VenueRefusal.MINIMUM_COST),
        (replace(BUY, limit=Decimal("100.05")), VenueRefusal.PRICE_STEP),
        (replace(SELL_STOP, trigger=Decimal("90.05")), VenueRefusal.PRICE_STEP),
        (replace(BUY, symbol="NIX/USDT"), VenueRefusal.UNKNOWN_SYMBOL),
        (replace(BUY, quantity=Decimal("9.9")), VenueRefusal.INSUFFICIENT_FUNDS),
        (replace(BUY, side=Side.SELL, quantity=Decimal("2.001")), VenueRefusal.INSUFFICIENT_FUNDS),
    ],
)
def test_what_cannot_be_is_refused(request_: OrderRequest, expected: VenueRefusal) -> None:
    """Prevents a lenient exchange (R7): 9.9 at 101 is 999.9, and the fee on top of it is too much."""
    assert refusal(opened(), request_) is expected


def test_a_resting_sale_holds_what_it_would_sell() -> None:
    """Prevents a stop and an exit that are both filled (trap 24)."""
    exchange = opened()
    stop = exchange.submit(replace(SELL_STOP, quantity=Decimal(2)))
    assert refusal(exchange, replace(BUY, side=Side.SELL)) is VenueRefusal.INSUFFICIENT_FUNDS
    exchange.cancel(stop.number)
    exchange.submit(replace(BUY, side=Side.SELL))


def test_a_passed_trigger_is_refused_or_fires() -> None:
    """Prevents a stop that never fires because it was placed too late."""
    passed, exchange = replace(SELL_STOP, trigger=Decimal(100)), opened()
    exchange.rules = VenueRules(refuses_passed_triggers=True)
    assert refusal(exchange, passed) is VenueRefusal.TRIGGER_PASSED
    exchange.rules = VenueRules()
    assert exchange.submit(passed).status is OrderStatus.FILLED


def test_client_ids_are_unique_among_open_orders_or_for_ever() -> None:
    """Prevents one venue's rule from being believed of another (X3)."""
    exchange, named = opened(), replace(SELL_STOP, client_id="one", quantity=Decimal("0.5"))
    stop = exchange.submit(named)
    assert refusal(exchange, named) is VenueRefusal.DUPLICATE_CLIENT_ID
    exchange.cancel(stop.number)
    second = exchange.submit(named)
    assert second.number != stop.number
    exchange.rules = VenueRules(client_ids_for_ever=True)
    exchange.cancel(second.number)
    assert exchange.submit(named).number == second.number


def test_a_fill_in_parts_ends_with_the_next_price() -> None:
    """Prevents a partial fill that is a whole one, or that never ends."""
    exchange = opened()
    assert exchange.submit(replace(BUY, in_parts=True)).filled == Decimal("0.5")
    exchange.set_price("BTC/USDT", Decimal(102), Decimal(103))
    assert [(trade.quantity, trade.price) for trade in exchange.trades] == [
        (Decimal("0.5"), Decimal(101)),
        (Decimal("0.5"), Decimal(103)),
    ]
    gone = exchange.submit(replace(BUY, in_parts=True, immediate=True))
    assert (gone.status, gone.filled) == (OrderStatus.CANCELED, Decimal("0.5"))


def test_the_dead_man_timer_is_set_moved_and_switched_off() -> None:
    """Prevents a timer that fires though it was refreshed, or not at all."""
    clock = ReplayClock(NOW)
    exchange = LoopbackExchange([BTC], {"BTC": Decimal(1)}, Decimal(0), clock)
    exchange.set_price("BTC/USDT", Decimal(100), Decimal(101))
    exchange.submit(SELL_STOP)
    for seconds, timeout in ((0, 60), (59, 60), (118, None), (500, 10)):
        clock.advance_to(NOW + timedelta(seconds=seconds))
        exchange.cancel_all_after(timedelta(seconds=timeout) if timeout else None)
        assert exchange.orders[0].open
    clock.advance_to(NOW + timedelta(seconds=510))
    assert (exchange.orders[0].status, exchange.held["BTC"]) == (OrderStatus.CANCELED, 0)


def test_many_threads_trade_at_once() -> None:
    """Prevents a lost update: what four threads buy and sell is in the books to the last decimal place."""
    exchange = opened(USDT=Decimal(100_000))

    def trade() -> None:
        for number in range(50):
            exchange.submit(replace(BUY, side=(Side.BUY, Side.SELL)[number % 2], quantity=Decimal("0.1")))
            exchange.set_price("BTC/USDT", Decimal(100), Decimal(101))

    threads = [Thread(target=trade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(exchange.trades) == 200
    assert exchange.balances["BTC"] == STARTED["BTC"]
    spent = sum(trade.side.sign * trade.cost + trade.fee for trade in exchange.trades)
    assert exchange.balances["USDT"] == Decimal(100_000) - spent


def test_a_fault_waits_for_a_call_that_it_suits() -> None:
    """Prevents faults that are used up by calls which cannot meet them."""
    plan = FaultPlan([Fault(FaultKind.FILL_AFTER_CANCEL), None, Fault(FaultKind.DELAY, "AddOrder")])
    calls = [("Balance", CallKind.ACCOUNT), ("CancelOrder", CallKind.CANCEL), ("AddOrder", CallKind.SUBMIT)]
    met = [plan.meet(*call) for call in [*calls, calls[2], calls[2]]]
    assert met == [None, FaultKind.FILL_AFTER_CANCEL, None, FaultKind.DELAY, None]
    assert plan.counts == {FaultKind.FILL_AFTER_CANCEL: 1, FaultKind.DELAY: 1}
    assert plan.met == (("CancelOrder", FaultKind.FILL_AFTER_CANCEL), ("AddOrder", FaultKind.DELAY))


def test_a_plan_is_the_same_for_the_same_seed() -> None:
    """Prevents a failure that nobody can have again: every kind comes, and in the order that the seed says."""

    def met(seed: int) -> list[FaultKind | None]:
        plan = fault_plan(seed, 400, 0.5)
        kinds = (CallKind.SUBMIT, CallKind.CANCEL, CallKind.QUESTION)
        return [plan.meet("call", kinds[number % 3]) for number in range(500)]

    assert met(1) == met(1) != met(2)
    assert {kind for kind in met(1) if kind} == set(FaultKind)


def test_a_clock_is_shared_with_children_and_by_file(tmp_path: Path) -> None:
    """Prevents a venue and a client that live at different times."""
    clock = ShiftableClock(NOW)
    filed = ShiftableClock(file=tmp_path / "clock")
    child = os.fork()
    if not child:
        clock.advance(timedelta(hours=5))
        ShiftableClock(file=tmp_path / "clock").advance(timedelta(hours=5))
        os._exit(0)
    os.waitpid(child, 0)
    minute = timedelta(minutes=1)
    assert NOW + timedelta(hours=5) <= clock.now() < NOW + timedelta(hours=5) + minute
    assert timedelta(hours=5) - minute < filed.now() - ShiftableClock().now() < timedelta(hours=5) + minute
    clock.advance_to(NOW)
    assert clock.now() >= NOW + timedelta(hours=5)
    with pytest.raises(ValueError, match="cannot run backwards"):
        clock.advance(timedelta(seconds=-1))


def test_prices_walk_with_the_clock() -> None:
    """Prevents a stop that a candle touched and the driver did not: the low comes before the high."""
    clock = ShiftableClock(NOW)
    exchange = LoopbackExchange([BTC], {"BTC": Decimal(1)}, Decimal(0), clock)
    candle = Candle("BTC/USDT", NOW, Decimal(100), Decimal(120), Decimal(80), Decimal(110))
    driver = PriceDriver(exchange, ticks_of([candle]), clock, Decimal(20))
    assert driver.run_until(NOW) == 1
    assert exchange.prices["BTC/USDT"] == (Decimal("99.9"), Decimal("100.1"))
    exchange.submit(SELL_STOP)
    assert driver.run_until(NOW + timedelta(minutes=1)) == 3
    assert exchange.trades[0].price == Decimal("79.9")
    assert exchange.trades[0].traded_at < NOW + timedelta(seconds=21)
    assert exchange.prices["BTC/USDT"] == (Decimal("109.8"), Decimal("110.2"))


def test_the_simulated_market_drives_an_exchange() -> None:
    """Prevents a rehearsal without a market: every symbol's path, in order of time, as its candles have it."""
    start = datetime(2026, 1, 2, tzinfo=UTC)
    market = SimulatedMarket(3, date(2026, 1, 1), ["BTC/USDT", "ETH/USDT"])
    ticks = list(ticks_of_market(market, start, start + timedelta(minutes=3)))
    assert len(ticks) == 2 * 3 * 4
    assert ticks == sorted(ticks, key=lambda tick: tick.at)
    first = next(candles_of("BTC/USDT", market.candles("BTC/USDT", start, start + timedelta(minutes=1))))
    assert Tick(start, "BTC/USDT", first.open) in ticks


def test_a_spread_is_never_narrowed_by_the_grid() -> None:
    """Prevents quotes that are crossed or better than the price."""
    assert quoted(Decimal("100.05"), Decimal(0), BTC) == (Decimal("100.0"), Decimal("100.1"))


def test_a_server_is_a_program_of_its_own(tmp_path: Path) -> None:
    """Prevents books that die with the client that is killed: prices are set and books read from outside."""
    asked = {
        "venue": "kraken",
        "instruments": [{"symbol": "BTC/USDT", "price_step": "0.1"}],
        "balances": {"USDT": "1000"},
        "fee_rate": "0.001",
        "clock": str(tmp_path / "clock"),
        "faults": {"seed": 1, "calls": 10, "share": 0.0},
    }
    program = [sys.executable, "-m", "triplegain_pipelines.rehearsal"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        control = Control(json.loads(process.stdout.readline())["url"])
        control.set_price("BTC/USDT", Decimal("99.9"), Decimal("100.1"))
        control.advance(timedelta(hours=1))
        control.settle()
        state = control.state()
        process.stdin.close()
        assert process.wait(10) == 0
    assert state["prices"] == {"BTC/USDT": ["99.9", "100.1"]}
    assert (state["balances"], state["orders"]) == ({"USDT": "1000"}, [])
    ahead = ShiftableClock(file=tmp_path / "clock").now() - ShiftableClock().now()
    assert ahead > timedelta(minutes=59)
