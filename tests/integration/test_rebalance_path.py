"""X5: a rebalancing goes the way of every order, can be verified, and counts as nobody's forecast."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
from builders import ACCOUNT, BTC, ETH, MARKET, START, TradingFloor, decision, store_decisions, trading_floor
from decided_floor import CONFIGURED, deliver, make_decision, market_minutes

from jobs.rebalancing import rebalance
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.decisions import Action, Bias, Decision, Regime
from triplegain_pipelines.domain.errors import AccountBusyError, DataError, InputError, UnavailableError
from triplegain_pipelines.domain.evidence import RegimeSignal, SentimentSignal, Snapshot, TechnicalSignal
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.evaluation.narratives import narrate
from triplegain_pipelines.execution.operator import set_mode
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.operations.audit import trace, verify
from triplegain_pipelines.operations.rebalancing import plan_now, queue_rebalancing
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings.profile import Profile, RebalancingSettings
from triplegain_pipelines.store import evidence as evidence_store
from triplegain_pipelines.store import quality
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decisions
from triplegain_pipelines.store.outbox import OutboxStatus
from triplegain_pipelines.store.outcomes import read_scored
from triplegain_pipelines.store.performance import reason_counts, trade_records
from triplegain_pipelines.store.signals import save_regime_signals, save_sentiment_signals, save_technical_signals
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
PAPER = "paper_trading"


def profile(**weights: str) -> Profile:
    """The profile with weights by base currency, and a band of a hundredth."""
    targets = {f"{base}/USDT": Decimal(weight) for base, weight in weights.items()}
    settings = RebalancingSettings(weights=targets, band=Decimal("0.01"))
    return CONFIGURED.profile.model_copy(update={"rebalancing": settings})


def execute(floor: TradingFloor, *decisions: Decision) -> list[OutboxStatus]:
    with OrderPath(floor.desk) as path:
        return [path.execute(one.decision_id) for one in decisions]


def rebalanced(floor: TradingFloor, **weights: str) -> list[OutboxStatus]:
    """Queue what brings the account to these weights, and execute it."""
    return execute(floor, *queue_rebalancing(floor.desk, profile(**weights)).decisions)


def held(floor: TradingFloor) -> Decimal:
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), Decimal(0))


def resting(floor: TradingFloor) -> list[tuple[str, Decimal]]:
    return floor.rows(
        """SELECT leg, quantity - filled_quantity FROM orders JOIN intents USING (client_order_id)
           WHERE state NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'LOST') ORDER BY leg"""
    )


def made(floor: TradingFloor) -> int:
    """How many decisions of the account are stored."""
    return floor.rows("SELECT count(*) FROM research.consensus_decisions WHERE account = %s", ACCOUNT)[0][0]


def change(floor: TradingFloor, statement: str) -> None:
    with floor.database.connection() as connection:
        connection.execute(statement.encode())


def assert_all_verified(floor: TradingFloor) -> None:
    """Every order of the account comes out the same when it is computed again."""
    for (order,) in floor.rows("SELECT client_order_id FROM intents"):
        result = verify(floor.database, order, CONFIGURED)
        assert result.identical, [step for step in result.steps if not step.identical]


def orders_of(floor: TradingFloor, decision: Decision) -> list[tuple[Any, ...]]:
    return floor.rows(
        """SELECT client_order_id, leg, side, quantity, state FROM orders JOIN intents USING (client_order_id)
           WHERE decision_id = %s ORDER BY intended_at, leg, attempt""",
        decision.decision_id,
    )


def plant_evidence(database: Database, *, complete: bool = True, at: datetime = START) -> Snapshot:
    """A snapshot of BTC with its signals in a calm market: what a rebalancing needs to find."""
    store_decisions(database, [decision(action=Action.HOLD, account="somebody else", as_of=at)])
    document = canonical_json({"complete": complete, "simulated": True, "reference_price": 10_000.0, "atr": 100.0})
    name = deterministic_id("snapshot", "evidence", at)
    snapshot = Snapshot(name, MARKET, BTC, at, content_hash(document), "test", "test", document)
    with database.connection() as connection:
        save_snapshots(connection, [snapshot])
        save_technical_signals(connection, TECHNICAL_VERSION, {name: TechnicalSignal(Bias.NEUTRAL, 0.5, ())})
        save_regime_signals(connection, REGIME_VERSION, {name: RegimeSignal(Regime.RANGING, 0.5, ())})
        save_sentiment_signals(connection, SENTIMENT_VERSION, {name: SentimentSignal(0.0, 0, ())})
    return snapshot


@pytest.fixture
def flat(database: Database) -> TradingFloor:
    """2,100 USDT and nothing else, at 10,000 for a bitcoin."""
    floor = trading_floor(database)
    plant_evidence(database)
    return floor


@pytest.fixture
def long(flat: TradingFloor) -> TradingFloor:
    """A position of an eighth of the equity that the seats decided on, with its pair at the venue."""
    made = decision(as_of=START - timedelta(seconds=1), size_factor=Decimal("0.4"))
    flat.queue(made)
    execute(flat, made)
    flat.pass_time(timedelta(seconds=1))
    return flat


@pytest.fixture
def real(database: Database) -> TradingFloor:
    """A position that the seats decided on, on evidence that was gathered from candles by the real parts."""
    deliver(database, market_minutes())
    floor = make_decision(database).floor
    floor.pass_time(timedelta(seconds=1))
    return floor


def test_an_account_of_cash_comes_to_its_weight(flat: TradingFloor) -> None:
    """X5: through outbox, risk and venue like any order, with a stop and a target behind it."""
    made = queue_rebalancing(flat.desk, profile(BTC="0.10"))
    [decision] = made.decisions
    assert execute(flat, decision) == [OutboxStatus.DONE]
    share = held(flat) * flat.prices.prices[BTC] / 2100
    assert Decimal("0.0999") < share <= Decimal("0.10")
    assert resting(flat) == [("STOP", held(flat)), ("TAKE_PROFIT", held(flat))]
    [(document,)] = flat.rows("SELECT document::json FROM proposals")
    assert document["confidence"] is None
    assert Decimal(document["quantity"]) == decision.target_quantity
    assert rebalanced(flat, BTC="0.10") == []


def test_risk_makes_it_smaller_and_says_so(flat: TradingFloor) -> None:
    """X5, R1: a weight is a wish. What the limits leave of it is traded, and each clamp is in the verdict."""
    assert rebalanced(flat, BTC="0.90") == [OutboxStatus.DONE]
    [(status, reasons)] = flat.rows("SELECT status, reasons FROM verdicts")
    assert status == "MODIFIED"
    assert {"POSITION_SIZE_REDUCED", "SYMBOL_EXPOSURE_REDUCED", "RISK_PER_TRADE_REDUCED"} & {
        one["code"] for one in reasons
    }
    assert held(flat) * flat.prices.prices[BTC] <= Decimal("0.30") * 2100


TAMPERED = (
    "target_quantity = target_quantity * 2",
    "code_versions = jsonb_set(code_versions, '{basis}', to_jsonb(replace(code_versions ->> 'basis', '0.05', '0.09')))",
    "code_versions = code_versions - 'basis'",
    "p_up = 0.9, confidence = 0.9",
)


def test_every_order_of_it_is_verified_and_traced(real: TradingFloor) -> None:
    """X6, issue point 4: the plan is made again of what was held and of the prices; what was changed is found."""
    [decision] = queue_rebalancing(real.desk, profile(BTC="0.05")).decisions
    assert execute(real, decision) == [OutboxStatus.DONE]
    assert_all_verified(real)
    [(order, *_)] = orders_of(real, decision)
    names = [step.name for step in verify(real.database, order, CONFIGURED).steps]
    assert names[:4] == ["market data", "snapshot", "signals", "rebalancing"]
    assert names[4:] == ["proposal", "verdict", "order", "fills", "events"]
    document = trace(real.database, order).document()
    assert document["forecasts"] == []
    assert "nobody forecast anything" in document["decision"]["explanation"]
    canonical_json(document)
    for tamper in TAMPERED:
        change(real, "CREATE TABLE kept AS SELECT * FROM research.consensus_decisions")
        change(real, f"UPDATE research.consensus_decisions SET {tamper} WHERE target_quantity IS NOT NULL")  # noqa: S608
        result = verify(real.database, order, CONFIGURED)
        assert "rebalancing" in [step.name for step in result.steps if not step.identical], tamper
        change(
            real,
            """UPDATE research.consensus_decisions d SET (target_quantity, code_versions, p_up, confidence) =
                   (SELECT target_quantity, code_versions, p_up, confidence FROM kept k
                    WHERE k.decision_id = d.decision_id); DROP TABLE kept""",
        )
    assert_all_verified(real)


def test_a_part_is_sold_and_the_pair_shrinks_with_it(long: TradingFloor) -> None:
    """X5: one reducing order at a time, nothing sold twice, what is left keeps its stop, and no trade has closed."""
    before = held(long)
    [decision] = queue_rebalancing(long.desk, profile(BTC="0.05")).decisions
    placed = len(long.broker.submissions)
    assert execute(long, decision) == [OutboxStatus.DONE]
    after = held(long)
    assert Decimal(0) < after < before
    assert after == decision.target_quantity
    assert resting(long) == [("STOP", after), ("TAKE_PROFIT", after)]
    assert [intent.leg.value for intent in long.broker.submissions[placed:]] == ["EXIT", "STOP", "TAKE_PROFIT"]
    assert long.rows("SELECT count(*) FROM trades") == [(0,)]
    [(_, leg, side, quantity, state)] = orders_of(long, decision)
    assert (leg, side, quantity, state) == ("EXIT", "SELL", before - after, "FILLED")
    long.pass_time(timedelta(seconds=1))
    assert rebalanced(long, BTC="0") == [OutboxStatus.DONE]
    assert held(long) == 0
    assert resting(long) == []
    assert long.rows("SELECT quantity FROM trades") == [(before,)]


def test_a_sale_of_unknown_outcome_is_not_sold_again(long: TradingFloor) -> None:
    """X3, X5: the answer to the sale is lost. It is asked for, and what is left is protected, once."""
    [decision] = queue_rebalancing(long.desk, profile(BTC="0.05")).decisions
    long.broker.lose_answer = {"EXIT"}
    execute(long, decision)
    with OrderPath(long.desk) as path:
        path.reconcile()
        path.execute(decision.decision_id)
    assert held(long) == decision.target_quantity
    assert [leg for _, leg, *_ in orders_of(long, decision)] == ["EXIT"]
    assert resting(long) == [("STOP", held(long)), ("TAKE_PROFIT", held(long))]


def test_a_stop_that_was_reached_leaves_nothing_to_sell(long: TradingFloor) -> None:
    """X5: between plan and trade the position was closed; a sale must not open the other side."""
    [decision] = queue_rebalancing(long.desk, profile(BTC="0.05")).decisions
    with OrderPath(long.desk) as path:
        token = path.reconcile()
        from triplegain_pipelines.domain.reasons import ReasonCode
        from triplegain_pipelines.execution.exits import close_position

        close_position(path.desk, token, BTC, ReasonCode.STOP_REACHED)
    assert execute(long, decision) == [OutboxStatus.REFUSED]
    assert held(long) == 0
    assert long.rows("SELECT reason_code FROM outbox WHERE decision_id = %s", decision.decision_id) == [
        ("NOTHING_TO_CLOSE",)
    ]


def test_a_winning_position_is_added_to_and_a_losing_one_is_not(long: TradingFloor) -> None:
    """R3, X5: no averaging down. What is added lies under the position's own stop, in one trade."""
    before, price = held(long), long.prices.prices[BTC]
    assert rebalanced(long, BTC="0.29") == [OutboxStatus.REFUSED]  # the slippage of the entry is a loss
    assert long.rows("SELECT reason_code FROM outbox ORDER BY outbox_id DESC LIMIT 1") == [("AVERAGING_DOWN",)]
    [(entry,)] = long.rows("SELECT average_entry FROM positions")
    long.prices.prices[BTC] = (entry * Decimal("1.0001")).quantize(Decimal("0.01"), "ROUND_UP")
    assert long.prices.prices[BTC] > price
    long.pass_time(timedelta(seconds=20))
    made = queue_rebalancing(long.desk, profile(BTC="0.29"))
    statuses = execute(long, *made.decisions)
    reasons = long.rows("SELECT reasons FROM verdicts ORDER BY decided_at DESC LIMIT 1")
    assert statuses == [OutboxStatus.DONE], reasons
    assert held(long) > before
    stops = [quantity for leg, quantity in resting(long) if leg == "STOP"]
    assert sum(stops) == held(long)
    assert long.rows("SELECT count(DISTINCT trigger_price) FROM intents WHERE leg = 'STOP'") == [(1,)]
    for order, *_ in orders_of(long, made.decisions[0]):
        computed = {step.name: step for step in verify(long.database, order, CONFIGURED).steps}
        assert all(computed[name].identical for name in ("proposal", "verdict", "order", "fills", "events")), computed


