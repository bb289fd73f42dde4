"""How an account stands where a decision is acted on: everything that is always read together, in one statement."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.orders import Intent, Leg, OrderState, OrderType, Side
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, Proposal
from triplegain_pipelines.portfolio.positions import Position
from triplegain_pipelines.risk.state import RiskState
from triplegain_pipelines.store import decisions
from triplegain_pipelines.store.orders import Order
from triplegain_pipelines.store.outbox import OutboxRow, OutboxStatus
from triplegain_pipelines.store.statements import statement

_STANDING: LiteralString = """
    SELECT json_build_array(
        (SELECT json_build_array(outbox_id, status, queued_at, valid_until, token, reason_code)
            FROM {schema}.outbox WHERE decision_id = %(decision)s AND account = %(account)s),
        (SELECT json_agg(json_build_array(i.decision_id, i.symbol, i.leg, i.attempt, i.side, i.order_type, i.quantity,
                i.decided_price, i.trigger_price, i.one_cancels_other, i.proposal_id, o.state, o.filled_quantity,
                o.submitted_at, o.venue_order_id, o.expires_at, o.misses, o.missed_from, o.asked_at)
                ORDER BY i.intended_at, i.symbol, i.leg, i.attempt)
            FROM {schema}.orders o JOIN {schema}.intents i USING (client_order_id)
            WHERE o.client_order_id IN (
                SELECT client_order_id FROM {schema}.orders WHERE account = %(account)s
                    AND state IN ('PENDING_SUBMIT', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED', 'PENDING_CANCEL')
                UNION SELECT client_order_id FROM {schema}.intents
                    WHERE account = %(account)s AND decision_id = %(decision)s)),
        (SELECT json_agg(json_build_array(symbol, decision_id, quantity, average_entry, decided_price, stop_loss,
                take_profit, initial_risk, fees, realised, exited, exit_value, opened_at) ORDER BY symbol)
            FROM {schema}.positions WHERE account = %(account)s),
        (SELECT amount FROM {schema}.balances WHERE account = %(account)s AND currency = %(currency)s),
        (SELECT json_build_array(peak_equity, day, day_start_equity, losses_in_a_row, last_loss_risk, drawdown_locked,
                evaluated_at, day_opened_equity, day_flow)
            FROM {schema}.risk_state WHERE account = %(account)s),
        (SELECT json_agg(json_build_array(name, state, changed_at, reason, trials_left) ORDER BY name)
            FROM ops.breakers WHERE account = %(account)s),
        (SELECT EXISTS (
            SELECT FROM research.consensus_decisions d JOIN research.consensus_decisions later
                ON later.account = d.account AND later.symbol = d.symbol AND later.as_of > d.as_of
            JOIN {schema}.outbox o ON o.decision_id = later.decision_id
            WHERE d.decision_id = %(decision)s AND o.status <> 'PENDING')))::text, {columns}
    FROM (SELECT) AS alone LEFT JOIN research.consensus_decisions ON decision_id = %(decision)s"""
_exact = partial(json.loads, parse_float=Decimal, parse_int=Decimal)


@dataclass(frozen=True, slots=True)
class Standing:
    """A decision, its row in the outbox and its orders, beside the account's books.

    `made` are the decision's orders by leg and attempt, `alive` the account's unfinished ones as `orders.alive` has
    them. Cash is in the account's currency; a breaker without a row is left out. `superseded` says that
    a later decision of the account in the same symbol was acted on, or ended, already. `outcome` is what risk let
    through for the decision, where this process has just judged it.
    """

    decision_id: UUID
    decision: Decision | None
    row: OutboxRow | None
    made: list[Order]
    alive: list[Order]
    positions: list[Position]
    cash: Decimal
    risk: RiskState
    breakers: dict[BreakerName, Breaker]
    superseded: bool
    outcome: Proposal | None = None

    def position(self, symbol: str) -> Position | None:
        """The open position in `symbol`, or None."""
        return next((held for held in self.positions if held.symbol == symbol), None)

    @property
    def held(self) -> Mapping[str, Position | None]:
        """The open positions by symbol, and None for the decision's symbol where there is none in it."""
        none = {} if self.decision is None else {self.decision.symbol: None}
        return none | {held.symbol: held for held in self.positions}

    def after(self, orders: Iterable[Order], positions: Mapping[str, Position | None]) -> "Standing":
        """As it stands once these are the `orders` and, by symbol, the `positions`; the others are as they were.

        Cash and what risk remembers change with a fill, and have to be read again.
        """
        changed = {order.client_order_id: order for order in (*self.alive, *self.made, *orders)}
        held = {position.symbol: position for position in self.positions} | dict(positions)
        return replace(
            self,
            made=_made(self.decision_id, changed.values()),
            alive=[order for order in changed.values() if not order.state.is_final],
            positions=[position for _, position in sorted(held.items()) if position is not None],
        )


def read(connection: psycopg.Connection, schema: str, account: str, decision_id: UUID, currency: str) -> Standing:
    """How the account stands now.

    Raises:
        InputError: it has no risk state, so nothing may be risked.
    """
    found = connection.execute(
        statement(_STANDING, schema, decisions.NAMES),
        {"account": account, "decision": decision_id, "currency": currency},
    ).fetchone()
    text, *columns = found or ("[null, null, null, null, null, null, null]",)
    row, orders, positions, cash, risk, breakers, superseded = _exact(text)
    decision = dict(zip(decisions.NAMES, columns, strict=True)) if columns and columns[0] is not None else None
    if risk is None:
        msg = f"the account {account!r} has no risk state in {schema}; open the account before trading with it"
        raise InputError(msg)
    known = [_order(account, one) for one in orders or ()]
    return Standing(
        decision_id=decision_id,
        decision=None if decision is None else decisions.from_row(decision),
        row=_row(decision_id, row) if row else None,
        made=_made(decision_id, known),
        alive=[order for order in known if not order.state.is_final],
        positions=[_position(account, one) for one in positions or ()],
        cash=Decimal(0) if cash is None else cash,
        risk=_risk(risk),
        breakers={breaker.name: breaker for breaker in map(_breaker, breakers or ())},
        superseded=bool(superseded),
    )


def _made(decision_id: UUID, known: Iterable[Order]) -> list[Order]:
    made = [order for order in known if order.intent.decision_id == decision_id]
    return sorted(made, key=lambda order: (order.intent.leg, order.intent.attempt))


def _row(decision_id: UUID, row: Sequence[Any]) -> OutboxRow:
    outbox_id, status, queued_at, valid_until, token, reason = row
    return OutboxRow(
        outbox_id=int(outbox_id),
        decision_id=decision_id,
        status=OutboxStatus(status),
        queued_at=datetime.fromisoformat(queued_at),
        valid_until=datetime.fromisoformat(valid_until),
        token=None if token is None else int(token),
        reason=ReasonCode[reason] if reason else None,
    )


def _order(account: str, row: Sequence[Any]) -> Order:
    decision_id, symbol, leg, attempt, side, order_type, quantity, decided, trigger, group, proposal_id, *of_venue = row
    state, filled_quantity, submitted_at, venue_order_id, expires_at, misses, missed_from, asked_at = of_venue
    return Order(
        intent=Intent(
            account=account,
            decision_id=UUID(decision_id),
            symbol=symbol,
            leg=Leg(leg),
            attempt=int(attempt),
            side=Side(side),
            order_type=OrderType(order_type),
            quantity=quantity,
            decided_price=decided,
            trigger_price=trigger,
            one_cancels_other=None if group is None else UUID(group),
        ),
        proposal_id=UUID(proposal_id),
        state=OrderState(state),
        filled_quantity=filled_quantity,
        submitted_at=_time(submitted_at),
        venue_order_id=venue_order_id,
        expires_at=_time(expires_at),
        misses=int(misses),
        missed_from=_time(missed_from),
        asked_at=_time(asked_at),
    )


def _position(account: str, row: Sequence[Any]) -> Position:
    symbol, decision_id, *figures, opened_at = row
    known = [account, symbol, UUID(decision_id), *figures, datetime.fromisoformat(opened_at)]
    return Position(*known)


def _risk(row: Sequence[Any]) -> RiskState:
    peak, day, day_start, losses, last_loss, locked, evaluated_at, day_opened, day_flow = row
    return RiskState(
        peak_equity=peak,
        day=date.fromisoformat(day),
        day_start_equity=day_start,
        losses_in_a_row=int(losses),
        last_loss_risk=last_loss,
        drawdown_locked=locked,
        evaluated_at=datetime.fromisoformat(evaluated_at),
        day_opened_equity=day_opened,
        day_flow=day_flow,
    )


def _breaker(row: Sequence[Any]) -> Breaker:
    name, state, changed_at, reason, trials_left = row
    changed = datetime.fromisoformat(changed_at)
    return Breaker(BreakerName(name), BreakerState(state), changed, reason, int(trials_left))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
