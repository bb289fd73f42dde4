"""The order path against the real database and the paper venue: fence, ambiguity, protection, exactly-once."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from acted_floor import execute, orders, outcome, position
from builders import ACCOUNT, BTC, ETH, MARKET, START, TradingFloor, decision, trading_floor

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import AccountBusyError, StaleFenceError, UnavailableError
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.execution.broker import VenueRejectionError
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.market.clock_skew import check_clock
from triplegain_pipelines.market.venues.clock import ClockReading
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.store import heartbeats
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import record_findings
from triplegain_pipelines.store.outbox import OutboxStatus

pytestmark = pytest.mark.integration


def test_a_decision_becomes_a_filled_order_with_its_protection(floor: TradingFloor) -> None:
    """X1: fill at the price with slippage and fee, then stop and target resting for what was filled."""
    assert execute(floor, decision()) is OutboxStatus.DONE
    made = orders(floor)
    assert [(leg, state) for leg, _, state, _, _ in made] == [
        ("ENTRY", "FILLED"),
        ("STOP", "OPEN"),
        ("TAKE_PROFIT", "OPEN"),
    ]
    assert len({quantity for _, _, _, quantity, _ in made}) == 1
    price, fee, quantity = floor.rows("SELECT price, fee, quantity FROM fills")[0]
    assert price == Decimal("10005.00")  # 10,000 and 5 basis points
    assert fee == (quantity * price / 1000).quantize(Decimal("0.00000001"), "ROUND_UP")
    cash = floor.rows("SELECT amount FROM balances WHERE currency = 'USDT'")[0][0]
    assert cash == Decimal(2100) - quantity * price - fee


def test_the_same_decision_twice_gives_one_order(floor: TradingFloor) -> None:
    """X3: a rerun of the whole path must not trade again."""
    made = decision()
    execute(floor, made)
    assert execute(floor, made) is OutboxStatus.DONE
    assert len(orders(floor)) == 3
    assert len(floor.broker.submissions) == 3


def test_each_step_repeated_changes_nothing(floor: TradingFloor) -> None:
    """X3: Dagster may run a step again; that must not send a second order."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        for step in (path.check_risk, path.submit, path.settle):
            step(made.decision_id, claim.token)
            step(made.decision_id, claim.token)
    assert [leg for leg, *_ in orders(floor)] == ["ENTRY", "STOP", "TAKE_PROFIT"]
    assert floor.rows("SELECT count(*) FROM fills")[0][0] == 1


def test_a_stale_token_writes_nothing(floor: TradingFloor) -> None:
    """Rule 3: a process that lost the account without noticing must not place an order."""
    first, second = decision(), decision(ETH, price=1000.0, atr=10.0)
    floor.queue(first, second)
    with OrderPath(floor.desk) as path:
        old = path.claim(first.decision_id)
        path.claim(second.decision_id)
        assert isinstance(old, Claim)
        for step in (path.check_risk, path.submit, path.settle):
            with pytest.raises(StaleFenceError):
                step(first.decision_id, old.token)
    assert orders(floor) == []


def test_a_token_that_goes_stale_after_the_verdict_sends_nothing(floor: TradingFloor) -> None:
    """Rule 3: the order is written, the account is taken over, and the first holder wakes up: nothing is sent."""
    first, second = decision(), decision(ETH, price=1000.0, atr=10.0)
    floor.queue(first, second)
    with OrderPath(floor.desk) as path:
        old = path.claim(first.decision_id)
        assert isinstance(old, Claim)
        path.check_risk(first.decision_id, old.token)
        path.claim(second.decision_id)
        with pytest.raises(StaleFenceError):
            path.submit(first.decision_id, old.token)
    assert floor.broker.submissions == []
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [("ENTRY", "LOST")]


def test_a_second_process_is_kept_out(floor: TradingFloor) -> None:
    """Rule 3: two order paths for one account at once would race for the same money."""
    with OrderPath(floor.desk), pytest.raises(AccountBusyError), OrderPath(floor.desk):
        pass
    with OrderPath(floor.desk):
        pass  # the lock is free again


