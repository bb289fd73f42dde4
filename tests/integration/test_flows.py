"""Payments in and out against the real database: ledger, risk state, equity mark, trail, and what is refused."""

from datetime import timedelta
from decimal import Decimal

import pytest
from builders import ACCOUNT, BTC, TradingFloor, decision

from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.execution.desk import PAPER
from triplegain_pipelines.execution.flows import book_flow
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.risk.state import RiskState
from triplegain_pipelines.store import equity, flows, risk_state
from triplegain_pipelines.store.events import verify_chain

pytestmark = pytest.mark.integration

PRICES = {BTC: Decimal(10_000)}
MINUTE = timedelta(minutes=1)


def pay(floor: TradingFloor, amount: str, currency: str = "USDT", prices=PRICES) -> flows.Flow:
    return book_flow(floor.desk, Decimal(amount), currency, who="owner", why="a test", prices=prices)


def state(floor: TradingFloor) -> RiskState:
    with floor.database.connection() as connection:
        return risk_state.read(connection, PAPER, ACCOUNT)


def balance(floor: TradingFloor, currency: str = "USDT") -> Decimal:
    rows = floor.rows("SELECT amount FROM balances WHERE currency = %s", currency)
    return rows[0][0] if rows else Decimal(0)


def enter(floor: TradingFloor) -> Decimal:
    """Open a position; its quantity."""
    made = decision()
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    return floor.rows("SELECT quantity FROM positions")[0][0]


def test_a_deposit_is_written_everywhere_at_once(floor: TradingFloor) -> None:
    """R5: a payment that reached the ledger and not the risk state would look like a gain, and lower the drawdown."""
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    flow = pay(floor, "900")
    assert balance(floor) == Decimal(3_000)
    posted = floor.rows("SELECT posting, currency, amount FROM ledger WHERE transaction = %s", f"flow:{flow.flow_id}")
    assert sorted(posted) == [("capital", "USDT", Decimal(-900)), ("holdings", "USDT", Decimal(900))]
    with floor.database.connection() as connection:
        assert flows.read_all(connection, PAPER, ACCOUNT) == [flow]
        assert verify_chain(connection, PAPER, ACCOUNT).broken_at is None
    newest = floor.rows("SELECT equity, peak, external_flow FROM equity ORDER BY at DESC LIMIT 1")[0]
    assert newest == (Decimal(3_000), Decimal(3_000), Decimal(900))
    after = state(floor)
    assert (after.day_opened_equity, after.day_flow, after.day_start_equity) == (2_100, 900, 3_000)
    assert floor.rows("SELECT count(*) FROM trading_events WHERE kind = 'flow_booked'") == [(1,)]


def test_a_withdrawal_is_no_drawdown_and_no_loss_of_the_day(floor: TradingFloor) -> None:
    """R5: an owner who takes half of the money out must not find the account halted for a drawdown of 50 %."""
    enter(floor)
    floor.prices.prices[BTC] = Decimal(9_500)
    floor.pass_time(MINUTE)
    before = guard(floor.desk)
    assert before.drawdown > 0
    pay(floor, "-1000", prices={BTC: Decimal(9_500)})
    after = guard(floor.desk)
    assert after.equity == before.equity - 1_000
    assert abs(after.drawdown - before.drawdown) < Decimal("1e-20")
    assert abs(after.daily_loss - before.daily_loss) < Decimal("1e-20")
    assert after.breakers[BreakerName.RAPID_LOSS].state is BreakerState.CLOSED
    assert after.breakers[BreakerName.DRAWDOWN].state is BreakerState.CLOSED


def test_a_loss_beside_a_deposit_is_still_a_rapid_loss(floor: TradingFloor) -> None:
    """R6: with the money of a deposit counted as a gain, a crash in the same hour would go unseen."""
    enter(floor)
    floor.pass_time(MINUTE)
    pay(floor, "5000")
    with floor.database.connection() as connection:
        marks = equity.since(connection, PAPER, ACCOUNT, floor.clock.now() - timedelta(hours=1))
    assert len({round(worth) for _, worth in marks[-2:]}) == 1  # the marks before are scaled to the money of now
    assert all(worth > 7_000 for _, worth in marks)


