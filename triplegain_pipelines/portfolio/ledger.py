"""Double entry: what moves between the account's holdings, the market, fees and capital. Each transaction sums to zero.

Positions and profit are not here: the ledger knows currencies only.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from enum import StrEnum
from uuid import UUID

from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Fill
from triplegain_pipelines.portfolio.dust import Dust

DEPOSIT = "deposit"


class Book(StrEnum):
    """The sides of a posting. `HOLDINGS` and `DUST` are what the account owns, the rest where it came from or went."""

    HOLDINGS = "holdings"
    CAPITAL = "capital"
    MARKET = "market"
    FEES = "fees"
    DUST = "dust"


@dataclass(frozen=True, slots=True)
class Posting:
    """A row of `ledger`: `amount` of `currency` that `posting` gained in `transaction`."""

    account: str
    transaction: str
    posting: Book
    currency: str
    amount: Decimal
    booked_at: datetime


def fill_postings(account: str, fill: Fill) -> tuple[Posting, ...]:
    """The postings of a fill: base against quote with the market, and the fee in its own currency.

    One row for each posting and currency: what lands on the same row is added up, and a row of zero is left out.
    """
    base, quote = split_symbol(fill.symbol)
    rows: dict[tuple[Book, str], Decimal] = defaultdict(Decimal)
    with localcontext(EXACT):
        bought = fill.side.sign * fill.quantity
        for currency, amount, other in (
            (base, bought, Book.MARKET),
            (quote, -bought * fill.price, Book.MARKET),
            (fill.fee_currency, -fill.fee, Book.FEES),
        ):
            rows[Book.HOLDINGS, currency] += amount
            rows[other, currency] -= amount
    transaction = f"{fill.venue}:{fill.trade_id}"
    return tuple(
        Posting(account, transaction, book, currency, amount, fill.filled_at)
        for (book, currency), amount in rows.items()
        if amount
    )


def deposit_postings(account: str, currency: str, amount: Decimal, at: datetime) -> tuple[Posting, ...]:
    """The postings of the capital that an account is opened with."""
    return (
        Posting(account, DEPOSIT, Book.HOLDINGS, currency, amount, at),
        Posting(account, DEPOSIT, Book.CAPITAL, currency, -amount, at),
    )


def flow_postings(account: str, flow_id: UUID, currency: str, amount: Decimal, at: datetime) -> tuple[Posting, ...]:
    """The postings of money that was paid in (`amount` > 0) or out after the opening."""
    transaction = f"flow:{flow_id}"
    return (
        Posting(account, transaction, Book.HOLDINGS, currency, amount, at),
        Posting(account, transaction, Book.CAPITAL, currency, -amount, at),
    )


def dust_postings(dust: Dust) -> tuple[Posting, ...]:
    """The postings of what is left of a closed position: it stays the account's, and is nobody's position any more."""
    base, _ = split_symbol(dust.symbol)
    at = dust.written_off_at
    transaction = f"dust:{dust.symbol}:{dust.decision_id}:{at.isoformat()}"
    return (
        Posting(dust.account, transaction, Book.HOLDINGS, base, -dust.quantity, at),
        Posting(dust.account, transaction, Book.DUST, base, dust.quantity, at),
    )


def balances(postings: Iterable[Posting]) -> dict[str, Decimal]:
    """What the account owns of each currency, by code. A currency it no longer owns stays with zero."""
    owned: dict[str, Decimal] = defaultdict(Decimal)
    with localcontext(EXACT):
        for posting in postings:
            if posting.posting in {Book.HOLDINGS, Book.DUST}:
                owned[posting.currency] += posting.amount
    return dict(sorted(owned.items()))
