"""Positions and trades, with numbers worked by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from risk_cases import AT, D, fill, intent

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.errors import DataError, UnavailableError
from triplegain_pipelines.domain.orders import Fill, Intent, Leg, Side
from triplegain_pipelines.portfolio.positions import ClosedTrade, Position, apply_fill, fitting, written_off
from triplegain_pipelines.portfolio.valuation import value

pytestmark = pytest.mark.unit

BUY, SELL = Side.BUY, Side.SELL
ENTRY, EXIT = intent(), intent(SELL, Leg.EXIT)


def held(*steps: tuple[Fill, Intent], stop: Decimal | None = None) -> tuple[Position | None, ClosedTrade | None]:
    """The position and the last trade after the fills."""
    position, trade = None, None
    for one, order in steps:
        position, trade = apply_fill(position, one, order, stop_loss=stop)
    return position, trade


def test_partial_entries_average_in() -> None:
    """X4: (1 x 100 + 3 x 104) / 4 = 103, and 4 x (103 - 90) = 52 at risk; the later stop changes neither."""
    position, _ = apply_fill(None, fill(BUY, "1", "100", "0.1"), ENTRY, stop_loss=D(90), take_profit=D(120))
    position, trade = apply_fill(position, fill(BUY, "3", "104", "0.3"), ENTRY, stop_loss=D(80))
    assert trade is None
    assert position == Position(
        account="test",
        symbol="BTC/USDT",
        decision_id=ENTRY.decision_id,
        quantity=D(4),
        average_entry=D(103),
        decided_price=D(100),
        stop_loss=D(90),
        take_profit=D(120),
        initial_risk=D(52),
        fees=D("0.4"),
        realised=D(0),
        exited=D(0),
        exit_value=D(0),
        opened_at=AT,
    )
    assert position.direction is Direction.LONG


def test_a_long_trade_flat_to_flat() -> None:
    """X4: 2 at 100, out 0.5 at 110 and 1.5 at 120: 5 + 30 gross, less 0.6 of fees, 34.4 on 20 at risk is 1.72 R."""
    later = AT + timedelta(hours=1)
    half, _ = held((fill(BUY, "2", "100", "0.2"), ENTRY), (fill(SELL, "0.5", "110", "0.1"), EXIT), stop=D(90))
    assert half is not None
    assert (half.quantity, half.realised, half.exited, half.exit_value) == (D("1.5"), D(5), D("0.5"), D(55))
    position, trade = apply_fill(half, fill(SELL, "1.5", "120", "0.3", filled_at=later), intent(SELL, Leg.TAKE_PROFIT))
    assert position is None
    assert trade == ClosedTrade(
        account="test",
        decision_id=ENTRY.decision_id,
        symbol="BTC/USDT",
        direction=Direction.LONG,
        quantity=D(2),
        entry_price=D(100),
        exit_price=D("117.5"),
        decided_price=D(100),
        fees=D("0.6"),
        profit=D("34.4"),
        initial_risk=D(20),
        r_multiple=D("1.72"),
        exit_leg=Leg.TAKE_PROFIT,
        opened_at=AT,
        closed_at=later,
    )


def test_a_short_trade_flat_to_flat() -> None:
    """X4: sold 2 at 100, bought back at 95 with 0.4 of fees: 9.6, on 2 x (110 - 100) at risk."""
    _, trade = held(
        (fill(SELL, "2", "100", "0.2"), intent(SELL)),
        (fill(BUY, "2", "95", "0.2"), intent(BUY, Leg.STOP)),
        stop=D(110),
    )
    assert trade is not None
    assert (trade.direction, trade.profit, trade.initial_risk, trade.r_multiple) == (
        Direction.SHORT,
        D("9.6"),
        D(20),
        D("0.48"),
    )


def test_a_fee_in_the_base_currency_is_taken_from_what_is_held() -> None:
    """Trap 5: who sells what was bought, and not what was left after the fee, ends short."""
    position, _ = held((fill(BUY, "1", "100", "0.001", "BTC"), ENTRY))
    assert position is not None
    assert (position.quantity, position.fees) == (D("0.999"), D("0.1"))
    with pytest.raises(DataError, match=r"0\.999 is held"):
        apply_fill(position, fill(SELL, "1", "110"), EXIT)
    _, trade = apply_fill(position, fill(SELL, "0.999", "110"), EXIT)
    assert trade is not None
    assert trade.profit == D("9.89")  # 0.999 x 110 = 109.89 for the 100 that were paid


def test_a_fee_in_a_third_currency_is_no_cost_of_the_pair() -> None:
    """Trap 6: 0.01 BNB are not 0.01 USDT; they stand in the ledger."""
    _, trade = held((fill(BUY, "1", "100", "0.01", "BNB"), ENTRY), (fill(SELL, "1", "101", "0.01", "BNB"), EXIT))
    assert trade is not None
    assert (trade.fees, trade.profit, trade.r_multiple) == (D(0), D(1), None)


def test_thirds_leave_no_dust() -> None:
    """X4: an average of 100/3 that is rounded makes a profit of 0.999..., and flat is never flat."""
    _, trade = held(
        (fill(BUY, "0.1", "100.01"), ENTRY),
        (fill(BUY, "0.2", "100.02"), ENTRY),
        (fill(SELL, "0.1", "101"), EXIT),
        (fill(SELL, "0.2", "102"), EXIT),
    )
    assert trade is not None
    # received 10.1 + 20.4, paid 10.001 + 20.004
    assert str(trade.profit) == "0.495"
    assert trade.entry_price == D("100.016666666666666667")


def test_a_position_that_opened_beyond_its_stop_had_no_risk_to_measure_by() -> None:
    """X9: a gap through the stop before the entry was filled would turn a loss into a positive R multiple."""
    _, trade = held((fill(BUY, "1", "88"), ENTRY), (fill(SELL, "1", "87"), EXIT), stop=D(90))
    assert trade is not None
    assert (trade.initial_risk, trade.r_multiple) == (D(-2), None)


@pytest.mark.parametrize(
    ("one", "order"),
    [
        (fill(SELL, "1.0001", "100"), EXIT),  # trap 24: more than there is
        (fill(SELL, "1", "100", "0.001", "BTC"), EXIT),  # and the fee would have to be sold, too
        (fill(SELL, "1", "100"), intent(SELL)),  # an entry against the position
        (fill(BUY, "1", "100"), intent(BUY, Leg.STOP)),  # an exit that adds
        (fill(BUY, "1", "100"), EXIT),  # not what the order said
        (fill(BUY, "1", "100", symbol="ETH/USDT"), intent(symbol="ETH/USDT")),
        (fill(BUY, "1", "100"), intent(account="other")),
        (fill(BUY, "1", "100", "1.1", "BTC"), ENTRY),  # the fee takes more than was bought
    ],
)
def test_a_fill_that_cannot_be_is_refused(one: Fill, order: Intent) -> None:
    """X3, X4: books that take an impossible fill hide a double sell until the venue's balance shows it."""
    position, _ = held((fill(BUY, "1", "100"), ENTRY))
    with pytest.raises(DataError, match="reconcile"):
        apply_fill(position, one, order)


