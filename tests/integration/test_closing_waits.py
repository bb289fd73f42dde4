"""Exits that meet an order of unknown outcome: none is forgotten or doubled, and what they wait for is said."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from builders import TradingFloor, decision
from live_site import BTC, Site, live_site
from reconciling import trade
from scripted_venue import ScriptedVenue

from jobs.tags import DECISION
from sensors.execution import execution_sensor
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import UnknownOutcomeError
from triplegain_pipelines.domain.orders import Leg, OrderState, Side
from triplegain_pipelines.execution.backing import is_backed
from triplegain_pipelines.execution.emergency import StopOrder
from triplegain_pipelines.execution.exits import Closing, flatten
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.waiting import WAITS_ALERT
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.operations.stopping import stop_trading
from triplegain_pipelines.rehearsal import server
from triplegain_pipelines.rehearsal.faults import CallKind, Fault, FaultKind, FaultPlan
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store import orders, outbox, positions
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.outbox import OutboxRow

pytestmark = pytest.mark.integration

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def execute(floor: TradingFloor, made) -> str:
    """Act on a decision as a run does; how it stands after it."""
    with OrderPath(floor.desk) as path:
        return path.execute(made.decision_id)


def waiting(floor: TradingFloor) -> list[OutboxRow]:
    with floor.database.connection() as connection:
        return outbox.waiting(connection, floor.desk.schema, floor.desk.account)


def outcome(floor: TradingFloor, made) -> tuple[str, str | None]:
    return floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)[0]


def held(floor: TradingFloor) -> Decimal:
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), Decimal(0))


def waits(floor: TradingFloor) -> list[str]:
    return [text for (text,) in floor.rows("SELECT text FROM alerts WHERE kind = %s AND ended_at IS NULL", WAITS_ALERT)]


def resolve(floor: TradingFloor, times: int = 4) -> None:
    """As the guardian does every second."""
    for _ in range(times):
        floor.clock.advance_to(floor.clock.now() + 3 * SECOND)
        with OrderPath(floor.desk) as path:
            path.mend(path.newest_token())


def unknown_entry(floor: TradingFloor, venue: ScriptedVenue, *, arrived: bool) -> None:
    """A purchase of which nobody knows whether it came to be, at a venue that says nothing for now."""
    (venue.lose_answer if arrived else venue.lose_request).add(Leg.ENTRY)
    venue.silent = {"lookup", "open_orders"}
    trade(floor)
    assert floor.rows("SELECT state FROM orders") == [("UNKNOWN",)]


@pytest.mark.parametrize("action", [Action.CLOSE, Action.SELL])
@pytest.mark.parametrize("arrived", [True, False])
def test_a_close_that_meets_an_unknown_purchase_waits_for_it(
    floor: TradingFloor, venue: ScriptedVenue, action: Action, *, arrived: bool
) -> None:
    """X3: the close was refused because no position was known, and the position that turned out to exist stayed open.

    It is remembered past its validity, and nothing is sent for it before the purchase is clear.
    """
    unknown_entry(floor, venue, arrived=arrived)
    floor.pass_time(MINUTE)
    made = decision(as_of=floor.clock.now(), action=action)
    floor.queue(made)
    for _ in range(2):
        with pytest.raises(UnknownOutcomeError, match="tried again"):
            execute(floor, made)
        floor.clock.advance_to(floor.clock.now() + HOUR)
        floor.beat()  # it has run out long ago, and its run is dead
    assert len(venue.submissions) == 1
    assert [row.decision_id for row in waiting(floor) if row.is_held_up] == [made.decision_id]
    assert [("ENTRY order" in text, "until" in text) for text in waits(floor)] == [(True, True)]
    venue.silent = set()
    resolve(floor)
    assert (held(floor) > 0) is arrived
    assert waits(floor) == []
    execute(floor, made)
    assert held(floor) == 0
    exits = [intent for intent in venue.submissions if intent.leg is Leg.EXIT]
    assert len(exits) == arrived
    assert not venue.owned.get("BTC", Decimal(0))
    assert outcome(floor, made)[0] == ("DONE" if arrived else "EXPIRED")


def test_a_close_that_waits_gets_its_runs_and_others_that_ran_out_do_not(
    floor: TradingFloor, venue: ScriptedVenue
) -> None:
    """X3: remembered, but asked for by nobody once its validity is over, the close would wait for ever."""
    unknown_entry(floor, venue, arrived=True)
    floor.pass_time(MINUTE)
    made = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(made)
    with pytest.raises(UnknownOutcomeError):
        execute(floor, made)
    floor.clock.advance_to(floor.clock.now() + HOUR)
    own = load_settings(Environment(profile="demo"), CONFIG)
    session = Session(floor.desk.account, "simulated", ("BTC/USDT",), replay=False, settings=own, clock=floor.clock)
    context = dg.build_sensor_context(resources={"database": floor.database, "session": session})
    result = execution_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert [request.tags[DECISION] for request in result.run_requests or ()] == [str(made.decision_id)]


class StopsOnly(FaultPlan):
    """A plan whose fault the first stop meets: the second submission, after its entry."""

    def __init__(self, fault: FaultKind) -> None:
        super().__init__()
        self._fault, self._submitted = fault, 0

    def meet(self, name: str, kind: CallKind) -> FaultKind | None:
        """The fault, at the second submission."""
        self._submitted += kind is CallKind.SUBMIT
        if kind is not CallKind.SUBMIT or self._submitted != 2:
            return super().meet(name, kind)
        return self._fault


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    with live_site(database, venue="coinbase") as opened:
        yield opened


def leave(site: Site) -> Closing:
    """As a person who wants out: the emergency stop's flattening."""
    with OrderPath(site.desk()) as path:
        return flatten(path.desk, path.newest_token()).get(BTC, Closing.CLOSED)


