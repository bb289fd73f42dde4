"""docs/research.md and docs/strategies.md: what the code says of itself, so that they cannot say something else."""

import pytest
from generated_docs import assert_made_of, table

from triplegain_pipelines.evaluation.results_linter import LintCode
from triplegain_pipelines.strategies.pages import rules_page
from triplegain_pipelines.strategies.registry import STRATEGIES

pytestmark = pytest.mark.unit


def test_doubts_and_strategies_are_those_of_the_code() -> None:
    """I3: a page that describes last month's rules is worse than none. `make docs` renews it."""
    doubts = table(
        ("finding", "what it means", "what to do"), [(f"`{one}`", one.meaning, one.advice) for one in LintCode]
    )
    assert_made_of("research.md", {"doubts": doubts})
    assert_made_of("strategies.md", {"strategies": "\n\n".join(rules_page(one) for one in STRATEGIES.values())})