def test_nothing_is_added_at_a_price_of_the_past(long: TradingFloor) -> None:
    """Trap: without a price a position may be closed at its entry's; bought at that, it would pass every limit."""
    [decision] = queue_rebalancing(long.desk, profile(BTC="0.29")).decisions
    before, long.prices.prices[BTC] = held(long), None
    assert execute(long, decision) == [OutboxStatus.REFUSED]
    assert held(long) == before
    assert long.rows("SELECT reason_code FROM outbox WHERE decision_id = %s", decision.decision_id) == [
        ("PRICE_UNAVAILABLE",)
    ]


def test_an_account_that_may_only_reduce_only_sells(long: TradingFloor) -> None:
    """R6: a rebalancing is no way around the mode."""
    set_mode(long.desk, TradingMode.REDUCING, "somebody", "a test")
    assert rebalanced(long, BTC="0.29") == [OutboxStatus.REFUSED]
    long.pass_time(timedelta(seconds=1))
    assert rebalanced(long, BTC="0.05") == [OutboxStatus.DONE]


def test_an_account_under_way_is_not_rebalanced(flat: TradingFloor) -> None:
    """X5: planned twice on the same books, a weight would be bought twice. None takes the time of a seats' decision."""
    [first] = queue_rebalancing(flat.desk, profile(BTC="0.10")).decisions
    assert first.as_of != flat.clock.now() == START
    with pytest.raises(AccountBusyError, match="1 decisions and 0 orders"):
        queue_rebalancing(flat.desk, profile(BTC="0.10"))
    flat.pass_time(timedelta(minutes=11))  # the first one has expired
    assert len(queue_rebalancing(flat.desk, profile(BTC="0.10")).decisions) == 1


