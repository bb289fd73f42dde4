"""`config/models.yaml`: what is said of each seat is complete, and what cannot hold is refused."""

from datetime import timedelta

import pytest
from pydantic import ValidationError
from seats_data import MODELS, SEATS

from triplegain_pipelines.domain.model_budget import LONGEST_CALL
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.models import (
    AnswerFormat,
    BudgetSettings,
    ModelSettings,
    NarrativeSettings,
    SeatSettings,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", SEATS)
def test_every_seat_says_what_it_costs_and_what_it_may_know(name: str) -> None:
    """Issue 5: a price without a date goes stale unseen, and a cutoff without a source is a guess."""
    seat = SEATS[name]
    assert seat.price is not None
    assert seat.price.source
    assert seat.cutoff_source
    if seat.knowledge_cutoff is not None:
        assert seat.knowledge_cutoff < seat.price.as_of
        assert seat.cutoff_source.startswith("https://")
    assert timedelta(seconds=seat.deadline_seconds) < LONGEST_CALL


def test_deepseek_is_never_sent_a_schema() -> None:
    """A4: its API refuses one, whatever litellm's list says."""
    assert SEATS["deepseek"].answer_format is AnswerFormat.JSON_OBJECT


def test_a_day_of_one_seat_cannot_use_up_the_day_of_all() -> None:
    """A6: a seat that runs wild must leave the quorum its share."""
    budget = MODELS.budget
    assert 2 * budget.seat_day_usd < budget.day_usd < budget.month_usd
    assert 2 * budget.seat_month_usd < budget.month_usd


@pytest.mark.parametrize(
    "change",
    [{"deadline_seconds": 0}, {"deadline_seconds": 301}, {"max_tokens": 0}, {"answer_format": "prose"}, {"modle": "x"}],
    ids=str,
)
def test_a_seat_that_cannot_be_asked_is_refused(change: dict[str, object]) -> None:
    """A4: found when the settings are read, not when the decision waits."""
    with pytest.raises(ValidationError):
        SeatSettings.model_validate({**SEATS["gpt"].model_dump(), **change})


@pytest.mark.parametrize("change", [{"day_usd": "-1"}, {"warn_at": 0}, {"warn_at": 1.1}, {"month_usd": "NaN"}], ids=str)
def test_a_budget_that_limits_nothing_is_refused(change: dict[str, object]) -> None:
    """A6: a comparison with NaN is always false, so nothing would ever be over it."""
    with pytest.raises(ValidationError):
        BudgetSettings.model_validate({**MODELS.budget.model_dump(), **change})


@pytest.mark.parametrize("change", [{"narratives": {"writer": "gtp"}}, {"sentiment": {"scorer": "gtp"}}], ids=str)
def test_a_side_question_to_nobody_is_refused(change: dict[str, object]) -> None:
    """A8: a seat that is misspelt would leave the template in place for ever, and nobody would know why."""
    with pytest.raises(ValidationError, match="gtp"):
        ModelSettings.model_validate({**MODELS.model_dump(), **change})


def test_who_words_reports_is_no_other_configuration() -> None:
    """A8: a validation for live trading must not lapse, nor a replay get another account, over the style of a page."""
    settings = load_settings(Environment(profile="demo"), CONFIG)

    def changed(**change: object) -> str:
        return settings.model_copy(update={"models": settings.models.model_copy(update=change)}).config_hash

    assert changed(narratives=NarrativeSettings(writer="gpt")) == settings.config_hash
    assert changed(offline=False) != settings.config_hash
