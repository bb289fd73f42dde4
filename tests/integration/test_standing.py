"""What is read of an account in one statement is what its parts say one by one."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, COSTS, ETH, TradingFloor, decision, trading_floor

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import InputError, UnknownOutcomeError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.orders import Leg, OrderState
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store import accounts, breakers, orders, outbox, positions, risk_state, standing
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decision
from triplegain_pipelines.store.standing import Standing

pytestmark = pytest.mark.integration
SCHEMA = "paper_trading"


def read(floor: TradingFloor, decision_id) -> Standing:
    with floor.database.connection() as connection:
        return standing.read(connection, SCHEMA, "test", decision_id, "USDT")


def one_by_one(floor: TradingFloor, decision_id) -> Standing:
    with floor.database.connection() as connection:
        return Standing(
            decision_id=decision_id,
            decision=read_decision(connection, decision_id),
            row=outbox.read(connection, SCHEMA, "test", decision_id),
            made=orders.of_decision(connection, SCHEMA, "test", decision_id),
            alive=orders.alive(connection, SCHEMA, "test"),
            positions=positions.read_all(connection, SCHEMA, "test"),
            cash=accounts.balance(connection, SCHEMA, "test", "USDT"),
            risk=risk_state.read(connection, SCHEMA, "test"),
            breakers=breakers.read(connection, "test"),
            superseded=bool(
                connection.execute(
                    """SELECT FROM research.consensus_decisions later JOIN paper_trading.outbox USING (decision_id),
                              research.consensus_decisions d
                       WHERE d.decision_id = %s AND later.symbol = d.symbol AND later.as_of > d.as_of
                           AND status <> 'PENDING'""",
                    [decision_id],
                ).fetchone()
                is not None
            ),
        )


def test_it_is_what_the_parts_say(database: Database) -> None:
    """R1: what risk judges by must be the books, to the last digit, in whatever way they are read."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.4), cash=Decimal("2100.50"))
    made = [
        decision(symbol, floor.clock.now() + timedelta(seconds=seconds), action, valid=timedelta(hours=1))
        for seconds, symbol, action in ((0, BTC, Action.BUY), (1, ETH, Action.BUY), (2, BTC, Action.CLOSE))
    ]
    floor.queue(*made)
    seen: set[OrderState] = set()
    unknown = deterministic_id("decision", "never queued")
    with OrderPath(floor.desk) as path:
        for one in made:
            assert read(floor, one.decision_id) == one_by_one(floor, one.decision_id)
            floor.clock.advance_to(one.as_of)
            floor.beat()
            first = one is made[0]
            floor.broker.down = first
            floor.broker.lose_answer = {Leg.ENTRY} if first else set()
            floor.broker.lose_cancel = one.action is Action.CLOSE
            with suppress(UnknownOutcomeError):  # that the cancellation of what is in the way of the exit got lost
                path.execute(one.decision_id)
            seen |= {order.state for order in read(floor, one.decision_id).alive}
            for asked in (*(each.decision_id for each in made), unknown):
                found = read(floor, asked)
                assert found == one_by_one(floor, asked)
                assert repr(found.cash) == repr(one_by_one(floor, asked).cash)
    found = read(floor, made[0].decision_id)
    assert found.made
    assert found.breakers
    # PENDING_SUBMIT lasts for as long as an order is on its way only.
    assert seen >= {state for state in OrderState if not state.is_final} - {OrderState.PENDING_SUBMIT}
    assert read(floor, unknown).row is None


def test_an_account_without_a_risk_state_is_refused(database: Database) -> None:
    """R1: what is not known must not be taken for nothing lost."""
    floor = trading_floor(database)
    with database.connection() as connection, pytest.raises(InputError, match="no risk state"):
        standing.read(connection, SCHEMA, "nobody", deterministic_id("decision", "none"), "USDT")
    assert floor.rows("SELECT count(*) FROM risk_state") == [(1,)]
