"""What a rule of the risk engine finds, and how the numbers of a reason are written."""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from triplegain_pipelines.domain.money import rounded
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.risk.case import Case


class Finding(NamedTuple):
    """What a rule has to say: a reason, whether it refuses, and the largest quantity it allows if it lowers."""

    reason: Reason
    refuses: bool = False
    cap: Decimal | None = None


Rule = Callable[[Case], Finding | None]


def refusal(code: ReasonCode, **numbers: str) -> Finding:
    """A finding that refuses, with the numbers that led to it."""
    return Finding(Reason(code, numbers), refuses=True)


def note(code: ReasonCode, **numbers: str) -> Finding:
    """A finding that is told and changes nothing by itself."""
    return Finding(Reason(code, numbers))


def lowered(case: Case, code: ReasonCode, cap: Decimal, limit: str) -> Finding:
    """A finding that lowers the quantity to `cap`."""
    numbers = {"from": text(case.quantity), "to": text(cap), "limit": limit}
    return Finding(Reason(code, numbers), False, cap)  # noqa: FBT003 - by name it takes twice as long


def text(value: Decimal) -> str:
    """A decimal with all its digits and without an exponent."""
    plain = str(value)
    return format(value, "f") if "E" in plain else plain


def share_text(value: Decimal) -> str:
    """A decimal that was divided, rounded to six places."""
    return format(rounded(value, 6), "f")
