"""X4: what fills make of a position, and a position that is closed of a trade. A trade is flat to flat.

Cash and currencies are the ledger's. A fee in the base currency changes what is held; one in the
quote currency is a cost; one in a third currency stands in the ledger only, because nothing here knows
what that currency is worth.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from uuid import UUID

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.money import EXACT, divided, rounded
from triplegain_pipelines.domain.orders import Fill, Intent, Leg

# A value (price x quantity) has at most 24 decimals. The average is kept so much finer that a trade's profit,
# rounded back to 24, is the exact difference of what was paid and received, for quantities under 10^10.
VALUE_PLACES = 24
AVERAGE_PLACES = 36
PRICE_PLACES = 18


@dataclass(frozen=True, slots=True)
class Position:
    """An open position: a row of `positions`. Prices and money in quote currency, quantities in base currency.

    `quantity` is signed, negative is short. `initial_risk` is the distance from the entry to the first
    stop times the quantity entered, never changed by a moved stop; None without a stop. `realised` is the
    gross profit of partial exits, `exited` the quantity they closed and `exit_value` what they were worth.
    """

    account: str
    symbol: str
    decision_id: UUID
    quantity: Decimal
    average_entry: Decimal
    decided_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    initial_risk: Decimal | None
    fees: Decimal
    realised: Decimal
    exited: Decimal
    exit_value: Decimal
    opened_at: datetime

    @property
    def direction(self) -> Direction:
        """The side of the position."""
        return Direction.LONG if self.quantity > 0 else Direction.SHORT


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """A position from flat to flat: a row of `trades`.

    `profit` is exact and net of fees in base and quote currency; `entry_price` and `exit_price` are averages
    for people, rounded to 18 decimals. `r_multiple` is profit / initial risk, None where nothing was at risk.
    """

    account: str
    decision_id: UUID
    symbol: str
    direction: Direction
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    decided_price: Decimal
    fees: Decimal
    profit: Decimal
    initial_risk: Decimal | None
    r_multiple: Decimal | None
    exit_leg: Leg
    opened_at: datetime
    closed_at: datetime


def apply_fill(
    position: Position | None,
    fill: Fill,
    intent: Intent,
    *,
    stop_loss: Decimal | None = None,
    take_profit: Decimal | None = None,
) -> tuple[Position | None, ClosedTrade | None]:
    """The position after `fill` of `intent`, and the trade if it is flat now.

    `stop_loss` and `take_profit` belong to an entry; its later fills keep the first ones.

    Raises:
        DataError: the fill is of another symbol or account than the position, a reducing fill finds no
            position, is on its own side or larger than it, or the fee eats more than the fill.
    """
    with localcontext(EXACT):
        delta = _held(fill)
        _require_fitting(position, fill, intent, delta)
        cost = _cost(fill)
        if position is None:
            return _opened(fill, intent, delta, cost, stop_loss, take_profit), None
        if intent.leg is Leg.ENTRY:
            return _added(position, fill, delta, cost), None
        return _reduced(position, fill, intent, delta, cost)


def fitting(position: Position | None, fill: Fill, intent: Intent) -> tuple[Fill | None, Decimal]:
    """The part of `fill` that the position can take, and what no position accounts for, signed, in base currency.

    More than there is can be sold only of what was no position: a late fill after another exit, with coins of somebody
    else in the account. The position ends then, with the whole fee, and the rest stands in the ledger alone.

    Raises:
        DataError: the fill is of another symbol, side or account than its order or the position.
    """
    with localcontext(EXACT):
        _require_same(position, fill, intent)
        delta, held = _held(fill), Decimal(0) if position is None else position.quantity
        if not intent.leg.reduces_risk:
            adds = delta * fill.side.sign > 0 or (position is not None and not delta)
            return (fill, Decimal(0)) if adds and held * delta >= 0 else (None, delta)
        if held * delta >= 0:
            return None, delta
        if abs(delta) <= abs(held):
            return fill, Decimal(0)
        quote = split_symbol(fill.symbol)[1]
        return replace(fill, quantity=abs(held), fee=_cost(fill), fee_currency=quote), delta + held


def written_off(position: Position, leg: Leg, at: datetime) -> ClosedTrade:
    """The trade of a long position whose rest is too small to be sold, as if that were sold for nothing.

    `leg` is that of the last order that was to sell of it.
    """
    with localcontext(EXACT):
        rest = position.quantity
        given_up = replace(
            position,
            realised=rounded(position.realised - rest * position.average_entry, AVERAGE_PLACES),
            exited=position.exited + rest,
        )
        return _closed(given_up, position.direction, leg, at)


def _held(fill: Fill) -> Decimal:
    """Signed change of what is held, in base currency: a fee in base currency is taken from it."""
    base_fee = fill.fee if fill.fee_currency == split_symbol(fill.symbol)[0] else Decimal(0)
    return fill.side.sign * fill.quantity - base_fee


def _cost(fill: Fill) -> Decimal:
    """The fee in quote currency, as far as it is in one of the pair's two currencies."""
    base, quote = split_symbol(fill.symbol)
    return {base: fill.fee * fill.price, quote: fill.fee}.get(fill.fee_currency, Decimal(0))


