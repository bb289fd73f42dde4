"""What may differ between an account's books and its venue, and what is done about each.

The docs' table is generated from `DifferenceKind`. Finding the differences is `views`' subject, asking the venue and
doing what is decided here `comparison`'s and `reconciliation`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from uuid import UUID

from triplegain_pipelines.domain.explained_code import ExplainedCode
from triplegain_pipelines.domain.orders import OrderState


class Outcome(ExplainedCode):
    """What is done about a difference, with what that is in `meaning`."""

    ADOPT = "ADOPT", "The venue is right: what it says is booked."
    CORRECT = "CORRECT", "The books are right: the venue is told."
    FLAG = "FLAG", "Nothing is changed; it is written down and shown."
    HALT = "HALT", "A person has to look: the account only makes positions smaller until one sets it ACTIVE again."


class DifferenceKind(StrEnum):
    """A way in which books and venue may differ, with its outcome, what it is, and what is done."""

    outcome: Outcome
    meaning: str
    action: str

    def __new__(cls, value: str, outcome: Outcome, meaning: str, action: str) -> Self:
        """A member whose value is its name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.outcome = outcome
        member.meaning = meaning
        member.action = action
        return member

    @property
    def halts_once(self) -> bool:
        """Whether it is over and stays as it is: seen again it is flagged, or no person could let the account go on."""
        return self in {DifferenceKind.TRADE_FOREIGN, DifferenceKind.POSITION_UNACCOUNTED}

    ORDER_UNRESOLVED = (
        "ORDER_UNRESOLVED",
        Outcome.ADOPT,
        "An order was sent, or its cancellation asked for, and what became of it is not known.",
        "It is looked up. Until it is clear, its symbol takes no new risk and its currencies are not compared.",
    )
    ORDER_FINISHED = (
        "ORDER_FINISHED",
        Outcome.ADOPT,
        "An order that works by the books is not open at the venue.",
        "It is looked up; its fills are booked and its end is taken over.",
    )
    ORDER_PROGRESSED = (
        "ORDER_PROGRESSED",
        Outcome.ADOPT,
        "An open order has another filled quantity at the venue.",
        "It is looked up, and its fills are booked.",
    )
    TRADE_UNBOOKED = (
        "TRADE_UNBOOKED",
        Outcome.ADOPT,
        "The venue reports a trade of an order of ours that the books lack.",
        "The order is looked up and the trade booked, late as it is.",
    )
    DONE_ORDER_OPEN = (
        "DONE_ORDER_OPEN",
        Outcome.ADOPT,
        "An order that is done by the books is open at the venue.",
        "It is cancelled again, and what it filled is booked.",
    )
    POSITION_UNPROTECTED = (
        "POSITION_UNPROTECTED",
        Outcome.CORRECT,
        "A position has a stop by the books, and less than the position is covered at the venue.",
        "The protection is mended.",
    )
    BALANCE_SURPLUS = (
        "BALANCE_SURPLUS",
        Outcome.FLAG,
        "The venue has more of a currency than the books say, other than the account's own.",
        "Nothing: what is not in the books is not traded.",
    )
    BALANCE_DUST = (
        "BALANCE_DUST",
        Outcome.FLAG,
        "A balance differs by less than can be traded.",
        "Nothing: it is rounding, or dust.",
    )
    TRADE_UNATTRIBUTED = (
        "TRADE_UNATTRIBUTED",
        Outcome.FLAG,
        "A trade is of no order that we can name, while an order of ours in its symbol is unresolved.",
        "It is asked for again until that order is clear.",
    )
    TRADE_GONE = (
        "TRADE_GONE",
        Outcome.FLAG,
        "The books have a trade that the venue does not list any more.",
        "Nothing: where money is missing, its balance tells.",
    )
    LOST_ORDER_FOUND = (
        "LOST_ORDER_FOUND",
        Outcome.HALT,
        "An order that was given up as never arrived is at the venue after all.",
        "It is taken over with its fills, and cancelled where it is open.",
    )
    REJECTED_ORDER_FOUND = (
        "REJECTED_ORDER_FOUND",
        Outcome.HALT,
        "An order that the venue refused for certain is at the venue after all.",
        "Its fills are booked, and it is cancelled where it is open.",
    )
    ORDER_MISFIT = (
        "ORDER_MISFIT",
        Outcome.HALT,
        "What the venue says of an order of ours cannot be booked: it denies it, or its fills do not fit.",
        "All of it is written down; the other orders are gone on with.",
    )
    ORDER_MISSING = (
        "ORDER_MISSING",
        Outcome.HALT,
        "The venue, asked for it several times, does not know a working order that it had accepted.",
        "It is asked for again; no other is sent in its place.",
    )
    ORDER_FOREIGN = (
        "ORDER_FOREIGN",
        Outcome.HALT,
        "An open order at the venue is none of ours.",
        "Nothing: whoever placed it has to answer for it.",
    )
    TRADE_FOREIGN = (
        "TRADE_FOREIGN",
        Outcome.HALT,
        "A trade at the venue belongs to no order of ours.",
        "Nothing; it halts once, then it is flagged. What it changed is booked as a flow by a person.",
    )
    BALANCE_SHORT = (
        "BALANCE_SHORT",
        Outcome.HALT,
        "The venue has less of a currency than the books say.",
        "Nothing: a position may be gone. A person books the flow, or finds the trade.",
    )
    CASH_DIFFERS = (
        "CASH_DIFFERS",
        Outcome.HALT,
        "The venue has more or less of the account's currency than the books say.",
        "Nothing: a person books the payment as a flow.",
    )
    POSITION_UNACCOUNTED = (
        "POSITION_UNACCOUNTED",
        Outcome.HALT,
        "The ledger has more or less of a base currency than positions, dust and payments explain.",
        "Nothing: a fill was booked that fits no position. It halts once, then it is flagged.",
    )


