"""Reason codes: each is documented, and the documentation is generated from the enum."""

import os
from pathlib import Path

import pytest

from triplegain_pipelines.domain.reasons import Reason, ReasonCode

pytestmark = pytest.mark.unit

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reasons.md"


def documentation() -> str:
    """The table of all reason codes."""
    lines = [f"| `{code}` | {code.meaning} |" for code in ReasonCode]
    head = "# Reason codes\n\nMade from `triplegain_pipelines/domain/reasons.py`; `make docs` writes it again.\n\n"
    return head + "| code | meaning |\n|---|---|\n" + "\n".join(lines) + "\n"


def test_the_table_of_reasons_is_the_enum() -> None:
    """DESIGN rule 10: a refusal must never carry a code that the documentation does not know."""
    if os.environ.get("TRIPLEGAIN_WRITE_DOCS"):
        DOCS.write_text(documentation())
    assert DOCS.read_text() == documentation()


def test_a_code_is_its_own_value_and_has_a_sentence() -> None:
    """A typing error in a code would be stored as a reason nobody can look up."""
    assert all(code.value == code.name and code.meaning.endswith(".") for code in ReasonCode)


def test_a_reason_tells_its_numbers() -> None:
    """R1: 'leverage reduced' alone does not tell a person from what to what."""
    reason = Reason(ReasonCode.LEVERAGE_REDUCED, {"from": "10", "to": "5"})
    assert reason.sentence() == "Leverage was lowered to the limit. (from 10, to 5)"
    assert reason.document() == {"code": "LEVERAGE_REDUCED", "context": {"from": "10", "to": "5"}}
