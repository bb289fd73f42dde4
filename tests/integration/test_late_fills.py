"""Fills that come twice, late, out of order, or that no position fits; and rests that are too small to be sold."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, INSTRUMENTS, TradingFloor, decision

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import Fill, Leg, OrderState, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.answers import Answer
from triplegain_pipelines.execution.booking import record_all
from triplegain_pipelines.execution.desk import account_transaction
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.sending import NoOrder, record_none
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.orders import Order

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


def execute(floor: TradingFloor, action: Action = Action.BUY) -> None:
    made = decision(as_of=floor.clock.now(), action=action)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)


def newest(floor: TradingFloor, leg: Leg) -> Order:
    """The newest order of the leg."""
    found = floor.rows(
        "SELECT client_order_id FROM intents WHERE leg = %s ORDER BY intended_at DESC, attempt DESC", leg
    )
    with floor.database.connection() as connection:
        order = orders.read(connection, "paper_trading", found[0][0])
    assert order is not None
    return order


def part(floor: TradingFloor, order: Order, quantity: Decimal, number: int, at: timedelta = MINUTE, **changes) -> Fill:
    """A trade of the order at 10,000, `at` after the start of the floor's time."""
    plain = Fill(
        venue="paper",
        trade_id=f"late:{number}",
        client_order_id=order.client_order_id,
        symbol=order.intent.symbol,
        side=order.intent.side,
        quantity=quantity,
        price=Decimal(10_000),
        fee=Decimal(0),
        fee_currency="USDT",
        filled_at=floor.clock.now() + at,
    )
    return replace(plain, **changes)


def tell(floor: TradingFloor, *reports: tuple[Order, OrderState, list[Fill]]) -> None:
    """Record what the venue says of orders, together."""
    answers = [
        Answer(order, VenueOrder(order.client_order_id, "v", state, tuple(fills)), ReasonCode.VENUE_ACCEPTED)
        for order, state, fills in reports
    ]
    with account_transaction(floor.desk, None) as transaction:
        record_all(transaction, answers)


def held(floor: TradingFloor) -> Decimal:
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), Decimal(0))


def owned(floor: TradingFloor) -> Decimal:
    return floor.rows("SELECT amount FROM balances WHERE currency = 'BTC'")[0][0]


def events(floor: TradingFloor, kind: str) -> list[tuple]:
    return floor.rows("SELECT payload::json FROM trading_events WHERE kind = %s ORDER BY sequence", kind)


def test_a_fill_after_the_cancel_was_accepted_is_booked(floor: TradingFloor) -> None:
    """Trap 3: a cancelled stop whose fill was on its way has sold; once in part, and once the rest."""
    execute(floor)
    stop, target = newest(floor, Leg.STOP), newest(floor, Leg.TAKE_PROFIT)
    tell(floor, (stop, OrderState.CANCELED, []), (target, OrderState.CANCELED, []))
    whole = stop.intent.quantity
    half = (whole / 2).quantize(INSTRUMENTS[BTC].quantity_step)
    first = part(floor, stop, half, 1)
    for _ in range(2):  # told twice, booked once
        tell(floor, (newest(floor, Leg.STOP), OrderState.CANCELED, [first]))
        stop = newest(floor, Leg.STOP)
        assert (stop.state, stop.filled_quantity, held(floor)) == (OrderState.CANCELED, half, whole - half)
    tell(floor, (stop, OrderState.CANCELED, [part(floor, stop, whole - half, 2), first]))
    stop = newest(floor, Leg.STOP)
    assert (stop.state, stop.filled_quantity, held(floor)) == (OrderState.FILLED, whole, 0)
    assert floor.rows("SELECT reason_code FROM orders WHERE state = 'FILLED'")[-1:] == [("LATE_FILL",)]
    assert owned(floor) == 0
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]


def test_older_words_of_the_venue_take_nothing_back(floor: TradingFloor) -> None:
    """Trap 16, X3: venues answer with older copies; a done order stays done, a fill stays a fill."""
    execute(floor)
    entry, stop = newest(floor, Leg.ENTRY), newest(floor, Leg.STOP)
    tell(floor, (entry, OrderState.OPEN, []))
    assert newest(floor, Leg.ENTRY) == entry
    tell(floor, (stop, OrderState.PARTIALLY_FILLED, [part(floor, stop, Decimal("0.001"), 1)]))
    stop = newest(floor, Leg.STOP)
    tell(floor, (stop, OrderState.OPEN, []))
    assert newest(floor, Leg.STOP) == stop
    tell(floor, (stop, OrderState.REJECTED, []))
    assert newest(floor, Leg.STOP).state is OrderState.CANCELED
    tell(floor, (newest(floor, Leg.STOP), OrderState.OPEN, []))
    assert newest(floor, Leg.STOP).state is OrderState.CANCELED


