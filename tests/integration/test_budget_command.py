"""`triplegain budget`: what a person and a program see of what the models cost."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from triplegain_pipelines import budget_commands
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_budget import LONGEST_CALL
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.budgets import reserve, settle
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
YESTERDAY = NOON - timedelta(days=1)


@pytest.fixture
def app(database: Database, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command over a database in which gpt has spent, reserved, and lost a call."""
    limits = settings().models.budget.model_copy(update={"seat_day_usd": Decimal(1)})
    calls = (
        ("spent", YESTERDAY, "0.5", "0.004"),
        ("dear", NOON, "0.2", "0.3"),
        ("under way", NOON + LONGEST_CALL, "0.55", None),
        ("refused", NOON + LONGEST_CALL, "0.5", None),
    )
    with database.connection() as connection:
        for name, at, worst, cost in calls:
            identity = deterministic_id("command", name)
            refused = reserve(connection, identity, "gpt", Decimal(worst), at, limits)
            assert (refused is not None) == (name == "refused")
            if cost:
                settle(connection, identity, Decimal(cost), at)
    own = settings()
    narrow = own.models.model_copy(update={"budget": limits})
    monkeypatch.setattr(budget_commands, "settings", lambda: own.model_copy(update={"models": narrow}))
    monkeypatch.setattr(budget_commands, "opened_database", lambda: nullcontext(database))
    monkeypatch.setattr(budget_commands, "SystemClock", lambda: ReplayClock(NOON + 3 * LONGEST_CALL))
    made = typer.Typer()
    made.command()(budget_commands.budget)
    return made


def test_a_program_reads_every_budget(app: typer.Typer) -> None:
    """A6: amounts that a script reads as rounded floats do not add up to the provider's bill."""
    done = CliRunner().invoke(app, ["--json"])
    assert done.exit_code == 0, done.output
    printed: dict[str, Any] = json.loads(done.stdout)
    budgets = {(one["period"], one["seat"]): one for one in printed["budgets"]}
    assert len(budgets) == 2 * 7, "six seats and all together, by day and month"
    of_gpt = budgets["day", "gpt"]
    amounts = [Decimal(of_gpt[f"{name}_usd"]) for name in ("limit", "spent", "reserved", "left")]
    assert amounts == [Decimal(one) for one in ("1", "0.3", "0.55", "0.15")]
    assert (of_gpt["calls"], of_gpt["too_dear"]) == (2, 1)
    assert Decimal(budgets["month", "gpt"]["spent_usd"]) == Decimal("0.304")
    assert Decimal(budgets["month", None]["spent_usd"]) == Decimal("0.304")
    assert Decimal(budgets["day", "qwen"]["spent_usd"]) == 0
    assert [one["worst_case_usd"] for one in printed["not_settled"]] == ["0.55"]
    assert {one["kind"] for one in printed["alerts"]} == {
        "model_call_overrun",
        "model_budget_nearly_taken",
        "model_budget_refused",
    }


def test_a_person_reads_what_is_left_and_what_is_wrong(app: typer.Typer) -> None:
    """A6: a call that will never be settled, and a refusal, are seen without a look into the database."""
    done = CliRunner().invoke(app, [], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "day 2026-03-31, UTC, in USD" in words
    assert "gpt 1.00 0.30 0.55 0.15 85 % 2 1" in words
    assert "calls not settled: 1, of these 1 for longer than a call can take" in words
    assert "critical since 2026-03-31 12:10: a call was not made" in words
