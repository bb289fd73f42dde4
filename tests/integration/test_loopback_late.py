"""A request that was on its way for long: the exchange on loopback takes it when it comes, unless it has expired."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from triplegain_pipelines.domain.errors import UnknownOutcomeError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, OrderState, OrderType, Side
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.execution.venues.factory import open_broker
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.venues import TradingAccess

pytestmark = pytest.mark.integration

BTC = "BTC/USDT"
VENUES = ("kraken", "binance", "coinbase")
INTENT = Intent(
    account="test",
    decision_id=deterministic_id("decision"),
    symbol=BTC,
    leg=Leg.ENTRY,
    attempt=1,
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal("0.001"),
    decided_price=Decimal(60000),
)
OWN = load_settings(Environment(profile="live"), CONFIG)


@pytest.fixture(params=VENUES)
def server(request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    """A venue on the way to which the first submission takes long."""
    instrument = Instrument(BTC, Decimal("0.00000001"), Decimal("0.1"), Decimal("0.00005"), Decimal("0.5"))
    exchange = LoopbackExchange([instrument], {"USDT": Decimal(1000)}, Decimal("0.004"), ShiftableClock())
    faults = [Fault(FaultKind.LATE_REQUEST, CallKind.SUBMIT)]
    with LoopbackServer(exchange, request.param, faults) as opened:
        exchange.set_price(BTC, Decimal(60000), Decimal(60001))
        yield opened


@pytest.fixture
def broker(server: LoopbackServer) -> Broker:
    """The real adapter."""
    access = TradingAccess(calls_per_second=1000, burst=1000)
    venue = OWN.venues.of(server.venue).model_copy(update={"calls_per_second": 1000.0, "trading": access})
    assert OWN.profile.live is not None
    keys, clock = Keys(server.api_key, server.api_secret), server.exchange.clock
    return open_broker(venue, server.venue, keys, OWN.profile.live, clock, symbols=[BTC], base_url=server.url)


def lost_on_its_way(broker: Broker, server: LoopbackServer) -> OrderReference:
    """Send the order, of which no answer comes; how it is asked for."""
    sent_at = server.exchange.clock.now()
    expires_at = sent_at + broker.traits.expiry
    with pytest.raises(UnknownOutcomeError):
        broker.submit(INTENT, sent_at, expires_at)
    reference = OrderReference(
        INTENT.client_order_id, None, BTC, Side.BUY, OrderType.MARKET, INTENT.quantity, None, sent_at, expires_at
    )
    assert broker.lookup(reference) is None
    assert server.exchange.orders == ()
    return reference


def pass_calls(broker: Broker) -> None:
    """As many calls as the request is late by."""
    for _ in range(6):
        broker.balances()


def test_a_late_request_is_carried_out(broker: Broker, server: LoopbackServer) -> None:
    """X3: an order that was not there when it was asked for may come all the same; a rehearsal has to have that too."""
    reference = lost_on_its_way(broker, server)
    pass_calls(broker)
    found = broker.lookup(reference)
    assert found is not None
    assert found.state is OrderState.FILLED
    assert [order.filled for order in server.exchange.orders] == [INTENT.quantity]


@pytest.mark.parametrize("lets_go", ["calls", "settling"])
def test_a_request_that_has_expired_is_refused(broker: Broker, server: LoopbackServer, lets_go: str) -> None:
    """X3: an order that was given up must not come alive when the network lets it go at last."""
    reference = lost_on_its_way(broker, server)
    clock = server.exchange.clock
    assert isinstance(clock, ShiftableClock)
    clock.advance_to(reference.expires_at + timedelta(seconds=2))
    if lets_go == "calls":
        pass_calls(broker)
    else:
        server.settle()
    assert server.exchange.orders == ()
    assert broker.lookup(reference) is None
