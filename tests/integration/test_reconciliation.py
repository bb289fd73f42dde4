"""Books against venue: every way in which the two can differ, what is done about it, and silence."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import BTC, ETH, TradingFloor, decision
from reconciling import D, alerts, held, kinds, mode, reconcile, reconciled, require_right_books, states, trade
from scripted_venue import ScriptedVenue

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.orders import Claim, OrderState, Side
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.differences import DifferenceKind, Outcome
from triplegain_pipelines.execution.flows import book_flow
from triplegain_pipelines.execution.operator import set_mode
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.reconciliation import HALT_ALERT, SILENCE_ALERT

pytestmark = pytest.mark.integration

K = DifferenceKind


# Differences, one by one


def test_where_all_agrees_nothing_is_changed_and_the_heart_beats(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: the usual case writes a row and a beat, and no event, alert or order."""
    trade(floor)
    events = floor.rows("SELECT count(*) FROM trading_events")
    comparison = reconcile(floor)
    assert (comparison.complete, comparison.differences) == (True, ())
    assert reconciled(floor) == floor.clock.now()
    assert floor.rows("SELECT count(*) FROM trading_events") == events
    assert len(venue.submissions) == 2
    assert alerts(floor) == set()


def test_an_open_order_of_nobodys_halts_until_a_person_has_looked(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: somebody else trades with the account's money: only what makes a position smaller goes on."""
    stranger = venue.stranger(BTC, Side.BUY, D("0.01"), fills=False)
    comparison = reconcile(floor)
    assert kinds(comparison) == [K.ORDER_FOREIGN]
    assert mode(floor) is TradingMode.REDUCING
    assert alerts(floor) == {HALT_ALERT}
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'mode_changed'") == [(1,)]
    assert stranger.state is OrderState.OPEN  # it is not ours to cancel
    trade(floor)
    assert floor.rows("SELECT status, reason_code FROM outbox") == [("REFUSED", "MODE_REDUCING")]
    set_mode(floor.desk, TradingMode.ACTIVE, "owner", "I have not looked")
    reconcile(floor)
    assert mode(floor) is TradingMode.REDUCING  # it is still there
    stranger.state = OrderState.CANCELED
    reconcile(floor)
    assert (mode(floor), alerts(floor)) == (TradingMode.REDUCING, {HALT_ALERT})  # only a person ends it
    set_mode(floor.desk, TradingMode.ACTIVE, "owner", "that was me, and it is gone")
    reconcile(floor)
    assert (mode(floor), alerts(floor)) == (TradingMode.ACTIVE, set())


def test_a_halt_never_loosens(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: an account that a person has halted must not be let reduce by a difference."""
    set_mode(floor.desk, TradingMode.HALTED, "owner", "stop")
    venue.stranger(BTC, Side.BUY, D("0.01"), fills=False)
    reconcile(floor)
    assert mode(floor) is TradingMode.HALTED


def test_a_trade_of_nobodys_is_booked_as_a_flow_by_a_person(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a purchase by hand halts; after its two sides are booked a person can let the account go on."""
    venue.stranger(BTC, Side.BUY, D("0.01"), fills=True)
    comparison = reconcile(floor)
    assert kinds(comparison) == [K.TRADE_FOREIGN, K.BALANCE_SURPLUS, K.CASH_DIFFERS]
    assert mode(floor) is TradingMode.REDUCING
    cost = venue.owned["USDT"] - D(2_100)
    book_flow(floor.desk, cost, "USDT", who="owner", why="bought by hand", prices={})
    book_flow(floor.desk, D("0.01"), "BTC", who="owner", why="bought by hand", prices={})
    set_mode(floor.desk, TradingMode.ACTIVE, "owner", "booked")
    comparison = reconcile(floor)
    assert [(one.kind, one.outcome) for one in comparison.differences] == [(K.TRADE_FOREIGN, Outcome.FLAG)]
    assert mode(floor) is TradingMode.ACTIVE
    floor.clock.advance_to(floor.clock.now() + timedelta(hours=2))
    reconcile(floor)
    assert reconcile(floor).differences == ()


def test_money_that_nobody_booked_halts(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a deposit that the books do not know would be a gain; booked as a flow, it is none."""
    venue.owned["USDT"] += 500
    assert kinds(reconcile(floor)) == [K.CASH_DIFFERS]
    assert mode(floor) is TradingMode.REDUCING
    book_flow(floor.desk, D(500), "USDT", who="owner", why="deposit", prices={})
    set_mode(floor.desk, TradingMode.ACTIVE, "owner", "booked")
    assert reconcile(floor).differences == ()
    assert mode(floor) is TradingMode.ACTIVE


def test_coins_of_a_position_that_are_gone_halt(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a position that stands in the books only would be sold a second time."""
    trade(floor)
    venue.owned["BTC"] -= D("0.02")
    assert kinds(reconcile(floor)) == [K.BALANCE_SHORT]
    assert mode(floor) is TradingMode.REDUCING


def test_rounding_and_coins_of_no_business_of_ours_are_flagged(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a hundredth of a cent, or coins that somebody keeps there, must not stop the trading."""
    trade(floor)
    venue.owned["USDT"] += D("0.0001")
    venue.owned["BTC"] -= D("0.00001")
    venue.owned["DOGE"] = D(1_000)
    comparison = reconcile(floor)
    assert sorted(kinds(comparison)) == [K.BALANCE_DUST, K.BALANCE_DUST, K.BALANCE_SURPLUS]
    assert (mode(floor), alerts(floor)) == (TradingMode.ACTIVE, set())
    assert reconcile(floor).complete
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'reconciled'") == [(1,)]  # told once


@pytest.mark.parametrize("currency", ["BTC", "BNB"])
def test_fees_in_any_currency_leave_books_and_venue_agreed(
    floor: TradingFloor, venue: ScriptedVenue, currency: str
) -> None:
    """X2: a fee in the base currency makes the position smaller, one in a third is booked and is no position's."""
    venue.fee_currency = currency
    if currency == "BNB":
        venue.owned["BNB"] = D(1)
        book_flow(floor.desk, D(1), "BNB", who="owner", why="for fees", prices={})
    trade(floor)
    assert reconcile(floor).differences == ()
    trade(floor, action=Action.CLOSE)
    comparison = reconcile(floor)
    assert [one for one in comparison.differences if one.outcome is Outcome.HALT] == []
    assert comparison.complete
    assert mode(floor) is TradingMode.ACTIVE


def test_a_fill_between_two_questions_is_no_missing_money(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: the stop fills after the open orders and before the balances were asked for: that is no theft."""
    trade(floor)
    stop = venue.stop()
    venue.interrupt.append(lambda: venue.fill(stop, price=D(9_000)))
    comparison = reconcile(floor)
    assert comparison.complete
    assert {one.outcome for one in comparison.differences} == {Outcome.ADOPT}
    assert mode(floor) is TradingMode.ACTIVE
    require_right_books(floor, venue)


def test_a_payment_between_two_questions_is_believed_the_second_time(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a balance that differs is asked for again before it halts, and halts where it still differs."""
    answers: list[Decimal] = []
    venue.interrupt += [lambda: answers.append(venue.owned["USDT"])] * 2
    venue.owned["USDT"] -= 100
    assert kinds(reconcile(floor)) == [K.CASH_DIFFERS]
    assert len(answers) == 2


def test_a_lost_order_that_lives_is_adopted_taken_back_and_halts(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: the certainty was wrong: its fills are ours, its rest is cancelled, and a person has to look."""
    made = trade(floor)
    order_id = floor.rows("SELECT client_order_id FROM orders JOIN intents USING (client_order_id) WHERE leg = 'STOP'")
    stop = venue.stop()
    with floor.database.connection() as connection:
        connection.execute("ALTER TABLE paper_trading.orders DISABLE TRIGGER legal")
        connection.execute("UPDATE paper_trading.orders SET state = 'LOST' WHERE client_order_id = %s", order_id[0])
        connection.execute("ALTER TABLE paper_trading.orders ENABLE TRIGGER legal")
    venue.fill(stop, quantity=D("0.01"), price=D(9_700))
    bought = held(floor)
    comparison = reconcile(floor)
    assert set(kinds(comparison)) >= {K.LOST_ORDER_FOUND}
    assert mode(floor) is TradingMode.REDUCING
    assert stop.state is OrderState.CANCELED
    assert held(floor) == bought - D("0.01")
    assert venue.stop().quantity == held(floor)  # another one protects the rest
    assert made
    require_right_books(floor, venue)


def test_an_order_cancelled_by_the_books_and_open_there_is_cancelled_again(
    floor: TradingFloor, venue: ScriptedVenue
) -> None:
    """X3: a cancellation that the venue took back must not leave an order nobody watches."""
    trade(floor)
    trade(floor, action=Action.CLOSE)
    stop = next(one for one in venue.orders if one.trigger_price is not None)
    stop.state = OrderState.OPEN
    comparison = reconcile(floor)
    assert kinds(comparison) == [K.DONE_ORDER_OPEN]
    assert stop.state is OrderState.CANCELED
    assert mode(floor) is TradingMode.ACTIVE


def test_a_fill_after_a_cancellation_is_booked_late(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a fill that was on its way when the cancellation was accepted is never lost; one that fits nothing halts."""
    trade(floor)
    trade(floor, action=Action.CLOSE)
    stop = next(one for one in venue.orders if one.trigger_price is not None)
    venue.fill(stop, price=D(9_700))
    comparison = reconcile(floor)
    assert K.TRADE_UNBOOKED in kinds(comparison)
    assert floor.rows("SELECT count(*) FROM fills WHERE trade_id = %s", venue.trades[-1].trade_id) == [(1,)]
    assert K.POSITION_UNACCOUNTED in kinds(comparison)
    assert mode(floor) is TradingMode.REDUCING
    set_mode(floor.desk, TradingMode.ACTIVE, "owner", "sold twice; bought back by hand")
    after = reconcile(floor)
    assert [one.outcome for one in after.differences if one.kind is K.POSITION_UNACCOUNTED] == [Outcome.FLAG]


def test_one_order_that_does_not_fit_keeps_no_other_from_being_booked(
    floor: TradingFloor, venue: ScriptedVenue
) -> None:
    """X3: an answer that breaks the books is halted on, written down, and the rest goes on."""
    trade(floor)
    trade(floor, ETH, price=1000.0, atr=10.0)
    bitcoin, ether = (one for one in venue.orders if one.trigger_price is not None)
    venue.fill(ether, price=D(970))
    venue.fill(bitcoin, quantity=bitcoin.quantity, price=D(9_700))
    venue.trades[-1] = replace(venue.trades[-1], quantity=bitcoin.quantity * 2)
    comparison = reconcile(floor)
    misfit = [one for one in comparison.differences if one.kind is K.ORDER_MISFIT]
    assert [one.numbers["symbol"] for one in misfit] == [BTC]
    assert mode(floor) is TradingMode.REDUCING
    assert floor.rows("SELECT symbol FROM trades") == [(ETH,)]


def test_an_accepted_order_that_the_venue_forgot_halts(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: an order that was accepted and is denied cannot be given up, and no other is sent in its place by itself."""
    trade(floor)
    venue.orders.remove(venue.stop())
    found = [reconcile(floor) for _ in range(4)]
    assert [one.complete for one in found[:2]] == [False, False]
    assert K.ORDER_MISSING in kinds(found[-1])
    assert mode(floor) is TradingMode.REDUCING


# Silence


@pytest.mark.parametrize("question", ["open_orders", "executions", "balances"])
def test_a_question_that_fails_is_never_read_as_flat(floor: TradingFloor, venue: ScriptedVenue, question: str) -> None:
    """Rule 4: a venue that cannot be asked leaves position, orders and mode as they are; the beat is taken back."""
    trade(floor)
    reconcile(floor)
    assert reconciled(floor) is not None
    before = floor.rows("SELECT * FROM positions"), states(floor), len(venue.submissions)
    venue.silent.add(question)
    comparison = reconcile(floor)
    assert not comparison.complete
    assert comparison.differences == ()
    assert (floor.rows("SELECT * FROM positions"), states(floor), len(venue.submissions)) == before
    assert (mode(floor), reconciled(floor), alerts(floor)) == (TradingMode.ACTIVE, None, {SILENCE_ALERT})
    venue.silent.clear()
    assert reconcile(floor).complete
    assert (reconciled(floor), alerts(floor)) == (floor.clock.now(), set())


def test_a_look_up_that_fails_leaves_the_order_as_it_is(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """Rule 4: the stop is gone from the list and cannot be asked for: that is neither filled nor cancelled."""
    trade(floor)
    venue.fill(venue.stop(), price=D(9_000))
    venue.silent.add("lookup")
    comparison = reconcile(floor)
    assert not comparison.complete
    assert (states(floor)["STOP"], reconciled(floor)) == ("OPEN", None)
    assert mode(floor) is TradingMode.ACTIVE  # what may be explained by a fill is no missing money
    venue.silent.clear()
    assert reconcile(floor).complete
    require_right_books(floor, venue)


def test_the_first_claim_asks_again_until_it_is_answered(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """Rule 3: a process whose first comparison failed must not count as reconciled at its second decision."""
    first, second = decision(as_of=floor.clock.now()), decision(ETH, as_of=floor.clock.now(), price=1000.0, atr=10.0)
    floor.queue(first, second)
    venue.silent.add("open_orders")
    with OrderPath(floor.desk) as path:
        path.claim(first.decision_id)
        assert reconciled(floor) is None
        venue.silent.clear()
        path.claim(second.decision_id)
        assert reconciled(floor) == floor.clock.now()


def test_an_unresolved_order_keeps_the_watermark_back(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: a trade that may be of an order of unknown outcome is asked for until that is clear, however long."""
    made = decision(as_of=floor.clock.now())
    floor.queue(made)
    venue.lose_answer.add("ENTRY")
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
        path.submit(made.decision_id, claim.token)
    venue.silent.add("lookup")
    filled_at = venue.trades[0].filled_at
    floor.clock.advance_to(floor.clock.now() + timedelta(hours=5))
    for _ in range(2):
        comparison = reconcile(floor)
        assert set(kinds(comparison)) == {K.ORDER_UNRESOLVED, K.TRADE_UNATTRIBUTED}
        assert mode(floor) is TradingMode.ACTIVE
        assert comparison.watermark <= filled_at
    venue.silent.clear()
    reconcile(floor)
    assert kinds(reconcile(floor)) == [K.POSITION_UNPROTECTED]  # the run that would have protected it is long dead
    assert reconcile(floor).differences == ()
    require_right_books(floor, venue)


def test_a_claim_that_is_being_carried_out_stays_valid(floor: TradingFloor, venue: ScriptedVenue) -> None:
    """X3: the comparison every few minutes must not give up an order that is written and about to be sent."""
    made = decision(as_of=floor.clock.now())
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        path.check_risk(made.decision_id, claim.token)
    assert reconcile(floor).differences == ()
    with OrderPath(floor.desk) as path:
        path.submit(made.decision_id, claim.token)
        path.settle(made.decision_id, claim.token)
    assert states(floor)["ENTRY"] == "FILLED"
    assert venue.stop().quantity == held(floor)
