"""The two ways of a parity run that fill on paper: the backtest's walk, and paper trading as it runs live.

Paper trading is ticked once a minute with a clock that is moved; minutes in which nothing is held and nothing works are
left out, for then a tick only marks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import polars as pl

from triplegain_pipelines.backtest.minutes import MINUTE, Minutes
from triplegain_pipelines.backtest.walk import WalkPlan, walk_history
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import PriceSource, Quote, exact_price
from triplegain_pipelines.domain.money import rounded_down
from triplegain_pipelines.domain.orders import Fill, OrderType
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.matching import slipped
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.execution.paper_venue import PaperVenue, costs_of
from triplegain_pipelines.operations.feed import StoredFeed
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.operations.watch import Cursor, open_session_account, watch
from triplegain_pipelines.rehearsal.parity_run import (
    ACCOUNT,
    ParityPlan,
    Reference,
    Run,
    Way,
    due_at,
    prepare,
    read_run,
)
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store import orders, positions
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.replays import Replay


@dataclass(frozen=True, slots=True)
class PathPrices:
    """A `PriceSource`: the price at any moment, on the straight line from open to close of its minute.

    After the last candle it is the close of that one, for as long as a moment. `steps` are price steps by symbol, onto
    which it is rounded down.
    """

    minutes: Mapping[str, Minutes]
    steps: Mapping[str, Decimal]

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price at `at`.

        Raises:
            UnavailableError: there is no candle of that minute.
        """
        opened, series = floor_to(at, MINUTE), self.minutes[symbol]
        candle = series.candle_at(opened)
        before = series.candle_at(opened - MINUTE)
        if at == opened and candle is not None:
            return Quote(symbol, candle.open, at)
        if at == opened and before is not None:
            return Quote(symbol, before.close, at)
        if candle is None:
            msg = f"no candle of {symbol} opens at {opened.isoformat()}"
            raise UnavailableError(msg)
        price = float(candle.open) + (at - opened) / MINUTE * float(candle.close - candle.open)
        return Quote(symbol, rounded_down(exact_price(price), self.steps[symbol]), at)


def run_backtest(database: Database, plan: ParityPlan) -> Run:
    """The plan through the backtest's walk.

    Args:
        database: empty but for its schema.
        plan: candles and decisions.
    """
    prepare(database, plan, plan.venue)
    replay = Replay(ACCOUNT, plan.symbols, plan.venue, plan.starts_at, plan.ends_at, "parity")
    desk = walk_history(
        database,
        WalkPlan(
            replay=replay,
            currency=plan.currency,
            simulated=True,
            candles=plan.frames,
            decisions=plan.decisions,
            paper=plan.paper,
            limits=plan.limits,
            instruments=plan.instruments,
            validity=plan.validity,
        ),
    )
    return read_run(desk, Way.BACKTEST, plan, _reference(plan, desk.prices))


def run_paper(database: Database, plan: ParityPlan) -> Run:
    """The plan through paper trading: decisions at the price of now, candles shown as they close.

    Args:
        database: empty but for its schema.
        plan: candles and decisions.
    """
    prepare(database, plan, SIMULATED_VENUE)
    clock = ReplayClock(plan.starts_at)
    profile = plan.settings.profile.model_copy(update={"paper": plan.paper, "live": None})
    own = plan.settings.model_copy(update={"profile": profile})
    session = Session(ACCOUNT, SIMULATED_VENUE, plan.symbols, replay=False, settings=own, clock=clock)
    prices = PathPrices(_minutes(plan), {one.symbol: one.price_step for one in plan.instruments.values()})
    costs = costs_of(plan.paper)
    desk = Desk(
        database=database,
        account=ACCOUNT,
        market=SIMULATED_VENUE,
        clock=clock,
        prices=prices,
        broker=PaperVenue(database, ACCOUNT, prices, clock, plan.instruments, costs),
        limits=plan.limits,
        fee_rate=costs.fee,
        instruments=plan.instruments,
    )
    open_session_account(desk, session)
    feed, due = StoredFeed(), due_at(plan.decisions)
    walked: Cursor = {}
    at, awake = plan.starts_at, False
    while at <= plan.ends_at:
        decided = due.get(at, []) if at < plan.ends_at else []
        if awake or decided:
            clock.advance_to(at)
            walked = watch(database, session, desk, feed, walked).walked
            _act(desk, decided)
            awake = is_awake(desk)
        at += MINUTE
    return read_run(desk, Way.PAPER, plan, _reference(plan, prices))


def is_awake(desk: Desk) -> bool:
    """Whether something is held or works, so that time passing can change the books."""
    with desk.database.connection() as connection:
        held = positions.read_all(connection, desk.schema, desk.account)
        return bool(held or orders.alive(connection, desk.schema, desk.account))


def _act(desk: Desk, decided: Sequence[Decision]) -> None:
    queue_decisions(desk, decided)
    for one in decided:
        if one.action is not Action.HOLD:
            with OrderPath(desk) as path:
                path.execute(one.decision_id)


def _minutes(plan: ParityPlan) -> dict[str, Minutes]:
    return {
        symbol: Minutes.of(symbol, frame.filter(pl.col("opened_at") < plan.ends_at))
        for symbol, frame in plan.frames.items()
    }


def _reference(plan: ParityPlan, prices: PriceSource) -> Reference:
    """The prices that the paper venue started from, found again: it books only what came of them."""
    minutes, slippage = _minutes(plan), costs_of(plan.paper).slippage

    def reference(fill: Fill, order: Order) -> tuple[Decimal, str]:
        intent = order.intent
        candle = minutes[fill.symbol].candle_at(fill.filled_at)
        level = intent.trigger_price
        if level is not None and intent.order_type is OrderType.TAKE_PROFIT:
            return level, "at its level"
        if level is not None and fill.price == slipped(level, fill.side, slippage, plan.instruments[fill.symbol]):
            return level, "at its level, inside a candle"
        if candle is not None and (level is not None or fill.filled_at != order.submitted_at):
            return candle.open, "at the open of a candle beyond its level" if level else "at the open of a later candle"
        return prices.quote(fill.symbol, fill.filled_at).price, "at the price when it was sent"

    return reference
