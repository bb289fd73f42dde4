"""From a decision to an intent: what the gate refuses for real money, by the volume of a day, by price and by kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from builders import (
    ACCOUNT,
    BTC,
    ETH,
    MARKET,
    ROOMY,
    START,
    TradingFloor,
    decision,
    limits,
    store_decisions,
    trading_floor,
)

from triplegain_pipelines.books_commands import deposit
from triplegain_pipelines.domain.decisions import Action, Decision, Direction
from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Quote
from triplegain_pipelines.domain.risk import Holding, Proposal, ProposalKind
from triplegain_pipelines.execution import risk_gate
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.broker import VenueTraits
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store import heartbeats, live_armings, new_risk
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.live_armings import Arming

pytestmark = pytest.mark.integration

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@dataclass
class Venue:
    """The floor's broker with balances that a test sets; None: they cannot be read."""

    behind: Any
    held: Mapping[str, Decimal] | None
    pairs: bool = True

    @property
    def traits(self) -> VenueTraits:
        """Those of the venue behind, with pairs or without."""
        return replace(self.behind.traits, holds_pairs=self.pairs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    def balances(self) -> Mapping[str, Decimal]:
        """What the test set."""
        if self.held is None:
            msg = "the venue does not answer"
            raise UnavailableError(msg)
        return self.held


def act(floor: TradingFloor, made: Decision, desk: Desk | None = None) -> tuple[str, str]:
    """Status and reason with which the decision ended."""
    store_decisions(floor.database, [made])
    desk = desk or floor.desk
    queue_decisions(desk, [made])
    with OrderPath(desk) as path:
        path.execute(made.decision_id)
    [ended] = floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)
    return ended


def live(floor: TradingFloor, held: Mapping[str, Decimal] | None) -> Desk:
    """The floor's desk for real money, at a venue that holds `held`."""
    return replace(floor.desk, live=True, broker=Venue(floor.broker, held))


def at_the_gate(floor: TradingFloor, desk: Desk, made: Decision, *, armed: bool = True, compared: float = 0) -> str:
    """How the gate answers, armed or not, so many minutes after books and venue were compared; nothing is sent."""
    store_decisions(floor.database, [made])
    queue_decisions(desk, [made])
    at = floor.clock.now()
    with OrderPath(floor.desk) as path:
        token = path.reconcile()
    with floor.database.connection() as connection:
        if armed:
            live_armings.insert(connection, Arming(ACCOUNT, at - HOUR, at + SECOND, "ada", "a test", []))
        heartbeats.beat(connection, heartbeats.RECONCILED, ACCOUNT, at - timedelta(minutes=compared))
    return risk_gate.check_risk(desk, made.decision_id, token).reason.code.value


RICH = {"USDT": Decimal(10_000), "BTC": Decimal(1)}
PASSES = "SYMBOL_EXPOSURE_REDUCED"  # the only thing that the engine has to say of the decision


@pytest.mark.parametrize(
    ("held", "circumstances", "code"),
    [
        (RICH, {}, PASSES),
        (RICH, {"armed": False}, "LIVE_NOT_ARMED"),
        (RICH, {"compared": 14.9}, PASSES),
        (RICH, {"compared": 15.1}, "NOT_RECONCILED"),
        (RICH, {"compared": -1}, "NOT_RECONCILED"),  # a beat from the future is a clock that is wrong
        ({"USDT": Decimal(1)}, {}, "BALANCE_TOO_LOW"),
        ({}, {}, "BALANCE_TOO_LOW"),
        (None, {}, "BALANCE_UNKNOWN"),
    ],
)
def test_real_money_needs_an_arming_compared_books_and_the_venues_balance(
    database: Database, held: Any, circumstances: dict[str, Any], code: str
) -> None:
    """X3, X7, R7: an order that nobody armed, or that the venue cannot pay, must not even be written."""
    floor = trading_floor(database)
    assert at_the_gate(floor, live(floor, held), decision(as_of=START), **circumstances) == code
    assert floor.rows("SELECT count(*) FROM intents") == [(int(code == PASSES),)]


def test_settings_that_nobody_armed_take_no_risk(database: Database) -> None:
    """X7: limits raised, or baselines seated, after the arming were neither validated nor confirmed by a person."""
    floor = trading_floor(database)
    changed = replace(live(floor, RICH), config_hash="of other settings")
    assert at_the_gate(floor, changed, decision(as_of=START)) == "LIVE_NOT_ARMED"


