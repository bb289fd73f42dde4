"""Rebalancing an account: the plan of now, and its trades as decisions in the outbox, to be judged like any other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import AccountBusyError, DataError, InputError, UnavailableError
from triplegain_pipelines.domain.evidence import RegimeSignal, Snapshot
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import Reason
from triplegain_pipelines.execution import fence
from triplegain_pipelines.execution.account import queue_in
from triplegain_pipelines.execution.books import load_books
from triplegain_pipelines.execution.desk import AccountTransaction, Desk, account_transaction
from triplegain_pipelines.operations.desks import account_desk, session_desk
from triplegain_pipelines.operations.rebalancing_decision import Basis, rebalancing_decision
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.portfolio.rebalancing import (
    PlannedTrade,
    RebalancingPlan,
    Stock,
)
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import Profile, RebalancingSettings
from triplegain_pipelines.store import orders, outbox
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import save_decisions
from triplegain_pipelines.store.signals import read_signals
from triplegain_pipelines.store.snapshots import read_snapshots

_EVIDENCE_AGE = timedelta(hours=2)  # as old as risk lets what it knows of the market be
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Rebalancing:
    """A plan, and the decisions that were queued for it."""

    plan: RebalancingPlan
    decisions: tuple[Decision, ...] = ()

    def document(self) -> dict[str, Any]:
        """The form for --json; amounts as exact text."""
        return {
            "equity": format(self.plan.equity, "f"),
            "trades": [
                {
                    "symbol": trade.symbol,
                    "action": "buy" if trade.kind.adds_risk else "sell",
                    "kind": trade.kind.value,
                    "quantity": format(trade.quantity, "f"),
                    "target_quantity": format(trade.target_quantity, "f"),
                    "price": format(trade.price, "f"),
                    "value": format(trade.value, "f"),
                    "reason": trade.reason.sentence(),
                }
                for trade in self.plan.trades
            ],
            "kept": [{"symbol": one.symbol, "reason": one.reason.sentence()} for one in self.plan.kept],
            "decisions": [str(one.decision_id) for one in self.decisions],
        }


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The newest snapshot of a symbol, and what the market's state was in it."""

    snapshot: Snapshot
    regime: RegimeSignal


def rebalancing_desk(database: Database, settings: Settings, account: str) -> Desk:
    """The account's desk; the profile's own account trades all symbols of the profile, also those it never decided on.

    Raises:
        InputError: there is no such account.
    """
    desk = account_desk(database, settings, account)
    profile = settings.profile
    if account != profile.account:
        return desk
    session = Session(account, profile.venue, profile.symbols, replay=False, settings=settings, clock=SystemClock())
    return session_desk(database, session)


def plan_now(desk: Desk, profile: Profile) -> Rebalancing:
    """What a rebalancing would trade now. Nothing is written.

    Raises:
        InputError: the profile has no weights, or there is no such account.
        UnavailableError: a price is missing.
    """
    settings = _weights_of(profile)
    with account_transaction(desk, None) as transaction:
        return Rebalancing(_basis(transaction, settings, profile).plan)


def queue_rebalancing(desk: Desk, profile: Profile, sentiment: str = SENTIMENT_VERSION) -> Rebalancing:
    """Plan, and put the trades into the account's outbox, the sales first. They end as every decision does.

    `sentiment` is the version of the sentiment signals that are made (`sentiment_version`).

    Raises:
        InputError: the profile has no weights, or there is no such account.
        UnavailableError: a price is missing.
        AccountBusyError: other decisions or orders of the account are under way, so that what it holds is about to
            change.
        DataError: a symbol has no fresh snapshot, or not one that may lead to new risk.
    """
    settings = _weights_of(profile)
    with account_transaction(desk, None) as transaction:
        _require_quiet(transaction)
        basis = _basis(transaction, settings, profile)
        plan = basis.plan
        evidence = _evidence(transaction, plan.trades, sentiment)
        as_of = _off_grid(transaction.at)
        decisions = tuple(
            rebalancing_decision(
                desk.account,
                trade,
                basis,
                evidence[trade.symbol].snapshot,
                evidence[trade.symbol].regime,
                as_of=as_of,
                valid_until=as_of + profile.decisions.validity,
                sentiment=sentiment,
            )
            for trade in plan.trades
        )
        if save_decisions(transaction.connection, decisions):
            msg = f"the account {desk.account!r} was rebalanced in another way at this very moment, {as_of}; try again"
            raise AccountBusyError(msg)
        queue_in(transaction, decisions)
    return Rebalancing(plan, decisions)


