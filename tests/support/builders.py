"""Hand-made parts for tests of the order path: decisions with the rows they need, prices, candles, desks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import psycopg

from triplegain_pipelines.backtest.walk import WalkPlan
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.clock import Clock, ReplayClock
from triplegain_pipelines.domain.decisions import Action, Decision, Regime
from triplegain_pipelines.domain.errors import UnavailableError, UnknownOutcomeError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Candle, Instrument, Quote
from triplegain_pipelines.domain.orders import Execution, Intent, OrderReference, RestingAtVenue, VenueOrder
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.execution.account import open_account, queue_decisions
from triplegain_pipelines.execution.broker import NotExecutedError, VenueRejectionError, VenueTraits
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.guard import guard
from triplegain_pipelines.execution.matching import Costs
from triplegain_pipelines.execution.paper_venue import PaperVenue
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.profile import PaperSettings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.replays import Replay

ACCOUNT = "test"
MARKET = "test"
START = datetime(2024, 8, 5, tzinfo=UTC)
BTC, ETH = "BTC/USDT", "ETH/USDT"
CENT = Decimal("0.01")
INSTRUMENTS = {symbol: Instrument(symbol, price_step=CENT) for symbol in (BTC, ETH)}
COSTS = Costs(slippage=Decimal("0.0005"), fee=Decimal("0.001"), fill_rate=1.0, seed=7)
DAY = timedelta(days=1)


ROOMY = {
    "MAX_ORDER_SIZE_USD": "1e9",
    "MAX_DAILY_VOLUME_USD": "1e12",
    "MAX_OPEN_POSITIONS": 100,
    "MAX_DAILY_LOSS_USD": "1e9",
    "MAX_POSITION_SIZE": "0.30",
    "MAX_PORTFOLIO_VOLATILITY": 1.0,
}
"""Limits of money that let everything through that the other limits let through."""


def limits(**changes: Any) -> RiskLimits:
    """The limits of config/risk.yaml with roomy limits of money (R4), with changes."""
    configured = load_settings(Environment(profile="demo"), CONFIG).risk
    return RiskLimits.model_validate({**configured.model_dump(), "money": ROOMY, **changes})


def decision(
    symbol: str = BTC,
    as_of: datetime = START,
    action: Action = Action.BUY,
    *,
    account: str = ACCOUNT,
    atr: float | None = 100.0,
    price: float = 10_000.0,
    valid: timedelta = timedelta(minutes=10),
    **changes: Any,
) -> Decision:
    """A decision that nothing speaks against."""
    made = Decision(
        decision_id=deterministic_id("decision", account, symbol, as_of),
        account=account,
        venue="test",
        symbol=symbol,
        as_of=as_of,
        valid_until=as_of + valid,
        snapshot_id=deterministic_id("snapshot", symbol, as_of),
        forecast_ids=(),
        regime=Regime.TRENDING_BULL,
        action=action,
        reason_code=ReasonCode.CONSENSUS_REACHED if action is not Action.HOLD else ReasonCode.CONSENSUS_UNDECIDED,
        p_up=0.7,
        confidence=0.7,
        pooled_log_odds=0.8,
        slope=0.3,
        settled_count=0.0,
        answers=6,
        vendors=5,
        quorum_met=True,
        unanimous=True,
        agreement=1.0,
        disagreement=0.1,
        size_factor=Decimal(1),
        leverage=Decimal(1),
        reference_price=price,
        atr=atr,
        explanation="hand-made",
        code_version="test",
        code_versions={"consensus": "test"},
    )
    return replace(made, **changes)


def store_decisions(database: Database, decisions: Iterable[Decision]) -> None:
    """Write decisions with empty snapshots behind them, and a calm market at their times."""
    made = list(decisions)
    calm = canonical_json(
        {
            "volatilities": {BTC: 0.2, ETH: 0.2},
            "percentiles": {BTC: 0.5, ETH: 0.5},
            "correlations": [[BTC, ETH, 0.5]],
        }
    )
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO research.market_states (venue, as_of, document, code_version)
               VALUES (%s, %s, %s, 'test') ON CONFLICT DO NOTHING""",
            [(one.venue, one.as_of, calm) for one in made],
        )
        cursor.executemany(
            """INSERT INTO research.snapshots (snapshot_id, venue, symbol, as_of, content_hash, data_version,
                   code_version, document) VALUES (%s, %s, %s, %s, %s, 'test', 'test', '{}') ON CONFLICT DO NOTHING""",
            [(one.snapshot_id, one.venue, one.symbol, one.as_of, content_hash(str(one.snapshot_id))) for one in made],
        )
        save_decisions(connection, made)


