"""The bar contract in plain Python and exact decimals, bar by bar: what the compiled engine is compared with.

It is written from the contract's sentences and shares nothing with the engine but the generator of luck: prices, fees
and levels are those of the order path (`execution.matching`, `risk.sizing`).
"""

from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from triplegain_pipelines.backtest.luck import first_share
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.market import Instrument, exact_price
from triplegain_pipelines.domain.money import CAUTIOUS, rounded_down
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.execution.matching import fee_of, slipped
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.risk.sizing import protective_levels
from triplegain_pipelines.settings.risk import SizingSettings
from triplegain_pipelines.strategies.strategy import Signals

MINUTE = 60_000_000
DAY = 1440 * MINUTE
ZERO = Decimal(0)


@dataclass
class ExpectedTrade:
    """One trade, flat to flat, in exact numbers."""

    direction: int
    decided_bar: int
    entry_bar: int
    stop: Decimal
    target: Decimal
    fills_in: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    fills_out: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    fees: Decimal = ZERO
    exit_bar: int = -1
    exit_decided_bar: int = -1
    ended_by: str = ""
    inside: bool = False

    @property
    def held(self) -> Decimal:
        """What is still held, in base currency."""
        return sum((q for q, _ in self.fills_in), ZERO) - sum((q for q, _ in self.fills_out), ZERO)

    @property
    def quantity(self) -> Decimal:
        """What was entered, in base currency."""
        return sum((q for q, _ in self.fills_in), ZERO)

    @property
    def entry_price(self) -> Decimal:
        """The average of its fills."""
        return sum((q * p for q, p in self.fills_in), ZERO) / self.quantity

    @property
    def exit_price(self) -> Decimal:
        """The average of its fills."""
        return sum((q * p for q, p in self.fills_out), ZERO) / self.quantity

    @property
    def profit(self) -> Decimal:
        """Net of fees."""
        moved = sum((q * p for q, p in self.fills_out), ZERO) - sum((q * p for q, p in self.fills_in), ZERO)
        return self.direction * moved - self.fees

    @property
    def risk(self) -> Decimal:
        """What it would have lost at its stop, costs apart."""
        return sum((self.direction * q * (p - self.stop) for q, p in self.fills_in), ZERO)


def d(value: float) -> Decimal:
    return Decimal(repr(float(value)))


