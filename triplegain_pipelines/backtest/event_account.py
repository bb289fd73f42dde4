"""An account in memory: the books of live trading, moved by the same pure functions, with a ledger beside them."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Fill, Intent
from triplegain_pipelines.execution.books import Books
from triplegain_pipelines.execution.guard import mark
from triplegain_pipelines.execution.surroundings import Surroundings
from triplegain_pipelines.portfolio.ledger import Book, Posting, deposit_postings, fill_postings
from triplegain_pipelines.portfolio.positions import ClosedTrade, Position, apply_fill
from triplegain_pipelines.risk.breakers import after_trade as breakers_after_trade
from triplegain_pipelines.risk.breakers import initial_breakers
from triplegain_pipelines.risk.state import after_trade as risk_after_trade
from triplegain_pipelines.risk.state import initial_risk_state
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store.equity import EquityMark

ACCOUNT = "backtest"


class MemoryAccount:
    """Books, ledger totals and the newest equity marks of one account, in one quote currency."""

    def __init__(self, cash: Decimal, currency: str, at: datetime, limits: RiskLimits) -> None:
        self._limits, self._currency = limits, currency
        self._window = timedelta(minutes=limits.breakers.rapid_loss.window_minutes)
        self._totals: dict[tuple[Book, str], Decimal] = defaultdict(Decimal)
        self._day: tuple[object, Decimal] = (at.date(), Decimal(0))
        self.recent: deque[tuple[datetime, Decimal]] = deque()
        self.books = Books(ACCOUNT, cash, (), initial_risk_state(cash, at), initial_breakers(at))
        self._post(deposit_postings(ACCOUNT, currency, cash, at))

    def position(self, symbol: str) -> Position | None:
        """The open position in a symbol, or None."""
        return self.books.position(symbol)

    def book(
        self, fill: Fill, intent: Intent, levels: tuple[Decimal | None, Decimal | None] = (None, None)
    ) -> ClosedTrade | None:
        """Book a fill: ledger, cash, position, and what risk and breakers make of a trade that it closes."""
        self._post(fill_postings(ACCOUNT, fill))
        before = self.position(fill.symbol)
        after, trade = apply_fill(before, fill, intent, stop_loss=levels[0], take_profit=levels[1])
        others = [held for held in self.books.positions if held.symbol != fill.symbol]
        positions = tuple(sorted([*others, *([after] if after else [])], key=lambda held: held.symbol))
        cash, risk, breakers = self._totals[Book.HOLDINGS, self._currency], self.books.risk, self.books.breakers
        if trade is None:
            self.books = Books(ACCOUNT, cash, positions, risk, breakers)
            return None
        risk = risk_after_trade(risk, trade.profit, trade.initial_risk)
        changes = breakers_after_trade(breakers, trade.profit, self._limits, trade.closed_at, trade.opened_at)
        self.books = Books(ACCOUNT, cash, positions, risk, breakers).with_changes(changes)
        return trade

    def mark(self, prices: Mapping[str, Decimal], around: Surroundings, at: datetime) -> EquityMark:
        """Mark the account to market and let the breakers look at it."""
        while self.recent and self.recent[0][0] < at - self._window:
            self.recent.popleft()
        marking = mark(self.books, prices, [worth for _, worth in self.recent], around, self._limits, at)
        self.books = marking.books
        self.remember(at, marking.mark.equity)
        return marking.mark

    def remember(self, at: datetime, equity: Decimal) -> None:
        """Keep a mark at which no breaker could have tripped, for the fall that the next ones may see."""
        self.recent.append((at, equity))

    def raise_peak(self, equity: Decimal) -> None:
        """Take over the highest of the marks that were left out."""
        if equity > self.books.risk.peak_equity:
            self.books = replace(self.books, risk=replace(self.books.risk, peak_equity=equity))

    def ordered_today(self, at: datetime) -> Decimal:
        """What the entries of this UTC day were worth, whole orders at the price of their decision."""
        day, ordered = self._day
        return ordered if day == at.date() else Decimal(0)

    def count_order(self, at: datetime, worth: Decimal) -> None:
        """Count an entry that is ordered now."""
        self._day = (at.date(), self.ordered_today(at) + worth)

    def check(self, instruments: Iterable[Instrument]) -> None:
        """The laws of the books: postings sum to zero, cash and positions are what the ledger says is held.

        Raises:
            DataError: a law is broken, which is an error of this program.
        """
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for (_, currency), amount in self._totals.items():
            sums[currency] = EXACT.add(sums[currency], amount)
        held = {instrument.base: self.position(instrument.symbol) for instrument in instruments}
        expected = {base: one.quantity if one else Decimal(0) for base, one in held.items()}
        expected[self._currency] = self.books.cash
        wrong = {code: total for code, total in sums.items() if total}
        wrong |= {
            code: quantity
            for code, quantity in expected.items()
            if self._totals.get((Book.HOLDINGS, code), Decimal(0)) != quantity
        }
        if wrong:
            msg = f"the ledger of the backtest does not agree with its books in {wrong}; this is an error of the engine"
            raise DataError(msg)

    def _post(self, postings: Iterable[Posting]) -> None:
        totals = self._totals
        for posting in postings:
            key = (posting.posting, posting.currency)
            totals[key] = EXACT.add(totals[key], posting.amount)
