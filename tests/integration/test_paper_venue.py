"""The paper venue: what is filled where and at what price, hand-worked, and what a second call changes."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from builders import ACCOUNT, BTC, COSTS, INSTRUMENTS, START, StaticPrices, candle

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, OrderState, OrderType, Side, VenueOrder
from triplegain_pipelines.execution.broker import VenueRejectionError
from triplegain_pipelines.execution.matching import Costs
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
PAIR = deterministic_id("pair", 1)


def venue_of(database: Database, costs: Costs = COSTS) -> PaperVenue:
    return PaperVenue(database, ACCOUNT, StaticPrices(), ReplayClock(START), INSTRUMENTS, costs)


@pytest.fixture
def venue(database: Database) -> PaperVenue:
    return venue_of(database)


def intent(
    leg: Leg = Leg.ENTRY,
    side: Side = Side.BUY,
    quantity: str = "1",
    trigger: str | None = None,
    attempt: int = 1,
    number: int = 1,
    group: UUID | None = PAIR,
) -> Intent:
    kind = {Leg.STOP: OrderType.STOP, Leg.TAKE_PROFIT: OrderType.TAKE_PROFIT}.get(leg, OrderType.MARKET)
    return Intent(
        account=ACCOUNT,
        decision_id=deterministic_id("decision", number),
        symbol=BTC,
        leg=leg,
        attempt=attempt,
        side=side,
        order_type=kind,
        quantity=Decimal(quantity),
        decided_price=Decimal(10_000),
        trigger_price=Decimal(trigger) if trigger else None,
        one_cancels_other=group if trigger else None,
    )


def sent(venue: PaperVenue, one: Intent) -> VenueOrder:
    """Send the order now."""
    return venue.submit(one, START, START + MINUTE)


def reference(one: Intent) -> OrderReference:
    """How the venue is asked for the order."""
    return OrderReference(
        client_order_id=one.client_order_id,
        venue_order_id=None,
        symbol=one.symbol,
        side=one.side,
        order_type=one.order_type,
        quantity=one.quantity,
        trigger_price=one.trigger_price,
        sent_at=START,
        expires_at=START + MINUTE,
    )


def rest(venue: PaperVenue, side: Side, stop: str, target: str) -> tuple[Intent, Intent]:
    """A stop and a target resting as a pair."""
    pair = intent(Leg.STOP, side, trigger=stop), intent(Leg.TAKE_PROFIT, side, trigger=target)
    for one in pair:
        assert sent(venue, one).state is OrderState.OPEN
    return pair


def test_a_market_order_pays_slippage_and_fee(venue: PaperVenue) -> None:
    """X1: without costs a paper profit is worth nothing; both are against the order on either side."""
    bought = sent(venue, intent(quantity="0.3")).fills[0]
    assert (bought.price, bought.fee, bought.fee_currency) == (Decimal("10005.00"), Decimal("3.0015"), "USDT")
    sold = sent(venue, intent(Leg.EXIT, Side.SELL, quantity="0.3")).fills[0]
    assert (sold.price, sold.fee) == (Decimal("9995.00"), Decimal("2.9985"))


def test_prices_and_fees_are_rounded_against_the_order(database: Database) -> None:
    """X1: a rounding in one's own favour is a profit that does not exist."""
    venue = venue_of(database, replace(COSTS, slippage=Decimal("0.0000003"), fee=Decimal("0.00100001")))
    bought = sent(venue, intent(quantity="0.00000001")).fills[0]
    assert (bought.price, bought.fee) == (Decimal("10000.01"), Decimal("0.00000011"))
    assert sent(venue, intent(Leg.EXIT, Side.SELL)).fills[0].price == Decimal("9999.99")


@pytest.mark.parametrize(
    ("side", "bar", "price", "at"),
    [
        # long: the stop at 9,900 is touched inside the bar: its trigger less 5 bps, dated to the end of the minute
        (Side.SELL, ("10000", "10010", "9890", "9950"), "9895.05", MINUTE),
        # long: the bar opens under the stop: its open less 5 bps, dated to the open
        (Side.SELL, ("9800", "9850", "9750", "9820"), "9795.10", timedelta(0)),
        # exactly at the trigger counts, and opening there is no gap to better prices
        (Side.SELL, ("9900", "9950", "9900", "9940"), "9895.05", timedelta(0)),
        # short: the stop at 10,100 the other way round
        (Side.BUY, ("10000", "10110", "9990", "10050"), "10105.05", MINUTE),
        (Side.BUY, ("10200", "10250", "10150", "10180"), "10205.10", timedelta(0)),
    ],
)
def test_a_stop_is_filled_at_its_trigger_or_worse(
    venue: PaperVenue, side: Side, bar: tuple[str, str, str, str], price: str, at: timedelta
) -> None:
    """X1: a gap through a stop is filled at the open and never at the stop."""
    stop = "9900" if side is Side.SELL else "10100"
    target = "10200" if side is Side.SELL else "9800"
    # A target beyond reach for the bars that gap.
    pair = rest(venue, side, stop, "20000" if side is Side.SELL else "100")
    assert target
    changed = venue.match(ACCOUNT, candle(START, *bar))
    assert changed == (pair[0].client_order_id, pair[1].client_order_id)
    filled, cancelled = (venue.lookup(reference(one)) for one in pair)
    assert filled is not None
    assert cancelled is not None
    assert (filled.state, cancelled.state) == (OrderState.FILLED, OrderState.CANCELED)
    assert (filled.fills[0].price, filled.fills[0].filled_at) == (Decimal(price), START + at)
    assert cancelled.fills == ()


