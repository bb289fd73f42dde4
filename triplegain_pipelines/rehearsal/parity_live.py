"""The way of a parity run that trades live: the real adapter, order path and guardian's duties at a loopback exchange.

The candles' prices are walked as ticks, and each tick is seen by exchange and guardian alike. What services do every
few seconds is done once a minute while something is held or works, and before each decision.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import groupby

import polars as pl

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import EXACT, rounded_up
from triplegain_pipelines.domain.orders import Fill
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.execution import levels
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.rehearsal import floor
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.kraken_names import number_of
from triplegain_pipelines.rehearsal.orders import OrderNews, PriceNews
from triplegain_pipelines.rehearsal.parity_run import ACCOUNT, ParityPlan, Run, Way, due_at, prepare, read_run
from triplegain_pipelines.rehearsal.prices import Tick, candles_of, ticks_of
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.services import guardian_duties as duties
from triplegain_pipelines.services.guardian_watch import Call, Watch
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.venues import TradingAccess, VenueSettings
from triplegain_pipelines.store import heartbeats
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import Order

VENUE = "kraken"
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_BEFORE = timedelta(seconds=1)
_CALLS_PER_SECOND = 1000.0  # nothing is to be spared on loopback


def run_live(database: Database, plan: ParityPlan) -> Run:
    """The plan through live trading, rehearsed.

    Args:
        database: empty but for its schema.
        plan: candles and decisions, of Kraken.

    Raises:
        InputError: the plan is of another venue, the profile has no section 'live', or a price is off the grid.
    """
    live = plan.settings.profile.live
    if plan.venue != VENUE or live is None:
        msg = f"live trading is compared at {VENUE} under a profile with a section 'live', not at {plan.venue}"
        raise InputError(msg)
    prepare(database, plan, plan.venue)
    clock = ShiftableClock(plan.starts_at - _BEFORE)
    owned = {plan.currency: plan.paper.starting_cash}
    exchange = LoopbackExchange(plan.instruments, owned, plan.venue_fee, clock)
    middles = _Middles(exchange)
    with LoopbackServer(exchange, plan.venue) as server:
        desk = floor.loopback_desk(database, server, _unhurried(plan), _paid(plan, live), plan.limits, clock)
        desk = replace(desk, account=ACCOUNT)
        floor.open_books(desk, plan.paper.starting_cash, plan.currency)
        _Walk(desk, exchange, clock, plan).run()
        return read_run(desk, Way.LIVE, plan, middles.reference)


def _unhurried(plan: ParityPlan) -> VenueSettings:
    access = TradingAccess(calls_per_second=_CALLS_PER_SECOND, burst=int(_CALLS_PER_SECOND))
    changes = {"calls_per_second": _CALLS_PER_SECOND, "trading": access}
    return plan.settings.venues.of(plan.venue).model_copy(update=changes)


def _paid(plan: ParityPlan, live: LiveSettings) -> LiveSettings:
    return live.model_copy(update={"fee_bps": plan.venue_fee * 10_000})


class _Middles:
    """Remembers the middle between bid and ask at the moment of each trade."""

    def __init__(self, exchange: LoopbackExchange) -> None:
        self._exchange = exchange
        self._by_number: dict[int, Decimal] = {}
        exchange.listeners.append(self._hear)

    def reference(self, fill: Fill, order: Order) -> tuple[Decimal, str]:
        """The middle at the moment of the fill."""
        rested = order.intent.trigger_price is not None
        how = "at the tick that passed its level" if rested else "at the price when it arrived"
        return self._by_number[number_of(fill.trade_id) or 0], how

    def _hear(self, news: OrderNews | PriceNews) -> None:
        if isinstance(news, OrderNews) and news.trade is not None:
            bid, ask = self._exchange.prices[news.trade.symbol]
            self._by_number[news.trade.number] = (bid + ask) / 2


class _Walk:
    """The way through time."""

    def __init__(self, desk: Desk, exchange: LoopbackExchange, clock: ShiftableClock, plan: ParityPlan) -> None:
        self._desk, self._exchange, self._clock, self._plan = desk, exchange, clock, plan
        self._due = due_at(plan.decisions)
        self._watch = Watch(desk.instruments)

    def run(self) -> None:
        """Walk to the end."""
        self._look()
        for at, together in groupby(self._ticks(), key=lambda tick: tick.at):
            self._clock.advance_to(at)
            self._answer([call for tick in together if (call := self._see(tick)) is not None])
            if at == floor_to(at, _MINUTE):
                self._minute(at)
        self._clock.advance_to(self._plan.ends_at)
        self._look_after(self._plan.ends_at)

    def _ticks(self) -> Iterator[Tick]:
        walked = pl.col("opened_at").is_between(self._plan.starts_at, self._plan.ends_at, closed="left")
        frames = {symbol: frame.filter(walked) for symbol, frame in self._plan.frames.items()}
        return heapq.merge(*(ticks_of(candles_of(symbol, frame)) for symbol, frame in sorted(frames.items())))

    def _see(self, tick: Tick) -> Call | None:
        """Show the price to the exchange, then to the guardian."""
        bid, ask = spread_around(tick.price, self._plan.half_spread, self._plan.instruments[tick.symbol])
        self._exchange.set_price(tick.symbol, bid, ask)
        return self._watch.see(levels.Tick(tick.symbol, bid, ask, self._clock.now()))

    def _answer(self, calls: Sequence[Call]) -> None:
        """As the guardian answers."""
        if not calls:
            return
        answered: Mapping[str, duties.Answered] = duties.answer(self._desk, calls)
        for call in calls:
            self._watch.end(call, self._clock.now(), over=answered[call.symbol].is_over)
        self._look()

    def _minute(self, at: datetime) -> None:
        decided = self._due.get(at, [])
        if decided or self._is_awake:
            self._look_after(at)
        if not decided:
            return
        queue_decisions(self._desk, decided)
        for made in decided:
            self._execute(made)
        self._look()

    def _execute(self, made: Decision) -> None:
        if made.action is not Action.HOLD:
            with OrderPath(self._desk, wait=duties.WAIT) as path:
                path.execute(made.decision_id)

    def _look_after(self, at: datetime) -> None:
        """What the services do: compare clocks, resolve, mark, and evaluate the breakers."""
        now = self._clock.now()
        with self._desk.database.connection() as connection:
            heartbeats.beat(connection, heartbeats.CLOCK, self._desk.market, now)
            heartbeats.beat(connection, heartbeats.GUARDIAN, self._desk.account, now)
        if floor_to(at, _DAY) == at:
            floor.arm(self._desk)
        if self._watch.state is not None and self._watch.state.unresolved:
            duties.resolve(self._desk)
        guard(self._desk)
        self._look()

    def _look(self) -> None:
        self._watch.take(duties.read_account(self._desk))

    @property
    def _is_awake(self) -> bool:
        state = self._watch.state
        return state is not None and bool(state.held or state.working)


def spread_around(price: Decimal, half_spread: Decimal, instrument: Instrument) -> tuple[Decimal, Decimal]:
    """Bid and ask as far below and above `price`, at least the fraction `half_spread` of it, on the grid.

    Raises:
        InputError: the price is not on the grid, so that no bid and ask there have it in their middle.

    >>> spread_around(Decimal(100), Decimal("0.00012"), Instrument("BTC/USDT", price_step=Decimal("0.01")))
    (Decimal('99.98'), Decimal('100.02'))
    """
    with localcontext(EXACT):
        if price % instrument.price_step:
            msg = f"{price} is no price of {instrument.symbol}, which is traded in steps of {instrument.price_step}"
            raise InputError(msg)
        margin = rounded_up(price * half_spread, instrument.price_step)
        return price - margin, price + margin