def test_the_money_lost_today_leaves_payments_out(floor: TradingFloor) -> None:
    """R4: MAX_DAILY_LOSS_USD is about trading; a withdrawal is no loss, and a deposit hides none."""
    floor.pass_time(MINUTE)
    for amount in ("500", "-800"):
        pay(floor, amount)
    after = state(floor)
    assert after.day_opened_equity + after.day_flow == balance(floor) == Decimal(1_800)


def test_a_new_day_begins_with_what_is_there(floor: TradingFloor) -> None:
    """R4: yesterday's payment taken out of today's loss once more would hide a loss of that size."""
    floor.pass_time(MINUTE)
    pay(floor, "500")
    floor.pass_time(timedelta(days=1))
    after = state(floor)
    assert (after.day_flow, after.day_opened_equity, after.day_start_equity) == (0, 2_600, 2_600)


@pytest.mark.parametrize("reserved", [False, True])
def test_no_more_than_the_free_cash_is_paid_out(floor: TradingFloor, *, reserved: bool) -> None:
    """X3: money that a position or a working entry is made of is not there to be taken."""
    if reserved:
        made = decision()
        floor.queue(made)
        with OrderPath(floor.desk) as path:
            claim = path.claim(made.decision_id)
            path.check_risk(made.decision_id, claim.token)  # type: ignore[union-attr]
    else:
        enter(floor)
    cash = balance(floor)
    with pytest.raises(InputError, match="reserved"):
        pay(floor, str(-cash if reserved else -cash - Decimal("0.01")))
    assert balance(floor) == cash
    assert floor.rows("SELECT count(*) FROM flows") == [(0,)]


def test_a_position_cannot_be_paid_out(floor: TradingFloor) -> None:
    """X3: base currency of an open position that left the books would make its exit fail."""
    quantity = enter(floor)
    with pytest.raises(InputError, match="reserved"):
        pay(floor, str(-quantity), "BTC")
    pay(floor, "0.5", "BTC")
    pay(floor, "-0.5", "BTC")
    assert balance(floor, "BTC") == quantity


def test_a_payment_in_another_currency_changes_no_equity(floor: TradingFloor) -> None:
    """X2: coins paid in for fees are in the ledger, so that the venue's balance can be compared, and in no return."""
    floor.pass_time(MINUTE)
    before = state(floor)
    pay(floor, "2", "BNB")
    assert balance(floor, "BNB") == 2
    assert state(floor) == before
    assert floor.rows("SELECT sum(external_flow) FROM equity") == [(Decimal(0),)]


@pytest.mark.parametrize(
    ("amount", "who", "why"), [("0", "me", "x"), ("NaN", "me", "x"), ("1", " ", "x"), ("1", "me", "")]
)
def test_a_payment_needs_an_amount_a_name_and_a_reason(floor: TradingFloor, amount: str, who: str, why: str) -> None:
    """X6: a payment that nobody answers for explains no difference."""
    with pytest.raises(InputError):
        book_flow(floor.desk, Decimal(amount), "USDT", who=who, why=why, prices=PRICES)
    assert floor.rows("SELECT count(*) FROM flows") == [(0,)]


def test_a_position_without_a_price_refuses_the_payment(floor: TradingFloor) -> None:
    """Rule 4: an equity with a position left out would scale the peak wrongly for ever."""
    enter(floor)
    with pytest.raises(UnavailableError):
        pay(floor, "100", prices={})
    assert floor.rows("SELECT count(*) FROM flows") == [(0,)]
    assert balance(floor) < Decimal(2_100)


def test_two_payments_at_one_moment_are_two(floor: TradingFloor) -> None:
    """X3: the same amount twice is paid twice, and a mark of that very moment stays as it is."""
    first, second = pay(floor, "10"), pay(floor, "10")
    assert first.flow_id != second.flow_id
    assert balance(floor) == Decimal(2_120)


def test_a_gain_since_the_last_mark_is_no_part_of_a_payment(floor: TradingFloor) -> None:
    """R5: equity that rose unmarked is a new peak; scaled from the old one, the next fall would be understated."""
    quantity = enter(floor)
    floor.clock.advance_to(floor.clock.now() + MINUTE)
    risen = balance(floor) + quantity * 12_000
    pay(floor, "-500", prices={BTC: Decimal(12_000)})
    after = state(floor)
    assert after.peak_equity == risen - 500
    assert risen > 2_100
