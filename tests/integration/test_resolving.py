"""Orders of unknown outcome at a venue that may still take what it does not know yet, by scripted answers."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, ETH, LossyBroker, TradingFloor, decision, trading_floor

from triplegain_pipelines.domain.errors import DataError, UnavailableError
from triplegain_pipelines.domain.orders import Fill, OrderReference, OrderState, VenueOrder
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.resolving import follow
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import Order

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)


@dataclass
class ScriptedBroker(LossyBroker):
    """A real venue's broker, as far as look-ups go: absence proves nothing, and `answers` says what it knows.

    An answer is the state and the part of the order that is filled.
    """

    answers: dict[str, tuple[OrderState, str]] = field(default_factory=dict)

    @property
    def traits(self) -> VenueTraits:
        """Those of the paper venue, but absence is not final."""
        return replace(self.venue_behind.traits, absence_is_final=False, expiry=10 * SECOND)

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """What `answers` says for the symbol; None is not known now."""
        if self.down:
            msg = "the venue is down"
            raise UnavailableError(msg)
        if order.symbol not in self.answers:
            return None
        state, share = self.answers[order.symbol]
        return answer(order, state, share)


def answer(order: OrderReference, state: OrderState, share: str) -> VenueOrder:
    """The venue's answer that `share` of the order is filled, at 10,000."""
    fill = Fill(
        venue="venue",
        trade_id=f"{order.client_order_id}:{share}",
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity * Decimal(share),
        price=Decimal(10_000),
        fee=Decimal(0),
        fee_currency="USDT",
        filled_at=order.sent_at,
    )
    fills = (fill,) if fill.quantity else ()
    return VenueOrder(order.client_order_id, f"v-{order.client_order_id}", state, fills, raw=f"{state} {share}")


@pytest.fixture
def floor(database: Database) -> TradingFloor:
    made = trading_floor(database)
    broker = ScriptedBroker(made.venue)
    made.broker, made.desk = broker, replace(made.desk, broker=broker)
    return made


def unknown_entry(floor: TradingFloor, symbol: str = BTC) -> Order:
    """An entry whose request may have been lost, seconds ago."""
    floor.broker.lose_request.add("ENTRY")
    made = decision(symbol, as_of=floor.clock.now(), price=float(floor.prices.prices[symbol]), atr=10.0)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    return newest(floor, symbol)


def newest(floor: TradingFloor, symbol: str = BTC) -> Order:
    with floor.database.connection() as connection:
        (name,) = floor.rows("SELECT client_order_id FROM intents WHERE symbol = %s AND leg = 'ENTRY'", symbol)[0]
        order = orders.read(connection, "paper_trading", name)
    assert order is not None
    return order


def ask(floor: TradingFloor, after: timedelta = SECOND) -> Order:
    """Let time pass, and look the order up as a tick does."""
    floor.clock.advance_to(floor.clock.now() + after)
    with OrderPath(floor.desk) as path:
        path.mend(path.newest_token())
    return newest(floor)


def test_an_absent_order_is_given_up_only_long_after_it_expired(floor: TradingFloor) -> None:
    """X3, notes 2.4: absent before its expiry proves nothing; then three look-ups in a row, and two seconds."""
    assert unknown_entry(floor).state is OrderState.UNKNOWN
    for _ in range(10):
        order = ask(floor)
        assert (order.state, order.misses) == (OrderState.UNKNOWN, 0)
    assert [ask(floor).misses for _ in range(2)] == [1, 2]
    order = ask(floor)
    assert (order.state, order.submitted_at) == (OrderState.LOST, order.expires_at - 10 * SECOND)
    assert floor.rows("SELECT reason_code FROM orders") == [("NEVER_ARRIVED",)]
    assert len(floor.broker.submissions) == 1


def test_three_look_ups_within_a_moment_are_one(floor: TradingFloor) -> None:
    """Notes 2.4: a venue whose copy lags answers the same three times."""
    unknown_entry(floor)
    ask(floor, 20 * SECOND)
    assert [ask(floor, timedelta(0)).misses for _ in range(4)] == [1, 1, 1, 1]


def test_a_late_first_miss_waits_for_two_more(floor: TradingFloor) -> None:
    """Notes 2.4: a process that was dead for an hour must not give an order up on one look-up."""
    unknown_entry(floor)
    assert [ask(floor, timedelta(hours=1)).state for _ in range(3)] == ["UNKNOWN", "UNKNOWN", "LOST"]


