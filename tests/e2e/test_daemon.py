"""The order path under the real Dagster daemon and code server, on the simulated market.

The tests share one daemon and build on each other in the order in which they stand here: they must run together.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from builders import decision, store_decisions
from homes import Home
from services_of_home import eventually, serving

from jobs.tags import ACCOUNT, DECISION
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.risk import BreakerName
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.books import change_breakers
from triplegain_pipelines.execution.desk import Desk, account_transaction
from triplegain_pipelines.execution.matching import draw_seed, first_part
from triplegain_pipelines.operations.desks import current_prices, paper_desk
from triplegain_pipelines.operations.installation import process_environment
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.risk.breakers import cleared_by_hand
from triplegain_pipelines.settings import Environment, load_settings
from triplegain_pipelines.store import breakers
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.server import database_urls

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_BOOKS = ("orders", "fills", "positions", "equity")


@dataclass(frozen=True)
class Floor:
    """The account `demo` of a home on which code server and daemon run."""

    home: Home
    desk: Desk
    session: Session
    instance: dg.DagsterInstance
    environment: dict[str, str]

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of any query; `orders` and the like are looked for in paper_trading."""
        with self.desk.database.connection() as connection:
            connection.execute("SET LOCAL search_path TO paper_trading, ops, public")
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def queue(self, symbol: str, action: Action = Action.BUY) -> UUID:
        """Make a decision at the price of now that nothing but the fence can speak against, and queue it."""
        price = self.desk.prices.quote(symbol, self.desk.clock.now()).price
        made = filled_in_one_piece(
            decision(
                symbol,
                self.desk.clock.now(),
                action,
                account=self.session.account,
                venue=self.session.venue,
                price=float(price),
                atr=float(price) / 100,
            ),
            self.session,
        )
        store_decisions(self.desk.database, [made])
        assert queue_decisions(self.desk, [made]) == 1
        return made.decision_id

    def ended(self, decision_id: UUID) -> tuple[str, str]:
        """Wait for the end of a decision and of its run: the outbox's status and its reason."""

        def look() -> list[tuple[Any, ...]]:
            assert [run.status for run in self.runs(decision_id)] != [dg.DagsterRunStatus.FAILURE]
            query = "SELECT status, reason_code FROM outbox WHERE decision_id = %s AND status <> ALL (%s)"
            return self.rows(query, decision_id, ["PENDING", "CLAIMED"])

        ((status, reason),) = eventually(look, f"the end of decision {decision_id}")
        eventually(lambda: all(run.is_finished for run in self.runs(decision_id)), "the end of its run", 30)
        return status, reason

    def runs(self, decision_id: UUID) -> list[dg.DagsterRun]:
        """The runs that carry the decision's id as a tag."""
        return list(self.instance.get_runs(filters=dg.RunsFilter(tags={DECISION: str(decision_id)})))

    def last_beat(self) -> Any:
        """When the breakers were evaluated last."""
        with self.desk.database.connection() as connection:
            return breakers.last_beat(connection, self.session.account)

    def sensor_runs(self, name: str) -> bool:
        """Whether Dagster goes on evaluating a sensor."""
        states = self.instance.all_instigator_state()
        return next((state.is_running for state in states if state.instigator_name == name), True)

    def dagster(self, *arguments: str) -> None:
        """Run the command `dagster` over the running code server, as an operator would."""
        command = [str(Path(sys.executable).parent / "dagster"), *arguments]
        over = ["--workspace", str(self.home.path / "workspace.yaml")]
        subprocess.run([*command, *over], env=self.environment, check=True, capture_output=True, timeout=60)


def filled_in_one_piece(made: Decision, session: Session) -> Decision:
    """The decision, moved by microseconds until the paper venue's luck fills its order whole and at once."""
    paper = session.settings.profile.paper
    leg = Leg.EXIT if made.action is Action.CLOSE else Leg.ENTRY

    def share() -> Decimal:
        seed = draw_seed(paper.seed, made.decision_id, leg)
        return first_part(Decimal(1), Instrument(made.symbol), paper.fill_rate, seed)

    while share() < 1:
        moved = decision(made.symbol, made.as_of + timedelta(microseconds=1), account=made.account)
        made = replace(made, as_of=moved.as_of, decision_id=moved.decision_id, snapshot_id=moved.snapshot_id)
    return made


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """Code server and daemon on a home of their own; the breaker sensor has opened the account and beats."""
    home = Home(tmp_path_factory.mktemp("daemon") / "home")
    with serving(home, "code", "daemon"), pytest.MonkeyPatch.context() as patch:
        own = load_settings(Environment(home=home.path, profile="demo", database_url=None))
        urls = database_urls(own)
        environment = process_environment(own, urls)
        patch.setenv("TRIPLEGAIN_DAGSTER_URL", environment["TRIPLEGAIN_DAGSTER_URL"])
        clock, database = SystemClock(), Database(urls.triplegain)
        session = Session(
            own.profile.account, own.profile.venue, own.profile.symbols, replay=False, settings=own, clock=clock
        )
        desk = paper_desk(database, session, clock, current_prices(session))
        with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
            made = Floor(home, desk, session, instance, home.environment(**environment))
            # The hour's own decisions would trade for the same account.
            made.dagster("schedule", "stop", "decision_schedule")
            eventually(made.last_beat, "the first heartbeat of the breaker sensor")
            yield made
        database.close()


