"""docs/models.md: its tables are made from the code and the configuration, so they cannot say something else."""

from decimal import Decimal

import pytest
from generated_docs import assert_made_of, table

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.budget import cost_usd, worst_case_usd
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.evidence_gate import minimum_forecasts
from triplegain_pipelines.evaluation.leaderboard import Evidence
from triplegain_pipelines.evaluation.leaderboard_baselines import MEANINGS
from triplegain_pipelines.settings import load_settings

pytestmark = pytest.mark.unit

_QUESTION_BYTES = 14_000
_READ, _WRITTEN = 4_000, 400
_ASKED_A_DAY = 4 * 24


def _seats() -> str:
    rows = [
        (
            f"`{name}`",
            f"`{seat.model}`",
            seat.answer_format.value,
            f"{seat.deadline_seconds:g} s",
            seat.max_tokens,
            seat.knowledge_cutoff or "not stated",
            seat.baseline,
        )
        for name, seat in load_settings().models.seats.items()
    ]
    return table(
        ("seat", "model", "schema", "deadline", "tokens it may write", "knows until", "baseline while offline"), rows
    )


def _answer() -> str:
    return table(("field", "what it is"), [(f"`{n}`", one.description) for n, one in SeatAnswer.model_fields.items()])


def _reasons() -> str:
    codes = [code for code in ReasonCode if code.value.startswith("SEAT")]
    return table(("reason", "meaning"), [(f"`{code.value}`", code.meaning) for code in codes])


def _costs() -> str:
    models = load_settings().models
    rows, worst, typical = [], Decimal(0), Decimal(0)
    for name, seat in models.seats.items():
        assert seat.price is not None, "a seat without a price has no line here; say so on the page"
        reserved = worst_case_usd(seat.price, _QUESTION_BYTES, seat.max_tokens)
        usual = cost_usd(seat.price, _READ, _WRITTEN)
        worst, typical = worst + reserved, typical + usual
        prices = f"{seat.price.input_usd} / {seat.price.output_usd} on {seat.price.as_of}"
        rows.append((f"`{name}`", prices, f"{reserved:.4f}", f"{usual:.4f}", f"{_ASKED_A_DAY * usual:.2f}"))
    rows.append(("all", "", f"{worst:.4f}", f"{typical:.4f}", f"{_ASKED_A_DAY * typical:.2f}"))
    month = 30 * _ASKED_A_DAY * typical
    limit = models.budget.month_usd
    fits = "fits into" if month <= limit else "is more than"
    head = ("seat", "USD per million tokens read / written", "reserved for one question", "a usual answer", "usual day")
    return (
        f"{table(head, rows)}\n\nSuch a month of 30 days costs {month:.0f} USD, which {fits} the month's {limit} USD."
    )


def _limits() -> str:
    budget = load_settings().models.budget
    rows = [
        ("all seats, a UTC day", budget.day_usd),
        ("all seats, a UTC month", budget.month_usd),
        ("one seat, a UTC day", budget.seat_day_usd),
        ("one seat, a UTC month", budget.seat_month_usd),
    ]
    return table(("budget", "USD"), rows)


def _enough() -> str:
    rows = [
        (f"{0.5 + edge:.0%}", *(f"{minimum_forecasts(edge, forecasters=count):,}" for count in (1, 6, 20)))
        for edge in (0.01, 0.02, 0.03, 0.05)
    ]
    return table(("to tell this hit rate from a coin", "one forecaster", "best of 6", "best of 20"), rows)


def _evidence() -> str:
    return table(("evidence", "ranked"), [(kind.value, "yes" if kind.ranked else "no") for kind in Evidence])


def _baselines() -> str:
    return table(("baseline", "what it says"), [(name, meaning) for name, meaning in MEANINGS.items()])


def test_tables_are_those_of_the_code() -> None:
    """Issue 5, point 8: a page that promises other prices, limits or numbers than the code has is worse than none."""
    parts = {
        "seats": _seats(),
        "answer": _answer(),
        "reasons": _reasons(),
        "costs": _costs(),
        "limits": _limits(),
        "enough": _enough(),
        "evidence": _evidence(),
        "baselines": _baselines(),
    }
    assert_made_of("models.md", parts)