@pytest.mark.parametrize(
    ("side", "bar"),
    [
        (Side.SELL, ("10000", "10250", "9990", "10240")),
        (Side.SELL, ("10300", "10350", "10290", "10300")),  # opens beyond the target: still the trigger
        (Side.BUY, ("10000", "10010", "9750", "9760")),
    ],
)
def test_a_target_is_filled_at_its_trigger(venue: PaperVenue, side: Side, bar: tuple[str, str, str, str]) -> None:
    """X1: a resting target gets its price and no better one."""
    pair = rest(venue, side, *(("9900", "10200") if side is Side.SELL else ("10100", "9800")))
    venue.match(ACCOUNT, candle(START, *bar))
    stop, target = (venue.lookup(reference(one)) for one in pair)
    assert stop is not None
    assert target is not None
    assert (stop.state, target.state) == (OrderState.CANCELED, OrderState.FILLED)
    assert target.fills[0].price == pair[1].trigger_price


def test_where_both_are_touched_the_stop_comes_first(venue: PaperVenue) -> None:
    """X1: a bar does not tell which came first, and hope must not decide."""
    stop, target = rest(venue, Side.SELL, "9900", "10100")
    assert venue.match(ACCOUNT, candle(START, "10000", "10200", "9800", "10000"))
    assert venue.lookup(reference(stop)).state is OrderState.FILLED  # type: ignore[union-attr]
    assert venue.lookup(reference(target)).state is OrderState.CANCELED  # type: ignore[union-attr]


def test_a_candle_that_opened_before_the_order_does_not_count(venue: PaperVenue) -> None:
    """I4: a low from before the order was there would stop it out in the past."""
    rest(venue, Side.SELL, "9900", "10100")
    assert venue.match(ACCOUNT, candle(START - MINUTE, "10000", "10000", "5000", "10000")) == ()


def test_matching_a_candle_again_changes_nothing(venue: PaperVenue) -> None:
    """X3: a killed walk shows a candle twice."""
    rest(venue, Side.SELL, "9900", "10100")
    bar = candle(START, "10000", "10000", "9800", "9900")
    assert venue.match(ACCOUNT, bar)
    assert venue.match(ACCOUNT, bar) == ()


def test_a_partial_fill_is_completed_by_a_later_candle(database: Database) -> None:
    """X1: the rest comes strictly later, at the open, and the parts sum to the order."""
    venue = venue_of(database, replace(COSTS, fill_rate=0.000001))
    order = intent(quantity="1")
    first = sent(venue, order)
    assert first.state is OrderState.PARTIALLY_FILLED
    assert Decimal("0.2") <= first.fills[0].quantity <= Decimal("0.8")
    assert venue.match(ACCOUNT, candle(START, "10100", "10100", "10100", "10100")) == ()  # the same minute
    assert venue.match(ACCOUNT, candle(START + MINUTE, "10200", "10200", "10200", "10200"))
    whole = venue.lookup(reference(order))
    assert whole is not None
    assert whole.state is OrderState.FILLED
    assert sum(fill.quantity for fill in whole.fills) == order.quantity
    assert whole.fills[1].price == Decimal("10205.10")
    assert len({fill.trade_id for fill in whole.fills}) == 2


def test_the_fill_rate_is_kept_and_the_luck_does_not_depend_on_the_attempt(database: Database) -> None:
    """X1, X3: about the configured share is filled in one piece; a second attempt is filled as the first would."""
    venue = venue_of(database, replace(COSTS, fill_rate=0.8))
    whole = [sent(venue, intent(number=number)).state is OrderState.FILLED for number in range(200)]
    assert 140 <= sum(whole) <= 180  # 160 expected, 5.7 a standard deviation
    for number in range(20):
        first = venue.lookup(reference(intent(number=number)))
        again = sent(venue, intent(number=number, attempt=2))
        assert first is not None
        assert [fill.quantity for fill in again.fills] == [fill.quantity for fill in first.fills]


def test_the_same_order_twice_is_one_order(venue: PaperVenue) -> None:
    """X3: the venue knows a client order id for ever."""
    assert sent(venue, intent()) == sent(venue, intent())


def test_an_order_that_was_reported_absent_never_comes_alive(venue: PaperVenue) -> None:
    """X3: 'there is no such order' is only certain if it stays true."""
    assert venue.lookup(reference(intent())) is None
    with pytest.raises(VenueRejectionError, match="does not exist"):
        sent(venue, intent())
    assert venue.lookup(reference(intent())) is None


def test_a_cancellation_returns_what_was_there(venue: PaperVenue) -> None:
    """X3: a cancellation that comes after a fill must report the fill, not a fabricated cancel."""
    stop, target = rest(venue, Side.SELL, "9900", "10100")
    venue.match(ACCOUNT, candle(START, "10000", "10000", "9800", "9900"))
    assert venue.cancel(reference(stop)).state is OrderState.FILLED
    assert venue.cancel(reference(target)).state is OrderState.CANCELED
    with pytest.raises(VenueRejectionError):
        venue.cancel(reference(intent(number=99)))


def test_no_price_is_a_certain_refusal(database: Database) -> None:
    """Rule 4: without a price nothing was accepted, and the caller must know that for certain."""
    prices = StaticPrices({})
    venue = PaperVenue(database, ACCOUNT, prices, ReplayClock(START), INSTRUMENTS, COSTS)
    with pytest.raises(VenueRejectionError, match="no price"):
        sent(venue, intent())
    assert venue.lookup(reference(intent())) is None
