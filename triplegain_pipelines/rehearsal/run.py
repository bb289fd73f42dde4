"""A rehearsal: live trading against an exchange on loopback, under faults and kills, and what was survived.

Prices are those of the simulated market, decisions are drawn, and the clock is moved, so that hours pass in seconds.
The process that trades is killed for real every now and then. The same seed gives the same prices, decisions and
faults in the same order; which call meets which fault, and where a kill falls, is the machine's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.execution.desk import LIVE, Desk
from triplegain_pipelines.rehearsal import floor
from triplegain_pipelines.rehearsal.clock import ShiftableClock
from triplegain_pipelines.rehearsal.decider import Decider
from triplegain_pipelines.rehearsal.exchange import LoopbackExchange
from triplegain_pipelines.rehearsal.faults import FaultKind, fault_plan
from triplegain_pipelines.rehearsal.laws import LAWS, AccountBooks, Breach, broken_laws, exchange_books, read_books
from triplegain_pipelines.rehearsal.prices import PriceDriver, ticks_of_market
from triplegain_pipelines.rehearsal.server import LoopbackServer
from triplegain_pipelines.rehearsal.trader import Round, Settle, Start, Trader
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.settings.venues import TradingAccess, VenueSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.survived import Survived, count_survived

VENUES = ("kraken", "binance", "coinbase")
_STARTS = datetime(2026, 1, 5, 12, tzinfo=UTC)
_STEP = timedelta(seconds=20)  # one price of each candle, and one round of the services
_PRICE_STEPS = {"BTC/USDT": "0.1", "ETH/USDT": "0.01", "SOL/USDT": "0.01", "XRP/USDT": "0.00001"}
_MINIMUM_COST = Decimal(5)
_CASH = Decimal(2100)
_SPREAD_BPS = Decimal(2)
_PER_BASIS_POINT = Decimal("0.0001")
_CALLS_PER_SECOND = 1000.0  # nothing is to be spared on loopback
_MOST_CALLS = 200_000
_PATIENCE = timedelta(seconds=0.5)
_EXPIRY_SECONDS = 2
_DIES = 0.1  # share of rounds in which the process is killed
_FIRST_ROUND = 0.3  # seconds, before any was measured
_NO_LIMIT = Decimal(1_000_000)
_MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """What is rehearsed: at which venue, for how many minutes of the market, and the share of calls that meet a fault.

    Raises:
        InputError: there is no such venue on loopback.
    """

    venue: str
    minutes: int
    seed: int
    share: float

    def __post_init__(self) -> None:
        """Refuse what cannot be rehearsed."""
        if self.venue not in VENUES:
            msg = f"there is no {self.venue!r} on loopback; rehearse at one of {', '.join(VENUES)}"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal survived, and which laws were broken. `troubles` are failures that a person would be told of."""

    plan: RehearsalPlan
    faults: Mapping[FaultKind, int]
    calls: int
    kills: int
    survived: Survived
    troubles: Mapping[str, int]
    settled: bool
    breaches: tuple[Breach, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing stayed open and every law held."""
        return self.settled and not self.breaches

    def document(self) -> dict[str, Any]:
        """The form that a program reads."""
        survived = self.survived
        return {
            "simulated": True,
            "venue": self.plan.venue,
            "minutes": self.plan.minutes,
            "seed": self.plan.seed,
            "share": self.plan.share,
            "calls": self.calls,
            "faults": {kind.value: number for kind, number in sorted(self.faults.items())},
            "decisions": dict(sorted(survived.decisions.items())),
            "orders": dict(sorted(survived.orders.items())),
            "fills": survived.fills,
            "late_fills": survived.late_fills,
            "unknown_outcomes": dict(sorted(survived.unknown.items())),
            "restarts": self.kills,
            "reconciliations": survived.reconciliations,
            "differences": dict(sorted(survived.differences.items())),
            "troubles": dict(self.troubles),
            "settled": self.settled,
            "laws": len(LAWS),
            "broken": [str(breach) for breach in self.breaches],
            "holds": self.holds,
        }


def rehearse(url: str, settings: Settings, plan: RehearsalPlan) -> Rehearsed:
    """Trade live at an exchange on loopback for `plan.minutes` of its time, and judge what is left.

    Args:
        url: of a database that is empty but for its schema, and to which this process has no connection open.
        settings: of a profile with a section 'live'.
        plan: what is rehearsed.

    Raises:
        InputError: the profile has no section 'live', or trades a symbol that no rehearsal has.
        UnavailableError: the process that trades does not answer.
    """
    live = settings.profile.live
    if live is None:
        msg = "a rehearsal needs a profile with a section 'live', such as config/live.yaml"
        raise InputError(msg)
    clock = ShiftableClock(_STARTS)
    instruments, currency = _instruments(settings.profile.symbols), settings.profile.currency
    exchange = LoopbackExchange(instruments, {currency: _CASH}, live.fee_bps * _PER_BASIS_POINT, clock)
    prices = _walked(exchange, clock, plan)
    prices.run_until(_STARTS)
    with LoopbackServer(exchange, plan.venue) as server:
        trader = Trader(partial(_desk, url, server, settings, live, clock), server.url, clock)
        decider = Decider(exchange, url, plan.venue, settings.risk, plan.seed)
        decider.open(_CASH, currency)
        server.faults = fault_plan(plan.seed, _MOST_CALLS, plan.share)
        try:
            _play(trader, prices, decider, plan)
            settled = trader.do(Settle())
        finally:
            trader.end()
        books, survived = _read(url, instruments)
        return Rehearsed(
            plan=plan,
            faults=server.faults.counts,
            calls=len(server.calls),
            kills=trader.kills,
            survived=survived,
            troubles=trader.passed.troubles,
            settled=settled,
            breaches=broken_laws(books, exchange_books(exchange)),
        )


def _read(url: str, instruments: Mapping[str, Instrument]) -> tuple[AccountBooks, Survived]:
    database = Database(url)
    try:
        with database.connection() as connection:
            survived = count_survived(connection, LIVE, floor.ACCOUNT)
        return read_books(database, LIVE, floor.ACCOUNT, instruments, stops_rest=True), survived
    finally:
        database.close()


def _play(trader: Trader, prices: PriceDriver, decider: Decider, plan: RehearsalPlan) -> None:
    """The way through the rehearsal's time."""
    draw, seconds = np.random.default_rng([plan.seed, 1]), [_FIRST_ROUND]
    trader.do(Start())
    for number in range(1, timedelta(minutes=plan.minutes) // _STEP + 1):
        prices.run_until(_STARTS + number * _STEP)
        decider.decide()
        dies, when = draw.random() < _DIES, float(draw.random())
        if dies:
            trader.do_or_die(Round(), when * float(np.median(seconds)))
            continue
        began = monotonic_seconds()
        trader.do(Round())
        seconds.append(monotonic_seconds() - began)


def _walked(exchange: LoopbackExchange, clock: ShiftableClock, plan: RehearsalPlan) -> PriceDriver:
    from triplegain_pipelines.market.simulator import SimulatedMarket

    market = SimulatedMarket(plan.seed, _STARTS.date(), tuple(exchange.instruments))
    ends_at = _STARTS + timedelta(minutes=plan.minutes + 1)
    return PriceDriver(exchange, ticks_of_market(market, _STARTS, ends_at), clock, _SPREAD_BPS)


def _instruments(symbols: Sequence[str]) -> dict[str, Instrument]:
    strange = [symbol for symbol in symbols if symbol not in _PRICE_STEPS]
    if strange:
        msg = f"no rehearsal has {', '.join(strange)}; it has {', '.join(_PRICE_STEPS)}"
        raise InputError(msg)
    return {
        symbol: Instrument(symbol, price_step=Decimal(_PRICE_STEPS[symbol]), minimum_cost=_MINIMUM_COST)
        for symbol in symbols
    }


def _desk(url: str, server: LoopbackServer, settings: Settings, live: LiveSettings, clock: ShiftableClock) -> Desk:
    """The desk of the process that trades: quick to ask, and quick to take a request for lost."""
    venue, quick = (
        _unhurried(settings.venues.of(server.venue)),
        live.model_copy(update={"expiry_seconds": _EXPIRY_SECONDS}),
    )
    return floor.loopback_desk(Database(url), server, venue, quick, _roomy(settings.risk), clock, _PATIENCE)


def _unhurried(venue: VenueSettings) -> VenueSettings:
    access = TradingAccess(calls_per_second=_CALLS_PER_SECOND, burst=int(_CALLS_PER_SECOND))
    return venue.model_copy(update={"calls_per_second": _CALLS_PER_SECOND, "trading": access})


def _roomy(limits: RiskLimits) -> RiskLimits:
    """The limits, but for those that would end the rehearsal: volume and loss of a day, losses, failures, old data."""
    money = limits.money.model_copy(update={"max_daily_volume": _NO_LIMIT, "max_daily_loss": _NO_LIMIT})
    anomaly = limits.breakers.anomaly.model_copy(update={"errors": _MANY, "data_age_seconds": _MANY})
    losses = limits.breakers.consecutive_losses.model_copy(update={"threshold": _MANY})
    breakers = limits.breakers.model_copy(update={"anomaly": anomaly, "consecutive_losses": losses})
    return limits.model_copy(update={"money": money, "breakers": breakers})