@dataclass
class StaticPrices:
    """A `PriceSource` whose prices a test sets. None is no price; `at` overrides the time of a price."""

    prices: dict[str, Decimal | None] = field(default_factory=lambda: {BTC: Decimal(10_000), ETH: Decimal(1_000)})
    at: datetime | None = None

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price that was set."""
        price = self.prices.get(symbol)
        if price is None:
            msg = f"no price of {symbol} in this test"
            raise UnavailableError(msg)
        return Quote(symbol, price, self.at or at)


@dataclass
class LossyBroker:
    """A broker on the way to which requests and answers get lost, and which can be down or refuse.

    Fault sets hold legs; each fault happens once. `submissions` counts what the order path tried to send, and `sent`
    with the times it was given.
    """

    venue_behind: PaperVenue
    lose_request: set[str] = field(default_factory=set)
    lose_answer: set[str] = field(default_factory=set)
    refuse: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    lose_cancel: bool = False
    down: bool = False
    submissions: list[Intent] = field(default_factory=list)
    sent: list[tuple[Intent, datetime, datetime]] = field(default_factory=list)

    @property
    def venue(self) -> str:
        """The venue behind."""
        return self.venue_behind.venue

    @property
    def traits(self) -> VenueTraits:
        """Those of the venue behind."""
        return self.venue_behind.traits

    def submit(self, intent: Intent, sent_at: datetime, expires_at: datetime) -> VenueOrder:
        """Pass the intent on, unless a fault is due."""
        self.submissions.append(intent)
        self.sent.append((intent, sent_at, expires_at))
        if intent.leg in self.busy:
            self.busy.discard(intent.leg)
            msg = "too busy, says the test"
            raise NotExecutedError(msg, raw="busy")
        if intent.leg in self.lose_request:
            self.lose_request.discard(intent.leg)
            msg = "the request was lost"
            raise UnknownOutcomeError(msg)
        if intent.leg in self.refuse:
            self.refuse.discard(intent.leg)
            msg = "refused by the test"
            raise VenueRejectionError(msg, raw="refused")
        answer = self.venue_behind.submit(intent, sent_at, expires_at)
        if intent.leg in self.lose_answer:
            self.lose_answer.discard(intent.leg)
            msg = "the answer was lost"
            raise UnknownOutcomeError(msg)
        return answer

    def cancel(self, order: OrderReference) -> VenueOrder:
        """Pass the cancellation on, unless it gets lost."""
        if self.lose_cancel:
            self.lose_cancel = False
            msg = "the cancellation was lost"
            raise UnknownOutcomeError(msg)
        return self.venue_behind.cancel(order)

    def lookup(self, order: OrderReference) -> VenueOrder | None:
        """Ask the venue, unless it is down."""
        if self.down:
            msg = "the venue is down"
            raise UnavailableError(msg)
        return self.venue_behind.lookup(order)

    def open_orders(self) -> tuple[RestingAtVenue, ...]:
        """What the venue behind has open."""
        return self.venue_behind.open_orders()

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """What the venue behind has traded."""
        return self.venue_behind.executions(since)

    def balances(self) -> Mapping[str, Decimal] | None:
        """What the venue behind holds."""
        return self.venue_behind.balances()

    def instruments(self, symbols: Sequence[str]) -> Mapping[str, Instrument]:
        """Those of the venue behind."""
        return self.venue_behind.instruments(symbols)

    def keep_alive(self, timeout: timedelta | None) -> None:
        """Pass it on."""
        self.venue_behind.keep_alive(timeout)


@dataclass
class TradingFloor:
    """A desk with everything a test wants to turn."""

    database: Database
    clock: ReplayClock
    prices: StaticPrices
    venue: PaperVenue
    broker: LossyBroker
    desk: Desk

    def queue(self, *decisions: Decision) -> None:
        """Store and queue decisions."""
        store_decisions(self.database, decisions)
        queue_decisions(self.desk, decisions)

    def beat(self) -> None:
        """Evaluate the breakers now."""
        guard(self.desk)

    def pass_time(self, span: timedelta) -> None:
        """Let time pass, with the guard watching."""
        self.clock.advance_to(self.clock.now() + span)
        self.beat()

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of any query; `orders` and the like are looked for in paper_trading."""
        with self.database.connection() as connection:
            connection.execute("SET LOCAL search_path TO paper_trading, ops, public")
            return connection.execute(query.encode(), parameters).fetchall()


