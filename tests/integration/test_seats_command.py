"""`triplegain seats`: who sits in the six seats, and what they did lately."""

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import typer
from rich.console import Console
from seats_data import abstained, answered, make_prompt, make_snapshot
from typer.testing import CliRunner

from triplegain_pipelines import seats_commands
from triplegain_pipelines.domain.clock import ReplayClock, SystemClock
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.forecasts import save_forecasts
from triplegain_pipelines.store.model_calls import insert_call, note_failure
from triplegain_pipelines.store.seat_overview import read_activity, read_benches

pytestmark = pytest.mark.integration

NOW = SystemClock().now()  # the database writes its own time beside a forecast
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
GPT = settings().models.seats["gpt"]
PROMPT = make_prompt(make_snapshot())


def store_snapshot(connection: psycopg.Connection) -> None:
    one = make_snapshot()
    connection.execute(
        """INSERT INTO research.snapshots (snapshot_id, venue, symbol, as_of, content_hash, data_version, code_version,
               document) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
        [one.snapshot_id, one.venue, one.symbol, one.as_of, one.content_hash, "data", "code", one.document],
    )


def told(number: int, forecast: SeatForecast, **changes: object) -> SeatForecast:
    identity = deterministic_id("forecast", "overview", number)
    return replace(forecast, forecast_id=identity, prompt_hash=PROMPT.prompt_hash, **changes)


def called(number: int, status: CallStatus, cost: str, age: timedelta = HOUR, **changes: object) -> ModelCall:
    call = ModelCall(
        call_id=deterministic_id("call", "overview", number),
        purpose="forecast",
        conversation_id=deterministic_id("forecast", "overview", 1),
        snapshot_id=make_snapshot().snapshot_id,
        prompt_hash=PROMPT.prompt_hash,
        template_hash=PROMPT.template_hash,
        seat="gpt",
        vendor="openai",
        model=GPT.model,
        baseline=False,
        code_version="test",
        parameters={},
        turn=1,
        attempt=number,
        asked_at=NOW - age,
        status=status,
        reason_code=None if status in {CallStatus.ANSWERED, CallStatus.SENT} else ReasonCode.SEAT_BUDGET,
        retry_in_seconds=None,
        raw_answer=None,
        parsed=None,
        answered_by=None,
        input_tokens=0,
        output_tokens=0,
        worst_case_usd=Decimal("0.2"),
        cost_usd=Decimal(cost),
        latency_ms=1.0,
        http_status=None,
        error=None,
    )
    return replace(call, **changes)


@pytest.fixture
def lively(database: Database) -> Database:
    """A database in which gpt answered, abstained, called and failed; and momentum sat there before."""
    as_model = {"model": GPT.model, "baseline": False}
    forecasts = [
        told(1, answered("gpt", 0.6), **as_model),
        *(told(number, abstained("gpt"), **as_model) for number in (2, 3)),
        told(4, abstained("gpt", ReasonCode.SEAT_BUDGET), **as_model),
        told(5, answered("gpt", 0.6)),
    ]
    calls = [
        called(1, CallStatus.ANSWERED, "0.03"),
        called(2, CallStatus.TIMEOUT, "0.2"),
        called(3, CallStatus.SENT, "0"),
        called(4, CallStatus.WITHHELD, "0"),
        called(5, CallStatus.ANSWERED, "9", age=WEEK + HOUR),
        called(6, CallStatus.ANSWERED, "0.01", purpose="headline tones", snapshot_id=None),
    ]
    with database.connection() as connection:
        store_snapshot(connection)
        save_forecasts(connection, [PROMPT], forecasts)
        for call in calls:
            insert_call(connection, call)
        for _ in range(2):
            note_failure(connection, "gpt", GPT.model, 2, NOW, HOUR)
        note_failure(connection, "grok", "some/other", 2, NOW, HOUR)
    return database


def test_what_a_seat_did_is_counted_for_the_model_that_sat_there(lively: Database) -> None:
    """A6, A9: a model's abstentions mixed with a baseline's answers look like a good model."""
    with lively.connection() as connection:
        model, baseline = sorted(read_activity(connection, NOW - WEEK, NOW + HOUR), key=lambda one: one.baseline)
        assert read_activity(connection, NOW - 3 * WEEK, NOW - 2 * WEEK) == []
        benched, other = read_benches(connection)
    assert (model.model, model.answered, model.abstained, model.calls, model.side_calls) == (GPT.model, 1, 3, 4, 1)
    assert list(model.abstentions.items()) == [(ReasonCode.SEAT_TIMEOUT, 2), (ReasonCode.SEAT_BUDGET, 1)]
    assert model.cost_usd == Decimal("0.44"), "side questions count, and the worst case of a call with no end"
    assert (baseline.answered, baseline.abstained, baseline.calls, baseline.cost_usd) == (1, 0, 0, 0)
    assert (benched.seat, benched.failures, benched.benched_until) == ("gpt", 2, NOW + HOUR)
    assert other.benched_until is None


def app(database: Database, monkeypatch: pytest.MonkeyPatch, *, offline: bool) -> typer.Typer:
    own = settings()
    models = own.models.model_copy(update={"offline": offline})
    monkeypatch.setattr(seats_commands, "settings", lambda: own.model_copy(update={"models": models}))
    monkeypatch.setattr(seats_commands, "opened_database", lambda: nullcontext(database))
    monkeypatch.setattr(seats_commands, "SystemClock", lambda: ReplayClock(NOW + HOUR / 2))
    made = typer.Typer()
    made.command()(seats_commands.seats)
    return made


def test_a_program_reads_who_sits_and_who_sat(lively: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A6: a seat that is benched, or whose model changed, is seen without a look into the database."""
    done = CliRunner().invoke(app(lively, monkeypatch, offline=False), ["--json"])
    assert done.exit_code == 0, done.output
    printed: dict[str, Any] = json.loads(done.stdout)
    seats = {one["seat"]: one for one in printed["seats"]}
    assert list(seats) == list(settings().models.seats)
    gpt, grok = seats["gpt"], seats["grok"]
    assert (gpt["sits"], gpt["baseline"], gpt["benched"], gpt["failures_in_a_row"]) == (GPT.model, False, True, 2)
    assert gpt["lately"]["abstentions"] == {"SEAT_TIMEOUT": 2, "SEAT_BUDGET": 1}
    assert [one["model"] for one in gpt["before"]] == [f"offline/{GPT.baseline}"]
    assert (grok["benched"], grok["lately"]["calls"], grok["before"]) == (False, 0, [])


@pytest.mark.parametrize("offline", [False, True])
def test_a_person_cannot_take_a_baseline_for_a_model(
    lively: Database, monkeypatch: pytest.MonkeyPatch, *, offline: bool
) -> None:
    """A9: baselines are labelled wherever a person looks, also where only one of the two tables is read."""
    # A console that was made under COLUMNS, as in the workers of a parallel run, keeps that width.
    monkeypatch.setattr(seats_commands, "out", Console(width=220, highlight=False))
    done = CliRunner().invoke(app(lively, monkeypatch, offline=offline), [])
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert ("baselines sit in all six seats" in words) is offline
    assert words.count("baseline momentum") == offline
    assert "gpt baseline offline/momentum 1 0 0 0 0.0000" in words
    assert f"gpt {GPT.model} 1 3 4 1 0.4400 2 SEAT_TIMEOUT, 1 SEAT_BUDGET" in words
    assert ("2 failed in a row" in words) is not offline
    assert f"SEAT_BUDGET {ReasonCode.SEAT_BUDGET.meaning}" in words
