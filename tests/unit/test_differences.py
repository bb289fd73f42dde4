"""The table of differences between books and venue: each kind is found where it is, and nothing where all agrees."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.domain.orders import (
    Execution,
    Intent,
    Leg,
    OrderState,
    OrderType,
    RestingAtVenue,
    Side,
)
from triplegain_pipelines.execution.differences import Difference, DifferenceKind, Outcome
from triplegain_pipelines.execution.views import BooksView, Tolerances, VenueView, compare
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.store.orders import Order

pytestmark = pytest.mark.unit

AT = datetime(2024, 8, 5, 12, tzinfo=UTC)
BTC = "BTC/USDT"
D = Decimal
K = DifferenceKind
TOLERANCES = Tolerances(cash=D("0.5"), dust={"BTC": D("0.0005")}, stops_rest=True, misses=3)


def order(state: OrderState = OrderState.OPEN, leg: Leg = Leg.STOP, filled: str = "0", **changes) -> Order:
    intent = Intent(
        account="test",
        decision_id=UUID(int=1),
        symbol=BTC,
        leg=leg,
        attempt=1,
        side=Side.BUY if leg is Leg.ENTRY else Side.SELL,
        order_type=OrderType.STOP if leg is Leg.STOP else OrderType.MARKET,
        quantity=D(1),
        decided_price=D(9000),
        trigger_price=D(9000) if leg is Leg.STOP else None,
    )
    made = Order(intent, UUID(int=2), state, D(filled), AT, venue_order_id="v-" + leg.value, expires_at=AT)
    return replace(made, **changes)


def listed(of: Order, filled: str | None = None, **changes) -> RestingAtVenue:
    quantity, done = of.intent.quantity, of.filled_quantity if filled is None else D(filled)
    found = RestingAtVenue(of.venue_order_id or "v-?", str(of.client_order_id), BTC, of.intent.side, quantity, done)
    return replace(found, **changes)


def trade(trade_id: str = "t1", venue_order_id: str = "v-ENTRY", **changes) -> Execution:
    made = Execution("kraken", trade_id, venue_order_id, BTC, Side.BUY, D(1), D(10_000), D(10), "USDT", AT)
    return replace(made, **changes)


def position(quantity: str = "1", stop_loss: str | None = "9000") -> Position:
    return Position(
        account="test",
        symbol=BTC,
        decision_id=UUID(int=1),
        quantity=D(quantity),
        average_entry=D(10_000),
        decided_price=D(10_000),
        stop_loss=None if stop_loss is None else D(stop_loss),
        take_profit=None,
        initial_risk=None,
        fees=D(0),
        realised=D(0),
        exited=D(0),
        exit_value=D(0),
        opened_at=AT,
    )


ENTRY = order(OrderState.FILLED, Leg.ENTRY, "1")
STOP = order()
BOOKS = BooksView(
    currency="USDT",
    balances={"USDT": D(500), "BTC": D(1)},
    unplaced={},
    positions=(position(),),
    orders=(STOP, ENTRY),
    trades={("kraken", "t1"): BTC},
)
VENUE = VenueView((listed(STOP),), (trade(),), {"USDT": D(500), "BTC": D(1)})


def found(books: BooksView = BOOKS, venue: VenueView = VENUE, tolerances: Tolerances = TOLERANCES) -> list[Difference]:
    return list(compare(books, venue, tolerances))


def kinds(*differences: Difference) -> list[DifferenceKind]:
    return [difference.kind for difference in differences]


def with_orders(*orders: Order) -> BooksView:
    return replace(BOOKS, orders=orders)


def test_where_all_agrees_there_is_no_difference() -> None:
    """X3: a comparison that finds something in books that are right would halt a healthy account."""
    assert found() == []
    assert found(venue=replace(VENUE, balances=None)) == []


@pytest.mark.parametrize("kind", list(DifferenceKind))
def test_each_kind_says_what_it_is_and_what_is_done(kind: DifferenceKind) -> None:
    """The docs' table is generated from the code; a kind without words would be a hole in it."""
    assert kind.meaning.endswith(".")
    assert kind.action.endswith(".")
    assert isinstance(kind.outcome, Outcome)
    assert kind.outcome.meaning.endswith(".")
    assert kind.value == kind.name