def trading_floor(
    database: Database,
    *,
    clock: Clock | None = None,
    costs: Costs = COSTS,
    risk: RiskLimits | None = None,
    cash: Decimal = Decimal(2_100),
) -> TradingFloor:
    """An open paper account at 10,000 USDT for a bitcoin, with a fresh heartbeat."""
    clock = clock if isinstance(clock, ReplayClock) else ReplayClock(START)
    prices = StaticPrices()
    venue = PaperVenue(database, ACCOUNT, prices, clock, INSTRUMENTS, costs)
    broker = LossyBroker(venue)
    desk = Desk(
        database=database,
        account=ACCOUNT,
        market=MARKET,
        clock=clock,
        prices=prices,
        broker=broker,
        limits=risk or limits(),
        fee_rate=costs.fee,
        instruments=INSTRUMENTS,
    )
    open_account(desk, cash, clock.now(), currency="USDT", simulated=True)
    floor = TradingFloor(database, clock, prices, venue, broker, desk)
    floor.beat()
    return floor


def walk_plan(
    frames: Mapping[str, pl.DataFrame],
    decisions: Sequence[Decision],
    start: datetime,
    end: datetime,
    *,
    fill_rate: float = 1.0,
    risk: RiskLimits | None = None,
) -> WalkPlan:
    """A walk over candle frames for the account of the decisions."""
    return WalkPlan(
        replay=Replay(ACCOUNT, tuple(sorted(frames)), "test", start, end, "test"),
        currency="USDT",
        simulated=True,
        candles=frames,
        decisions=decisions,
        paper=PaperSettings(
            starting_cash=Decimal(2_100), slippage_bps=Decimal(5), fee_bps=Decimal(10), fill_rate=fill_rate, seed=7
        ),
        limits=risk or limits(),
        instruments=INSTRUMENTS,
        validity=timedelta(minutes=10),
    )


def wandering(start: datetime, minutes: int, price: float, seed: int, sigma: float = 0.001) -> pl.DataFrame:
    """Candles of a random walk, opening where the one before closed, with prices in cents."""
    generator = np.random.default_rng(seed)
    closes = np.round(price * np.exp(np.cumsum(generator.normal(0, sigma, minutes))), 2)
    opens = np.concatenate([[price], closes[:-1]])
    wicks = np.abs(generator.normal(0, sigma / 2, (2, minutes)))
    highs = np.round(np.maximum(opens, closes) * (1 + wicks[0]), 2)
    lows = np.round(np.minimum(opens, closes) * (1 - wicks[1]), 2)
    return frame(start, zip(opens, highs, lows, closes, strict=True))


def candle(opened_at: datetime, open_: str, high: str, low: str, close: str, symbol: str = BTC) -> Candle:
    """A 1-minute candle with prices as text."""
    return Candle(symbol, opened_at, Decimal(open_), Decimal(high), Decimal(low), Decimal(close))


def frame(start: datetime, bars: Iterable[tuple[float, float, float, float]]) -> pl.DataFrame:
    """A candle frame: one bar (open, high, low, close) a minute from `start` on."""
    rows = list(bars)
    columns: dict[str, Any] = {
        name: [float(row[place]) for row in rows] for place, name in enumerate(("open", "high", "low", "close"))
    }
    times = [start + timedelta(minutes=number) for number in range(len(rows))]
    return pl.DataFrame(
        {"opened_at": times, **columns, "volume": [1.0] * len(rows), "trades": [1] * len(rows)},
        schema_overrides={"opened_at": pl.Datetime("us", "UTC"), "trades": pl.Int32},
    )


class Killed(BaseException):
    """What a test throws where a process would have been killed: nothing catches it, nothing is tidied up by it."""


class MortalDatabase(Database):
    """A database whose user dies right after one of its commits."""

    def __init__(self, url: str, commits: int) -> None:
        super().__init__(url)
        self.left = commits

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A transaction; with the last commit that is left the user dies."""
        with super().connection() as connection:
            yield connection
        self.left -= 1
        if self.left == 0:
            raise Killed


def forget_trading(database: Database) -> None:
    """Empty all tables of trading, and keep the research: a fresh start with the same decisions."""
    guarded = ("fills", "ledger", "intents", "verdicts", "trading_events", "venue_answers")
    plain = (
        "dust",
        "flows",
        "reconciliations",
        "journal",
        "outbox",
        "proposals",
        "orders",
        "positions",
        "trades",
        "equity",
        "risk_state",
        "accounts",
        "balances",
    )
    tables = [f"paper_trading.{table}" for table in (*guarded, *plain)]
    tables += [f"paper_venue.{table}" for table in ("client_order_ids", "orders", "fills")]
    tables += [f"ops.{table}" for table in ("fences", "heartbeats", "breakers", "breaker_changes", "replays")]
    with database.connection() as connection:
        for table in guarded:
            connection.execute(f"ALTER TABLE paper_trading.{table} DISABLE TRIGGER append_only".encode())
        connection.execute(f"TRUNCATE {', '.join(tables)}".encode())
        for table in guarded:
            connection.execute(f"ALTER TABLE paper_trading.{table} ENABLE TRIGGER append_only".encode())