def test_without_fresh_evidence_nothing_is_queued(flat: TradingFloor) -> None:
    """X5: the stop comes from the range in the snapshot; one of yesterday would be a stop made up."""
    with pytest.raises(DataError, match="ETH/USDT on test has no snapshot"):
        queue_rebalancing(flat.desk, profile(BTC="0.10", ETH="0.10"))
    with flat.database.connection() as connection:
        connection.execute(
            "UPDATE research.snapshots SET document = replace(document, '\"complete\":true', '\"complete\":false')"
        )
    with pytest.raises(DataError, match="is incomplete"):
        queue_rebalancing(flat.desk, profile(BTC="0.10"))
    flat.pass_time(timedelta(hours=2, minutes=1))
    with pytest.raises(DataError, match="has no snapshot of the two hours"):
        queue_rebalancing(flat.desk, profile(BTC="0.10"))
    assert flat.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert made(flat) == 0


def test_showing_a_plan_writes_nothing_and_needs_every_price(flat: TradingFloor) -> None:
    """X5: without --apply the command only looks; a price that is not known is not a price of nothing."""
    events = flat.rows("SELECT count(*) FROM trading_events")
    document = plan_now(flat.desk, profile(BTC="0.10")).document()
    assert [(one["action"], one["kind"]) for one in document["trades"]] == [("buy", "OPEN")]
    assert document["decisions"] == []
    canonical_json(document)
    assert flat.rows("SELECT count(*) FROM trading_events") == events
    assert made(flat) == 0
    with pytest.raises(InputError, match="has no target weights"):
        plan_now(flat.desk, CONFIGURED.profile.model_copy(update={"rebalancing": None}))
    flat.prices.prices[BTC] = None
    with pytest.raises(UnavailableError, match="nothing can be weighed"):
        plan_now(flat.desk, profile(BTC="0.10"))