@pytest.mark.parametrize("state", [OrderState.UNKNOWN, OrderState.PENDING_SUBMIT, OrderState.PENDING_CANCEL])
@pytest.mark.parametrize("at_venue", [True, False])
def test_an_unresolved_order_is_looked_up_wherever_it_is(state: OrderState, *, at_venue: bool) -> None:
    """X3: neither being listed nor being absent proves what became of it."""
    asked = order(state)
    venue = replace(VENUE, open_orders=(listed(asked),) if at_venue else ())
    assert K.ORDER_UNRESOLVED in kinds(*found(with_orders(asked, ENTRY), venue))


def test_an_order_that_was_never_sent_is_none_of_the_venues() -> None:
    """X3: an order waiting to be sent is not missing at the venue."""
    waiting = order(OrderState.PENDING_SUBMIT, Leg.EXIT, submitted_at=None, venue_order_id=None)
    assert found(with_orders(STOP, ENTRY, waiting)) == []


def test_a_working_order_that_is_not_open_there_has_ended() -> None:
    """X3: a stop that filled while nobody looked must be looked up, and is no cover any more."""
    venue = replace(VENUE, open_orders=())
    assert kinds(*found(venue=venue)) == [K.ORDER_FINISHED, K.POSITION_UNPROTECTED]


def test_a_working_order_that_is_denied_again_and_again_halts() -> None:
    """X3: an accepted order that the venue does not know any more can be neither booked nor replaced by itself."""
    venue = replace(VENUE, open_orders=())
    assert K.ORDER_MISSING in kinds(*found(with_orders(replace(STOP, misses=3), ENTRY), venue))
    assert K.ORDER_FINISHED in kinds(*found(with_orders(replace(STOP, misses=2), ENTRY), venue))


def test_an_open_order_that_filled_on_is_looked_up() -> None:
    """X3: a part that filled is a fill that the books lack."""
    venue = replace(VENUE, open_orders=(listed(STOP, "0.25"),))
    difference, *_ = found(venue=venue)
    assert difference.kind is K.ORDER_PROGRESSED
    assert (difference.numbers["filled"], difference.numbers["filled_at_venue"]) == ("0", "0.25")


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (OrderState.CANCELED, K.DONE_ORDER_OPEN),
        (OrderState.FILLED, K.DONE_ORDER_OPEN),
        (OrderState.LOST, K.LOST_ORDER_FOUND),
        (OrderState.REJECTED, K.REJECTED_ORDER_FOUND),
    ],
)
def test_an_order_that_is_done_by_the_books_and_open_there(state: OrderState, kind: DifferenceKind) -> None:
    """X3: an order that the books have given up can still fill; the ones that were certain not to exist halt."""
    ghost = order(state, Leg.EXIT)
    venue = replace(VENUE, open_orders=(listed(STOP), listed(ghost)))
    differences = found(with_orders(STOP, ENTRY, ghost), venue)
    assert kinds(*differences) == [kind]
    assert differences[0].order == ghost.client_order_id
    assert differences[0].outcome is (Outcome.ADOPT if kind is K.DONE_ORDER_OPEN else Outcome.HALT)


def test_an_order_is_known_by_either_id() -> None:
    """X3: before its first answer an order has no id of the venue's; after an answer the venue's is the surer one."""
    nameless = order(OrderState.UNKNOWN, Leg.EXIT, venue_order_id=None)
    venue = replace(VENUE, open_orders=(listed(STOP, client_order_id=None), listed(nameless)))
    assert K.ORDER_FOREIGN not in kinds(*found(with_orders(STOP, ENTRY, nameless), venue))


@pytest.mark.parametrize("called", [None, "mine", str(UUID(int=77))])
def test_an_open_order_of_nobodys_halts(called: str | None) -> None:
    """X3: somebody else trades with the account's money."""
    stranger = listed(STOP, venue_order_id="v-99", client_order_id=called)
    differences = found(venue=replace(VENUE, open_orders=(listed(STOP), stranger)))
    assert [(one.kind, one.subject, one.outcome) for one in differences] == [(K.ORDER_FOREIGN, "v-99", Outcome.HALT)]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (OrderState.FILLED, K.TRADE_UNBOOKED),
        (OrderState.CANCELED, K.TRADE_UNBOOKED),
        (OrderState.LOST, K.LOST_ORDER_FOUND),
        (OrderState.REJECTED, K.REJECTED_ORDER_FOUND),
    ],
)
def test_a_trade_of_ours_that_the_books_lack(state: OrderState, kind: DifferenceKind) -> None:
    """X3: a late fill is booked, whatever the order was thought to be."""
    late = order(state, Leg.EXIT)
    venue = replace(VENUE, executions=(trade(), trade("t2", "v-EXIT", side=Side.SELL)), balances=VENUE.balances)
    differences = found(with_orders(STOP, ENTRY, late), venue)
    assert kinds(*differences) == [kind]
    assert differences[0].numbers["price"] == "10000"