def test_a_reducing_fill_needs_a_position() -> None:
    """Trap 24: an exit counted twice must not open a short."""
    with pytest.raises(DataError, match="0 is held"):
        apply_fill(None, fill(SELL, "1", "100"), EXIT)


def test_more_than_there_is_ends_the_position_and_leaves_the_rest_unaccounted() -> None:
    """Trap 24: a late fill after another exit sells somebody else's coins; the position must end, and it must show."""
    position, _ = held((fill(BUY, "1", "100", "0.1"), ENTRY))
    part, left = fitting(position, fill(SELL, "1.5", "110", "0.3"), EXIT)
    assert left == D("-0.5")
    assert part == fill(SELL, "1", "110", "0.3")
    after, trade = apply_fill(position, part, EXIT)
    assert after is None
    assert trade is not None
    assert trade.profit == D("9.6")
    whole, left = fitting(position, fill(SELL, "0.4", "110"), EXIT)
    assert (whole, left) == (fill(SELL, "0.4", "110"), 0)
    assert fitting(None, fill(SELL, "0.4", "110"), EXIT) == (None, D("-0.4"))


def test_a_base_fee_beyond_the_position_is_paid_in_quote_by_the_trade() -> None:
    """Trap 5: selling all of it with a fee in base takes more than there was; the fee is a cost all the same."""
    position, _ = held((fill(BUY, "1", "100"), ENTRY))
    part, left = fitting(position, fill(SELL, "1", "110", "0.01", "BTC"), EXIT)
    assert left == D("-0.01")
    assert part is not None
    assert (part.quantity, part.fee, part.fee_currency) == (D(1), D("1.1"), "USDT")


