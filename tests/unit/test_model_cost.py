"""What a call of a model costs and can cost, and how a budget stands: exact, and never on the cheap side."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from triplegain_pipelines.agents.budget import cost_usd, known_price, most_input_tokens, worst_case_usd
from triplegain_pipelines.domain.errors import BudgetError
from triplegain_pipelines.domain.model_budget import LONGEST_CALL, BudgetPeriod, BudgetStanding, refusal
from triplegain_pipelines.settings import settings
from triplegain_pipelines.settings.models import Price, SeatSettings

pytestmark = pytest.mark.unit

D = Decimal
AMOUNTS = st.decimals(0, 1000, places=6)
TOKENS = st.integers(0, 2_000_000)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2031, 12, 31), timezones=st.just(UTC))


def price(input_usd: Decimal, output_usd: Decimal) -> Price:
    return Price(input_usd=input_usd, output_usd=output_usd, as_of=date(2026, 11, 21), source="a price list")


def day(limit: str | Decimal, spent: str | Decimal = "0", reserved: str | Decimal = "0") -> BudgetStanding:
    return BudgetStanding(BudgetPeriod.DAY, None, D(limit), D(spent), D(reserved))


def test_costs_worked_out_by_hand() -> None:
    """A6: a factor of a thousand between two units of price is the classic error, and it looks plausible."""
    assert cost_usd(price(D("1.25"), D(10)), 1_001, 3) == D("0.00128125")
    assert worst_case_usd(price(D("1.25"), D(10)), 1_001, 3) == D("0.001282")
    assert worst_case_usd(price(D(4), D(20)), 6_000, 4_000) == D("0.104")
    assert worst_case_usd(price(D(0), D(0)), 6_000, 4_000) == 0


def test_a_price_that_nobody_knows_is_an_error() -> None:
    """A6: a model whose unknown price counts as nothing spends without a limit."""
    assert known_price("m", price(D(0), D(0))).input_usd == 0
    with pytest.raises(BudgetError, match="openai/next costs is not known"):
        known_price("openai/next", None)
    for tokens in ((-1, 0), (0, -1)):
        with pytest.raises(BudgetError, match="cannot have used"):
            cost_usd(price(D(1), D(1)), *tokens)


def test_a_question_has_no_more_tokens_than_bytes() -> None:
    """A6: a worst case from a guess of four letters a token is passed by Chinese, by numbers and by broken text."""
    assert most_input_tokens([]) == 0
    assert most_input_tokens(["比特币"]) >= len("比特币".encode())
    assert most_input_tokens(["a", "b"]) > most_input_tokens(["ab"])


@given(AMOUNTS, AMOUNTS, TOKENS, TOKENS)
def test_the_worst_case_is_never_below_the_cost(input_usd: D, output_usd: D, asked: int, answered: int) -> None:
    """A6: a reservation that is rounded down passes the budget by a little with every call."""
    exact, worst = (of(price(input_usd, output_usd), asked, answered) for of in (cost_usd, worst_case_usd))
    assert exact <= worst < exact + D("0.000001")
    assert worst == round(worst, 6)
    assert exact * 10**12 == int(exact * 10**12), "no digit is lost"


@given(AMOUNTS, AMOUNTS, TOKENS, TOKENS, TOKENS)
def test_more_tokens_never_cost_less(input_usd: D, output_usd: D, asked: int, answered: int, more: int) -> None:
    """A6: a bound on tokens is a bound on money only if more tokens never cost less."""
    of = price(input_usd, output_usd)
    assert worst_case_usd(of, asked + more, answered) >= worst_case_usd(of, asked, answered)
    assert worst_case_usd(of, asked, answered + more) >= worst_case_usd(of, asked, answered)


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_stricter_limit_never_allows_more(limit: D, less: D, spent: D, reserved: D, wanted: D) -> None:
    """A6: what a budget refuses, a smaller one refuses too."""
    loose, strict = day(limit + less, spent, reserved), day(limit, spent, reserved)
    assert loose.allows(wanted) or not strict.allows(wanted)
    assert strict.share >= loose.share or strict.limit_usd == 0


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_an_allowed_call_never_passes_the_limit(limit: D, spent: D, reserved: D, wanted: D) -> None:
    """A6: the limit itself may be reached, and not a millionth more."""
    one = day(limit, spent, reserved)
    assert one.allows(wanted) == (wanted == 0 or spent + reserved + wanted <= limit)
    assert one.left_usd == limit - spent - reserved


def test_the_first_budget_that_is_too_small_refuses() -> None:
    """A6: one budget with room does not make up for one without."""
    tight = BudgetStanding(BudgetPeriod.MONTH, "gpt", D(5), D("4.5"), D("0.4"))
    refused = refusal([day("10"), tight, day("0")], D("0.2"))
    assert refused is not None
    assert refused.standing is tight
    assert refusal([day("10"), tight], D("0.1")) is None
    assert refusal([day("0")], D(0)) is None
    words = str(refused)
    assert all(part in words for part in ("0.2 USD", "month's 5 USD for gpt", "4.5 are spent", "0.4 reserved"))


def test_a_budget_of_nothing_is_all_taken() -> None:
    """A6: a limit of 0 is a limit, not a division by nothing nor 'no limit'."""
    assert day("0").share == 1
    assert not day("0").allows(D("0.000001"))


@given(MOMENTS)
def test_periods_hold_their_moments_and_touch(at: datetime) -> None:
    """A6: a moment between two periods belongs to no budget, one in two is paid twice."""
    for period in BudgetPeriod:
        start, end = period.start(at), period.end(at)
        assert start <= at < end
        assert period.start(end) == end
        assert period.end(start) == end
        assert period.start(end - timedelta(microseconds=1)) == start
    assert BudgetPeriod.DAY.end(at) - BudgetPeriod.DAY.start(at) == timedelta(days=1)
    assert BudgetPeriod.MONTH.start(at).day == 1


def test_a_time_without_its_zone_is_refused() -> None:
    """A6: midnight in New York is not the end of a day of UTC."""
    with pytest.raises(ValueError, match="UTC"):
        BudgetPeriod.DAY.start(datetime(2026, 3, 1))


def test_no_setting_lets_a_call_take_longer_than_the_longest() -> None:
    """A6: a call that is given up as lost while it is under way is counted twice by who looks, or not at all."""
    seat = next(iter(settings().models.seats.values()))
    longest = LONGEST_CALL.total_seconds()
    assert SeatSettings.model_validate(seat.model_dump() | {"deadline_seconds": longest / 2})
    with pytest.raises(ValidationError, match="deadline_seconds"):
        SeatSettings.model_validate(seat.model_dump() | {"deadline_seconds": longest})