@pytest.mark.parametrize(("offset_seconds", "refused"), [(0.7, False), (3.0, True)])
def test_a_clock_that_is_seconds_off_takes_no_new_risk(
    floor: TradingFloor, offset_seconds: float, *, refused: bool
) -> None:
    """M4, trap 14: with a clock three seconds off a candle that is still open looks closed."""
    reading = ClockReading(timedelta(seconds=offset_seconds), timedelta(0), timedelta(0))
    rules = load_settings().market.quality
    finding = check_clock(reading, rules, venue=MARKET, at=floor.clock.now())
    assert finding
    with floor.database.connection() as connection:
        record_findings(connection, [finding], floor.clock.now())
    made = decision()
    execute(floor, made)
    assert (outcome(floor, made) == ("REFUSED", ReasonCode.CLOCK_DISTRUSTED)) is refused
    assert (floor.broker.submissions == []) is refused


@pytest.mark.parametrize(("minutes_ago", "refused"), [(None, True), (0, False), (15, False), (16, True), (-1, True)])
def test_a_clock_that_nobody_compared_lately_takes_no_new_risk(
    floor: TradingFloor, minutes_ago: int | None, *, refused: bool
) -> None:
    """Rule 3: with the comparing service dead a clock that went wrong would be found in order for ever."""
    floor.desk = replace(floor.desk, clock_compared=True)
    now = floor.clock.now()
    with floor.database.connection() as connection:
        if minutes_ago is not None:
            heartbeats.beat(connection, heartbeats.CLOCK, MARKET, now - timedelta(minutes=minutes_ago))
    made = decision()
    execute(floor, made)
    assert (outcome(floor, made) == ("REFUSED", ReasonCode.CLOCK_DISTRUSTED)) is refused
    assert (floor.broker.submissions == []) is refused


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        ("UPDATE ops.breakers SET state = 'OPEN' WHERE name = 'rapid_loss'", ReasonCode.BREAKER_OPEN),
        ("DELETE FROM ops.breakers WHERE name = 'drawdown'", ReasonCode.BREAKER_MISSING),
        ("UPDATE ops.heartbeats SET beat_at = beat_at - interval '31 seconds'", ReasonCode.HEARTBEAT_STALE),
        ("UPDATE ops.heartbeats SET beat_at = beat_at + interval '2 seconds'", ReasonCode.HEARTBEAT_STALE),
        ("DELETE FROM ops.heartbeats", ReasonCode.HEARTBEAT_STALE),
    ],
)
def test_the_fence_refuses_new_risk(floor: TradingFloor, break_it: str, reason: ReasonCode) -> None:
    """Rule 3: an open or missing breaker, a stale heartbeat and a skewed clock all mean no new risk."""
    with floor.database.connection() as connection:
        connection.execute(break_it.encode())
    made = decision()
    assert execute(floor, made) is OutboxStatus.REFUSED
    assert outcome(floor, made) == ("REFUSED", reason)
    assert floor.broker.submissions == []


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        ("UPDATE ops.breakers SET state = 'OPEN' WHERE name = 'rapid_loss'", ReasonCode.BREAKER_OPEN),
        ("DELETE FROM ops.breakers WHERE name = 'drawdown'", ReasonCode.BREAKER_MISSING),
        ("DELETE FROM ops.heartbeats", ReasonCode.HEARTBEAT_STALE),
    ],
)
def test_the_fence_is_checked_again_before_sending(floor: TradingFloor, break_it: str, reason: ReasonCode) -> None:
    """Rule 3: a breaker that trips between the verdict and the sending stops the order."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        assert path.check_risk(made.decision_id, claim.token).goes_on
        with floor.database.connection() as connection:
            connection.execute(break_it.encode())
        assert not path.submit(made.decision_id, claim.token).goes_on
        assert path.settle(made.decision_id, claim.token) is OutboxStatus.REFUSED
    assert outcome(floor, made) == ("REFUSED", reason)
    assert floor.broker.submissions == []
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [("ENTRY", "CANCELED")]


def test_an_expired_decision_is_not_acted_on(floor: TradingFloor) -> None:
    """R1: a decision that waited too long rests on a market that is gone."""
    made = decision()
    floor.queue(made)
    floor.pass_time(timedelta(minutes=11))
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
    assert isinstance(claim, Reason)
    assert outcome(floor, made) == ("EXPIRED", ReasonCode.DECISION_EXPIRED)


def test_a_decision_that_expires_after_the_claim_is_not_acted_on(floor: TradingFloor) -> None:
    """R1: the validity is checked where the order is inserted, not only where the decision is taken."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        floor.pass_time(timedelta(minutes=11))
        assert not path.check_risk(made.decision_id, claim.token).goes_on
    assert outcome(floor, made) == ("EXPIRED", ReasonCode.DECISION_EXPIRED)


