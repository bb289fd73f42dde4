"""One suite for the adapters of all venues, each against the exchange on loopback that obeys its venue's rules."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from broker_cases import VENUES, intent, live_settings, reference, venue_settings
from builders import BTC, CENT, START

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError, UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, OrderState, Side, VenueOrder
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.broker import Broker, NotExecutedError, VenueRejectionError
from triplegain_pipelines.execution.venues.factory import open_broker
from triplegain_pipelines.execution.venues.permissions import key_permissions
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind, FaultPlan, fault_plan
from triplegain_pipelines.rehearsal.orders import OrderRequest
from triplegain_pipelines.rehearsal.protocol import KeyPermissions
from triplegain_pipelines.rehearsal.server import LoopbackServer

pytestmark = pytest.mark.integration

BNB = "BNB/USDT"
LISTED = (
    Instrument(BTC, price_step=CENT, quantity_step=Decimal("0.00001"), minimum_quantity=Decimal("0.0001")),
    Instrument(BNB, price_step=CENT, quantity_step=Decimal("0.001")),
)
FEE = Decimal("0.0026")


@dataclass
class Case:
    """A venue on loopback, and its adapter."""

    venue: str
    clock: ReplayClock
    exchange: LoopbackExchange
    server: LoopbackServer
    broker: Broker

    def submit(self, order: Intent) -> VenueOrder:
        """Send the order now."""
        now = self.clock.now()
        return self.broker.submit(order, now, now + self.broker.traits.expiry)

    def rest(self, trigger: str = "9000", quantity: str = "0.1", number: int = 1) -> tuple[Intent, OrderReference]:
        """A stop that rests, and how it is asked for."""
        stop = intent(Leg.STOP, trigger=trigger, quantity=quantity, number=number)
        return stop, reference(stop, self.submit(stop).venue_order_id)

    def price(self, bid: str) -> None:
        """Move the market."""
        self.exchange.set_price(BTC, Decimal(bid), Decimal(bid) + 2)

    def numbered(self, order: Intent) -> list[Any]:
        """The orders of that client id at the exchange."""
        own = str(order.client_order_id)
        return [each for each in self.exchange.orders if each.request.client_id == own]

    def found(self, order: Intent) -> VenueOrder:
        """The order as it is looked up by our id alone."""
        found = self.broker.lookup(reference(order))
        assert found is not None
        return found


def opened(
    venue: str,
    server: LoopbackServer,
    clock: ReplayClock,
) -> Broker:
    keys = Keys(server.api_key, server.api_secret)
    return open_broker(venue_settings(venue), venue, keys, live_settings(), clock, symbols=(BTC,), base_url=server.url)


def started(venue: str, **settings: Any) -> tuple[ReplayClock, LoopbackExchange, LoopbackServer]:
    clock = ReplayClock(START)
    balances = {"USDT": Decimal(100_000), "BTC": Decimal(5), "BNB": Decimal(10)}
    exchange = LoopbackExchange(LISTED, balances, FEE, clock, settings.pop("fee_currency", None))
    exchange.set_price(BTC, Decimal(9999), Decimal(10001))
    exchange.set_price(BNB, Decimal(500), Decimal(501))
    return clock, exchange, LoopbackServer(exchange, venue, **settings)


@pytest.fixture(params=VENUES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    clock, exchange, server = started(request.param)
    with server:
        yield Case(request.param, clock, exchange, server, opened(request.param, server, clock))


def impatient(broker: Any) -> None:
    """Wait for an answer for a fraction of a second."""
    broker._client._exchange.timeout = 300


def test_a_market_order_is_filled_and_told_with_its_fees(case: Case) -> None:
    """X2: what was bought, at what price and for what fee is what the exchange has booked."""
    order = case.submit(intent())
    (trade,) = case.exchange.trades
    (fill,) = order.fills
    assert order.state is OrderState.FILLED
    assert (fill.quantity, fill.price, fill.fee, fill.fee_currency) == (
        trade.quantity,
        trade.price,
        trade.fee,
        trade.fee_currency,
    )
    assert (fill.venue, fill.symbol, fill.side) == (case.venue, BTC, Side.BUY)
    assert abs(fill.filled_at - START) < timedelta(milliseconds=1)
    assert str(intent().client_order_id) in order.raw


def test_a_sale_at_the_market(case: Case) -> None:
    """X2: an exit sells exactly what it was told to."""
    order = case.submit(intent(Leg.EXIT, quantity="0.25"))
    assert order.state is OrderState.FILLED
    assert sum(fill.quantity for fill in order.fills) == Decimal("0.25")
    assert case.exchange.balances["BTC"] == Decimal("4.75")


def test_fees_in_a_third_currency_are_told_as_such() -> None:
    """X2: a fee in BNB that is booked as USDT, or as nothing, breaks the books."""
    clock, exchange, server = started("binance", fee_currency="BNB")
    with server:
        fill = Case("binance", clock, exchange, server, opened("binance", server, clock)).submit(intent()).fills[0]
        assert fill.fee_currency == "BNB"
        assert fill.fee == exchange.trades[0].fee > 0


def test_a_stop_rests_and_is_filled_when_the_price_falls(case: Case) -> None:
    """X2: a position is protected by the exchange itself, also while nothing of ours runs."""
    stop, asked = case.rest("9000")
    (resting,) = case.exchange.orders
    assert (resting.trigger, resting.request.quantity, resting.open) == (Decimal(9000), Decimal("0.1"), True)
    assert case.found(stop).state is OrderState.OPEN
    case.price("8950")
    for way in (asked, reference(stop)):
        found = case.broker.lookup(way)
        assert found is not None
        assert found.state is OrderState.FILLED
        assert sum(fill.quantity for fill in found.fills) == Decimal("0.1")


def test_an_order_that_never_was_is_not_found_and_cannot_be_cancelled(case: Case) -> None:
    """X3: absent is an answer of its own, neither an error nor a cancelled order."""
    case.rest(number=2)
    assert case.broker.lookup(reference(intent())) is None
    with pytest.raises(VenueRejectionError):
        case.broker.cancel(reference(intent()))
    assert len(case.broker.open_orders()) == 1


def test_a_cancel_takes_the_order_from_the_book_once(case: Case) -> None:
    """X2: a cancel that comes twice tells what became of the order, and does not fail."""
    stop, asked = case.rest()
    for way in (asked, reference(stop), asked):
        assert case.broker.cancel(way).state is OrderState.CANCELED
    assert not case.exchange.orders[0].open
    assert case.broker.open_orders() == ()


def test_a_cancel_that_comes_after_the_fill_tells_the_fill(case: Case) -> None:
    """X3: 'cancelled' for an order that is filled loses a position."""
    stop, asked = case.rest()
    case.price("8950")
    for way in (asked, reference(stop)):
        cancelled = case.broker.cancel(way)
        assert cancelled.state is OrderState.FILLED
        assert sum(fill.quantity for fill in cancelled.fills) == Decimal("0.1")


def test_a_fill_after_an_accepted_cancel_is_seen(case: Case) -> None:
    """X3: it is on its way when the cancel is accepted; the look-up and the list of trades have it."""
    stop, asked = case.rest()
    case.server.faults = FaultPlan([Fault(FaultKind.FILL_AFTER_CANCEL, CallKind.CANCEL)])
    case.broker.cancel(asked)
    case.server.settle()
    assert case.found(stop).state is OrderState.FILLED
    assert sum(trade.quantity for trade in case.broker.executions(START)) == Decimal("0.1")


def test_a_partial_fill_is_told_with_what_is_left(case: Case) -> None:
    """X2: half an order is neither none nor all of it. Where a market order buys by a limit, the rest is cancelled."""
    case.server.faults = FaultPlan([Fault(FaultKind.PARTIAL_FILL, CallKind.SUBMIT)])
    order = case.submit(intent())
    assert sum(fill.quantity for fill in order.fills) == Decimal("0.05")
    if case.venue == "coinbase":
        assert order.state is OrderState.CANCELED
        return
    assert order.state is OrderState.PARTIALLY_FILLED
    case.price("10010")
    rest = case.found(intent())
    assert rest.state is OrderState.FILLED
    assert sorted(fill.quantity for fill in rest.fills) == [Decimal("0.05")] * 2
    assert len({fill.trade_id for fill in rest.fills}) == 2


def test_trades_since_a_time_are_all_there_whoever_made_them(case: Case) -> None:
    """X3: reconciliation finds late and foreign trades only if every page is read; each has an id of its own."""
    for _ in range(120):
        case.exchange.submit(OrderRequest(BTC, Side.BUY, Decimal("0.001")))
    case.clock.advance_to(START + timedelta(seconds=1))
    case.submit(intent())
    found = case.broker.executions(START)
    assert len(found) == len({trade.trade_id for trade in found}) == 121
    assert sum(trade.quantity for trade in found) == Decimal("0.22")
    assert sum(trade.fee for trade in found) == sum(trade.fee for trade in case.exchange.trades)
    newest = case.broker.executions(START + timedelta(seconds=1))
    assert [trade.quantity for trade in newest] == [Decimal("0.1")]
    assert newest[0].of(intent().client_order_id) == case.found(intent()).fills[0]


def test_balances_hold_what_orders_hold(case: Case) -> None:
    """X3: what a resting stop keeps is still ours."""
    case.rest(quantity="2")
    assert case.broker.balances() == {name: amount for name, amount in case.exchange.balances.items() if amount}


def test_open_orders_are_all_there_whoever_sent_them(case: Case) -> None:
    """X3: an order that nobody of ours knows is an orphan, and has to be seen."""
    stop, asked = case.rest()
    case.exchange.submit(OrderRequest(BTC, Side.BUY, Decimal("0.3"), limit=Decimal(9000)))
    listed = {order.venue_order_id: order for order in case.broker.open_orders()}
    mine = listed.pop(asked.venue_order_id or "")
    (foreign,) = listed.values()
    assert (mine.client_order_id, mine.side, mine.quantity) == (str(stop.client_order_id), Side.SELL, Decimal("0.1"))
    assert (foreign.symbol, foreign.side, foreign.quantity, foreign.filled_quantity) == (
        BTC,
        Side.BUY,
        Decimal("0.3"),
        0,
    )
    assert foreign.client_order_id != mine.client_order_id


def test_orders_below_the_minimum_are_refused(case: Case) -> None:
    """R7: before they are sent where it is certain; of a reducing one the venue says whether it is worth enough."""
    for small in (intent(quantity="0.00009"), intent(quantity="0.0004"), intent(Leg.EXIT, quantity="0.00009")):
        with pytest.raises(VenueRejectionError, match="was not sent"):
            case.submit(small)
    calls = len(case.server.calls)
    with pytest.raises(VenueRejectionError) as caught:
        case.submit(intent(Leg.EXIT, quantity="0.0004"))
    assert caught.value.raw
    assert len(case.server.calls) == calls + 1
    assert case.exchange.orders == ()


def test_an_order_without_the_funds_is_refused(case: Case) -> None:
    """R7: for certain, so that no look-up has to find out."""
    with pytest.raises(VenueRejectionError) as caught:
        case.submit(intent(quantity="50"))
    assert caught.value.raw
    assert case.exchange.orders == ()


def test_a_symbol_that_is_not_traded_is_refused(case: Case) -> None:
    """R7: nothing is sent, and the steps of a symbol that does not exist are not made up."""
    with pytest.raises(VenueRejectionError):
        case.submit(intent(symbol="DOGE/USDT"))
    with pytest.raises(InputError):
        case.broker.instruments(["DOGE/USDT"])
    assert case.broker.instruments([BTC])[BTC].minimum_quantity == LISTED[0].minimum_quantity


def test_a_target_is_not_sent(case: Case) -> None:
    """X3: two reducing orders could both be filled; the guardian holds the target."""
    target = intent(Leg.TAKE_PROFIT, trigger="12000")
    with pytest.raises(VenueRejectionError):
        case.submit(target)
    assert not case.broker.traits.holds_pairs


def test_numbers_arrive_on_the_grid_and_on_the_safe_side(case: Case) -> None:
    """X2: the trigger of a stop goes towards the entry; nothing else changes."""
    case.rest(trigger="9000.001", quantity="0.12345")
    (resting,) = case.exchange.orders
    assert (resting.trigger, resting.request.quantity) == (Decimal("9000.01"), Decimal("0.12345"))


def test_a_quantity_of_an_older_step_is_not_sent(case: Case) -> None:
    """X2: cut to the new step, an order could never be filled to what was decided, and its fills were disputed."""
    with pytest.raises(NotExecutedError, match="sized by the new step"):
        case.rest(trigger="9000", quantity="0.123456789")
    assert case.exchange.orders == ()


NOT_DONE = (FaultKind.LOSE_REQUEST, FaultKind.SERVER_ERROR)
DONE = (FaultKind.LOSE_ANSWER, FaultKind.SERVER_ERROR_AFTER, FaultKind.DROP_CONNECTION, FaultKind.DELAY)


@pytest.mark.parametrize("fault", [*NOT_DONE, *DONE])
def test_an_unknown_outcome_is_found_out_by_asking(case: Case, fault: FaultKind) -> None:
    """X3: whether the order exists is what the look-up says, open or filled; and it was sent once."""
    impatient(case.broker)
    for order in (intent(), intent(Leg.STOP, trigger="9000")):
        case.server.faults = FaultPlan([Fault(fault, CallKind.SUBMIT)])
        with pytest.raises(UnknownOutcomeError):
            case.submit(order)
        found = case.broker.lookup(reference(order))
        assert (found is not None) is (fault in DONE)
        assert len(case.numbered(order)) == (1 if fault in DONE else 0)
        own = str(order.client_order_id)
        sent = [call for call in case.server.calls if {"oflags", "newClientOrderId", "side"} & call.parameters.keys()]
        assert len([call for call in sent if own in call.parameters.values()]) == 1


@pytest.mark.parametrize("fault", [FaultKind.RATE_LIMIT, FaultKind.INVALID_NONCE])
def test_a_request_that_was_not_looked_at_is_not_executed(case: Case, fault: FaultKind) -> None:
    """X3: nothing exists, and a new attempt may be made later."""
    case.server.faults = FaultPlan([Fault(fault, CallKind.SUBMIT)])
    with pytest.raises((NotExecutedError, VenueRejectionError)) as caught:
        case.submit(intent())
    if fault is FaultKind.RATE_LIMIT or case.venue != "coinbase":
        assert isinstance(caught.value, NotExecutedError)
    assert case.exchange.orders == ()


@pytest.mark.parametrize("fault", [*NOT_DONE, *DONE, FaultKind.RATE_LIMIT])
def test_a_cancel_without_an_answer_is_unknown_until_it_is_repeated(case: Case, fault: FaultKind) -> None:
    """X3: cancelling is safe to repeat; what it tells at the end is what the exchange has."""
    impatient(case.broker)
    _, asked = case.rest()
    case.server.faults = FaultPlan([Fault(fault, CallKind.CANCEL)])
    with pytest.raises(UnknownOutcomeError):
        case.broker.cancel(asked)
    assert case.broker.cancel(asked).state is OrderState.CANCELED


def test_the_same_order_twice_is_one_order(case: Case) -> None:
    """X3: the id is refused as a duplicate, which proves that the first exists, or the first is given back."""
    stop, asked = case.rest()
    try:
        again = case.submit(stop)
    except UnknownOutcomeError:
        assert case.venue != "coinbase"
    else:
        assert (case.venue, again.venue_order_id) == ("coinbase", asked.venue_order_id)
    assert len(case.numbered(stop)) == 1
    assert case.found(stop).venue_order_id == asked.venue_order_id


def test_what_arrives_after_its_expiry_the_venue_refuses(case: Case) -> None:
    """X3: a process whose clock stood still sends an order that was given up; the venue does not take it."""
    behind = ReplayClock(START)
    broker = opened(case.venue, case.server, behind)
    assert broker.instruments([BTC])
    case.clock.advance_to(START + broker.traits.expiry + timedelta(seconds=2))
    with pytest.raises((NotExecutedError, VenueRejectionError, UnknownOutcomeError)):
        broker.submit(intent(), START, START + broker.traits.expiry)
    assert case.exchange.orders == ()


def test_the_dead_man_timer_cancels_everything_unless_it_is_told_to_wait(case: Case) -> None:
    """X3: an entry that nobody watches any more must not be filled; where there is none, that is said."""
    if not case.broker.traits.dead_man_timer:
        with pytest.raises(UnavailableError):
            case.broker.keep_alive(timedelta(seconds=30))
        return
    _, asked = case.rest()
    case.broker.keep_alive(timedelta(seconds=30))
    case.broker.keep_alive(None)
    case.clock.advance_to(START + timedelta(seconds=40))
    assert case.broker.lookup(asked) is not None
    assert case.exchange.orders[0].open
    case.broker.keep_alive(timedelta(seconds=30))
    case.clock.advance_to(START + timedelta(seconds=80))
    found = case.broker.lookup(asked)
    assert found is not None
    assert found.state is OrderState.CANCELED


def test_calls_of_many_threads_are_all_served(case: Case) -> None:
    """X3: guardian and order path share a key, whose numbered requests must arrive in order."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: case.broker.balances(), range(12)))
    assert len({str(answer) for answer in answers}) == 1


