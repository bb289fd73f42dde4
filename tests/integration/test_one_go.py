"""What one transaction of a decision hands on to the next one is what the books say."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from builders import BTC, COSTS, ETH, START, LossyBroker, TradingFloor, candle, decision, trading_floor

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import UnknownOutcomeError
from triplegain_pipelines.domain.orders import Intent, Leg, OrderReference, VenueOrder
from triplegain_pipelines.execution import one_go
from triplegain_pipelines.execution.asking import VenueBalances
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.execution.documents import inputs_from, proposal_from
from triplegain_pipelines.execution.flows import book_flow
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.steps import Carried, standing_of
from triplegain_pipelines.store import verdicts
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.outbox import OutboxStatus
from triplegain_pipelines.store.standing import Standing

pytestmark = pytest.mark.integration


@dataclass
class Handed:
    """What was handed on, and how often it held."""

    held: list[bool] = field(default_factory=list)
    settled: int = 0


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    """Compares whatever is handed on with the books, in the transaction that takes it."""
    seen, standing_in, judge, settle = Handed(), Carried.standing_in, one_go.judge, one_go.settle

    def watched(carried: Carried, transaction: AccountTransaction) -> Standing:
        found = standing_in(carried, transaction)
        assert replace(found, outcome=None) == standing_of(transaction, found.decision_id)
        if found.outcome is not None:
            given = verdicts.read_outcome(transaction.connection, transaction.schema, found.outcome.proposal_id)
            assert given is not None
            assert found.outcome == proposal_from(given)
        seen.held.append(found is carried.standing)
        return found

    def judged(
        transaction: AccountTransaction, found: Standing, balances: VenueBalances, *, closing: bool
    ) -> one_go.Ready:
        assert found == standing_of(transaction, found.decision_id)
        return judge(transaction, found, balances, closing=closing)

    def settled(transaction: AccountTransaction, found: Standing) -> one_go.Settling:
        stored = standing_of(transaction, found.decision_id)
        known = replace(found, cash=stored.cash, risk=stored.risk, breakers=stored.breakers, outcome=None)
        assert known == stored
        seen.settled += 1
        return settle(transaction, found)

    monkeypatch.setattr(Carried, "standing_in", watched)
    monkeypatch.setattr(one_go, "judge", judged)
    monkeypatch.setattr(one_go, "settle", settled)
    return seen


@dataclass
class BusyBroker(LossyBroker):
    """A broker while which works money is paid in: before each cancellation and before each order."""

    floor: TradingFloor | None = None

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
        """Money comes, then the order goes out."""
        self._pay_in()
        return super().submit(intent, sent_at, expires_at)

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Money comes, then the cancellation goes out."""
        self._pay_in()
        return super().cancel(order)

    def _pay_in(self) -> None:
        assert self.floor is not None
        self.floor.clock.advance_to(self.floor.clock.now() + timedelta(seconds=1))
        prices = {BTC: Decimal(10_000)}
        book_flow(self.floor.desk, Decimal(100), "USDT", who="a test", why="to change the books", prices=prices)


def trade(floor: TradingFloor, *steps: tuple[str, Action]) -> list[OutboxStatus | None]:
    """Execute decisions a minute apart; None where the outcome was unknown."""
    ends: list[OutboxStatus | None] = []
    made = [
        decision(symbol, START + timedelta(minutes=number), action, price=10_000.0 if symbol == BTC else 1_000.0)
        for number, (symbol, action) in enumerate(steps, 1)
    ]
    floor.queue(*made)
    with OrderPath(floor.desk) as path:
        path.reconcile()
        for one in made:
            floor.clock.advance_to(max(one.as_of, floor.clock.now()))
            floor.beat()
            ends.append(None)
            with suppress(UnknownOutcomeError):
                ends[-1] = path.execute(one.decision_id)
    return ends


@pytest.mark.parametrize("fill_rate", [1.0, 0.0])
@pytest.mark.parametrize("fault", ["none", "refuse", "lose_request", "lose_answer", "lose_cancel"])
def test_what_is_handed_on_is_what_is_stored(database: Database, handed: Handed, fill_rate: float, fault: str) -> None:
    """X1: a step that works with other orders or positions than the books have leaves a position without its stop."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=fill_rate))
    if fault == "lose_cancel":
        floor.broker.lose_cancel = True
    elif fault != "none":
        getattr(floor.broker, fault).update({Leg.EXIT, Leg.TAKE_PROFIT} if fault == "refuse" else {Leg.ENTRY})
    trade(floor, (BTC, Action.BUY), (ETH, Action.BUY), (BTC, Action.BUY), (BTC, Action.CLOSE), (ETH, Action.CLOSE))
    assert handed.settled >= 3
    assert handed.held
    assert all(handed.held)


def test_a_rest_that_was_bought_before_its_cancellation_is_paid_for(database: Database, handed: Handed) -> None:
    """R1: the exit would be judged by money that is spent."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.0))
    assert trade(floor, (BTC, Action.BUY)) == [OutboxStatus.DONE]
    floor.clock.advance_to(START + timedelta(minutes=3))
    floor.venue.match("test", candle(START + timedelta(minutes=2), "10000", "10000", "10000", "10000"))
    made = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(made)
    floor.beat()
    with OrderPath(floor.desk) as path:
        path._reconciled = True  # or the fill would be booked before the cancellation
        assert path.execute(made.decision_id) is OutboxStatus.DONE
    assert floor.rows("SELECT side FROM fills ORDER BY filled_at")[:2] == [("BUY",), ("BUY",)]
    assert all(handed.held)


def test_a_stop_that_filled_before_its_cancellation_is_seen(database: Database, handed: Handed) -> None:
    """X1: the exit that follows would sell a position that is gone."""
    floor = trading_floor(database)
    assert trade(floor, (BTC, Action.BUY)) == [OutboxStatus.DONE]
    floor.clock.advance_to(START + timedelta(minutes=3))
    floor.venue.match("test", candle(START + timedelta(minutes=2), "10000", "10000", "9000", "9000"))
    made = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(made)
    floor.beat()
    with OrderPath(floor.desk) as path:
        path._reconciled = True  # or the fill would be booked before the cancellation
        path.execute(made.decision_id)
    assert floor.rows("SELECT count(*) FROM positions") == [(0,)]
    assert [intent.leg for intent in floor.broker.submissions] == ["ENTRY", "STOP", "TAKE_PROFIT"]
    assert all(handed.held)


def test_what_changed_in_between_is_read_again(database: Database, handed: Handed) -> None:
    """X1: whoever wrote to the books between two transactions must not be overlooked by the second one."""
    floor = trading_floor(database)
    floor.broker = BusyBroker(floor.venue, floor=floor)
    floor.desk = replace(floor.desk, broker=floor.broker)
    assert trade(floor, (BTC, Action.BUY), (BTC, Action.CLOSE)) == [OutboxStatus.DONE, OutboxStatus.DONE]
    assert not any(handed.held)
    inputs = [inputs_from(text) for (text,) in floor.rows("SELECT inputs FROM verdicts ORDER BY decided_at")]
    # Three orders and two cancellations before the exit was judged, with a hundred paid in at each.
    spent = inputs[0].portfolio.cash + 500 - inputs[1].portfolio.cash
    (bought,) = floor.rows("SELECT quantity * price + fee FROM fills WHERE side = 'BUY'")[0]
    assert spent == bought
