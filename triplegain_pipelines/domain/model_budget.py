"""The words of the budget for calls of models: its periods, how one stands, and why a call is refused.

Four budgets stand over each call: the day's and the month's, of its seat and of all seats together. Days and months are
those of UTC. A call counts for the period in which it was reserved, however late it ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from triplegain_pipelines.domain.clock import require_utc
from triplegain_pipelines.domain.money import CAUTIOUS, EXACT

LONGEST_CALL = timedelta(minutes=10)
"""No call takes longer. One that was not settled by then is lost, and counts as spent at its worst case."""


class BudgetPeriod(StrEnum):
    """How long a budget lasts."""

    DAY = "day"
    MONTH = "month"

    def start(self, at: datetime) -> datetime:
        """When the period that holds `at` began, UTC.

        >>> from datetime import UTC
        >>> BudgetPeriod.MONTH.start(datetime(2026, 3, 31, 23, 59, tzinfo=UTC)).isoformat()
        '2026-03-01T00:00:00+00:00'
        """
        midnight = require_utc(at).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight if self is BudgetPeriod.DAY else midnight.replace(day=1)

    def end(self, at: datetime) -> datetime:
        """When the next period begins, UTC."""
        start = self.start(at)
        return start + timedelta(days=1) if self is BudgetPeriod.DAY else self.start(start + timedelta(days=31))


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """How one budget stands, in US dollars; `seat` is None for that of all seats together.

    `spent_usd` is what calls cost that have ended, the lost ones at their worst case; `reserved_usd` is the worst case
    of those under way. `calls` counts all that left, `lost` the lost ones, `overrun` those that cost more than was
    reserved for them.
    """

    period: BudgetPeriod
    seat: str | None
    limit_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    calls: int = 0
    lost: int = 0
    overrun: int = 0

    @property
    def name(self) -> str:
        """What a person calls it: 'day' or 'day of gpt'."""
        return self.period.value if self.seat is None else f"{self.period} of {self.seat}"

    @property
    def whose(self) -> str:
        """Whose calls it is for."""
        return "all seats" if self.seat is None else self.seat

    @property
    def taken_usd(self) -> Decimal:
        """What no other call may take: spent and reserved."""
        return EXACT.add(self.spent_usd, self.reserved_usd)

    @property
    def left_usd(self) -> Decimal:
        """What calls may still take; below 0 where calls cost more than was reserved for them."""
        return EXACT.subtract(self.limit_usd, self.taken_usd)

    @property
    def share(self) -> Decimal:
        """The taken part of the limit, 1 is all of it; a budget of nothing is taken from the start."""
        return CAUTIOUS.divide(self.taken_usd, self.limit_usd) if self.limit_usd else max(Decimal(1), self.taken_usd)

    def allows(self, wanted_usd: Decimal) -> bool:
        """Whether a call that costs so much at most may leave. One that costs nothing takes nothing from a budget."""
        return wanted_usd == 0 or wanted_usd <= self.left_usd


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """Why a call may not leave: a budget has less left than the `wanted_usd` that the call could cost."""

    standing: BudgetStanding
    wanted_usd: Decimal

    @property
    def limit_usd(self) -> Decimal:
        """The limit that would be passed."""
        return self.standing.limit_usd

    @property
    def spent_usd(self) -> Decimal:
        """What is spent of it."""
        return self.standing.spent_usd

    def __str__(self) -> str:
        """The refusal in words."""
        one = self.standing
        return (
            f"the call could cost {self.wanted_usd:f} USD, and of the {one.period}'s {one.limit_usd:f} USD for "
            f"{one.whose}, {one.spent_usd:f} are spent and {one.reserved_usd:f} reserved; wait for the next "
            f"{one.period}, or raise the budget in config/models.yaml"
        )


def refusal(standings: Iterable[BudgetStanding], wanted_usd: Decimal) -> BudgetRefusal | None:
    """Why a call that costs `wanted_usd` at most may not leave under these budgets; None where it may."""
    return next((BudgetRefusal(one, wanted_usd) for one in standings if not one.allows(wanted_usd)), None)