def seen_waiting(site: Site) -> list[str]:
    with site.database.connection() as connection:
        return [alert.text for alert in open_alerts(connection) if alert.kind == WAITS_ALERT]


def sold(site: Site) -> Decimal:
    return sum((trade.quantity for trade in site.exchange.trades if trade.side is Side.SELL), Decimal(0))


@pytest.mark.parametrize("calls", [None, 2, 4, 6, 9])
def test_a_person_gets_out_beside_an_unknown_stop_and_sells_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, calls: int | None
) -> None:
    """X3: at Coinbase a stop whose request was lost may arrive for two minutes, and so long nobody could get out.

    The venue's balance tells: whenever the stop comes, one of the two is refused. `calls` is how many calls later the
    stop arrives; None: never.
    """
    monkeypatch.setattr(server, "_UNTIL_LATE", calls or 1)
    site.server.faults = StopsOnly(FaultKind.LATE_REQUEST if calls else FaultKind.LOSE_REQUEST)
    site.trade(BTC, Action.BUY)
    bought = site.held()[BTC]
    site.clock.advance(12 * SECOND)
    first = leave(site)
    assert first is Closing.CLOSED or calls in {2, 4}  # it came before the exit, which is refused or waits for it
    for _ in range(2):
        leave(site)
        site.clock.advance(SECOND)
    site.server.settle()
    assert site.held() == {}
    assert sold(site) == bought
    exits = [order for order in site.orders() if order.intent.leg is Leg.EXIT]
    assert [order.state for order in exits if order.state is not OrderState.REJECTED] == [OrderState.FILLED]
    assert seen_waiting(site) == []
    assert site.restart()
    site.require_lawful()


def test_a_person_sees_what_an_exit_waits_for(site: Site, tmp_path: Path) -> None:
    """X2, X3: the venue has not had the time to show the stop; so nothing is sent, and what is waited for is said."""
    site.server.faults = StopsOnly(FaultKind.LOSE_REQUEST)
    site.trade(BTC, Action.BUY)
    (stop,) = (order for order in site.orders() if order.intent.leg is Leg.STOP)
    assert stop.expires_at
    heard: list[str] = []
    asked = StopOrder(None, flatten=True, operator="ann", why="out", at=site.clock.now())
    own = load_settings(Environment(profile="live", home=tmp_path), CONFIG)
    assert not stop_trading(own, asked, lambda: nullcontext(site.database), lambda *_: site.desk(), heard.append)
    (text,) = seen_waiting(site)
    assert heard[-1] == text
    assert f"STOP order {stop.client_order_id}, which is UNKNOWN" in text
    assert f"until {stop.expires_at:%H:%M:%S} UTC" in text
    assert sold(site) == 0


@pytest.mark.parametrize("in_doubt", ["surplus", "gone", "listed", "silent"])
def test_nobody_gets_out_beside_an_unknown_stop_where_the_balance_proves_nothing(site: Site, in_doubt: str) -> None:
    """X3: with more there than the position is, or when it cannot be asked, both orders could be filled."""
    site.server.faults = StopsOnly(FaultKind.LOSE_ANSWER if in_doubt == "listed" else FaultKind.LOSE_REQUEST)
    site.trade(BTC, Action.BUY)
    desk = site.desk()
    site.clock.advance(12 * SECOND)
    with desk.database.connection() as connection:
        position = positions.read(connection, desk.schema, desk.account, BTC)
        alive = orders.alive(connection, desk.schema, desk.account)
    assert position
    assert is_backed(desk, position, alive) is (in_doubt != "listed")
    if in_doubt == "silent":
        site.server.faults = FaultPlan([Fault(FaultKind.SERVER_ERROR, CallKind.ACCOUNT)])
    else:
        other = {"surplus": Decimal("1.5"), "gone": Decimal("0.5"), "listed": Decimal(1)}[in_doubt]
        position = replace(position, quantity=position.quantity / other)
    assert not is_backed(desk, position, alive)
    just_now = [replace(order, submitted_at=site.clock.now()) for order in alive]
    assert not is_backed(desk, position, just_now)
