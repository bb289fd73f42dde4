"""What happens at a moment of the event engine, and what it leaves behind.

In this order: stops and take profits that the bars which close now have reached, the mark to market with the breakers,
and then, symbol by symbol, the orders at the open of the bars that open now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.backtest.event_account import MemoryAccount
from triplegain_pipelines.backtest.event_bars import Grid, microseconds
from triplegain_pipelines.backtest.event_lane import NEVER, Lane, Opened, Rest
from triplegain_pipelines.backtest.event_market import HourlyMarket
from triplegain_pipelines.backtest.event_orders import Ground, Judged, Piece, Wish, fill_of, judged, protection
from triplegain_pipelines.backtest.luck import ENTRY_LEG, EXIT_LEG, first_share
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.market import exact_price
from triplegain_pipelines.domain.orders import Intent, Leg, OrderType
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Proposal
from triplegain_pipelines.execution.matching import part_of, slipped, touch
from triplegain_pipelines.execution.surroundings import Surroundings
from triplegain_pipelines.portfolio.positions import ClosedTrade
from triplegain_pipelines.risk.bounds import bounds_of
from triplegain_pipelines.settings.risk import RiskLimits

_LASTS = frozenset(
    {
        ReasonCode.BREAKER_OPEN,
        ReasonCode.DRAWDOWN_LOCKED,
        ReasonCode.TOO_MANY_POSITIONS,
        ReasonCode.DAILY_VOLUME_USED_UP,
    }
)
"""Refusals that stand until the account changes."""
_LASTS_FLAT = frozenset({ReasonCode.DRAWDOWN_PAUSED, ReasonCode.DAILY_LOSS_HALTED, ReasonCode.DAILY_LOSS_MONEY})
"""Refusals that stand until the account changes while nothing is held whose price could."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed trade, and the bars in which it was decided, entered and left.

    `exit_decided_bar` is that whose close decided the exit, -1 where a stop or a take profit ended the trade.
    """

    trade: ClosedTrade
    decided_bar: int
    entry_bar: int
    exit_bar: int
    exit_decided_bar: int
    stop_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry that risk refused or cut: which bar decided it, and why."""

    symbol: str
    decided_bar: int
    refused: bool
    codes: tuple[ReasonCode, ...]


