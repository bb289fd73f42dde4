"""The laws of accounting over random fills: in pieces, long and short, fees in base, quote and a third currency."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_cases import AT, fill, intent

from triplegain_pipelines.domain.orders import Fill, Intent, Leg, Side
from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.portfolio.ledger import balances, deposit_postings, dust_postings, fill_postings
from triplegain_pipelines.portfolio.positions import ClosedTrade, Position, apply_fill, fitting, written_off
from triplegain_pipelines.portfolio.valuation import value

pytestmark = pytest.mark.unit

CASH = Decimal("2100.00000001")
STOP = Decimal(50)
Steps = list[tuple[Fill, Intent]]


@dataclass
class Books:
    """What the fills made of the account."""

    position: Position | None
    trades: list[ClosedTrade]


def booked(steps: Steps) -> Books:
    """Every fill applied, in order."""
    books = Books(None, [])
    for one, order in steps:
        books.position, trade = apply_fill(books.position, one, order, stop_loss=STOP)
        if trade is not None:
            books.trades.append(trade)
    return books


@st.composite
def histories(draw: st.DrawFn) -> Steps:
    """Entries and exits in pieces; now and then an exit takes the whole position, and the next one opens anew."""
    steps: Steps = []
    held, entry_side = Decimal(0), Side.BUY
    for number in range(draw(st.integers(1, 12))):
        if not held:
            entry_side = draw(st.sampled_from(Side))
        price = draw(st.decimals("0.00000123", "90000", places=8))
        enters = not held or draw(st.integers(0, 2)) == 0
        amount = draw(st.decimals("0.00001", "20", places=8))
        if not enters and (amount >= held or draw(st.booleans())):
            amount = held
        side = entry_side if enters else entry_side.opposite
        currency = draw(st.sampled_from(["BTC", "USDT", "BNB"]))
        rate = draw(st.sampled_from([Decimal(0), Decimal("0.001"), Decimal("-0.00025"), Decimal("0.0026")]))
        # The position changes by `amount`; a base fee comes off what is bought and on top of what is sold.
        base_fee = (amount * rate).quantize(Decimal("1e-12")) if currency == "BTC" else Decimal(0)
        quantity = amount + side.sign * base_fee
        fee = {"BTC": base_fee, "USDT": amount * price * rate}.get(currency, Decimal("0.0001"))
        one = fill(
            side, str(quantity), str(price), str(fee), currency, trade_id=str(number), filled_at=AT + timedelta(number)
        )
        leg = Leg.ENTRY if enters else draw(st.sampled_from([Leg.EXIT, Leg.STOP, Leg.TAKE_PROFIT]))
        steps.append((one, intent(side, leg)))
        held += amount if enters else -amount
    return steps


def flows(steps: Steps, currency: str) -> Fraction:
    """What came in less what went out of a currency, fees included, in fractions and from the fills alone."""
    total = Fraction(0)
    for one, _ in steps:
        moved = one.side.sign * Fraction(one.quantity)
        total += {"BTC": moved, "USDT": -moved * Fraction(one.price)}.get(currency, Fraction(0))
        total -= Fraction(one.fee) if one.fee_currency == currency else 0
    return total


@settings(max_examples=120, deadline=None)
@given(histories())
def test_the_ledger_balances_and_holds_what_the_fills_say(steps: Steps) -> None:
    """X4: a transaction that does not sum to zero in each currency makes or loses money."""
    postings = list(deposit_postings("test", "USDT", CASH, AT))
    for one, _ in steps:
        rows = fill_postings("test", one)
        sums: dict[str, Fraction] = defaultdict(Fraction)
        for row in rows:
            sums[row.currency] += Fraction(row.amount)
        assert not any(sums.values())
        assert len({(row.posting, row.currency) for row in rows}) == len(rows), "the table's key"
        postings += rows
    owned = balances(postings)
    assert Fraction(owned["USDT"]) == Fraction(CASH) + flows(steps, "USDT")
    for currency in ("BTC", "BNB"):
        assert Fraction(owned.get(currency, Decimal(0))) == flows(steps, currency)
    assert balances(reversed(postings)) == owned


@settings(max_examples=120, deadline=None)
@given(histories(), st.decimals("0.00000001", "100000", places=8))
def test_cash_and_inventory_are_equity(steps: Steps, price: Decimal) -> None:
    """X4, trap 5: equity = cash + inventory x price, where the inventory of the ledger is the position's quantity."""
    books = booked(steps)
    owned = balances(row for one, _ in steps for row in fill_postings("test", one))
    held = [] if books.position is None else [books.position]
    equity = value(owned["USDT"], held, {"BTC/USDT": price})
    assert sum(position.quantity for position in held) == owned["BTC"]
    assert Fraction(equity.equity) == Fraction(owned["USDT"]) + Fraction(owned["BTC"]) * Fraction(price)
    assert equity.equity == equity.cash + equity.positions_value
    marks = [Fraction(mark["quantity"]) * Fraction(mark["price"]) for mark in equity.marks.values()]
    assert sum(marks) == Fraction(equity.positions_value)