def _weights_of(profile: Profile) -> RebalancingSettings:
    if profile.rebalancing is None:
        msg = f"the profile of {profile.account!r} has no target weights; add a section 'rebalancing' to it"
        raise InputError(msg)
    return profile.rebalancing


def _off_grid(at: datetime) -> datetime:
    """A moment in no whole second: a decision of the seats stands on one, and no other may take its place."""
    return at if at.microsecond else at + _INSTANT


def _require_quiet(transaction: AccountTransaction) -> None:
    connection, schema, account = transaction.connection, transaction.schema, transaction.account
    found = outbox.waiting(connection, schema, account)
    waiting = [row for row in found if row.valid_until >= transaction.at or row.is_held_up]
    working = [
        order
        for order in orders.alive(connection, schema, account)
        if order.is_unresolved or order.intent.leg in {Leg.ENTRY, Leg.EXIT}
    ]
    if waiting or working:
        msg = (
            f"{len(waiting)} decisions and {len(working)} orders of {account!r} are under way, so what it holds is "
            "about to change; rebalance when they are done"
        )
        raise AccountBusyError(msg)


def _basis(transaction: AccountTransaction, settings: RebalancingSettings, profile: Profile) -> Basis:
    desk, books = transaction.desk, load_books(transaction)
    held = {position.symbol: position.quantity for position in books.positions}
    instruments = tuple(desk.instrument(symbol) for symbol in sorted(settings.weights))
    symbols = sorted({*held, *settings.weights})
    prices = fence.current_prices(desk, symbols, transaction.at, transaction.at + profile.decisions.validity)
    if isinstance(prices, Reason):
        msg = f"nothing can be weighed for {desk.account!r}: {prices.sentence()}"
        raise UnavailableError(msg)
    return Basis(Stock(books.cash, held, prices), settings, instruments)


def _evidence(
    transaction: AccountTransaction, trades: Sequence[PlannedTrade], sentiment: str
) -> Mapping[str, _Evidence]:
    """The newest snapshot of each symbol that is traded, with its regime.

    Raises:
        DataError: one is missing or too old; or one is incomplete, and the symbol is to be bought.
    """
    connection, market, at = transaction.connection, transaction.desk.market, transaction.at
    symbols = [trade.symbol for trade in trades]
    found = read_snapshots(connection, market, symbols, at - _EVIDENCE_AGE, at + _INSTANT)
    newest = {snapshot.symbol: snapshot for snapshot in found}
    signals = read_signals(
        connection,
        [snapshot.snapshot_id for snapshot in newest.values()],
        technical=TECHNICAL_VERSION,
        regime=REGIME_VERSION,
        sentiment=sentiment,
    )
    evidence = {}
    for trade in trades:
        snapshot = newest.get(trade.symbol)
        if snapshot is None or snapshot.snapshot_id not in signals:
            what = "snapshot" if snapshot is None else "signals of this version"
            msg = f"{trade.symbol} on {market} has no {what} of the two hours before {at:%Y-%m-%d %H:%M} UTC; "
            raise DataError(msg + "run the job decision_cycle, then rebalance")
        if trade.kind.adds_risk and not snapshot.complete:
            msg = f"the snapshot of {trade.symbol} at {snapshot.as_of:%Y-%m-%d %H:%M} UTC is incomplete, so nothing is "
            raise DataError(msg + "bought on it; run the job decision_cycle when its candles are there, then rebalance")
        evidence[trade.symbol] = _Evidence(snapshot, signals[snapshot.snapshot_id].regime)
    return evidence