def _opened(
    fill: Fill, intent: Intent, delta: Decimal, cost: Decimal, stop_loss: Decimal | None, take_profit: Decimal | None
) -> Position:
    return Position(
        account=intent.account,
        symbol=intent.symbol,
        decision_id=intent.decision_id,
        quantity=delta,
        average_entry=fill.price,
        decided_price=intent.decided_price,
        stop_loss=stop_loss,
        take_profit=take_profit,
        initial_risk=None if stop_loss is None else delta * (fill.price - stop_loss),
        fees=cost,
        realised=Decimal(0),
        exited=Decimal(0),
        exit_value=Decimal(0),
        opened_at=fill.filled_at,
    )


def _added(position: Position, fill: Fill, delta: Decimal, cost: Decimal) -> Position:
    quantity = position.quantity + delta
    risk = position.initial_risk
    if risk is not None and position.stop_loss is not None:
        risk += delta * (fill.price - position.stop_loss)
    return replace(
        position,
        quantity=quantity,
        average_entry=divided(
            position.quantity * position.average_entry + delta * fill.price, quantity, AVERAGE_PLACES
        ),
        initial_risk=risk,
        fees=position.fees + cost,
    )


def _reduced(
    position: Position, fill: Fill, intent: Intent, delta: Decimal, cost: Decimal
) -> tuple[Position | None, ClosedTrade | None]:
    quantity = position.quantity + delta
    reduced = replace(
        position,
        quantity=quantity,
        fees=position.fees + cost,
        realised=rounded(position.realised - delta * (fill.price - position.average_entry), AVERAGE_PLACES),
        exited=position.exited + abs(delta),
        exit_value=position.exit_value + abs(delta) * fill.price,
    )
    return (reduced, None) if quantity else (None, _closed(reduced, position.direction, intent.leg, fill.filled_at))


def _closed(position: Position, direction: Direction, leg: Leg, at: datetime) -> ClosedTrade:
    gross = rounded(position.realised, VALUE_PLACES)
    profit = gross - position.fees
    risk = position.initial_risk
    return ClosedTrade(
        account=position.account,
        decision_id=position.decision_id,
        symbol=position.symbol,
        direction=direction,
        quantity=position.exited,
        entry_price=divided(position.exit_value - direction.sign * gross, position.exited, PRICE_PLACES),
        exit_price=divided(position.exit_value, position.exited, PRICE_PLACES),
        decided_price=position.decided_price,
        fees=position.fees,
        profit=profit,
        initial_risk=risk,
        r_multiple=divided(profit, risk, PRICE_PLACES) if risk is not None and risk > 0 else None,
        exit_leg=leg,
        opened_at=position.opened_at,
        closed_at=at,
    )


def _require_fitting(position: Position | None, fill: Fill, intent: Intent, delta: Decimal) -> None:
    _require_same(position, fill, intent)
    reduces = intent.leg.reduces_risk
    held = Decimal(0) if position is None else position.quantity
    gained = delta * fill.side.sign
    misfits = (
        gained < 0 or (not gained and (position is None or reduces)),  # the fee leaves nothing
        held * delta < 0 and not reduces,
        reduces and not (held * delta < 0 and abs(delta) <= abs(held)),
    )
    if any(misfits):
        msg = (
            f"fill {fill.venue}:{fill.trade_id} ({fill.side} {fill.quantity} {fill.symbol}, fee {fill.fee} "
            f"{fill.fee_currency}) cannot be the {intent.leg} of a {intent.side} order in {intent.symbol} while "
            f"{held} is held; reconcile the account with the venue"
        )
        raise DataError(msg)


def _require_same(position: Position | None, fill: Fill, intent: Intent) -> None:
    same = (fill.symbol, fill.side) == (intent.symbol, intent.side)
    if same and (position is None or (position.account, position.symbol) == (intent.account, intent.symbol)):
        return
    held = "nothing" if position is None else f"{position.symbol} of {position.account}"
    msg = (
        f"fill {fill.venue}:{fill.trade_id} ({fill.side} {fill.quantity} {fill.symbol}) is none of a {intent.side} "
        f"order in {intent.symbol} of {intent.account} while {held} is held; reconcile the account with the venue"
    )
    raise DataError(msg)
