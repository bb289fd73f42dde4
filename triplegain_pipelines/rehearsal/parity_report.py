"""What comes of a comparison of two ways: causes, rows in money, intents that differ, and the report of all of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

from triplegain_pipelines.domain.explained_code import ExplainedCode
from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.rehearsal.parity_run import Way

_NONE = Decimal(0)


class Cause(ExplainedCode):
    """Why two ways differ, with what that means in `meaning`."""

    PRICE = "PRICE", "Spread and slippage: how far the fill was from the market's price at its moment."
    MOMENT = "MOMENT", "The market's price was another at the moment of the fill, or of the decision."
    TRIGGER = "TRIGGER", "A stop or target: reached inside a candle, over a gap or at a tick, or in one way only."
    TARGET_HELD = "TARGET_HELD", "The target rests at the paper venue, and the guardian holds it live."
    FEE = "FEE", "Another fee rate."
    ROUNDING = "ROUNDING", "Fees are rounded up, each for itself."
    PARTS = "PARTS", "The order was filled in parts, at prices of their own."
    QUANTITY = "QUANTITY", "Another quantity, which follows from an earlier difference of equity."
    LEVEL = "LEVEL", "Another stop or target."
    DECISION = "DECISION", "The decision came in one way only."
    REFUSED = "REFUSED", "The decision was acted on in one way only."
    UNEXPLAINED = "UNEXPLAINED", "Nothing above explains it: the comparison, or a ledger, is wrong."


_OF_THE_WAY = frozenset({Cause.TARGET_HELD, Cause.PARTS})
"""Causes for which a way has an intent that the other has not, though both were asked for the same."""


@dataclass(frozen=True, slots=True)
class Row:
    """A difference in money: the second way had `amount` more than the first, in the account's currency.

    `position` is the decision that opened the position it is about, `side` whether going in or coming out of it.
    `follows` names the earlier difference that this one follows from, where there is one.
    """

    at: datetime
    position: UUID | None
    symbol: str
    side: str
    cause: Cause
    amount: Decimal
    detail: str
    follows: str = ""


@dataclass(frozen=True, slots=True)
class IntentRow:
    """An intent that is not the same in both ways: which of its fields, or that one way lacks it, and why."""

    decision_id: UUID
    symbol: str
    leg: Leg
    attempt: int
    what: str
    first: str
    second: str
    cause: Cause

    @property
    def is_of_the_way(self) -> bool:
        """Whether it comes from how the ways are made, and not from what was decided."""
        return self.cause in _OF_THE_WAY


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Two ways compared. `compared` is how many intents either way had; `rows` and `intents` are the differences."""

    first: Way
    second: Way
    currency: str
    compared: int
    intents: tuple[IntentRow, ...]
    rows: tuple[Row, ...]
    first_equity: Decimal
    second_equity: Decimal

    @property
    def difference(self) -> Decimal:
        """How much more the second way has at the end."""
        return EXACT.subtract(self.second_equity, self.first_equity)

    @property
    def itemised(self) -> Decimal:
        """The sum of all rows, which is the difference."""
        with localcontext(EXACT):
            return sum((row.amount for row in self.rows), _NONE)

    @property
    def totals(self) -> dict[Cause, Decimal]:
        """The amount of each cause that there is, in the order of the causes."""
        with localcontext(EXACT):
            return {
                cause: sum((row.amount for row in self.rows if row.cause is cause), _NONE)
                for cause in Cause
                if any(row.cause is cause for row in self.rows)
            }

    @property
    def disagreements(self) -> tuple[IntentRow, ...]:
        """The intents that differ though the ways are asked the same."""
        return tuple(row for row in self.intents if not row.is_of_the_way)

    @property
    def holds(self) -> bool:
        """Whether the intents are the same, and everything else is explained."""
        return not self.disagreements and all(row.cause is not Cause.UNEXPLAINED for row in self.rows)

    def document(self) -> dict[str, Any]:
        """The form for --json; amounts as text, exact."""
        return {
            "first": self.first.value,
            "second": self.second.value,
            "currency": self.currency,
            "holds": self.holds,
            "intents_compared": self.compared,
            "intent_differences": [
                {
                    "decision": str(row.decision_id),
                    "symbol": row.symbol,
                    "leg": row.leg.value,
                    "attempt": row.attempt,
                    "what": row.what,
                    "first": row.first,
                    "second": row.second,
                    "cause": row.cause.value,
                    "of_the_way": row.is_of_the_way,
                }
                for row in self.intents
            ],
            "first_equity": format(self.first_equity, "f"),
            "second_equity": format(self.second_equity, "f"),
            "difference": format(self.difference, "f"),
            "totals": {cause.value: format(amount, "f") for cause, amount in self.totals.items()},
            "rows": [
                {
                    "at": row.at.isoformat(),
                    "position": None if row.position is None else str(row.position),
                    "symbol": row.symbol,
                    "side": row.side,
                    "cause": row.cause.value,
                    "amount": format(row.amount, "f"),
                    "detail": row.detail,
                    "follows": row.follows,
                }
                for row in self.rows
            ],
        }
