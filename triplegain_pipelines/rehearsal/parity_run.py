"""What one way of trading made of the same candles and decisions: its intents, fills, levels, and what it is worth.

A way is the backtest, paper trading, or live trading against an exchange on loopback. Each fill carries its reference:
the price of the market at the moment of the fill, before spread, slippage and fee, so that fills of different ways can
be told apart by cause.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import polars as pl

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.orders import Fill, Intent, Leg, Side
from triplegain_pipelines.domain.risk import MarketState
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.documents import proposal_from
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.operations.feed import collect
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import PaperSettings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store import fills, market_states, orders, outbox, reconciliations, verdicts
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.orders import Order

ACCOUNT = "parity"
VERSION = "parity-1"


class Way(StrEnum):
    """A way through which decisions go."""

    BACKTEST = "backtest"
    PAPER = "paper"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class ParityPlan:
    """What goes through all three ways alike.

    `frames` are sorted 1-minute candle frames by symbol that cover [`starts_at`, `ends_at`), whole minutes. Decisions
    are of the account `ACCOUNT` and of `venue`, whose protocol the exchange on loopback speaks. `states` are what risk
    knows of the market at their times. `paper` is how the backtest and paper fill and with how much cash all begin;
    the exchange takes `venue_fee` as a fraction, and has bid and ask `half_spread` around the price, as a fraction too.
    """

    settings: Settings
    venue: str
    frames: Mapping[str, pl.DataFrame]
    decisions: Sequence[Decision]
    states: Sequence[MarketState]
    starts_at: datetime
    ends_at: datetime
    paper: PaperSettings
    limits: RiskLimits
    instruments: Mapping[str, Instrument]
    venue_fee: Decimal
    half_spread: Decimal
    validity: timedelta = timedelta(minutes=10)

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded."""
        return tuple(sorted(self.frames))

    @property
    def currency(self) -> str:
        """The currency of the account."""
        return self.instruments[self.symbols[0]].quote


@dataclass(frozen=True, slots=True)
class Dealt:
    """A fill as it is compared: the intent that it is of, its reference price, and in words where that came from."""

    intent: Intent
    fill: Fill
    reference: Decimal
    seen: str


@dataclass(frozen=True, slots=True)
class Levels:
    """What risk let through of a decision: the price it was judged at, its stop and its target."""

    entry: Decimal
    stop: Decimal | None
    target: Decimal | None


@dataclass(frozen=True, slots=True)
class Run:
    """How one way ended. `ends` says of each queued decision how it ended, `marks` what symbols are worth at the end.

    `equity` is what the ledger says: every balance at its mark. `fee_rate` is a fraction.
    """

    way: Way
    currency: str
    fee_rate: Decimal
    decisions: Mapping[UUID, Decision]
    ends: Mapping[UUID, str]
    intents: tuple[Intent, ...]
    levels: Mapping[UUID, Levels]
    dealt: tuple[Dealt, ...]
    marks: Mapping[str, Decimal]
    equity: Decimal


Reference = Callable[[Fill, Order], tuple[Decimal, str]]
"""The market's price at the moment of a fill of an order, and where it came from."""


def prepare(database: Database, plan: ParityPlan, market: str) -> None:
    """Write what every way needs to find: decisions with empty snapshots, and its market's states and candles."""
    from triplegain_pipelines.rehearsal.floor import empty_snapshot
    from triplegain_pipelines.store.snapshots import save_snapshots

    with database.connection() as connection:
        save_snapshots(connection, [empty_snapshot(made) for made in plan.decisions])
        save_decisions(connection, list(plan.decisions))
        market_states.save(connection, market, list(plan.states), VERSION)
    # Whoever reads them reads up to his present minute. Collected one by one, they would take most of the time.
    clock = ReplayClock(plan.ends_at + plan.settings.profile.decisions.grace)
    session = Session(ACCOUNT, market, plan.symbols, replay=False, settings=plan.settings, clock=clock)
    for symbol in plan.symbols:
        collect(database, session, _FrameFeed(plan.frames), symbol, plan.starts_at, plan.ends_at)


