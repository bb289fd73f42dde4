"""The double entry of fills and deposits."""

from uuid import UUID

import pytest
from risk_cases import AT, D, fill

from triplegain_pipelines.domain.orders import Fill, Side
from triplegain_pipelines.portfolio.dust import Dust
from triplegain_pipelines.portfolio.ledger import balances, deposit_postings, dust_postings, fill_postings

pytestmark = pytest.mark.unit


def rows(one: Fill) -> dict[tuple[str, str], str]:
    """Amounts by posting and currency, as text."""
    return {(row.posting.value, row.currency): str(row.amount) for row in fill_postings("test", one)}


def test_a_buy_with_a_fee_in_quote() -> None:
    """X4: 2 BTC for 200.2 USDT and a fee of 0.2; the fee shares a row with what was paid."""
    assert rows(fill(Side.BUY, "2", "100.1", "0.2")) == {
        ("holdings", "BTC"): "2",
        ("market", "BTC"): "-2",
        ("holdings", "USDT"): "-200.4",
        ("market", "USDT"): "200.2",
        ("fees", "USDT"): "0.2",
    }


def test_a_sell_with_a_fee_in_base() -> None:
    """Trap 5: selling 2 BTC with a fee of 0.002 BTC takes 2.002 BTC from the account."""
    assert rows(fill(Side.SELL, "2", "100", "0.002", "BTC")) == {
        ("holdings", "BTC"): "-2.002",
        ("market", "BTC"): "2",
        ("holdings", "USDT"): "200",
        ("market", "USDT"): "-200",
        ("fees", "BTC"): "0.002",
    }


def test_a_fee_in_a_third_currency_has_rows_of_its_own() -> None:
    """Trap 6: booked in the wrong currency, a BNB fee makes the USDT balance drift from the venue's."""
    booked = rows(fill(Side.BUY, "2", "100", "0.01", "BNB"))
    assert (booked["holdings", "BNB"], booked["fees", "BNB"]) == ("-0.01", "0.01")


def test_no_fee_leaves_no_row() -> None:
    """X4: rows of zero would be noise, and the table's key allows one row for each posting and currency."""
    assert {posting for posting, _ in rows(fill(Side.BUY, "2", "100"))} == {"holdings", "market"}


def test_a_transaction_is_named_by_venue_and_trade() -> None:
    """Trap 9: a fill booked again after a restart must meet its own rows."""
    postings = fill_postings("test", fill(Side.BUY, "2", "100", trade_id="abc-1"))
    assert {(row.account, row.transaction, row.booked_at) for row in postings} == {("test", "paper:abc-1", AT)}


def test_balances_are_what_is_owned() -> None:
    """X4: capital, market and fees are the other sides and belong to nobody's balance."""
    postings = [
        *deposit_postings("test", "USDT", D(2100), AT),
        *fill_postings("test", fill(Side.BUY, "2", "100", "0.2")),
        *fill_postings("test", fill(Side.SELL, "2", "101", "0.2")),
    ]
    assert balances(postings) == {"BTC": D(0), "USDT": D("2101.6")}


def test_dust_is_owned_and_no_holding() -> None:
    """Trap 4: what cannot be sold stays the account's, so that its balance is what the venue has."""
    left = dust_postings(Dust("test", "BTC/USDT", UUID(int=2), D("0.1"), D(100), AT))
    assert {(row.posting.value, row.currency): row.amount for row in left} == {
        ("holdings", "BTC"): D("-0.1"),
        ("dust", "BTC"): D("0.1"),
    }
    bought = fill_postings("test", fill(Side.BUY, "0.1", "100"))
    assert balances([*bought, *left]) == balances(bought)
