"""The order path against the real database and the paper venue: fence, ambiguity, protection, exactly-once."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import ACCOUNT, BTC, COSTS, ETH, MARKET, START, TradingFloor, candle, decision, trading_floor

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import AccountBusyError, StaleFenceError, UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.execution.broker import VenueRejectionError
from triplegain_pipelines.execution.guard import walk
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.market.clock_skew import check_clock
from triplegain_pipelines.market.venues.clock import ClockReading
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.store import heartbeats
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.findings import record_findings
from triplegain_pipelines.store.outbox import OutboxStatus

pytestmark = pytest.mark.integration


def execute(floor: TradingFloor, *decisions) -> OutboxStatus:
    floor.queue(*decisions)
    with OrderPath(floor.desk) as path:
        for made in decisions:
            status = path.execute(made.decision_id)
    return status


def outcome(floor: TradingFloor, made) -> tuple[str, str | None]:
    return floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)[0]


def orders(floor: TradingFloor) -> list[tuple]:
    return floor.rows(
        """SELECT leg, attempt, state, quantity, filled_quantity FROM orders JOIN intents USING (client_order_id)
           ORDER BY intended_at, leg, attempt"""
    )


def position(floor: TradingFloor) -> Decimal:
    return sum((row[0] for row in floor.rows("SELECT quantity FROM positions")), Decimal(0))


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


def test_closing_goes_through_an_open_breaker_and_a_stale_heartbeat(floor: TradingFloor) -> None:
    """Rule 3: whatever forbids new risk, getting out stays possible."""
    execute(floor, decision())
    floor.clock.advance_to(floor.clock.now() + timedelta(hours=1))
    with floor.database.connection() as connection:
        connection.execute("UPDATE ops.breakers SET state = 'OPEN'")
    assert execute(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) is OutboxStatus.DONE
    assert position(floor) == 0
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [
        ("ENTRY", "FILLED"),
        ("STOP", "CANCELED"),
        ("TAKE_PROFIT", "CANCELED"),
        ("EXIT", "FILLED"),
    ]
    assert floor.rows("SELECT exit_leg FROM trades") == [("EXIT",)]


def test_closing_without_a_price_of_ours_is_left_to_the_venue(floor: TradingFloor) -> None:
    """Rule 3: a failed price feed must not lock the account into a position it could leave."""
    execute(floor, decision())
    floor.pass_time(timedelta(hours=1))
    floor.prices.at = floor.clock.now() - timedelta(hours=1)
    assert execute(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) is OutboxStatus.DONE
    assert position(floor) == 0


def test_an_exit_that_the_venue_refuses_leaves_the_position_protected(floor: TradingFloor) -> None:
    """X3: the resting orders were taken back for the exit; without the exit they must come back."""
    execute(floor, decision())
    floor.pass_time(timedelta(hours=1))
    floor.broker.refuse.add("EXIT")
    assert execute(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) is OutboxStatus.REFUSED
    alive = [(leg, attempt) for leg, attempt, state, _, _ in orders(floor) if state == "OPEN"]
    assert alive == [("STOP", 2), ("TAKE_PROFIT", 2)]


def test_a_stop_that_was_filled_before_the_exit_wins(floor: TradingFloor) -> None:
    """X3: an exit on top of a filled stop would sell what is not there any more."""
    execute(floor, decision())
    floor.venue.match(ACCOUNT, candle(floor.clock.now(), "10000", "10000", "9000", "9500"))
    floor.pass_time(timedelta(minutes=1))
    exiting = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(exiting)
    with OrderPath(floor.desk) as path:
        path._reconciled = True  # the stop is not known yet when the exit cancels it
        path.execute(exiting.decision_id)
    assert position(floor) == 0
    assert outcome(floor, exiting) == ("REFUSED", ReasonCode.NOTHING_TO_CLOSE)
    assert floor.rows("SELECT exit_leg FROM trades") == [("STOP",)]
    assert "EXIT" not in [intent.leg for intent in floor.broker.submissions]


def test_no_exit_is_sent_while_a_cancellation_is_unanswered(floor: TradingFloor) -> None:
    """X3: as long as a stop may still be alive, an exit could sell the position twice."""
    execute(floor, decision())
    floor.pass_time(timedelta(hours=1))
    floor.broker.lose_cancel = True
    exiting = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    floor.queue(exiting)
    with OrderPath(floor.desk) as path:
        path._reconciled = True
        with pytest.raises(UnknownOutcomeError, match="tried again"):
            path.execute(exiting.decision_id)
    assert "EXIT" not in [intent.leg for intent in floor.broker.submissions]
    with OrderPath(floor.desk) as path:
        assert path.execute(exiting.decision_id) is OutboxStatus.DONE
    assert position(floor) == 0
    assert not [state for _, _, state, _, _ in orders(floor) if state in {"OPEN", "PENDING_CANCEL"}]


def test_a_position_without_a_stop_is_left_at_once(floor: TradingFloor) -> None:
    """X2: where the venue refuses the stop there must be no position, and the trail says why."""
    floor.broker.refuse.add("STOP")
    execute(floor, decision())
    assert position(floor) == 0
    assert not [state for _, _, state, _, _ in orders(floor) if state == "OPEN"]
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'protection_failed'") == [(1,)]


def test_a_lost_stop_is_placed_again(floor: TradingFloor) -> None:
    """X3: a position must get its stop back when the request for it never arrived."""
    floor.broker.lose_request.add("STOP")
    execute(floor, decision())
    with OrderPath(floor.desk) as path:
        path.reconcile()
    found = [(leg, attempt, state) for leg, attempt, state, _, _ in orders(floor)]
    assert found == [
        ("ENTRY", 1, "FILLED"),
        ("STOP", 1, "LOST"),
        ("STOP", 2, "OPEN"),
        ("TAKE_PROFIT", 1, "OPEN"),
    ]
    groups = floor.rows("SELECT DISTINCT one_cancels_other FROM intents WHERE leg <> 'ENTRY'")
    assert len(groups) == 1


def test_a_part_filled_later_gets_its_own_stop(database: Database) -> None:
    """X1: a partial fill is protected at once, and what comes later is protected when it comes."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.000001))
    execute(floor, decision())
    first = position(floor)
    asked = orders(floor)[0][3]
    assert 0 < first < asked
    floor.pass_time(timedelta(minutes=2))

    walk(floor.desk, floor.venue, [candle(floor.clock.now() - timedelta(minutes=1), "10000", "10010", "9990", "10000")])
    assert position(floor) == asked
    stops = [quantity for leg, _, state, quantity, _ in orders(floor) if leg == "STOP" and state == "OPEN"]
    assert stops == [first, asked - first]