@settings(max_examples=120, deadline=None)
@given(histories())
def test_the_trades_profit_is_what_the_cash_gained(steps: Steps) -> None:
    """X4: when the account is flat again, the profits of the trades are the change in cash, to the last digit."""
    books = booked(steps)
    if books.position is not None:
        return
    assert sum(Fraction(trade.profit) for trade in books.trades) == flows(steps, "USDT")


@settings(max_examples=120, deadline=None)
@given(histories(), st.decimals("0.00000001", "100000", places=8))
def test_realised_and_unrealised_profit_are_all_there_is(steps: Steps, price: Decimal) -> None:
    """X4: profit of closed trades + realised - fees + unrealised = change of equity, within the average's rounding."""
    books = booked(steps)
    total = sum((Fraction(trade.profit) for trade in books.trades), Fraction(0))
    position = books.position
    if position is not None:
        unrealised = Fraction(position.quantity) * (Fraction(price) - Fraction(position.average_entry))
        total += Fraction(position.realised) - Fraction(position.fees) + unrealised
    change = flows(steps, "USDT") + flows(steps, "BTC") * Fraction(price)
    assert abs(total - change) < Fraction(1, 10**30)


@settings(max_examples=80, deadline=None)
@given(histories())
def test_the_sum_of_fills_is_what_was_filled(steps: Steps) -> None:
    """X4: entered = held + exited for the open position, and entered = exited for every trade."""
    books = booked(steps)
    entered = sum((_net(one) for one, order in steps if order.leg is Leg.ENTRY), Fraction(0))
    open_quantity = Fraction(abs(books.position.quantity) + books.position.exited) if books.position else Fraction(0)
    assert entered == open_quantity + sum(Fraction(trade.quantity) for trade in books.trades)


@settings(max_examples=80, deadline=None)
@given(histories(), st.integers(0, 12))
def test_a_replay_of_the_fills_is_the_state(steps: Steps, cut: int) -> None:
    """X3: books rebuilt from the fills, or from a stored position and the rest of them, are the same books."""
    whole = booked(steps)
    assert booked(steps) == whole
    before = booked(steps[:cut])
    position, trades = before.position, before.trades
    for one, order in steps[cut:]:
        position, trade = apply_fill(position, one, order, stop_loss=STOP)
        trades += [trade] if trade else []
    assert (position, trades) == (whole.position, whole.trades)


def _net(one: Fill) -> Fraction:
    """What the fill added to the position, base fee included."""
    base_fee = Fraction(one.fee) if one.fee_currency == "BTC" else Fraction(0)
    return abs(one.side.sign * Fraction(one.quantity) - base_fee)


@settings(max_examples=120, deadline=None)
@given(histories(), st.decimals("0.00000001", "25", places=8))
def test_a_fill_that_does_not_fit_is_split_to_the_last_digit(steps: Steps, quantity: Decimal) -> None:
    """Trap 24, X4: what the position takes and what is unaccounted sum to the fill, and position + rest = balance."""
    books = booked(steps)
    side = Side.SELL if books.position is None or books.position.quantity > 0 else Side.BUY
    late, order = fill(side, str(quantity), "100", "0.01", trade_id="late"), intent(side, Leg.STOP)
    part, unaccounted = fitting(books.position, late, order)
    after = books.position
    if part is not None:
        after, _ = apply_fill(books.position, part, order)
    owned = balances(row for one, _ in [*steps, (late, order)] for row in fill_postings("test", one))
    assert (after.quantity if after else 0) + unaccounted == owned["BTC"]


@settings(max_examples=120, deadline=None)
@given(histories())
def test_position_and_dust_are_the_balance(steps: Steps) -> None:
    """Trap 4, X4: a rest that is written off is owned all the same, and its cost is a loss of the trade."""
    books = booked(steps)
    if books.position is None or books.position.quantity < 0:
        return
    rest = books.position.quantity
    trade = written_off(books.position, Leg.EXIT, AT)
    left = Dust("test", "BTC/USDT", trade.decision_id, rest, Decimal(100), AT)
    owned = balances([*(row for one, _ in steps for row in fill_postings("test", one)), *dust_postings(left)])
    assert owned["BTC"] == rest
    profit = sum((Fraction(one.profit) for one in [*books.trades, trade]), Fraction(0))
    assert profit == flows(steps, "USDT")
