"""What a position brought in one way, followed in steps to what it brought in the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Self
from uuid import UUID

from triplegain_pipelines.domain.money import divided
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.parity_causes import Both, seen
from triplegain_pipelines.rehearsal.parity_report import Cause, Row
from triplegain_pipelines.rehearsal.parity_run import Dealt, Position, Run

_NONE = Decimal(0)
_PLACES = 18


@dataclass(frozen=True, slots=True)
class _Piece:
    """A fill, or what is left of a position at the end: that is worth its mark and costs no fee."""

    quantity: Decimal
    reference: Decimal
    price: Decimal
    fee: Decimal
    is_left: bool = False


@dataclass(frozen=True, slots=True)
class _Steps:
    """One side of a position in sums. All but `quantity` and `charged` is money as it changes the cash.

    `moment` is the quantity at the first piece's reference, `parts` what the references of the others change of that,
    `price` what the fills' own prices change. `charged` is the worth of the fills, of which a fee is taken.
    """

    quantity: Decimal
    moment: Decimal
    parts: Decimal
    price: Decimal
    fee: Decimal
    charged: Decimal

    @classmethod
    def of(cls, pieces: Sequence[_Piece], sign: int) -> Self:
        """The steps of `pieces`, at least one; `sign` is -1 where they cost cash."""
        quantity = sum((one.quantity for one in pieces), _NONE)
        moment = quantity * pieces[0].reference
        at_references = sum((one.quantity * one.reference for one in pieces), _NONE)
        at_prices = sum((one.quantity * one.price for one in pieces), _NONE)
        return cls(
            quantity,
            sign * moment,
            sign * (at_references - moment),
            sign * (at_prices - at_references),
            -sum((one.fee for one in pieces), _NONE),
            sum((one.quantity * one.price for one in pieces if not one.is_left), _NONE),
        )

    @property
    def cash(self) -> Decimal:
        """What it changed of the cash."""
        return self.moment + self.parts + self.price + self.fee

    def scaled_to(self, quantity: Decimal) -> Self:
        """The same for another quantity."""
        if quantity == self.quantity:
            return self
        amounts = (self.moment, self.parts, self.price, self.fee, self.charged)
        return type(self)(quantity, *(divided(amount * quantity, self.quantity, _PLACES) for amount in amounts))


def money_rows(both: Both) -> Iterator[Row]:
    """Every difference in money, position by position."""
    for decision_id in both.opened:
        first, second = both.ones.get(decision_id), both.twos.get(decision_id)
        if first is not None and second is not None:
            yield from _side(both, decision_id, "in")
            yield from _side(both, decision_id, "out")
        else:
            yield from _alone(both, decision_id)


def _alone(both: Both, decision_id: UUID) -> Iterator[Row]:
    """What a position brought that only one way had."""
    cause, detail = both.alone(decision_id)
    for run, positions, sign in ((both.one, both.ones, -1), (both.two, both.twos, 1)):
        position = positions.get(decision_id)
        if position is not None:
            brought = sum((_steps(position, run, side).cash for side in ("in", "out")), _NONE)
            at = position.entries[0].fill.filled_at
            yield Row(at, decision_id, position.symbol, "in and out", cause, sign * brought, detail)


def _side(both: Both, decision_id: UUID, side: str) -> Iterator[Row]:
    """The differences of one side of a position that both ways had."""
    first, second = both.ones[decision_id], both.twos[decision_id]
    before, wanted = _steps(first, both.one, side), _steps(second, both.two, side)
    same = before.scaled_to(wanted.quantity)
    moved = Cause.MOMENT if side == "in" else both.left(decision_id)
    changes = [
        (moved, wanted.moment - same.moment, _words(first, second, side)),
        (Cause.PARTS, wanted.parts - same.parts, _numbers(first, second, side)),
        (Cause.PRICE, wanted.price - same.price, _prices(first, second, side)),
    ]
    # What a fee is taken of changes the fee: that belongs to what changed it, and the rest of the fee is its own.
    of_cash = both.one.fee_rate * _cash_sign(first, side)
    changes = [(cause, amount - of_cash * amount, detail) for cause, amount, detail in changes]
    followed = -both.one.fee_rate * (wanted.charged - same.charged)
    told = -of_cash * (wanted.moment + wanted.parts + wanted.price - same.moment - same.parts - same.price)
    same_rate = both.one.fee_rate == both.two.fee_rate
    quantities = f"{before.quantity.normalize():f} and {wanted.quantity.normalize():f}"
    fees = f"{-same.fee.normalize():f} and {-wanted.fee.normalize():f}"
    changes += [
        (both.resized(decision_id), same.cash - before.cash, quantities),
        (moved, followed - told, "a fee for what the other way still holds"),
        (Cause.ROUNDING if same_rate else Cause.FEE, wanted.fee - same.fee - followed, fees),
    ]
    at = _since(first, second, side)
    for cause in dict.fromkeys(cause for cause, amount, _ in changes if amount):
        of_it = [(amount, detail) for one, amount, detail in changes if one is cause and amount]
        total = sum((amount for amount, _ in of_it), _NONE)
        if total:
            yield Row(at, decision_id, first.symbol, side, cause, total, of_it[0][1])


def _steps(position: Position, run: Run, side: str) -> _Steps:
    pieces = [_Piece(one.fill.quantity, one.reference, one.fill.price, one.fill.fee) for one in _dealt(position, side)]
    if side == "out" and (position.quantity or not pieces):
        mark = run.marks[position.symbol]
        pieces.append(_Piece(position.quantity, mark, mark, _NONE, is_left=True))
    return _Steps.of(pieces, _cash_sign(position, side))


def _cash_sign(position: Position, side: str) -> int:
    bought = (position.side is Side.BUY) == (side == "in")
    return -1 if bought else 1


def _dealt(position: Position, side: str) -> list[Dealt]:
    return position.entries if side == "in" else position.exits


def _since(first: Position, second: Position, side: str) -> datetime:
    times = [one.fill.filled_at for position in (first, second) for one in _dealt(position, side)]
    return min(times, default=first.entries[0].fill.filled_at)


def _words(first: Position, second: Position, side: str) -> str:
    return " and ".join(seen(_dealt(position, side), "still held") for position in (first, second))


def _numbers(first: Position, second: Position, side: str) -> str:
    return " and ".join(f"in {len(_dealt(position, side))}" for position in (first, second))


def _prices(first: Position, second: Position, side: str) -> str:
    return " and ".join(
        f"{one.fill.price.normalize():f} where the market was {one.reference.normalize():f}"
        for position in (first, second)
        for one in _dealt(position, side)[:1]
    )