def test_a_fill_that_its_fee_eats_is_a_cost() -> None:
    """Trap 5: the smallest fill and the smallest fee; refused for ever, it would block the order."""
    position, _ = held((fill(BUY, "1", "100"), ENTRY))
    eaten = fill(BUY, "0.01", "100", "0.01", "BTC")
    assert fitting(position, eaten, ENTRY) == (eaten, 0)
    after, _ = apply_fill(position, eaten, ENTRY)
    assert after is not None
    assert (after.quantity, after.average_entry, after.fees) == (D(1), D(100), D(1))
    assert fitting(None, fill(BUY, "0.01", "100", "0.02", "BTC"), ENTRY) == (None, D("-0.01"))


def test_an_entry_against_the_position_is_unaccounted() -> None:
    """X4: it must not make the position smaller without a trade."""
    short, _ = held((fill(SELL, "1", "100"), intent(SELL)))
    assert fitting(short, fill(BUY, "0.4", "100"), ENTRY) == (None, D("0.4"))


@pytest.mark.parametrize(
    ("one", "order"),
    [
        (fill(BUY, "1", "100"), EXIT),
        (fill(BUY, "1", "100", symbol="ETH/USDT"), ENTRY),
        (fill(BUY, "1", "100"), intent(account="other")),
    ],
)
def test_a_fill_of_another_order_fits_nothing(one: Fill, order: Intent) -> None:
    """X3: an answer about something else must not be booked at all."""
    position, _ = held((fill(BUY, "1", "100"), ENTRY))
    with pytest.raises(DataError, match="is none of"):
        fitting(position, one, order)


def test_a_rest_that_cannot_be_sold_is_given_up_for_nothing() -> None:
    """Trap 4: 1 bought at 100, 0.9 sold at 110, 0.1 left: 99 for 100, and the trade ends."""
    rest, _ = held((fill(BUY, "1", "100"), ENTRY), (fill(SELL, "0.9", "110"), EXIT), stop=D(90))
    assert rest is not None
    trade = written_off(rest, Leg.EXIT, AT)
    assert (trade.quantity, trade.profit, trade.entry_price, trade.r_multiple) == (D(1), D(-1), D(100), D("-0.1"))
    whole, _ = held((fill(BUY, "0.1", "100", "0.01"), ENTRY))
    assert whole is not None
    assert written_off(whole, Leg.STOP, AT).profit == D("-10.01")


def test_equity_is_cash_and_positions() -> None:
    """X4: 1,000 + 2 x 110 - 1 x 50, with the marks that make it."""
    position, _ = held((fill(BUY, "2", "100"), ENTRY))
    assert position is not None
    short = replace(position, symbol="ETH/USDT", quantity=D(-1))
    equity = value(D(1000), [position, short], {"BTC/USDT": D(110), "ETH/USDT": D(50), "SOL/USDT": D(9)})
    assert (equity.cash, equity.positions_value, equity.equity) == (D(1000), D(170), D(1170))
    assert equity.marks == {
        "BTC/USDT": {"quantity": "2", "price": "110"},
        "ETH/USDT": {"quantity": "-1", "price": "50"},
    }


def test_a_position_without_a_price_is_not_worth_nothing() -> None:
    """Rule 4: an unknown price read as zero would trip every breaker."""
    position, _ = held((fill(BUY, "2", "100"), ENTRY))
    assert position is not None
    with pytest.raises(UnavailableError, match="BTC/USDT"):
        value(D(1000), [position], {})