class _FrameFeed:
    """A `Feed` of the candles of frames."""

    source = "simulator"

    def __init__(self, frames: Mapping[str, pl.DataFrame]) -> None:
        self._frames = frames

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Those with start <= opening time < end."""
        return self._frames[symbol].filter(pl.col("opened_at").is_between(start, end, closed="left"))

    def headlines(self, start: datetime, end: datetime) -> Sequence[Headline]:  # noqa: ARG002
        """None: nobody reads news here."""
        return ()


def due_at(decisions: Sequence[Decision]) -> dict[datetime, list[Decision]]:
    """The decisions by the minute at which each is acted on, as the backtest does it."""
    from triplegain_pipelines.backtest.walk import acted_on_at

    due: dict[datetime, list[Decision]] = {}
    for made in sorted(decisions, key=lambda made: (acted_on_at(made.as_of), made.as_of, made.symbol)):
        due.setdefault(acted_on_at(made.as_of), []).append(made)
    return due


def last_closes(plan: ParityPlan) -> dict[str, Decimal]:
    """The last close of each symbol."""
    from triplegain_pipelines.domain.market import exact_price

    frames = {symbol: frame.filter(pl.col("opened_at") < plan.ends_at) for symbol, frame in plan.frames.items()}
    return {symbol: exact_price(float(frame.get_column("close")[-1])) for symbol, frame in frames.items()}


def read_run(desk: Desk, way: Way, plan: ParityPlan, reference: Reference) -> Run:
    """The run of `way`, from the books of its desk."""
    place = desk.schema, desk.account
    with desk.database.connection() as connection:
        made = {order.client_order_id: order for order in orders.every(connection, *place)}
        booked = fills.every(connection, *place)
        owned = reconciliations.owned(connection, *place)
        rows = {one.decision_id: outbox.read(connection, *place, one.decision_id) for one in plan.decisions}
        judged = {
            order.intent.decision_id: verdicts.read(connection, desk.schema, order.proposal_id)
            for order in made.values()
            if order.intent.leg is Leg.ENTRY
        }
    marks = last_closes(plan)
    worth = {desk.instruments[symbol].base: price for symbol, price in marks.items()} | {plan.currency: Decimal(1)}
    let_through = {decision_id: proposal_from(one.outcome) for decision_id, one in judged.items() if one is not None}
    return Run(
        way=way,
        currency=plan.currency,
        fee_rate=desk.fee_rate,
        decisions={one.decision_id: one for one in plan.decisions},
        ends={
            decision_id: f"{row.status.value} {row.reason.value if row.reason else ''}".strip()
            for decision_id, row in rows.items()
            if row is not None
        },
        intents=tuple(order.intent for order in made.values()),
        levels={
            decision_id: Levels(one.entry_price, one.stop_loss, one.take_profit)
            for decision_id, one in let_through.items()
        },
        dealt=tuple(
            Dealt(made[fill.client_order_id].intent, fill, *reference(fill, made[fill.client_order_id]))
            for fill in booked
        ),
        marks=marks,
        equity=sum((amount * worth[currency] for currency, amount in owned.items()), Decimal(0)),
    )


@dataclass
class Position:
    """A position of a run, by the decision that opened it: what went in, and what came out or is left at the end."""

    decision_id: UUID
    symbol: str
    entries: list[Dealt] = field(default_factory=list)
    exits: list[Dealt] = field(default_factory=list)

    @property
    def side(self) -> Side:
        """The side that opened it."""
        return self.entries[0].fill.side

    @property
    def quantity(self) -> Decimal:
        """What is left of it."""
        went_in = sum((one.fill.quantity for one in self.entries), Decimal(0))
        return went_in - sum((one.fill.quantity for one in self.exits), Decimal(0))


def positions_of(run: Run) -> dict[UUID, Position]:
    """The positions of a run by decision, in the order of their opening."""
    found: dict[UUID, Position] = {}
    newest: dict[str, Position] = {}
    for one in run.dealt:
        symbol, decision_id = one.fill.symbol, one.intent.decision_id
        if one.intent.leg is Leg.ENTRY:
            newest[symbol] = found.setdefault(decision_id, Position(decision_id, symbol))
            newest[symbol].entries.append(one)
        else:
            # The guardian and resting orders sell for the decision that bought; an exit has a decision of its own.
            found.get(decision_id, newest[symbol]).exits.append(one)
    return found