class BarByBar:
    """The account, one bar after another."""

    def __init__(self, series: CandleSeries, signals: Signals, terms: Terms, start: int, stop: int) -> None:
        self.series, self.signals, self.terms, self.start, self.stop = series, signals, terms, start, stop
        self.instrument = Instrument(
            series.symbol, d(terms.quantity_step), d(terms.price_step), d(terms.minimum_quantity), d(terms.minimum_cost)
        )
        self.sizing = SizingSettings(stop_atr_multiple=d(signals.stop_atr), reward_to_risk=d(terms.reward_to_risk))
        self.cash = d(terms.starting_equity)
        self.trade: ExpectedTrade | None = None
        self.rest_in = self.rest_out = ZERO
        self.done: list[ExpectedTrade] = []
        self.equity_at_close: list[Decimal] = []

    def run(self) -> "BarByBar":
        """Walk through every bar of the stretch."""
        fresh = False
        for bar in range(self.start, self.stop):
            if bar > self.start:  # market orders at the open, then stop, then take profit
                entered = self._at_open(bar, fresh=fresh)
                fresh = fresh and not entered
                self._inside(bar)
            self.equity_at_close.append(self._equity(bar))
            before = self.signals.target[bar - 1] if bar > self.start else 0
            fresh = fresh or self.signals.target[bar] != before
        return self

    def marks(self) -> list[tuple[int, Decimal]]:
        """Each UTC midnight after the first opening, and the end."""
        step = self.series.timeframe.minutes * MINUTE
        opened = [int(at) for at in self.series.opened_at]
        begins, ends = opened[self.start], opened[self.stop - 1] + step
        moments = [m for m in range(begins // DAY * DAY, ends + 1, DAY) if begins < m <= ends]
        if ends not in moments:
            moments.append(ends)
        marks = []
        for moment in moments:
            equity = d(self.terms.starting_equity)
            for bar in range(self.start, self.stop):
                if opened[bar] + step <= moment:
                    equity = self.equity_at_close[bar - self.start]
            marks.append((moment, equity))
        return marks

    def _equity(self, bar: int) -> Decimal:
        if self.trade is None:
            return self.cash
        return self.cash + self.trade.direction * self.trade.held * exact_price(float(self.series.close[bar]))

    def _at_open(self, bar: int, *, fresh: bool) -> bool:
        """Whether an entry was made."""
        wanted = int(self.signals.target[bar - 1])
        if self.trade is None:
            possible = wanted == 1 or (wanted == -1 and self.terms.short_selling)
            return possible and fresh and self._enter(bar, wanted)
        if self.rest_out > 0:
            self._fill_out(bar, self.rest_out)
            self.rest_out = ZERO
            self._end(bar, "signal")
        elif wanted != self.trade.direction:
            self.rest_in = ZERO
            self.trade.exit_decided_bar = bar - 1
            part = self._part(self.trade.held, bar, leg=1)
            self.rest_out = self.trade.held - part
            self._fill_out(bar, part)
            if self.rest_out == 0:
                self._end(bar, "signal")
        elif self.rest_in > 0:
            self._fill_in(bar, self.rest_in)
            self.rest_in = ZERO
        return False

    def _enter(self, bar: int, wanted: int) -> bool:
        atr = float(self.signals.atr[bar - 1])
        if not (np.isfinite(atr) and atr > 0):
            return False
        decided = self._open(bar)
        direction = Direction.LONG if wanted > 0 else Direction.SHORT
        stop, target = protective_levels(direction, decided, exact_price(atr), self.sizing, self.instrument.price_step)
        distance = wanted * (decided - stop)
        if stop <= 0 or target <= 0 or distance <= 0:
            return False
        step = self.instrument.quantity_step
        by_risk = rounded_down(CAUTIOUS.divide(d(self.terms.risk_per_trade) * self.cash, distance), step)
        by_size = rounded_down(CAUTIOUS.divide(d(self.terms.max_position) * self.cash, decided), step)
        quantity = min(by_risk, by_size)
        if quantity <= 0 or quantity < self.instrument.minimum_quantity:
            return False
        if quantity * decided < self.instrument.minimum_cost:
            return False
        self.trade = ExpectedTrade(wanted, bar - 1, bar, stop, target)
        part = self._part(quantity, bar, leg=0)
        self.rest_in = quantity - part
        self._fill_in(bar, part)
        return True

    def _inside(self, bar: int) -> None:
        trade = self.trade
        if trade is None or self.rest_out > 0:
            return
        low, high, opened = (
            exact_price(float(one[bar])) for one in (self.series.low, self.series.high, self.series.open)
        )
        long = trade.direction > 0
        if low <= trade.stop if long else high >= trade.stop:
            gapped = opened <= trade.stop if long else opened >= trade.stop
            trade.inside = not gapped
            self._fill_out(bar, trade.held, opened if gapped else trade.stop)
            self._end(bar, "stop")
        elif high >= trade.target if long else low <= trade.target:
            trade.inside = not (opened >= trade.target if long else opened <= trade.target)
            self._fill_out(bar, trade.held, trade.target, slips=False)
            self._end(bar, "take_profit")

    def _part(self, quantity: Decimal, bar: int, leg: int) -> Decimal:
        share = first_share(self.terms.seed, int(self.series.opened_at[bar]), leg, self.terms.fill_rate)
        part = rounded_down(quantity * d(share), self.instrument.quantity_step)
        return part if part > 0 else quantity

    def _fill_in(self, bar: int, quantity: Decimal) -> None:
        assert self.trade is not None
        side = Side.BUY if self.trade.direction > 0 else Side.SELL
        price = slipped(self._open(bar), side, d(self.terms.slippage), self.instrument)
        self.trade.fills_in.append((quantity, price))
        self._pay(quantity, price, side)

    def _fill_out(self, bar: int, quantity: Decimal, price: Decimal | None = None, *, slips: bool = True) -> None:
        assert self.trade is not None
        side = Side.SELL if self.trade.direction > 0 else Side.BUY
        price = self._open(bar) if price is None else price
        price = slipped(price, side, d(self.terms.slippage), self.instrument) if slips else price
        self.trade.fills_out.append((quantity, price))
        self._pay(quantity, price, side)

    def _pay(self, quantity: Decimal, price: Decimal, side: Side) -> None:
        assert self.trade is not None
        fee = fee_of(quantity, price, d(self.terms.fee))
        self.trade.fees += fee
        self.cash -= side.sign * quantity * price + fee

    def _end(self, bar: int, by: str) -> None:
        assert self.trade is not None
        self.trade.exit_bar, self.trade.ended_by = bar, by
        self.done.append(self.trade)
        self.trade, self.rest_in = None, ZERO

    def _open(self, bar: int) -> Decimal:
        return exact_price(float(self.series.open[bar]))


def series_of(
    bars: list[tuple[float, float, float, float]],
    opened_at: list[int] | None = None,
    timeframe: Timeframe = Timeframe.M1,
    symbol: str = "BTC/USDT",
) -> CandleSeries:
    """A series of open, high, low and close, one minute after another from 2024-08-05 where no times are given."""
    first = 1_722_816_000_000_000
    step = timeframe.minutes * MINUTE
    at = opened_at if opened_at is not None else [first + place * step for place in range(len(bars))]
    columns = np.array(bars, dtype=np.float64).reshape(len(bars), 4).T
    volume = np.ones(len(bars))
    return CandleSeries(symbol, timeframe, np.array(at, dtype=np.int64), *(c.copy() for c in columns), volume)


def signals_of(targets: list[int], atr: float | list[float] = 1.0, stop_atr: float = 2.0) -> Signals:
    """Signals with a reason at each change."""
    target = np.array(targets, dtype=np.int8)
    reason = np.where(target > 0, 1, np.where(target < 0, 2, 3)).astype(np.int8)
    ranges = np.broadcast_to(np.array(atr, dtype=np.float64), target.shape).copy()
    return Signals(target, reason, ranges, stop_atr)