def test_a_trade_of_nobodys_halts_once() -> None:
    """X3: it is over and stays in the venue's list; halting for ever would leave a person no way back."""
    venue = replace(VENUE, executions=(trade(), trade("t9", "v-99")))
    first = found(venue=venue)
    assert [(one.kind, one.outcome) for one in first] == [(K.TRADE_FOREIGN, Outcome.HALT)]
    again = found(replace(BOOKS, told=frozenset(one.key for one in first)), venue)
    assert [(one.kind, one.outcome) for one in again] == [(K.TRADE_FOREIGN, Outcome.FLAG)]
    larger = replace(VENUE, executions=(trade(), trade("t9", "v-99", quantity=D(2))))
    assert found(replace(BOOKS, told=frozenset(one.key for one in first)), larger)[0].outcome is Outcome.HALT


def test_a_balance_halts_every_time() -> None:
    """X3: money that is missing is missing until somebody explains it."""
    venue = replace(VENUE, balances={"USDT": D(400), "BTC": D(1)})
    first = found(venue=venue)
    again = found(replace(BOOKS, told=frozenset(one.key for one in first)), venue)
    assert [one.outcome for one in again] == [Outcome.HALT]


def test_a_trade_beside_an_order_of_unknown_outcome_waits_for_it() -> None:
    """X3: the trade may be that order's; it is neither a stranger's, nor is a balance judged that it moved."""
    asked = order(OrderState.UNKNOWN, Leg.ENTRY, venue_order_id=None)
    venue = replace(VENUE, executions=(trade(), trade("t2", "v-new")), balances={"USDT": D(1), "BTC": D(2)})
    differences = found(with_orders(STOP, ENTRY, asked), venue)
    assert kinds(*differences) == [K.ORDER_UNRESOLVED, K.TRADE_UNATTRIBUTED]
    assert all(one.outcome is not Outcome.HALT for one in differences)


def test_a_trade_that_the_venue_takes_back_is_flagged() -> None:
    """X3: a booked trade that is not listed any more may have been revised away."""
    assert kinds(*found(venue=replace(VENUE, executions=()))) == [K.TRADE_GONE]


@pytest.mark.parametrize(
    ("covered_by", "unprotected"),
    [
        (order(leg=Leg.STOP), False),
        (order(leg=Leg.EXIT), False),
        (order(leg=Leg.TAKE_PROFIT), True),
        (None, True),
    ],
)
def test_a_position_needs_its_stop_at_the_venue(covered_by: Order | None, *, unprotected: bool) -> None:
    """R2: a stop that stands in the books only protects nothing."""
    orders = (ENTRY,) if covered_by is None else (ENTRY, covered_by)
    venue = replace(VENUE, open_orders=() if covered_by is None else (listed(covered_by),))
    differences = found(with_orders(*orders), venue)
    assert (K.POSITION_UNPROTECTED in kinds(*differences)) is unprotected


def test_half_a_stop_is_not_enough() -> None:
    """R2: what a stop does not cover has no stop."""
    half = replace(STOP, intent=replace(STOP.intent, quantity=D("0.5")))
    assert kinds(*found(with_orders(half, ENTRY), replace(VENUE, open_orders=(listed(half),)))) == [
        K.POSITION_UNPROTECTED
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"books": replace(BOOKS, orders=(ENTRY,), busy=frozenset({BTC}))},
        {"books": replace(BOOKS, orders=(ENTRY,), positions=(position(stop_loss=None),))},
        {"books": with_orders(ENTRY), "tolerances": replace(TOLERANCES, stops_rest=False)},
        {"books": with_orders(ENTRY), "tolerances": replace(TOLERANCES, dust={"BTC": D("1.5")})},
    ],
)
def test_no_stop_is_asked_for_where_none_has_to_rest(changed: dict) -> None:
    """R2: a position being closed, without a stop, of the guardian's or too small for an order is no difference."""
    assert found(**({"venue": replace(VENUE, open_orders=())} | changed)) == []


