"""What the tests of reconciliations and restarts have in common: trading, comparing, and looking at what came of it."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from builders import ACCOUNT, BTC, TradingFloor, decision
from scripted_venue import ScriptedVenue

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.comparison import Comparison
from triplegain_pipelines.execution.desk import PAPER
from triplegain_pipelines.execution.differences import DifferenceKind
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.reconciliation import HALT_ALERT, SILENCE_ALERT, reconcile_account
from triplegain_pipelines.store import heartbeats, trading_modes
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.events import verify_chain

D = Decimal
MINUTE = timedelta(minutes=1)


def trade(floor: TradingFloor, symbol: str = BTC, action: Action = Action.BUY, **changes) -> UUID:
    floor.pass_time(MINUTE)
    made = decision(symbol, as_of=floor.clock.now(), action=action, **changes)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    return made.decision_id


def reconcile(floor: TradingFloor) -> Comparison:
    """As every few minutes, a moment later."""
    floor.clock.advance_to(floor.clock.now() + timedelta(seconds=10))
    return reconcile_account(floor.desk)


def kinds(comparison: Comparison) -> list[DifferenceKind]:
    return [difference.kind for difference in comparison.differences]


def mode(floor: TradingFloor) -> TradingMode:
    with floor.database.connection() as connection:
        return trading_modes.read(connection, ACCOUNT)


def reconciled(floor: TradingFloor) -> datetime | None:
    with floor.database.connection() as connection:
        return heartbeats.last_beat(connection, heartbeats.RECONCILED, ACCOUNT)


def alerts(floor: TradingFloor) -> set[str]:
    with floor.database.connection() as connection:
        return {alert.kind for alert in open_alerts(connection)} & {HALT_ALERT, SILENCE_ALERT}


def states(floor: TradingFloor) -> dict[str, str]:
    """State of the newest attempt of each leg."""
    rows = floor.rows(
        "SELECT leg, state FROM orders JOIN intents USING (client_order_id) ORDER BY intended_at, attempt"
    )
    return dict(rows)


def held(floor: TradingFloor) -> Decimal:
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), D(0))


def require_right_books(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """Every trade of the venue is booked once, and the books own what the venue says."""
    booked = floor.rows("SELECT trade_id, quantity, price FROM fills ORDER BY trade_id")
    ours = {one.venue_order_id for one in venue.orders if one.client_order_id is not None}
    assert sorted(booked) == sorted(
        (one.trade_id, one.quantity, one.price) for one in venue.trades if one.venue_order_id in ours
    )
    owned = dict(floor.rows("SELECT currency, amount FROM balances"))
    dust = floor.rows("SELECT coalesce(sum(quantity), 0) FROM dust")[0][0]
    assert {currency: amount for currency, amount in venue.owned.items() if amount} == {
        currency: amount + (dust if currency == "BTC" else 0) for currency, amount in owned.items() if amount
    }
    assert held(floor) + dust == venue.owned.get("BTC", D(0))
    with floor.database.connection() as connection:
        assert verify_chain(connection, PAPER, ACCOUNT).broken_at is None