def test_an_order_that_waited_is_not_sent_at_another_price(database: Database) -> None:
    """R7: a run that failed before its submission is taken up there, when the price has left the decision's band."""
    floor = trading_floor(database)
    made = decision(as_of=START)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        token = path.claim(made.decision_id).token
        path.check_risk(made.decision_id, token)
    floor.prices.prices[BTC] = Decimal(10_200)
    floor.pass_time(timedelta(minutes=5))
    with OrderPath(floor.desk) as path:
        path.submit(made.decision_id, token)
    assert floor.broker.submissions == []


def test_the_verdict_on_a_second_attempt_is_told_too(database: Database) -> None:
    """R1, X6: the first request was never taken; what was judged before the second one must be in the trail."""
    floor = trading_floor(database)
    floor.broker.busy = {"ENTRY"}
    made = decision(as_of=START)
    floor.queue(made)
    for _ in range(2):
        with OrderPath(floor.desk) as path:
            path.execute(made.decision_id)
    assert floor.rows("SELECT attempt, state FROM orders JOIN intents USING (client_order_id) WHERE leg = 'ENTRY'") == [
        (1, "LOST"),
        (2, "FILLED"),
    ]
    told = floor.rows("SELECT payload::json->>'quantity' FROM trading_events WHERE kind = 'verdict_given'")
    assert len(told) == 2
    assert len(set(told)) == 1


@pytest.mark.parametrize("words", ["NaN", "Infinity", "-1", "0", "1,5"])
def test_a_payment_is_a_number_of_money(words: str) -> None:
    """X4: what is no amount is refused in words, before anything is opened."""
    with pytest.raises(InputError, match=r"amount|nothing"):
        deposit(words, why="a test")


@pytest.mark.parametrize(("beaten", "code"), [(None, "GUARDIAN_MISSING"), (61, "GUARDIAN_MISSING"), (60, PASSES)])
def test_a_target_that_nobody_would_hold_is_no_reason_to_open(
    database: Database, beaten: int | None, code: str
) -> None:
    """X2: where only the stop rests, a position without a guardian would never take its profit."""
    floor = trading_floor(database)
    if beaten is not None:
        with database.connection() as connection:
            heartbeats.beat(connection, heartbeats.GUARDIAN, ACCOUNT, START - timedelta(seconds=beaten))
    desk = replace(floor.desk, live=True, broker=Venue(floor.broker, RICH, pairs=False))
    assert at_the_gate(floor, desk, decision(as_of=START)) == code


def test_an_exit_needs_nothing_of_that(database: Database) -> None:
    """R6: a venue that tells no balance and an arming that has ended must not keep a position."""
    floor = trading_floor(database)
    assert act(floor, decision(as_of=START)) == ("DONE", "VENUE_FILLED")
    floor.pass_time(HOUR)
    made = decision(as_of=floor.clock.now(), action=Action.CLOSE)
    assert act(floor, made, live(floor, None)) == ("DONE", "VENUE_FILLED")
    assert floor.rows("SELECT count(*) FROM positions") == [(0,)]


def test_on_paper_no_venue_is_asked_for_balances(database: Database) -> None:
    """T2: a question to a venue in every verdict of a replay would take hours."""
    floor = trading_floor(database)
    desk = replace(floor.desk, broker=Venue(floor.broker, None))
    assert act(floor, decision(as_of=START), desk) == ("DONE", "VENUE_FILLED")


@pytest.mark.parametrize(("price", "code"), [("10100", "VENUE_FILLED"), ("10101", "PRICE_OUT_OF_BAND")])
def test_a_price_that_ran_away_since_the_decision_is_not_chased(database: Database, price: str, code: str) -> None:
    """R7: the decision was about 10,000; at 10,101 it is another one."""
    floor = trading_floor(database)
    floor.prices.prices[BTC] = Decimal(price)
    assert act(floor, decision(as_of=START))[1] == code