def test_it_counts_as_no_forecast_and_no_decision_of_the_seats(long: TradingFloor) -> None:
    """X5, A1: agreement, accuracy, quorum and data quality are about what the seats said."""
    start, end = START - DAY, START + DAY

    def figures() -> list[Any]:
        with long.database.connection() as connection:
            reasons = reason_counts(connection, PAPER, ACCOUNT, start, end)
            return [
                evidence_store.decision_counts(connection, ACCOUNT, start, end, 4),
                evidence_store.code_versions(connection, ACCOUNT, start, end),
                len(evidence_store.seat_calls(connection, ACCOUNT, start, end)),
                read_scored(connection, ACCOUNT, start, end, 4).rows(),
                [one.decision_id for one in read_decisions(connection, ACCOUNT, start, end)],
                [one for one in reasons if one.stage == "consensus"],
                connection.execute(quality.decisions(ACCOUNT, start, end).encode()).fetchall(),
            ]

    before = figures()
    assert rebalanced(long, BTC="0.05") == [OutboxStatus.DONE]
    assert made(long) == 2
    assert figures() == before


def test_a_trade_it_opened_is_told_as_that(flat: TradingFloor) -> None:
    """A8, X9: nobody put the chance of a rise at 50 %."""
    rebalanced(flat, BTC="0.10")
    flat.pass_time(timedelta(seconds=20))
    rebalanced(flat, BTC="0")
    with flat.database.connection() as connection:
        [record] = trade_records(connection, PAPER, ACCOUNT, START - DAY, START + DAY)
    assert record.rebalancing
    told = narrate(record, "USDT")
    assert "the account was rebalanced" in told.opening
    assert "seats" not in told.opening


def test_the_job_queues(flat: TradingFloor) -> None:
    """X5: the op plans and queues; what waits in the outbox is the execution sensor's."""
    settings = CONFIGURED.model_copy(update={"profile": profile(BTC="0.10")})
    session = Session(ACCOUNT, MARKET, (BTC, ETH), replay=False, settings=settings, clock=flat.clock)
    resources = {
        "desk": dg.ResourceDefinition.hardcoded_resource(flat.desk),
        "session": dg.ResourceDefinition.hardcoded_resource(session),
    }
    assert rebalance.execute_in_process(resources=resources).success
    assert flat.rows("SELECT status FROM outbox") == [("PENDING",)]