def test_a_queued_decision_becomes_a_filled_and_protected_order(floor: Floor) -> None:
    """D1, X3: the sensor that never asks for a run, or asks twice, or a run that does not reach the books."""
    bought = floor.queue("BTC/USDT")
    assert floor.ended(bought) == ("DONE", "VENUE_FILLED")

    made = floor.rows(
        """SELECT i.leg, o.state, i.quantity, i.trigger_price, i.one_cancels_other FROM orders o
           JOIN intents i USING (client_order_id) WHERE i.decision_id = %s""",
        bought,
    )
    legs = {leg: rest for leg, *rest in made}
    assert {leg: state for leg, (state, *_) in legs.items()} == {
        "ENTRY": "FILLED",
        "STOP": "OPEN",
        "TAKE_PROFIT": "OPEN",
    }
    ((price, quantity),) = floor.rows("SELECT average_entry, quantity FROM positions WHERE decision_id = %s", bought)
    (_, stopped, stop, stop_pair), (_, targeted, target, target_pair) = legs["STOP"], legs["TAKE_PROFIT"]
    assert quantity == stopped == targeted
    assert stop < price < target
    assert stop_pair == target_pair is not None

    (run,) = floor.runs(bought)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.job_name == "execution"
    assert run.tags[ACCOUNT] == "demo"
    for book in _BOOKS:
        newest = floor.instance.fetch_materializations(dg.AssetKey(book), limit=1).records
        assert [record.run_id for record in newest] == [run.run_id], book


def test_with_a_breaker_tripped_by_the_sensor_nothing_is_bought(floor: Floor) -> None:
    """R6: a breaker that only a run could trip, or that trips and stops nobody."""
    runs = floor.instance.get_runs_count(dg.RunsFilter(job_name="execution"))
    # Half a minute ago the account was worth 5 % more: a rapid loss, for whoever looks at it.
    floor.rows(
        """INSERT INTO equity (account, at, cash, positions_value, equity, peak, marks)
           SELECT account, now() - interval '30 seconds', 1.05 * equity, 0, 1.05 * equity, 1.05 * equity, '{}'
           FROM equity WHERE account = 'demo' ORDER BY at DESC LIMIT 1"""
    )
    eventually(
        lambda: floor.rows("SELECT 1 FROM breakers WHERE name = 'rapid_loss' AND state = 'OPEN' AND account = 'demo'"),
        "the breaker sensor to trip",
    )
    assert floor.instance.get_runs_count(dg.RunsFilter(job_name="execution")) == runs  # in the tick, not in a run
    history = floor.rows("SELECT from_state, to_state, changed_by, reason FROM breaker_changes WHERE account = 'demo'")
    assert history == [("CLOSED", "OPEN", "guard", "BREAKER_TRIPPED")]
    ((told,),) = floor.rows("SELECT payload::json FROM trading_events WHERE kind = 'breaker_changed'")
    assert (told["breaker"], told["after"]) == ("rapid_loss", "OPEN")

    refused = floor.queue("ETH/USDT")
    assert floor.ended(refused) == ("REFUSED", "BREAKER_OPEN")
    assert floor.rows("SELECT 1 FROM intents WHERE decision_id = %s", refused) == []
    (run,) = floor.runs(refused)
    assert floor.instance.fetch_materializations(dg.AssetKey("orders"), limit=1).records[0].run_id != run.run_id


def test_with_the_breaker_sensor_stopped_only_risk_is_reduced(floor: Floor) -> None:
    """DESIGN §3.3: nobody watches, and still something is bought; or a position that can no longer be left."""
    with account_transaction(floor.desk, None) as transaction:
        tripped = breakers.read(transaction.connection, floor.session.account)[BreakerName.RAPID_LOSS]
        change_breakers(
            transaction,
            [cleared_by_hand(tripped, "tester", "for the next test", floor.desk.limits, transaction.at)],
            "tester",
        )
    missed, allowed = timedelta(seconds=15), timedelta(seconds=floor.desk.limits.heartbeat_seconds)

    def ceased() -> bool:
        # Dagster's daemon marks the start of a tick with the state that it read a moment before, so a stop in between
        # is written over: it is seen to hold.
        if floor.sensor_runs("breaker_sensor"):
            floor.dagster("sensor", "stop", "breaker_sensor")
        return floor.desk.clock.now() - floor.last_beat() > missed

    eventually(ceased, "the heartbeats to cease")
    # The rest of the waiting is spared: a sensor that still ran would beat again long before the run looks.
    floor.rows("UPDATE heartbeats SET beat_at = beat_at - %s", allowed - missed)

    refused = floor.queue("SOL/USDT")
    closing = floor.queue("BTC/USDT", Action.CLOSE)
    assert floor.ended(refused) == ("REFUSED", "HEARTBEAT_STALE")
    assert floor.rows("SELECT 1 FROM intents WHERE decision_id = %s", refused) == []
    assert floor.rows("SELECT name FROM breakers WHERE state <> 'CLOSED'") == []  # the heartbeat alone refused it

    assert floor.ended(closing) == ("DONE", "VENUE_FILLED")
    assert floor.rows("SELECT 1 FROM positions") == []
    assert floor.rows("SELECT 1 FROM orders WHERE state NOT IN ('FILLED', 'CANCELED')") == []