GIVEN_UP = {
    OrderState.LOST: DifferenceKind.LOST_ORDER_FOUND,
    OrderState.REJECTED: DifferenceKind.REJECTED_ORDER_FOUND,
}
"""An order that was certain not to exist, and what it is where the venue has it."""
LOOKED_UP = frozenset(
    {
        *(kind for kind in DifferenceKind if kind.outcome is Outcome.ADOPT),
        *GIVEN_UP.values(),
        DifferenceKind.ORDER_MISSING,
    }
)
"""Differences about an order that is to be looked up: until then it is not known what was traded."""
UNSETTLED = LOOKED_UP | {DifferenceKind.TRADE_UNATTRIBUTED}
"""Differences that leave open what was traded: no balance that a trade may have moved is judged beside them."""
DOUBTED = frozenset({DifferenceKind.BALANCE_SHORT, DifferenceKind.CASH_DIFFERS})
"""Differences that a fill makes which comes between two questions: they are believed when they are seen twice."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `subject` is a symbol, a currency, or the id of an order or trade; `numbers` are text.

    `seen_before` says that it has halted the account already and does so no more.
    """

    kind: DifferenceKind
    subject: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    order: UUID | None = None
    seen_before: bool = False

    @property
    def outcome(self) -> Outcome:
        """What is done about it."""
        return Outcome.FLAG if self.seen_before else self.kind.outcome

    @property
    def key(self) -> str:
        """What makes it the same difference at the next comparison. One of other numbers is another."""
        return difference_key(self.kind.value, self.subject, self.numbers)

    def document(self) -> dict[str, object]:
        """The form that is stored."""
        return {
            "kind": self.kind.value,
            "outcome": self.outcome.value,
            "subject": self.subject,
            "order": None if self.order is None else str(self.order),
            "numbers": dict(self.numbers),
        }

    def sentence(self) -> str:
        """The form that a person reads."""
        numbers = ", ".join(f"{name} {value}" for name, value in self.numbers.items())
        return f"{self.kind.meaning} ({self.subject}{': ' + numbers if numbers else ''})"


def difference_key(kind: str, subject: str, numbers: Mapping[str, str]) -> str:
    """The key of a difference that was stored or found."""
    return " ".join([kind, subject, *(f"{name}={number}" for name, number in sorted(numbers.items()))])