def test_fills_that_come_together_are_booked_in_the_order_of_their_time(floor: TradingFloor) -> None:
    """X4: what was sold between two buys was sold at the average of the first."""
    execute(floor)
    stop, target = newest(floor, Leg.STOP), newest(floor, Leg.TAKE_PROFIT)
    late = part(floor, stop, Decimal("0.003"), 1, 3 * MINUTE)
    early = part(floor, stop, Decimal("0.001"), 2, MINUTE)
    between = part(floor, target, Decimal("0.002"), 3, 2 * MINUTE)
    tell(floor, (stop, OrderState.PARTIALLY_FILLED, [late, early]), (target, OrderState.PARTIALLY_FILLED, [between]))
    booked = [payload["trade_id"] for (payload,) in events(floor, "fill_booked")]
    assert booked[1:] == ["late:2", "late:3", "late:1"]


def test_more_than_there_was_is_booked_and_seen(floor: TradingFloor) -> None:
    """Trap 24: stop and exit both filled; the trade is not forgotten, the position ends, and the difference shows."""
    execute(floor)
    stop, target = newest(floor, Leg.STOP), newest(floor, Leg.TAKE_PROFIT)
    half = Decimal("0.02")
    whole = stop.intent.quantity
    tell(floor, (target, OrderState.PARTIALLY_FILLED, [part(floor, target, half, 1)]))
    tell(floor, (stop, OrderState.FILLED, [part(floor, stop, whole, 2)]))
    assert held(floor) == 0
    assert owned(floor) == -half
    assert floor.rows("SELECT sum(quantity) FROM fills WHERE side = 'SELL'") == [(whole + half,)]
    (payload,) = events(floor, "fill_unaccounted")[0]
    assert (payload["trade_id"], Decimal(payload["unaccounted"])) == ("late:2", -half)
    assert floor.rows("SELECT quantity FROM trades") == [(whole,)]
    again = newest(floor, Leg.TAKE_PROFIT)
    tell(floor, (again, OrderState.CANCELED, [part(floor, again, half, 3)]))
    assert owned(floor) == -2 * half
    assert len(events(floor, "fill_unaccounted")) == 2


@pytest.mark.parametrize(
    ("state", "share", "changes", "complaint"),
    [
        (OrderState.FILLED, "0.5", {}, "its fills sum to"),
        (OrderState.FILLED, "1.5", {}, "its fills sum to"),
        (OrderState.OPEN, "1.5", {}, "its fills sum to"),
        (OrderState.FILLED, "1", {"symbol": "ETH/USDT"}, "is none of"),
    ],
)
def test_an_answer_that_cannot_be_true_writes_nothing(
    floor: TradingFloor, state: OrderState, share: str, changes: dict, complaint: str
) -> None:
    """Rule 4: half of a wrong answer in the books is worse than none."""
    execute(floor)
    stop = newest(floor, Leg.STOP)
    before = floor.rows("SELECT count(*) FROM trading_events UNION ALL SELECT count(*) FROM fills")
    with pytest.raises(DataError, match=complaint):
        tell(floor, (stop, state, [part(floor, stop, stop.intent.quantity * Decimal(share), 1, **changes)]))
    assert newest(floor, Leg.STOP) == stop
    assert floor.rows("SELECT count(*) FROM trading_events UNION ALL SELECT count(*) FROM fills") == before


def test_a_trade_id_of_another_fill_is_no_fill_seen_before(floor: TradingFloor) -> None:
    """Trap 9: an id that two trades share would swallow the second."""
    execute(floor)
    stop, target = newest(floor, Leg.STOP), newest(floor, Leg.TAKE_PROFIT)
    tell(floor, (stop, OrderState.PARTIALLY_FILLED, [part(floor, stop, Decimal("0.001"), 1)]))
    with pytest.raises(DataError, match="booked otherwise"):
        tell(floor, (target, OrderState.PARTIALLY_FILLED, [part(floor, target, Decimal("0.001"), 1)]))
    stop = newest(floor, Leg.STOP)
    with pytest.raises(DataError, match="booked otherwise"):
        tell(floor, (stop, OrderState.PARTIALLY_FILLED, [part(floor, stop, Decimal("0.002"), 1)]))


