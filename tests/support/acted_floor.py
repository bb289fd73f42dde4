"""Decisions acted on at a trading floor, and what its tables say of them."""

from decimal import Decimal

from builders import TradingFloor

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.outbox import OutboxStatus


def execute(floor: TradingFloor, *decisions: Decision) -> OutboxStatus:
    """Queue decisions and act on each as a run does; how the last one stands after it."""
    floor.queue(*decisions)
    with OrderPath(floor.desk) as path:
        for made in decisions:
            status = path.execute(made.decision_id)
    return status


def outcome(floor: TradingFloor, made: Decision) -> tuple[str, str | None]:
    """Status and reason of a decision in the outbox."""
    return floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)[0]


def orders(floor: TradingFloor) -> list[tuple]:
    """Leg, attempt, state, quantity and filled quantity of every order, the oldest first."""
    return floor.rows(
        """SELECT leg, attempt, state, quantity, filled_quantity FROM orders JOIN intents USING (client_order_id)
           ORDER BY intended_at, leg, attempt"""
    )


def position(floor: TradingFloor) -> Decimal:
    """What is held, all symbols together."""
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), Decimal(0))
