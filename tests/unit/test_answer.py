"""The one schema of a seat's answer."""

import json

import pytest
from pydantic import ValidationError

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.schemas import response_format, schema_text
from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.forecasts import SeatForecast

pytestmark = pytest.mark.unit

GOOD = {
    "action": "BUY",
    "confidence": 0.7,
    "p_up_4h": 0.6,
    "p_up_24h": 1,
    "entry": 50000.0,
    "stop_loss": None,
    "take_profit": None,
    "leverage": 2,
    "reasoning": "A trend.",
}


def test_prompt_provider_and_validator_have_one_schema():
    """A4: a prompt that asks for one shape and a validator that wants another makes every answer an abstention."""
    from_validator = SeatAnswer.model_json_schema()
    assert json.loads(schema_text(SeatAnswer)) == from_validator
    assert response_format(SeatAnswer)["json_schema"]["schema"] == from_validator
    assert from_validator["additionalProperties"] is False
    assert sorted(from_validator["required"]) == sorted(from_validator["properties"])


def test_schema_names_every_action_and_no_other():
    """A4: an action that the schema does not offer could never be chosen."""
    assert SeatAnswer.model_json_schema()["properties"]["action"]["enum"] == list(Action)


def test_every_answered_field_is_stored():
    """A6: a field of the answer that the stored forecast lacks would be lost evidence."""
    assert set(SeatAnswer.model_fields) <= set(SeatForecast.__slots__)


def test_complete_answer_is_accepted():
    """A4: whole numbers and nulls are what models really send."""
    answer = SeatAnswer.model_validate_json(json.dumps(GOOD))
    assert answer.action is Action.BUY
    assert answer.p_up_24h == 1.0
    assert answer.stop_loss is None


@pytest.mark.parametrize(
    "change",
    [
        {"p_up_4h": 1.01},
        {"p_up_4h": -0.01},
        {"p_up_4h": "0.6"},
        {"p_up_4h": True},
        {"p_up_4h": None},
        {"p_up_4h": float("nan")},
        {"confidence": 60},
        {"leverage": 0},
        {"leverage": 11},
        {"entry": -1.0},
        {"entry": float("inf")},
        {"action": "buy"},
        {"action": "LONG"},
        {"reasoning": "x" * 601},
        {"extra": 1},
    ],
    ids=str,
)
def test_answer_out_of_the_schema_is_refused(change):
    """A4: coercing a bad answer into a vote is the ancestor's defect 5: a failed seat must abstain."""
    with pytest.raises(ValidationError):
        SeatAnswer.model_validate_json(json.dumps(GOOD | change))


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_missing_field_is_refused(missing):
    """A4: a missing key must not become a default such as HOLD at 0.5."""
    with pytest.raises(ValidationError):
        SeatAnswer.model_validate_json(json.dumps({name: value for name, value in GOOD.items() if name != missing}))


@pytest.mark.parametrize("text", ["", "BUY", "I would BUY here.", "[]", "null", "```json\n{}\n```", '{"action": "BUY"'])
def test_prose_is_no_answer(text):
    """A4: prose that contains BUY is not a vote."""
    with pytest.raises(ValidationError):
        SeatAnswer.model_validate_json(text)