def test_a_price_that_is_missing_or_old_opens_nothing(floor: TradingFloor) -> None:
    """Rule 4: an unknown price is not a price, and one of two minutes ago is not the market."""
    floor.prices.prices[BTC] = None
    made = decision()
    assert execute(floor, made) is OutboxStatus.REFUSED
    assert outcome(floor, made) == ("REFUSED", ReasonCode.PRICE_UNAVAILABLE)
    floor.pass_time(timedelta(minutes=5))
    floor.prices.prices[BTC] = Decimal(10_000)
    floor.prices.at = floor.clock.now() - timedelta(minutes=2)
    late = decision(as_of=floor.clock.now())
    assert execute(floor, late) is OutboxStatus.REFUSED
    assert outcome(floor, late) == ("REFUSED", ReasonCode.PRICE_STALE)
    assert floor.broker.submissions == []


def test_a_lost_answer_is_adopted_and_never_resent(floor: TradingFloor) -> None:
    """X3: the venue filled the order and the answer got lost: it is found there, and not sent again."""
    floor.broker.lose_answer.add("ENTRY")
    floor.broker.down = True
    made = decision()
    assert execute(floor, made) is OutboxStatus.CLAIMED
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [("ENTRY", "UNKNOWN")]
    floor.broker.down = False
    with OrderPath(floor.desk) as path:
        assert path.execute(made.decision_id) is OutboxStatus.DONE
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [
        ("ENTRY", "FILLED"),
        ("STOP", "OPEN"),
        ("TAKE_PROFIT", "OPEN"),
    ]
    assert [intent.leg for intent in floor.broker.submissions].count("ENTRY") == 1


def test_a_lost_request_is_tried_again_only_when_its_absence_is_certain(floor: TradingFloor) -> None:
    """X3: first UNKNOWN, then LOST because the venue says so, and only then a second attempt under a new id."""
    floor.broker.lose_request.add("ENTRY")
    floor.broker.down = True
    made = decision()
    execute(floor, made)
    with OrderPath(floor.desk) as path:
        assert path.execute(made.decision_id) is OutboxStatus.CLAIMED  # still not answered: still UNKNOWN
    assert [(leg, attempt, state) for leg, attempt, state, _, _ in orders(floor)] == [("ENTRY", 1, "UNKNOWN")]
    assert len(floor.broker.submissions) == 1
    floor.broker.down = False
    with OrderPath(floor.desk) as path:
        assert path.execute(made.decision_id) is OutboxStatus.DONE
    assert [(leg, attempt, state) for leg, attempt, state, _, _ in orders(floor)][:2] == [
        ("ENTRY", 1, "LOST"),
        ("ENTRY", 2, "FILLED"),
    ]
    assert len({intent.client_order_id for intent in floor.broker.submissions}) == len(floor.broker.submissions)


def test_a_lost_order_of_an_expired_decision_is_not_tried_again(floor: TradingFloor) -> None:
    """R1: resolving takes its time; when it is done the decision may be too old for a second attempt."""
    floor.broker.lose_request.add("ENTRY")
    floor.broker.down = True
    made = decision()
    execute(floor, made)
    floor.broker.down = False
    floor.pass_time(timedelta(minutes=11))
    with OrderPath(floor.desk) as path:
        assert path.execute(made.decision_id) is OutboxStatus.EXPIRED
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [("ENTRY", "LOST")]


def test_an_older_decision_is_not_acted_on_after_a_newer_one(database: Database) -> None:
    """X3: killed with BUY and CLOSE waiting, the next run once bought after the CLOSE had found nothing to close."""
    floor = trading_floor(database)
    older = decision(as_of=START, valid=timedelta(hours=1))
    newer = decision(as_of=START + timedelta(seconds=5), action=Action.CLOSE)
    floor.queue(older, newer)
    floor.pass_time(timedelta(seconds=10))
    execute(floor, newer)
    execute(floor, older)
    assert floor.rows("SELECT status, reason_code FROM outbox ORDER BY outbox_id") == [
        ("REFUSED", "SUPERSEDED"),
        ("REFUSED", "NOTHING_TO_CLOSE"),
    ]
    assert floor.broker.submissions == []