def test_the_days_volume_counts_what_was_ordered_and_nothing_else(database: Database) -> None:
    """R4: 500 a day: what was ordered counts until midnight UTC, what was refused or never got there does not."""
    money = {**ROOMY, "MAX_ORDER_SIZE_USD": "300", "MAX_DAILY_VOLUME_USD": "500"}
    floor = trading_floor(database, risk=limits(money=money))

    def ordered() -> Decimal:
        with database.connection() as connection:
            now = floor.clock.now()
            day = now.replace(hour=0, minute=0)
            return new_risk.read(connection, "paper_trading", ACCOUNT, MARKET, "", now, day).ordered

    assert act(floor, decision(as_of=START)) == ("DONE", "VENUE_FILLED")
    assert ordered() == 300
    floor.broker.refuse.add("ENTRY")
    floor.pass_time(HOUR)
    assert act(floor, decision(ETH, floor.clock.now(), price=1_000.0, atr=10.0)) == ("REFUSED", "VENUE_REJECTED")
    assert ordered() == 300
    floor.pass_time(HOUR)
    assert act(floor, decision(ETH, floor.clock.now(), price=1_000.0, atr=10.0)) == ("DONE", "VENUE_FILLED")
    assert ordered() == 500
    assert (
        floor.rows("SELECT quantity * decided_price FROM intents WHERE leg = 'ENTRY' ORDER BY intended_at")[-1][0]
        == 200
    )
    floor.pass_time(HOUR)
    assert act(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) == ("DONE", "VENUE_FILLED")
    assert act(floor, decision(as_of=floor.clock.now() + SECOND)) == ("REFUSED", "DAILY_VOLUME_USED_UP")
    floor.pass_time(timedelta(days=1) - 3 * HOUR)
    assert ordered() == 0
    assert act(floor, decision(as_of=floor.clock.now())) == ("DONE", "VENUE_FILLED")


def asking(kind: ProposalKind, quantity: str) -> Any:
    """What stands for a rebalancing: it asks for a part of a long position, or for more of it."""

    def propose(made: Decision, holding: Holding | None, price: Decimal, *_: Any) -> Proposal:
        assert holding is not None
        return Proposal(
            proposal_id=deterministic_id("proposal", made.decision_id, kind),
            decision_id=made.decision_id,
            account=made.account,
            symbol=made.symbol,
            kind=kind,
            direction=Direction.LONG,
            quantity=Decimal(quantity),
            entry_price=price,
            stop_loss=price - 200,
            take_profit=price + 500,
            leverage=Decimal(1),
            confidence=0.7,
            regime=made.regime,
        )

    return propose


def resting(floor: TradingFloor) -> list[tuple[Any, ...]]:
    """Leg and open quantity of what rests."""
    return floor.rows(
        """SELECT i.leg, sum(i.quantity - o.filled_quantity) FROM orders o JOIN intents i USING (client_order_id)
           WHERE o.state = 'OPEN' GROUP BY i.leg ORDER BY i.leg"""
    )


def entered(database: Database) -> TradingFloor:
    """A floor with 0.0100 BTC, an hour later."""
    money = {**ROOMY, "MAX_ORDER_SIZE_USD": "100"}
    floor = trading_floor(database, risk=limits(money=money))
    assert act(floor, decision(as_of=START)) == ("DONE", "VENUE_FILLED")
    floor.pass_time(HOUR)
    return floor


@pytest.mark.parametrize(("asked", "left"), [("0.004", "0.006"), ("0.01", None), ("5", None)])
def test_a_part_of_a_position_is_sold_and_the_rest_stays_protected(
    database: Database, monkeypatch: pytest.MonkeyPatch, asked: str, left: str | None
) -> None:
    """X5: what is taken away is sold once, never more than is held, and what stays has stop and target."""
    floor = entered(database)
    monkeypatch.setattr(risk_gate, "propose", asking(ProposalKind.REDUCE, asked))
    assert act(floor, decision(as_of=floor.clock.now(), action=Action.SELL)) == ("DONE", "VENUE_FILLED")
    held = floor.rows("SELECT quantity FROM positions")
    assert held == ([] if left is None else [(Decimal(left),)])
    assert resting(floor) == ([] if left is None else [("STOP", Decimal(left)), ("TAKE_PROFIT", Decimal(left))])
    [[side, leg]] = floor.rows("SELECT side, leg FROM intents ORDER BY intended_at DESC, leg LIMIT 1")
    assert (side, leg) == ("SELL", "EXIT")
    [[written]] = floor.rows(
        """SELECT sequence FROM trading_events WHERE kind = 'order_intended' AND payload::json ->> 'leg' = 'EXIT'"""
    )
    [[canceled]] = floor.rows(
        """SELECT min(sequence) FROM trading_events WHERE kind = 'order_changed'
           AND payload::json ->> 'leg' = 'STOP' AND payload::json ->> 'after' = 'CANCELED'"""
    )
    assert canceled < written  # while both could be filled, more than the position could be sold