def coarse(floor: TradingFloor, minimum: str) -> None:
    """A market in which less than `minimum` bitcoins cannot be traded."""
    coin = replace(INSTRUMENTS[BTC], minimum_quantity=Decimal(minimum), minimum_cost=Decimal(0))
    floor.desk = replace(floor.desk, instruments={**INSTRUMENTS, BTC: coin})


@pytest.mark.parametrize(("left", "is_dust"), [("0.0009", True), ("0.001", False)])
def test_a_rest_that_cannot_be_sold_is_dust(floor: TradingFloor, left: str, *, is_dust: bool) -> None:
    """Trap 4: a position that no order can close must end, and what is left of it stays the account's."""
    execute(floor)
    coarse(floor, "0.001")
    stop, target = newest(floor, Leg.STOP), newest(floor, Leg.TAKE_PROFIT)
    rest = Decimal(left)
    tell(floor, (stop, OrderState.PARTIALLY_FILLED, [part(floor, stop, stop.intent.quantity - rest, 1)]))
    tell(floor, (newest(floor, Leg.STOP), OrderState.CANCELED, []))
    assert held(floor) == rest  # the target is still at work
    tell(floor, (target, OrderState.CANCELED, []))
    dust = floor.rows("SELECT quantity FROM dust")
    assert dust == ([(rest,)] if is_dust else [])
    assert held(floor) == (0 if is_dust else rest)
    assert owned(floor) == rest == held(floor) + sum(row[0] for row in dust)
    assert [payload["reason"] for (payload,) in events(floor, "dust_written_off")] == ["DUST_WRITTEN_OFF"] * is_dust
    trades = floor.rows("SELECT quantity, profit FROM trades")
    assert len(trades) == is_dust
    if is_dust:
        cash = floor.rows("SELECT amount FROM balances WHERE currency = 'USDT'")[0][0]
        assert trades == [(stop.intent.quantity, cash - 2_100)]
        assert floor.rows("SELECT posting, amount FROM ledger WHERE starts_with(transaction, 'dust:') ORDER BY 1") == [
            ("dust", rest),
            ("holdings", -rest),
        ]


def test_a_rest_whose_sale_the_venue_refuses_is_dust(floor: TradingFloor) -> None:
    """Trap 4: the first part of an entry was too small already; its stop was refused, and nothing can be sold."""
    execute(floor)
    coarse(floor, "1")
    for leg in (Leg.STOP, Leg.TAKE_PROFIT):
        with account_transaction(floor.desk, None) as transaction:
            order = newest(floor, leg)
            record_all(
                transaction,
                [Answer(order, VenueOrder(order.client_order_id, "v", OrderState.CANCELED, ()), ReasonCode.ADOPTED)],
            )
    assert held(floor) == 0
    assert floor.rows("SELECT count(*) FROM dust") == [(1,)]
    assert floor.rows("SELECT exited, exit_price FROM trades, (SELECT 1 AS exited) one") == [(1, Decimal(0))]


def test_no_dust_while_another_order_is_at_work(floor: TradingFloor) -> None:
    """Trap 4: what is left is known only when nothing works in the symbol any more."""
    execute(floor)
    coarse(floor, "1")
    stop = newest(floor, Leg.STOP)
    with account_transaction(floor.desk, None) as transaction:
        record_none(transaction, stop, NoOrder(OrderState.CANCELED, ReasonCode.ADOPTED, ""))
    assert held(floor) > 0  # the target works
    assert floor.rows("SELECT count(*) FROM dust") == [(0,)]


def test_a_late_fill_of_a_refused_order_is_booked_and_seen(floor: TradingFloor) -> None:
    """X3: a venue that refused and filled all the same has made us own it."""
    floor.broker.refuse.add("ENTRY")
    execute(floor)
    entry = newest(floor, Leg.ENTRY)
    assert entry.state is OrderState.REJECTED
    tell(floor, (entry, OrderState.FILLED, [part(floor, entry, entry.intent.quantity, 1)]))
    entry = newest(floor, Leg.ENTRY)
    assert (entry.state, entry.filled_quantity, held(floor)) == (
        OrderState.REJECTED,
        entry.intent.quantity,
        entry.intent.quantity,
    )
    assert len(events(floor, "order_adopted")) == 1