def test_a_failed_look_up_is_no_miss_and_an_answer_ends_the_row(floor: TradingFloor) -> None:
    """Trap 22: 'could not be asked' is not 'not there'; and only misses in a row count."""
    unknown_entry(floor)
    ask(floor, 20 * SECOND)
    assert ask(floor).misses == 2
    floor.broker.down = True
    assert ask(floor).misses == 2
    floor.broker.down = False
    floor.broker.answers[BTC] = (OrderState.OPEN, "0")
    order = ask(floor)
    assert (order.state, order.misses) == (OrderState.OPEN, 0)
    del floor.broker.answers[BTC]
    assert [ask(floor).misses for _ in range(5)] == [1, 2, 3, 4, 5]
    assert newest(floor).state is OrderState.OPEN  # accepted once, it is never given up
    floor.broker.answers[BTC] = (OrderState.OPEN, "0")
    assert ask(floor).misses == 0


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ((OrderState.FILLED, "1"), OrderState.FILLED),
        ((OrderState.OPEN, "0"), OrderState.OPEN),
        ((OrderState.CANCELED, "0.5"), OrderState.CANCELED),
        ((OrderState.OPEN, "0.5"), OrderState.PARTIALLY_FILLED),
    ],
)
def test_an_order_that_was_given_up_is_adopted_where_it_exists(
    floor: TradingFloor, found: tuple[OrderState, str], state: OrderState
) -> None:
    """X3: the certainty was wrong; its fills are booked, the position is protected, and the trail says so."""
    unknown_entry(floor)
    for _ in range(3):
        ask(floor, timedelta(minutes=1))
    lost = newest(floor)
    assert lost.state is OrderState.LOST
    floor.broker.answers[BTC] = found
    with OrderPath(floor.desk) as path:
        assert follow(path.desk, path.newest_token(), [lost]) == []
        floor.broker.answers.clear()
    assert newest(floor).state is state
    assert floor.rows(
        "SELECT payload::json ->> 'reason', payload::json ->> 'before' FROM trading_events WHERE kind = 'order_adopted'"
    ) == [("ADOPTED", "LOST")]
    assert sum(row[0] for row in floor.rows("SELECT quantity FROM positions")) == lost.intent.quantity * Decimal(
        found[1]
    )
    assert floor.rows("SELECT answer FROM venue_answers") == [(f"{found[0]} {found[1]}",)]


def test_a_lost_order_that_is_still_absent_stays_lost(floor: TradingFloor) -> None:
    """X3: asking for it again changes nothing."""
    unknown_entry(floor)
    for _ in range(3):
        ask(floor, timedelta(minutes=1))
    before = floor.rows("SELECT count(*) FROM trading_events")
    with OrderPath(floor.desk) as path:
        assert follow(path.desk, path.newest_token(), [newest(floor)]) == []
    assert newest(floor).state is OrderState.LOST
    assert floor.rows("SELECT count(*) FROM trading_events") == before


def test_an_answer_that_cannot_be_true_keeps_no_other_from_being_taken_over(floor: TradingFloor) -> None:
    """X3: one order that a venue reports wrongly must not leave another position without its books and stop."""
    bad, good = unknown_entry(floor), None
    floor.rows("UPDATE orders SET state = 'LOST' RETURNING 1")
    good = unknown_entry(floor, ETH)
    floor.broker.answers = {BTC: (OrderState.FILLED, "0.5"), ETH: (OrderState.FILLED, "1")}
    with OrderPath(floor.desk) as path:
        disputes = follow(path.desk, path.newest_token(), [bad, newest(floor, ETH)])
    assert [dispute.order.client_order_id for dispute in disputes] == [bad.client_order_id]
    assert "its fills sum to" in disputes[0].error
    assert newest(floor).state is OrderState.LOST
    assert newest(floor, ETH).state is OrderState.FILLED
    assert floor.rows("SELECT client_order_id FROM fills") == [(good.client_order_id,)]
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'fill_booked'") == [(1,)]
    assert floor.rows("SELECT count(*) FROM ledger WHERE currency = 'BTC'") == [(0,)]


def test_the_tick_tells_of_a_dispute_after_it_has_protected_the_rest(floor: TradingFloor) -> None:
    """Rule 4: what cannot be taken over is not swallowed."""
    unknown_entry(floor)
    floor.broker.answers[BTC] = (OrderState.FILLED, "0.5")
    with pytest.raises(DataError, match="its fills sum to"):
        ask(floor)
    assert newest(floor).state is OrderState.UNKNOWN
    assert floor.rows("SELECT count(*) FROM fills") == [(0,)]