def test_what_is_left_of_an_entry_is_withdrawn(database: Database) -> None:
    """R6: new risk is not allowed any more; the rest of the entry goes, and what was filled keeps its stop."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.000001))
    execute(floor, decision())
    first = position(floor)
    with OrderPath(floor.desk) as path:
        token = path.newest_token()
        path.withdraw_entries(token, ReasonCode.BREAKER_CANCELED)
        path.withdraw_entries(token, ReasonCode.BREAKER_CANCELED)
    found = [(leg, state, filled) for leg, _, state, _, filled in orders(floor)]
    assert found == [("ENTRY", "CANCELED", first), ("STOP", "OPEN", 0), ("TAKE_PROFIT", "OPEN", 0)]
    assert floor.rows("SELECT reason_code FROM orders WHERE state = 'CANCELED'") == [("BREAKER_CANCELED",)]
    assert floor.rows("SELECT state FROM paper_venue.orders WHERE order_type = 'MARKET'") == [("CANCELED",)]


def test_an_entry_that_waits_to_be_sent_is_withdrawn_and_not_sent(floor: TradingFloor) -> None:
    """R6: between verdict and sending nothing is at the venue; the decision ends with the reason."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        path.withdraw_entries(claim.token, ReasonCode.BREAKER_CANCELED)
        path.submit(made.decision_id, claim.token)
        assert path.settle(made.decision_id, claim.token) is OutboxStatus.REFUSED
    assert outcome(floor, made) == ("REFUSED", ReasonCode.BREAKER_CANCELED)
    assert floor.broker.submissions == []


def test_an_entry_of_unknown_outcome_is_withdrawn_where_it_exists(floor: TradingFloor) -> None:
    """R6, X3: it cannot be cancelled before it is known; nothing is given up for that."""
    floor.broker.lose_answer.add("ENTRY")
    floor.broker.down = True
    execute(floor, decision())
    with OrderPath(floor.desk) as path:
        path.withdraw_entries(path.newest_token(), ReasonCode.BREAKER_CANCELED)
        assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [("ENTRY", "UNKNOWN")]
        floor.broker.down = False
        path.withdraw_entries(path.newest_token(), ReasonCode.BREAKER_CANCELED)
    assert [(leg, state) for leg, _, state, _, _ in orders(floor)] == [
        ("ENTRY", "FILLED"),
        ("STOP", "OPEN"),
        ("TAKE_PROFIT", "OPEN"),
    ]


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