def test_an_order_that_arrives_after_it_was_given_up_is_refused(floor: TradingFloor) -> None:
    """X3: a request that was held up on its way must not come alive after its absence was certain."""
    floor.broker.lose_request.add("ENTRY")
    made = decision()
    execute(floor, made)
    late = floor.broker.submissions[0]
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    held = position(floor)
    with pytest.raises(VenueRejectionError, match="does not exist"):
        floor.venue.submit(late, floor.clock.now(), floor.clock.now())
    assert position(floor) == held
    assert floor.rows("SELECT count(*) FROM paper_venue.orders WHERE order_type = 'MARKET'")[0][0] == 1


def test_an_unknown_entry_blocks_new_risk(floor: TradingFloor) -> None:
    """Rule 2, R2: while it is not known what is held, no limit can be kept, here or in another symbol."""
    floor.broker.lose_answer.add("ENTRY")
    floor.broker.down = True
    execute(floor, decision())
    floor.pass_time(timedelta(minutes=1))
    again = decision(as_of=floor.clock.now())
    other = decision(ETH, as_of=floor.clock.now(), price=1000.0, atr=10.0)
    execute(floor, again)
    assert outcome(floor, again) == ("REFUSED", ReasonCode.UNRESOLVED_ORDER)
    execute(floor, other)
    assert outcome(floor, other) == ("REFUSED", ReasonCode.ENTRY_UNFINISHED)


def test_an_order_that_becomes_unknown_after_the_verdict_stops_the_sending(floor: TradingFloor) -> None:
    """Rule 2: the symbol is looked at once more before anything is sent in it."""
    floor.broker.lose_request.add("ENTRY")
    first, second = decision(), decision(as_of=floor.clock.now() + timedelta(minutes=1))
    execute(floor, first)
    floor.pass_time(timedelta(minutes=1))
    floor.queue(second)
    with OrderPath(floor.desk) as path:
        claim = path.claim(second.decision_id)
        assert isinstance(claim, Claim)
        assert path.check_risk(second.decision_id, claim.token).goes_on
        with floor.database.connection() as connection:
            connection.execute("ALTER TABLE paper_trading.orders DISABLE TRIGGER legal")
            connection.execute("UPDATE paper_trading.orders SET state = 'UNKNOWN' WHERE state = 'LOST'")
            connection.execute("ALTER TABLE paper_trading.orders ENABLE TRIGGER legal")
        path.submit(second.decision_id, claim.token)
    assert outcome(floor, second) == ("REFUSED", ReasonCode.UNRESOLVED_ORDER)
    assert len(floor.broker.submissions) == 1


@pytest.mark.parametrize(
    ("mode", "action", "sent"),
    [("REDUCING", Action.BUY, False), ("REDUCING", Action.CLOSE, True), ("HALTED", Action.CLOSE, False)],
)
def test_a_mode_that_changes_after_the_verdict_is_obeyed(
    floor: TradingFloor, mode: str, action: Action, *, sent: bool
) -> None:
    """R6: REDUCING sends exits only, HALTED nothing at all; asked again just before sending."""
    if action is Action.CLOSE:
        execute(floor, decision())
        floor.pass_time(timedelta(minutes=1))
    made = decision(as_of=floor.clock.now(), action=action)
    floor.queue(made)
    before = len(floor.broker.submissions)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        assert path.check_risk(made.decision_id, claim.token).goes_on
        floor.rows(
            """INSERT INTO trading_modes (account, sequence, mode, changed_at, changed_by, reason, why)
               VALUES (%s, 1, %s, now(), 'ann', 'MODE_OPERATOR', 'test') RETURNING 1""",
            ACCOUNT,
            mode,
        )
        assert path.submit(made.decision_id, claim.token).goes_on is sent
    assert (len(floor.broker.submissions) > before) is sent
    if not sent:
        assert outcome(floor, made) == ("REFUSED", f"MODE_{mode}")


def test_a_database_that_does_not_answer_is_not_an_empty_one(floor: TradingFloor) -> None:
    """Rule 4: an unreachable database must stop the path, not look like an account without orders."""
    floor.desk.database.close()
    broken = Database("postgresql://nobody:secret@127.0.0.1:9/nowhere")

    with pytest.raises(UnavailableError), OrderPath(replace(floor.desk, database=broken)):
        pass
