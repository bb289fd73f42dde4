"""The order's state machine in the database: only legal transitions can be written."""

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from builders import BTC, START, decision, trading_floor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.orders import TRANSITIONS, Claim, Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store import orders
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import IllegalTransitionError, Order

pytestmark = pytest.mark.integration

SCHEMA = "paper_trading"
QUANTITY = Decimal(1)


@pytest.fixture
def proposal(database: Database):
    """A proposal that orders can be made for."""
    floor = trading_floor(database)
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
    return floor.rows("SELECT proposal_id, decision_id FROM proposals")[0]


def fresh_order(connection: psycopg.Connection, proposal, attempt: int) -> Order:
    intent = Intent("test", proposal[1], BTC, Leg.EXIT, attempt, Side.SELL, OrderType.MARKET, QUANTITY, Decimal(10))
    orders.insert(connection, SCHEMA, [intent], proposal_id=proposal[0], token=1, at=START)
    return orders.read(connection, SCHEMA, intent.client_order_id)  # type: ignore[return-value]


def moved(connection: psycopg.Connection, order: Order, state: OrderState, filled: Decimal) -> Order:
    orders.move(
        connection,
        SCHEMA,
        order,
        state,
        reason=ReasonCode.VENUE_ACCEPTED,
        filled_quantity=filled,
        venue_order_id=None,
        at=START + timedelta(seconds=1),
    )
    return orders.read(connection, SCHEMA, order.client_order_id)  # type: ignore[return-value]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wishes=st.lists(st.tuples(st.sampled_from(OrderState), st.sampled_from(["0", "0.5", "1", "1.5"])), max_size=6),
    attempt=st.integers(2, 10**6),
)
def test_an_order_walks_only_along_the_table(database: Database, proposal, wishes, attempt: int) -> None:
    """X3: a final order never comes alive, a filled quantity never falls, and never exceeds the order."""
    connection = psycopg.connect(database.url)
    try:
        order = fresh_order(connection, proposal, attempt)
        for state, quantity in wishes:
            filled = Decimal(quantity)
            legal = (state is order.state or state in TRANSITIONS[order.state]) and (
                order.filled_quantity <= filled <= QUANTITY
            )
            if legal:
                order = moved(connection, order, state, filled)
                assert (order.state, order.filled_quantity) == (state, filled)
            else:
                with pytest.raises(IllegalTransitionError):
                    moved(connection, order, state, filled)
                assert orders.read(connection, SCHEMA, order.client_order_id) == order
    finally:
        connection.rollback()
        connection.close()


def test_an_order_that_moved_meanwhile_is_not_moved_again(database: Database, proposal) -> None:
    """X3: two answers about one order must not be applied to the same state."""
    with database.connection() as connection:
        stale = fresh_order(connection, proposal, 2)
        moved(connection, stale, OrderState.OPEN, Decimal(0))
        with pytest.raises(IllegalTransitionError, match="any more"):
            moved(connection, stale, OrderState.REJECTED, Decimal(0))


def test_an_order_is_handed_over_once(database: Database, proposal) -> None:
    """X3: once it counts as sent, nothing may send it again."""
    with database.connection() as connection:
        order = fresh_order(connection, proposal, 2)
        orders.mark_submitted(connection, SCHEMA, order.client_order_id, START)
        with pytest.raises(IllegalTransitionError, match="never send it again"):
            orders.mark_submitted(connection, SCHEMA, order.client_order_id, START)