@pytest.mark.parametrize("venue", VENUES)
def test_a_key_that_can_withdraw_is_known_as_such(venue: str) -> None:
    """X8: it is refused before it is stored."""
    for withdraw in (False, True):
        _, _, server = started(venue, permissions=KeyPermissions(withdraw=withdraw))
        with server:
            keys = Keys(server.api_key, server.api_secret)
            found = key_permissions(venue_settings(venue), keys, clock=ReplayClock(START), base_url=server.url)
            assert (found.can_read, found.can_trade, found.can_withdraw) == (True, True, withdraw)


@pytest.mark.parametrize("seed", [1, 2])
def test_under_faults_no_order_is_doubled_and_no_trade_is_lost(case: Case, seed: int) -> None:
    """X3: after every order was looked up, what we were told is what the exchange has. The seed is in the test's id."""
    impatient(case.broker)
    case.server.faults = fault_plan(seed, calls=200, share=0.4)
    orders = [intent(number=number, quantity="0.01") for number in range(1, 9)]
    for order in orders:
        try:
            case.submit(order)
        except (UnknownOutcomeError, NotExecutedError, VenueRejectionError):
            continue
    case.server.faults = FaultPlan()
    case.server.settle()
    case.broker.open_orders()
    fills = {}
    for order in orders:
        assert len(case.numbered(order)) <= 1, seed
        found = case.broker.lookup(reference(order))
        assert (found is not None) == bool(case.numbered(order)), seed
        fills |= {fill.trade_id: fill for fill in (found.fills if found else ())}
    assert sum(fill.quantity for fill in fills.values()) == sum(trade.quantity for trade in case.exchange.trades)
    assert fills.keys() == {trade.trade_id for trade in case.broker.executions(START)}, seed