@pytest.mark.parametrize(
    ("currency", "at_venue", "kind"),
    [
        ("USDT", "500.5", K.BALANCE_DUST),
        ("USDT", "500.51", K.CASH_DIFFERS),
        ("USDT", "499.49", K.CASH_DIFFERS),
        ("BTC", "1.0004", K.BALANCE_DUST),
        ("BTC", "0.9996", K.BALANCE_DUST),
        ("BTC", "1.0005", K.BALANCE_SURPLUS),
        ("BTC", "0.9995", K.BALANCE_SHORT),
        ("BNB", "0.1", K.BALANCE_SURPLUS),
    ],
)
def test_balances_by_their_size_and_side(currency: str, at_venue: str, kind: DifferenceKind) -> None:
    """X3: missing coins and money nobody booked halt; rounding and coins of no business of ours do not."""
    assert VENUE.balances is not None
    venue = replace(VENUE, balances={**VENUE.balances, currency: D(at_venue)})
    assert kinds(*found(venue=venue)) == [kind]


def test_fees_in_a_third_currency_follow_the_ledger() -> None:
    """X2: coins that fees were paid in are compared with the ledger and are no position."""
    books = replace(BOOKS, balances={**BOOKS.balances, "BNB": D("1.9")}, unplaced={"BNB": D("1.9")})
    assert VENUE.balances is not None
    agreeing = replace(VENUE, balances={**VENUE.balances, "BNB": D("1.9")})
    assert found(books, agreeing) == []
    less = replace(VENUE, balances={**VENUE.balances, "BNB": D("1.8")})
    assert kinds(*found(books, less)) == [K.BALANCE_SHORT]


def test_a_currency_that_the_venue_does_not_list_is_not_there() -> None:
    """X3: venues leave empty balances out; the coins of a position that are gone must not go unseen."""
    assert kinds(*found(venue=replace(VENUE, balances={"USDT": D(500)}))) == [K.BALANCE_SHORT]


def test_a_fill_that_fits_no_position_halts_once() -> None:
    """X3: the ledger moved and no position did; it is said once, and a person may go on."""
    books = replace(BOOKS, balances={**BOOKS.balances, "BTC": D("0.7")})
    first = found(books, replace(VENUE, balances=None))
    assert [(one.kind, one.outcome, one.numbers) for one in first] == [
        (K.POSITION_UNACCOUNTED, Outcome.HALT, {"unexplained": "-0.3"})
    ]
    again = found(replace(books, told=frozenset(one.key for one in first)), replace(VENUE, balances=None))
    assert [one.outcome for one in again] == [Outcome.FLAG]


def test_dust_and_payments_explain_what_is_in_no_position() -> None:
    """X2: coins that were paid in, and what is left of closed positions, are the account's all the same."""
    books = replace(BOOKS, balances={**BOOKS.balances, "BTC": D("1.3")}, unplaced={"BTC": D("0.3")})
    assert found(books, replace(VENUE, balances={"USDT": D(500), "BTC": D("1.3")})) == []


STATES = st.sampled_from(list(OrderState))


@given(
    states=st.lists(STATES, min_size=2, max_size=2),
    open_there=st.lists(st.booleans(), min_size=2, max_size=2),
    traded=st.booleans(),
    cash=st.decimals("0", "1000", places=2),
    coins=st.decimals("0", "2", places=6),
)
def test_new_risk_is_never_let_through_by_a_difference(
    states: list[OrderState],
    open_there: list[bool],
    traded: bool,  # noqa: FBT001
    cash: Decimal,
    coins: Decimal,
) -> None:
    """X3: whatever the two sides say, money that is missing halts, or an order that may explain it is asked for."""
    orders = tuple(
        replace(order(state, leg), intent=replace(order(state, leg).intent, attempt=number))
        for number, (state, leg) in enumerate(zip(states, (Leg.STOP, Leg.EXIT), strict=True), 1)
    )
    venue = VenueView(
        tuple(listed(one) for one, is_open in zip(orders, open_there, strict=True) if is_open),
        (trade(), *([trade("t2", "v-EXIT", side=Side.SELL)] if traded else [])),
        {"USDT": cash, "BTC": coins},
    )
    differences = found(with_orders(ENTRY, *orders), venue)
    missing = cash < D(500) - TOLERANCES.cash or coins <= D(1) - TOLERANCES.dust["BTC"]
    if missing:
        assert any(one.outcome in {Outcome.HALT, Outcome.ADOPT} for one in differences)
    if not differences:
        assert abs(cash - 500) == 0
        assert coins == 1
    assert len({one.key for one in differences}) == len(differences)