class EventDesk:
    """One account, its symbols and what became of them.

    Attributes:
        grid: the moments.
        lanes: the symbols.
        market: what risk knows of it.
        limits: what risk goes by.
        account: as it stands.
        version: rises whenever the account changes in a way that may change a refusal.
        closed_at: the last moment at which a trade was closed after the mark, -1 for none.
        trades: closed so far, in the order of their exits.
        asked: what was refused or cut so far; a refusal counts once for each change of a target.
        marks: equity and the value of the positions by moment, wherever the account was marked.
        cash: after each moment at which something happened, with the moment.
    """

    def __init__(
        self, grid: Grid, lanes: Sequence[Lane], market: HourlyMarket, limits: RiskLimits, terms: Terms
    ) -> None:
        self.grid, self.lanes, self.market, self.limits = grid, lanes, market, limits
        self._slippage, self._fee = exact_price(terms.slippage), exact_price(terms.fee)
        self._fill_rate, self._seed = terms.fill_rate, terms.seed
        self._length = timedelta(minutes=lanes[0].track.series.timeframe.minutes)
        self._counted: set[tuple[str, int, ReasonCode]] = set()
        cash = exact_price(terms.starting_equity)
        self.account = MemoryAccount(cash, lanes[0].instrument.quote, grid.at(0), limits)
        self.version, self.closed_at = 0, -1
        self.trades: list[Closed] = []
        self.asked: list[Asked] = []
        self.marks: dict[int, tuple[Decimal, Decimal]] = {}
        self.cash: list[tuple[int, Decimal]] = []

    @property
    def refusals(self) -> Counter[str]:
        """How often risk refused or cut an entry, by reason code."""
        return Counter(code.value for asked in self.asked for code in asked.codes)

    def step(self, place: int, lanes: Sequence[Lane]) -> None:
        """Let happen what happens at a moment; `lanes` are the symbols for which that may be anything."""
        at = self.grid.at(place)
        for lane in lanes:
            self._match(lane, place)
        self._mark(place, at)
        trades = len(self.trades)
        for lane in lanes:
            self._open(lane, place, at)
        if len(self.trades) > trades:
            self.closed_at = place
        self.cash.append((place, self.account.books.cash))

    def check(self) -> None:
        """The laws of the books.

        Raises:
            DataError: one is broken.
        """
        self.account.check([lane.instrument for lane in self.lanes])

    def _match(self, lane: Lane, place: int) -> None:
        """Show the bar that closes now to stop and take profit. What ends a position cancels the rest of its entry."""
        bar, opened = int(lane.track.closing[place]), lane.opened
        if bar < 0 or opened is None or not lane.stops or bar < opened.entry_bar:
            return
        candle = lane.track.candle(bar)
        for order in lane.stops:
            reached = touch(order, candle, self._length)
            if reached is None:
                continue
            slips = order.order_type is OrderType.STOP
            price = slipped(reached.price, order.side, self._slippage, lane.instrument) if slips else reached.price
            held = self.account.position(lane.symbol)
            lane.rest = None
            if held is not None:
                self._fill(lane, Piece(order, 1, abs(held.quantity), price, reached.at, bar))
            return

    def _mark(self, place: int, at: datetime) -> None:
        prices = {held.symbol: self._known_price(held.symbol, place) for held in self.account.books.positions}
        around = Surroundings(
            strategies={},
            percentile=self.market.percentile(at),
            data_age=timedelta(microseconds=int(self.grid.age[place])),
            crossed=(),
            errors=0,
        )
        before = self.account.books
        made = self.account.mark(prices, around, at)
        self.marks[place] = (made.equity, made.positions_value)
        if self.account.books.breakers != before.breakers or self.account.books.risk.day != before.risk.day:
            self.version += 1

    def _open(self, lane: Lane, place: int, at: datetime) -> None:
        """What is ordered at the open of the bar that opens now, by the contract of the bars."""
        bar = int(lane.track.opening[place])
        if bar <= lane.track.start:
            return
        held, target = self.account.position(lane.symbol), lane.target(bar - 1)
        if held is not None:
            leaving = not lane.stops
            if lane.rest is not None and (leaving or target == held.direction.sign):
                rest, lane.rest = lane.rest, None
                price = self._price_at_open(lane, rest.intent, bar)
                self._fill(lane, Piece(rest.intent, 2, rest.quantity, price, at, bar))
            elif target != held.direction.sign:
                self._leave(lane, bar, place, at)
            return
        if lane.is_fresh(bar - 1) and not self._is_blocked(lane, bar - 1, place):
            self._enter(lane, bar, place, at)

    def _is_blocked(self, lane: Lane, decided: int, place: int) -> bool:
        return place < lane.again and lane.blocked == (self.version, lane.run_of(decided))

    def _leave(self, lane: Lane, bar: int, place: int, at: datetime) -> None:
        lane.rest = None
        made = self._judged(lane, bar, place, at)
        if made.intent is None:
            return
        lane.stops = ()
        self._order(lane, made.intent, EXIT_LEG, bar, at)

    def _enter(self, lane: Lane, bar: int, place: int, at: datetime) -> None:
        unfinished = any(other.rest is not None and other.rest.intent.leg is Leg.ENTRY for other in self.lanes)
        if unfinished:
            self._refused(lane, bar - 1, (ReasonCode.ENTRY_UNFINISHED,), place)
            return
        made = self._judged(lane, bar, place, at)
        codes = tuple(reason.code for reason in made.reasons)
        if made.intent is None:
            self._refused(lane, bar - 1, codes, place)
            return
        cut = tuple(code for code in codes if code is not ReasonCode.WITHIN_LIMITS)
        if cut:
            self.asked.append(Asked(lane.symbol, bar - 1, refused=False, codes=cut))
        lane.acted, lane.blocked, lane.again = lane.run_of(bar - 1), None, NEVER
        lane.opened, lane.stops = Opened(bar - 1, bar), protection(made.proposal, made.intent)
        self.account.count_order(at, made.intent.quantity * made.intent.decided_price)
        self._order(lane, made.intent, ENTRY_LEG, bar, at, made.proposal)

    def _refused(self, lane: Lane, decided: int, codes: tuple[ReasonCode, ...], place: int) -> None:
        """Count a refusal, and find out until when asking again would be in vain."""
        run = lane.run_of(decided)
        lasting = self._lasting(lane, codes, place)
        lane.blocked = (self.version, run) if lasting else None
        lane.again = NEVER
        if lasting == (ReasonCode.VOLATILITY_UNKNOWN,):
            lane.again = self.grid.first_from(microseconds(self.market.next_hour(self.grid.at(place))))
        new = tuple(code for code in lasting or codes[:1] if (lane.symbol, run, code) not in self._counted)
        if new:
            self._counted.update((lane.symbol, run, code) for code in new)
            self.asked.append(Asked(lane.symbol, decided, refused=True, codes=new))

    def _lasting(self, lane: Lane, codes: tuple[ReasonCode, ...], place: int) -> tuple[ReasonCode, ...]:
        flat = not self.account.books.positions
        lasting = tuple(code for code in codes if code in _LASTS or (flat and code in _LASTS_FLAT))
        if lasting:
            return lasting
        least, books = lane.instrument.minimum_cost, self.account.books
        if self.limits.money.max_daily_volume - self.account.ordered_today(self.grid.at(place)) < least:
            return (ReasonCode.DAILY_VOLUME_REDUCED,)
        if flat and bounds_of(self.limits).position_size * books.cash < least:
            return (ReasonCode.BELOW_MINIMUM_ORDER,)
        return (ReasonCode.VOLATILITY_UNKNOWN,) if ReasonCode.VOLATILITY_UNKNOWN in codes else ()

    def _judged(self, lane: Lane, bar: int, place: int, at: datetime) -> Judged:
        series, account = lane.track.series, self.account
        names = {held.symbol for held in account.books.positions} | {lane.symbol}
        prices = {name: self._price_now(name, place) for name in names}
        wish = Wish(
            lane.symbol,
            lane.target(bar - 1),
            float(series.close[bar - 1]),
            float(lane.signals.stop_atr * lane.signals.atr[bar - 1]),
            self.grid.at(place),
            at,
        )
        held = account.position(lane.symbol)
        ground = Ground(
            account.books.portfolio(prices, at, (), account.ordered_today(at)),
            account.books.breakers,
            self.market.state(at, names) if held is None else None,
            prices,
            self.limits,
            lane.instrument,
            self._fee,
        )
        return judged(wish, held, ground)

    def _order(
        self, lane: Lane, intent: Intent, leg: int, bar: int, at: datetime, proposal: Proposal | None = None
    ) -> None:
        """Fill a market order at the open of `bar`; what is left of it waits for the next."""
        share = first_share(self._seed, int(lane.track.series.opened_at[bar]), leg, self._fill_rate)
        first = intent.quantity if share >= 1 else part_of(intent.quantity, share, lane.instrument)
        rest = intent.quantity - first
        lane.rest = Rest(intent, rest) if rest else None
        price = self._price_at_open(lane, intent, bar)
        self._fill(lane, Piece(intent, 1, first, price, at, bar), proposal)

    def _price_at_open(self, lane: Lane, intent: Intent, bar: int) -> Decimal:
        opened = exact_price(float(lane.track.series.open[bar]))
        return slipped(opened, intent.side, self._slippage, lane.instrument)

    def _fill(self, lane: Lane, piece: Piece, proposal: Proposal | None = None) -> None:
        """Book a piece of an order; `proposal` is that of an entry, with the levels of its position."""
        self.version += 1
        levels = (None, None) if proposal is None else (proposal.stop_loss, proposal.take_profit)
        held, opened = self.account.position(lane.symbol), lane.opened
        trade = self.account.book(fill_of(piece, lane.instrument, self._fee), piece.intent, levels)
        if trade is None or opened is None or held is None:
            return
        decided = piece.bar - piece.part if piece.intent.leg is Leg.EXIT else -1
        self.trades.append(Closed(trade, opened.decided_bar, opened.entry_bar, piece.bar, decided, held.stop_loss))
        lane.opened, lane.stops, lane.rest = None, (), None

    def _known_price(self, symbol: str, place: int) -> Decimal:
        """The newest close that is known."""
        return exact_price(float(self.grid.tracks[symbol].marks[place]))

    def _price_now(self, symbol: str, place: int) -> Decimal:
        """The open of the bar that opens now; where none does, the newest close."""
        track = self.grid.tracks[symbol]
        bar = int(track.opening[place])
        return exact_price(float(track.series.open[bar])) if bar >= 0 else self._known_price(symbol, place)
