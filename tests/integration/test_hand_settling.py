"""Orders that a venue accepted and forgot: a person settles them, and no other; the books say that it was by hand."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from builders import TradingFloor
from reconciling import kinds, mode, reconcile, trade
from scripted_venue import ScriptedVenue

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.orders import Leg, OrderState
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.differences import DifferenceKind
from triplegain_pipelines.execution.hand_settling import HandFill, settle_by_hand, unclear_orders
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.events import verify_chain

pytestmark = pytest.mark.integration

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
D = Decimal


def order_of(floor: TradingFloor, leg: Leg) -> tuple[UUID, str, str]:
    """Id, state and reason of the one order of a leg."""
    query = "SELECT client_order_id, state, o.reason_code FROM orders o JOIN intents USING (client_order_id)"
    (found,) = floor.rows(query + " WHERE leg = %s", leg)
    return found


def held(floor: TradingFloor) -> Decimal:
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), D(0))


def mend(floor: TradingFloor, times: int = 1) -> None:
    for _ in range(times):
        floor.clock.advance_to(floor.clock.now() + 3 * SECOND)
        with OrderPath(floor.desk) as path:
            path.mend(path.newest_token())


def forgotten_stop(floor: TradingFloor, venue: ScriptedVenue) -> UUID:
    """The stop that rests, and that the venue does not know any more from now on."""
    venue.orders = [one for one in venue.orders if one.trigger_price is None]
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    mend(floor, 3)
    return order_of(floor, Leg.STOP)[0]


def refuses_new_risk(floor: TradingFloor) -> str | None:
    trade(floor)
    return floor.rows("SELECT reason_code FROM outbox ORDER BY outbox_id DESC LIMIT 1")[0][0]


def test_a_forgotten_stop_is_settled_and_its_position_protected_again(
    floor: TradingFloor, venue: ScriptedVenue
) -> None:
    """X3: no command ended such an order, so its position could have no other stop and its halt no end."""
    trade(floor)
    stop = forgotten_stop(floor, venue)
    assert DifferenceKind.ORDER_MISSING in kinds(reconcile(floor))
    assert mode(floor) is TradingMode.REDUCING
    assert [(one.order.client_order_id, one.refusal) for one in unclear_orders(floor.desk)] == [(stop, "")]
    settled = settle_by_hand(floor.desk, stop, None, who="ann", why="support says it was purged")
    assert settled.state is OrderState.CANCELED
    assert order_of(floor, Leg.STOP)[1:] == ("CANCELED", ReasonCode.SETTLED_BY_HAND)
    assert mode(floor) is TradingMode.REDUCING  # a person says apart that the account may go on
    mend(floor)
    assert venue.stop().quantity == held(floor)
    assert DifferenceKind.ORDER_MISSING not in kinds(reconcile(floor))
    assert unclear_orders(floor.desk) == []
    (told,) = floor.rows(
        "SELECT payload::json ->> 'settled_by', payload::json ->> 'why' FROM trading_events "
        "WHERE kind = 'order_settled'"
    )
    assert told == ("ann", "support says it was purged")
    with floor.database.connection() as connection:
        assert verify_chain(connection, floor.desk.schema, floor.desk.account).broken_at is None


@pytest.mark.parametrize(("share", "state"), [("1", "FILLED"), ("0.5", "CANCELED")])
def test_a_fill_that_a_person_saw_is_booked_and_can_be_told_from_the_venues(
    floor: TradingFloor, venue: ScriptedVenue, share: str, state: str
) -> None:
    """X3, X8: a stop that was filled and forgotten leaves a position in the books that is gone at the venue."""
    trade(floor)
    stop = forgotten_stop(floor, venue)
    before = held(floor)
    sold = before * D(share)
    fill = HandFill(D(9_700), D("1.25"), "USDT", sold)
    settled = settle_by_hand(floor.desk, stop, fill, who="ann", why="the account's statement")
    assert (settled.state, settled.filled_quantity, held(floor)) == (state, sold, before - sold)
    assert order_of(floor, Leg.STOP)[2] == ReasonCode.SETTLED_BY_HAND
    marked = f"{venue.venue}:by-hand:{stop}"
    booked = floor.rows("SELECT posting, currency, amount FROM ledger WHERE transaction = %s", marked)
    assert {("fees", "USDT", D("1.25")), ("market", "BTC", sold)} <= set(booked)
    assert floor.rows("SELECT trade_id, quantity FROM fills WHERE client_order_id = %s", stop) == [
        (f"by-hand:{stop}", sold)
    ]


def test_a_venue_that_remembers_after_all_halts_the_account(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: the trade that a person booked is told by the venue too; booked twice, money would be in the books twice."""
    trade(floor)
    stop = venue.stop()
    identity = forgotten_stop(floor, venue)
    settle_by_hand(floor.desk, identity, HandFill(D(9_700), D(0), "USDT"), who="ann", why="statement")
    cash = floor.rows("SELECT currency, amount FROM balances ORDER BY currency")
    venue.orders.append(stop)
    venue.fill(stop, price=D(9_700))
    assert DifferenceKind.ORDER_MISFIT in kinds(reconcile(floor))
    assert floor.rows("SELECT currency, amount FROM balances ORDER BY currency") == cash
    assert mode(floor) is TradingMode.REDUCING


def test_until_a_person_has_said_so_nothing_new_is_risked(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: an entry whose outcome the venue cannot tell blocks new risk, however long, and settling it ends that."""
    venue.lose_request.add(Leg.ENTRY)
    venue.silent = {"lookup", "open_orders"}
    trade(floor)
    entry = order_of(floor, Leg.ENTRY)[0]
    with pytest.raises(InputError, match="may still take it until"):
        settle_by_hand(floor.desk, entry, None, who="ann", why="impatient")
    floor.pass_time(timedelta(days=1))
    assert refuses_new_risk(floor) == "UNRESOLVED_ORDER"
    settle_by_hand(floor.desk, entry, None, who="ann", why="not in the venue's list of today")
    venue.silent = set()
    assert refuses_new_risk(floor) == "VENUE_FILLED"


def test_only_what_nobody_else_can_tell_is_settled_by_hand(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a working stop that is declared cancelled rests on, and sells beside the next one."""
    trade(floor)
    entry, stop = order_of(floor, Leg.ENTRY)[0], order_of(floor, Leg.STOP)[0]
    for order, said in (
        (stop, "is being asked for it"),
        (entry, "it is FILLED already"),
        (UUID(int=1), "has no order"),
    ):
        with pytest.raises(InputError, match=said):
            settle_by_hand(floor.desk, order, None, who="ann", why="I want it gone")
    forgotten = forgotten_stop(floor, venue)
    whole = held(floor)
    wrong = [
        HandFill(D(9_700), D(0), "USDT", whole * 2),
        HandFill(D(0), D(0), "USDT"),
        HandFill(D("NaN"), D(0), "USDT"),
        HandFill(D(9_700), D("Infinity"), "USDT"),
        HandFill(D(9_700), D(0), "USDT", D(0)),
    ]
    for fill in wrong:
        with pytest.raises(InputError, match="cannot be a fill"):
            settle_by_hand(floor.desk, forgotten, fill, who="ann", why="a slip")
    with pytest.raises(InputError, match="say who"):
        settle_by_hand(floor.desk, forgotten, None, who="ann", why=" ")
    assert order_of(floor, Leg.STOP)[1] == "OPEN"
