"""Reason codes and the sentences they tell. That each is documented is seen in test_execution_docs."""

import pytest

from triplegain_pipelines.domain.reasons import Reason, ReasonCode

pytestmark = pytest.mark.unit


def test_a_code_is_its_own_value_and_has_a_sentence() -> None:
    """A typing error in a code would be stored as a reason nobody can look up."""
    assert all(code.value == code.name and code.meaning.endswith(".") for code in ReasonCode)


def test_a_reason_tells_its_numbers() -> None:
    """R1: 'leverage reduced' alone does not tell a person from what to what."""
    reason = Reason(ReasonCode.LEVERAGE_REDUCED, {"from": "10", "to": "5"})
    assert reason.sentence() == "Leverage was lowered to the limit. (from 10, to 5)"
    assert reason.document() == {"code": "LEVERAGE_REDUCED", "context": {"from": "10", "to": "5"}}