def test_a_winning_position_is_added_to_and_all_of_it_is_protected(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X5: the addition is an entry of its own, stopped where the position is."""
    floor = entered(database)
    floor.prices.prices[BTC] = Decimal(10050)
    floor.beat()
    monkeypatch.setattr(risk_gate, "propose", asking(ProposalKind.INCREASE, "0.005"))
    made = decision(as_of=floor.clock.now())
    assert act(floor, made) == ("DONE", "VENUE_FILLED")
    assert floor.rows("SELECT quantity, stop_loss FROM positions") == [(Decimal("0.015"), Decimal("9800.00"))]
    assert resting(floor) == [("STOP", Decimal("0.015")), ("TAKE_PROFIT", Decimal("0.015"))]
    [[leg, side, quantity]] = floor.rows(
        "SELECT leg, side, quantity FROM intents WHERE decision_id = %s", made.decision_id
    )
    assert (leg, side, quantity) == ("ENTRY", "BUY", Decimal("0.005"))


def test_a_losing_position_is_not_added_to(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2: no averaging down, by a rebalancing neither."""
    floor = entered(database)
    floor.prices.prices[BTC] = Decimal(9950)
    floor.beat()
    monkeypatch.setattr(risk_gate, "propose", asking(ProposalKind.INCREASE, "0.005"))
    assert act(floor, decision(as_of=floor.clock.now())) == ("REFUSED", "AVERAGING_DOWN")
    assert resting(floor) == [("STOP", Decimal("0.01")), ("TAKE_PROFIT", Decimal("0.01"))]


@pytest.mark.parametrize(
    ("mode", "opens", "closes"),
    [
        ("REDUCING", ("REFUSED", "MODE_REDUCING"), ("DONE", "VENUE_FILLED")),
        ("HALTED", ("REFUSED", "MODE_HALTED"), ("REFUSED", "MODE_HALTED")),
        ("STOPPED", ("REFUSED", "EMERGENCY_STOP"), ("REFUSED", "EMERGENCY_STOP")),
    ],
)
def test_the_mode_stands_before_everything(
    database: Database, mode: str, opens: tuple[str, str], closes: tuple[str, str]
) -> None:
    """R6: in REDUCING an exit goes through; in HALTED not even that, and what protects the position stays as it is."""
    floor = entered(database)
    before = resting(floor)
    with database.connection() as connection:
        if mode == "STOPPED":
            connection.execute(
                """INSERT INTO ops.emergency_stops (account, flatten, raised_at, raised_by, why)
                   VALUES (%s, false, %s, 'ada', 'a test')""",
                [ACCOUNT, floor.clock.now()],
            )
        else:
            connection.execute(
                """INSERT INTO ops.trading_modes (account, sequence, mode, changed_at, changed_by, reason, why)
                   VALUES (%s, 1, %s, %s, 'ada', 'MODE_OPERATOR', 'a test')""",
                [ACCOUNT, mode, floor.clock.now()],
            )
    assert act(floor, decision(ETH, floor.clock.now(), price=1_000.0, atr=10.0)) == opens
    assert resting(floor) == before
    assert act(floor, decision(as_of=floor.clock.now(), action=Action.CLOSE)) == closes
    assert resting(floor) == ([] if closes[0] == "DONE" else before)


@dataclass
class Slow:
    """Prices of the floor; before each the account's books have to be free."""

    behind: Any
    database: Database
    asked: list[str] = field(default_factory=list)

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price, if nobody holds the books."""
        with self.database.connection() as other:
            other.execute("SELECT FROM paper_trading.accounts WHERE account = %s FOR NO KEY UPDATE NOWAIT", [ACCOUNT])
        self.asked.append(symbol)
        return self.behind.quote(symbol, at)


def test_the_books_are_free_while_a_venue_is_asked_for_prices(database: Database) -> None:
    """X2: held by a decision that waits for a ticker, they would keep the guardian's exit waiting as long."""
    floor = trading_floor(database)
    assert act(floor, decision(ETH, START, price=1_000.0, atr=10.0)) == ("DONE", "VENUE_FILLED")
    slow = Slow(floor.prices, database)
    desk = replace(live(floor, RICH), prices=slow)
    floor.pass_time(SECOND)
    assert at_the_gate(floor, desk, decision(as_of=floor.clock.now())) == PASSES
    assert slow.asked == [BTC, ETH]


def test_a_price_that_a_venue_does_not_tell_refuses_new_risk(database: Database) -> None:
    """R7: asked for before the books were taken, a missing price must not become one of a moment ago."""
    floor = trading_floor(database)
    del floor.prices.prices[BTC]
    assert at_the_gate(floor, live(floor, RICH), decision(as_of=START)) == "PRICE_UNAVAILABLE"
