"""Whatever calls are reserved, settled or lost, in whatever order: reservations never pass a limit."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_budget import LONGEST_CALL
from triplegain_pipelines.settings.models import BudgetSettings
from triplegain_pipelines.store.budgets import read_standings, reserve, settle, tend

pytestmark = pytest.mark.integration

EVENING = datetime(2026, 3, 31, 22, tzinfo=UTC)  # two hours before a new day and a new month
SEATS = ("gpt", "qwen")

cents = st.integers(0, 400).map(lambda number: Decimal(number).scaleb(-2))
limits_of = st.builds(BudgetSettings, day_usd=cents, month_usd=cents, seat_day_usd=cents, seat_month_usd=cents)
one_step = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from(SEATS), cents),
    st.tuples(st.just("settle"), st.integers(0, 20), st.integers(0, 100)),
    st.tuples(st.just("wait"), st.sampled_from([9, 11, 70])),
)
every_example = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Call:
    """One call as a list on paper would keep it."""

    seat: str
    at: datetime
    worst: Decimal
    cost: Decimal | None = None

    @property
    def taken(self) -> Decimal:
        """What it takes of its budgets."""
        return self.worst if self.cost is None else self.cost


@dataclass
class Paper:
    """The budget kept by hand, and in the database beside it."""

    connection: psycopg.Connection
    limits: BudgetSettings
    at: datetime = EVENING
    calls: list[Call] = field(default_factory=list)

    def take(self, step: tuple) -> None:
        """Do one step in both."""
        kind, *rest = step
        if kind == "wait":
            self.at += timedelta(minutes=rest[0])
            tend(self.connection, self.limits, self.at)
        elif kind == "reserve":
            self.reserve(*rest)
        elif rest[0] < len(self.calls) and self.calls[rest[0]].cost is None:
            call, identity = self.calls[rest[0]], deterministic_id("law", rest[0])
            call.cost = call.worst * rest[1] / 100
            settle(self.connection, identity, call.cost, self.at)

    def reserve(self, seat: str, worst: Decimal) -> None:
        """Reserve where the list says that there is room, and see that the database says the same."""
        identity = deterministic_id("law", len(self.calls))
        allowed = worst == 0 or all(taken + worst <= limit for limit, taken in self.over(seat))
        assert (reserve(self.connection, identity, seat, worst, self.at, self.limits) is None) == allowed
        if allowed:
            self.calls.append(Call(seat, self.at, worst))

    def over(self, seat: str) -> list[tuple[Decimal, Decimal]]:
        """Limit and what is taken of it, of the four budgets over a call of now."""
        today = [one for one in self.calls if one.at.date() == self.at.date()]
        month = [one for one in self.calls if one.at.month == self.at.month]
        return [
            (self.limits.day_usd, total(today)),
            (self.limits.month_usd, total(month)),
            (self.limits.seat_day_usd, total(one for one in today if one.seat == seat)),
            (self.limits.seat_month_usd, total(one for one in month if one.seat == seat)),
        ]


def total(calls) -> Decimal:
    return sum((one.taken for one in calls), Decimal(0))


@every_example
@given(limits_of, st.lists(one_step, max_size=25))
def test_reservations_never_pass_a_limit(
    connection: psycopg.Connection, limits: BudgetSettings, steps: list[tuple]
) -> None:
    """A6: spent and reserved together stay within every limit, lost calls too, and as a list kept by hand has it."""
    with connection.transaction(force_rollback=True):
        paper = Paper(connection, limits)
        for step in steps:
            paper.take(step)
            standings = read_standings(connection, limits, SEATS, paper.at)
            for one in standings:
                assert one.taken_usd <= one.limit_usd, step
                assert one.reserved_usd == 0 or one.spent_usd <= one.taken_usd
            kept = {(one.limit_usd, one.taken_usd) for one in standings}
            assert {pair for seat in SEATS for pair in paper.over(seat)} == kept


@every_example
@given(limits_of, limits_of, cents.filter(bool), st.lists(st.sampled_from(SEATS), max_size=12))
def test_a_stricter_budget_never_lets_more_calls_leave(
    connection: psycopg.Connection, one: BudgetSettings, other: BudgetSettings, price: Decimal, seats: list[str]
) -> None:
    """A6: of the same calls, one after the other, no more leave under limits of which none is larger."""
    strict = BudgetSettings(**{name: min(getattr(one, name), getattr(other, name)) for name in type(one).model_fields})
    left = []
    for limits in (strict, one):
        with connection.transaction(force_rollback=True):
            left.append(
                sum(
                    reserve(connection, deterministic_id("law", number), seat, price, EVENING, limits) is None
                    for number, seat in enumerate(seats)
                )
            )
    assert left[0] <= left[1]


def test_the_longest_call_is_one_that_the_laws_wait_for() -> None:
    """A6: the law above must see calls that are given up as lost, and such that are not yet."""
    assert timedelta(minutes=9) < LONGEST_CALL < timedelta(minutes=11)
