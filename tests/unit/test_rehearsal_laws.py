"""The laws between books and exchange: each of them sees what it is there to see."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Fill, Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.portfolio.positions import apply_fill
from triplegain_pipelines.rehearsal.laws import LAWS, AccountBooks, ExchangeBooks, broken_laws
from triplegain_pipelines.rehearsal.orders import ExchangeOrder, ExchangeTrade, OrderRequest, OrderStatus
from triplegain_pipelines.store.events import ChainReport
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxRow, OutboxStatus

pytestmark = pytest.mark.unit

D = Decimal
AT = datetime(2026, 1, 7, 12, tzinfo=UTC)
BTC = "BTC/USDT"
DECISION, PROPOSAL = deterministic_id("decision"), deterministic_id("proposal")
INSTRUMENT = Instrument(BTC, D("0.0001"), D("0.1"), D("0.0001"), D(5))
Both = tuple[AccountBooks, ExchangeBooks]


def order(leg: Leg, state: OrderState, filled: str, attempt: int = 1) -> Order:
    stop = leg is Leg.STOP
    intent = Intent(
        account="rehearsal",
        decision_id=DECISION,
        symbol=BTC,
        leg=leg,
        attempt=attempt,
        side=Side.SELL if stop else Side.BUY,
        order_type=OrderType.STOP if stop else OrderType.MARKET,
        quantity=D("0.01"),
        decided_price=D(100),
        trigger_price=D(980) if stop else None,
    )
    return Order(intent, PROPOSAL, state, D(filled), AT)


ENTRY, STOP = order(Leg.ENTRY, OrderState.FILLED, "0.01"), order(Leg.STOP, OrderState.OPEN, "0")


def at_exchange(number: int, made: Order, status: OrderStatus, client_id: str | None = None) -> ExchangeOrder:
    intent = made.intent
    request = OrderRequest(
        intent.symbol,
        intent.side,
        intent.quantity,
        client_id or str(made.client_order_id),
        trigger=intent.trigger_price,
    )
    filled = intent.quantity if status is OrderStatus.FILLED else D(0)
    return ExchangeOrder(number, request, AT, status, filled, trigger=intent.trigger_price)


TRADE = ExchangeTrade(7, 1, BTC, Side.BUY, D("0.01"), D(1000), D("0.04"), "USDT", AT)
FILL = Fill("kraken", "T7", ENTRY.client_order_id, BTC, Side.BUY, D("0.01"), D(1000), D("0.04"), "USDT", AT)
POSITION = apply_fill(None, FILL, ENTRY.intent, stop_loss=D(980), take_profit=None)[0]
assert POSITION is not None
OWNED = {"USDT": D("89.96"), "BTC": D("0.01")}
OURS = AccountBooks(
    orders=(ENTRY, STOP),
    fills=(FILL,),
    positions=(POSITION,),
    dust=(),
    owned=OWNED,
    waiting=(),
    chain=ChainReport(9, None, "every event follows the one before it"),
    instruments={BTC: INSTRUMENT},
    stops_rest=True,
)
THEIRS = ExchangeBooks(
    orders=(at_exchange(1, ENTRY, OrderStatus.FILLED), at_exchange(2, STOP, OrderStatus.OPEN)),
    trades=(TRADE,),
    balances=OWNED,
    prices={BTC: (D(1000), D(1000))},
)


def ours(**changes: object) -> Both:
    return replace(OURS, **changes), THEIRS  # type: ignore[arg-type]


def theirs(**changes: object) -> Both:
    return OURS, replace(THEIRS, **changes)  # type: ignore[arg-type]


def entered_twice() -> Both:
    again = order(Leg.ENTRY, OrderState.FILLED, "0.01", attempt=2)
    traded = replace(TRADE, number=8, order=3)
    exchanged = replace(
        THEIRS, orders=(*THEIRS.orders, at_exchange(3, again, OrderStatus.FILLED)), trades=(TRADE, traded)
    )
    return replace(OURS, orders=(ENTRY, again, STOP)), exchanged


def dust(quantity: str) -> Dust:
    return Dust("rehearsal", BTC, DECISION, D(quantity), D(1000), AT)


FIRST, SECOND = THEIRS.orders
WAITING = OutboxRow(1, DECISION, OutboxStatus.CLAIMED, AT, AT, 1, None)
BREACHES: dict[str, Callable[[], Both]] = {
    "an order is at the exchange once": lambda: theirs(orders=(FIRST, replace(FIRST, number=3), SECOND)),
    "the exchange has no order that the books do not know": lambda: theirs(
        orders=(FIRST, SECOND, at_exchange(3, STOP, OrderStatus.OPEN, client_id=str(UUID(int=9))))
    ),
    "no intent is filled beyond its quantity": lambda: theirs(trades=(TRADE, replace(TRADE, number=8))),
    "a decision is entered once": entered_twice,
    "every trade is booked exactly once": lambda: ours(fills=()),
    "no outcome is unknown": lambda: ours(orders=(ENTRY, replace(STOP, state=OrderState.PENDING_CANCEL))),
    "orders are alike on both sides": lambda: ours(orders=(ENTRY, replace(STOP, state=OrderState.CANCELED))),
    "what was given up never lived": lambda: ours(orders=(ENTRY, replace(STOP, state=OrderState.LOST))),
    "positions and dust are what is held": lambda: ours(positions=()),
    "every position has exactly its stop": lambda: theirs(orders=(FIRST,)),
    "nothing rests without a position": lambda: ours(positions=()),
    "dust is dust": lambda: ours(dust=(dust("0.01"),)),
    "balances are equal to the last digit": lambda: ours(owned={**OWNED, "USDT": D("89.96000001")}),
    "no decision is half done": lambda: ours(waiting=(WAITING,)),
    "the chain of events holds": lambda: ours(chain=ChainReport(3, 4, "event 4 was changed after it was written")),
}


def test_books_that_agree_break_no_law() -> None:
    """T2: a judge that condemns what is right is not believed when he is right."""
    assert broken_laws(OURS, THEIRS) == ()


def test_a_rest_that_cannot_be_sold_is_dust() -> None:
    """X3: what no order can be made of is owned, and needs no stop."""
    left = D("0.0041")  # worth less than the exchange takes
    balances = {**OWNED, "BTC": OWNED["BTC"] + left}
    assert broken_laws(replace(OURS, dust=(dust(str(left)),), owned=balances), replace(THEIRS, balances=balances)) == ()


@pytest.mark.parametrize("law", LAWS)
def test_each_law_sees_what_breaks_it(law: str) -> None:
    """T2: a law that nothing can break would let a lost fill or a second order pass."""
    broken = broken_laws(*BREACHES[law]())
    assert law in {breach.law for breach in broken}, broken
    assert all(str(breach).startswith(breach.law) for breach in broken)
