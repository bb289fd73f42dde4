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
from triplegain_pipelines.store.orders import IllegalTransitionError, Move, Order
from triplegain_pipelines.store.statements import statement

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
    (made,) = orders.move(connection, SCHEMA, [to(order, state, filled)], START + timedelta(seconds=1))
    assert made == orders.read(connection, SCHEMA, order.client_order_id)
    return made


def to(order: Order, state: OrderState, filled: Decimal) -> Move:
    return Move(order, state, ReasonCode.VENUE_ACCEPTED, filled, None)


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


def test_several_orders_move_together_or_not_at_all(database: Database, proposal) -> None:
    """X3: of answers that are taken over together none may get lost, and none counts twice."""
    none = Decimal(0)
    with database.connection() as connection:
        first, second = (fresh_order(connection, proposal, attempt) for attempt in (2, 3))
        gone = moved(connection, fresh_order(connection, proposal, 4), OrderState.CANCELED, none)
        meant = [to(first, OrderState.OPEN, none), to(second, OrderState.FILLED, QUANTITY)]
        made = orders.move(connection, SCHEMA, meant, START)
        assert made == [orders.read(connection, SCHEMA, order.client_order_id) for order in (first, second)]
        (opened, _) = made
        stays = to(opened, OrderState.OPEN, none)
        for wrong in (to(gone, OrderState.OPEN, none), to(first, OrderState.CANCELED, none), stays):
            with pytest.raises(IllegalTransitionError), connection.transaction():
                orders.move(connection, SCHEMA, [stays, wrong], START)
            assert orders.read(connection, SCHEMA, first.client_order_id) == opened


def test_an_order_is_handed_over_once(database: Database, proposal) -> None:
    """X3: once it counts as sent, nothing may send it again."""
    with database.connection() as connection:
        order = fresh_order(connection, proposal, 2)
        sent = orders.mark_submitted(connection, SCHEMA, order, START, START + timedelta(seconds=5))
        assert sent == orders.read(connection, SCHEMA, order.client_order_id)
        with pytest.raises(IllegalTransitionError, match="never send it again"):
            orders.mark_submitted(connection, SCHEMA, sent, START, START + timedelta(seconds=5))


@pytest.mark.parametrize("schema", ["paper_trading", "live_trading"])
def test_the_table_in_the_database_is_the_one_in_the_code(database: Database, schema: str) -> None:
    """Issue 4: two tables that differ would let through what the other refuses."""
    with database.connection() as connection:
        rows = connection.execute(statement("TABLE {schema}.order_transitions", schema)).fetchall()
    assert sorted(rows) == sorted((before, after) for before, afters in TRANSITIONS.items() for after in afters)


def test_the_database_refuses_what_the_table_does_not_have(database: Database, proposal) -> None:
    """Issue 4: illegal transitions cannot be written, whoever writes them."""
    for number, before in enumerate(OrderState):
        for after in OrderState:
            with psycopg.connect(database.url) as connection:
                order = fresh_order(connection, proposal, 10 + number)
                change = "UPDATE paper_trading.orders SET state = %s WHERE client_order_id = %s"
                connection.execute("ALTER TABLE paper_trading.orders DISABLE TRIGGER legal")
                connection.execute(change, [before, order.client_order_id])
                connection.execute("ALTER TABLE paper_trading.orders ENABLE TRIGGER legal")
                if before is after or after in TRANSITIONS[before]:
                    connection.execute(change, [after, order.client_order_id])
                else:
                    with pytest.raises(psycopg.errors.RaiseException, match=f"cannot go from {before} to {after}"):
                        connection.execute(change, [after, order.client_order_id])
                connection.rollback()


def test_the_database_takes_no_fill_back(database: Database, proposal) -> None:
    """X3: what was filled stays filled, whoever writes."""
    with psycopg.connect(database.url) as connection:
        order = moved(connection, fresh_order(connection, proposal, 2), OrderState.PARTIALLY_FILLED, Decimal("0.5"))
        with pytest.raises(psycopg.errors.RaiseException, match="cannot go back"):
            connection.execute(
                "UPDATE paper_trading.orders SET filled_quantity = 0.4 WHERE client_order_id = %s",
                [order.client_order_id],
            )
        connection.rollback()
