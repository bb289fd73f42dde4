"""Calls of models in the database: written down before they leave, held to the budget, benched, and replayed."""

import asyncio
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import psycopg
import pytest
from model_apis import GOOD, Behaviour, ModelApis, model_apis
from seats_data import AS_OF, DECISIONS, MODELS, RANGING, SEATS, make_prompt, make_snapshot

from triplegain_pipelines.agents.calls import StoredBook
from triplegain_pipelines.agents.council import Hearing, deliberate, hear_seats
from triplegain_pipelines.agents.seats import ask_seats, plan_calls
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.decisions import ForecastStatus
from triplegain_pipelines.domain.errors import SeatBusyError
from triplegain_pipelines.domain.model_calls import CallStatus
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import CallMode
from triplegain_pipelines.store.budgets import open_reservations
from triplegain_pipelines.store.forecasts import read_snapshot_forecasts, save_forecasts
from triplegain_pipelines.store.model_calls import read_calls
from triplegain_pipelines.store.outcomes import OUTCOMES
from triplegain_pipelines.store.snapshots import save_snapshots

pytestmark = pytest.mark.integration

KEY = "sk-of-a-provider-0123456789"
SEED = 5
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def apis(monkeypatch):
    with model_apis() as running:
        for name, value in running.environment(KEY).items():
            monkeypatch.setenv(name, value)
        yield running


def models_for(*, deadline=5.0, calls=CallMode.RECORD, **changes):
    seats = {name: seat.model_copy(update={"deadline_seconds": deadline}) for name, seat in SEATS.items()}
    return MODELS.model_copy(update={"offline": False, "calls": calls, "seats": seats, **changes})


def snapshots_of(database, count):
    snapshots = [make_snapshot(as_of=AS_OF + timedelta(hours=hours)) for hours in range(count)]
    with database.connection() as connection:
        save_snapshots(connection, snapshots)
    return snapshots


def calls_about(snapshots, models, *seats):
    return [
        call
        for one in snapshots
        for call in plan_calls(one.snapshot_id, make_prompt(one), models, llm_enabled=True)
        if not seats or call.seat in seats
    ]


def rows_of(database, calls):
    with database.connection() as connection:
        found = read_calls(connection, [call.conversation_id for call in calls])
    return [row for call in calls for row in found.get(call.conversation_id, [])]


def test_every_turn_is_a_row(database, apis: ModelApis):
    """A6: a turn that is not written down is money that nobody can account for."""
    apis.behaviours["openai"] = [Behaviour(text="I would BUY."), Behaviour()]
    models = models_for()
    calls = calls_about(snapshots_of(database, 1), models)
    forecasts = hear_seats(database, calls, models)
    assert {one.status for one in forecasts} == {ForecastStatus.ANSWERED}
    rows = rows_of(database, calls)
    assert [(one.seat, one.turn, one.status.value) for one in rows] == [
        ("gpt", 1, "answered"),
        ("gpt", 2, "answered"),
        *((seat, 1, "answered") for seat in list(SEATS)[1:]),
    ]
    asked, repaired = rows[:2]
    assert (asked.raw_answer, asked.parsed, asked.reason_code) == ("I would BUY.", None, ReasonCode.SEAT_SCHEMA)
    assert (repaired.raw_answer, repaired.parsed["p_up_4h"], repaired.http_status) == (GOOD, 0.6, None)
    prompt = calls[0].prompt
    assert {(one.prompt_hash, one.template_hash) for one in rows} == {(prompt.prompt_hash, prompt.template_hash)}
    assert forecasts[0].cost_usd == asked.cost_usd + repaired.cost_usd == Decimal("0.012")
    with database.connection() as connection:
        assert open_reservations(connection) == []
        spent = connection.execute("SELECT sum(cost_usd) FROM ops.model_reservations").fetchone()[0]
    assert spent == sum(one.cost_usd for one in forecasts)


def test_baselines_are_rows_too(database):
    """A6, A9: what a baseline said is evidence like any other, labelled and free."""
    calls = calls_about(snapshots_of(database, 2), MODELS)
    forecasts = hear_seats(database, calls)
    rows = rows_of(database, calls)
    assert [one.conversation_id for one in rows] == [one.forecast_id for one in forecasts]
    assert {(one.baseline, one.cost_usd, one.status) for one in rows} == {(True, 0, CallStatus.ANSWERED)}
    assert [one.raw_answer for one in rows] == [one.raw_answer for one in forecasts]
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM ops.model_reservations").fetchone()[0] == 0


def test_call_is_committed_before_it_leaves(database, apis: ModelApis):
    """A6: killed after the question left, the row and the reserved worst case are there already."""
    apis.behaviours["openai"] = [Behaviour(silent=True)]
    models = models_for(deadline=20)
    calls = calls_about(snapshots_of(database, 1), models, "gpt")
    asking = threading.Thread(target=hear_seats, args=(database, calls, models))
    asking.start()
    try:
        while not apis.requests["openai"]:
            assert asking.is_alive()
            apis.over.wait(0.02)
        [row] = rows_of(database, calls)
        with database.connection() as connection:
            [reserved] = open_reservations(connection)
        assert (row.status, row.call_id) == (CallStatus.SENT, reserved.call_id)
        assert reserved.worst_case_usd == row.worst_case_usd > 0
    finally:
        apis.over.set()
        asking.join()
    assert rows_of(database, calls)[0].status is CallStatus.BROKEN


def test_interrupted_conversation_goes_on_where_it_stopped(database, apis: ModelApis):
    """X3: after a crash what was answered is not paid for twice, and what was not is asked as another attempt."""
    models = models_for()
    snapshots = snapshots_of(database, 2)
    first, second = (calls_about([one], models, "gpt")[0] for one in snapshots)
    hear_seats(database, [first], models)
    # Killed between the end of the call and the storing of its forecast.
    with database.connection() as connection:
        connection.execute("DELETE FROM research.seat_forecasts")
    again = hear_seats(database, [first], models)
    assert len(apis.requests["openai"]) == 1
    assert again[0].status is ForecastStatus.ANSWERED
    # Killed while the call was under way.
    with database.connection() as connection:
        save_forecasts(connection, [second.prompt], [])

    class Killed(BaseException):
        pass

    class DyingBook(StoredBook):
        async def close(self, *_, **__):
            raise Killed

    with pytest.raises(Killed):
        ask_seats([second], DyingBook(database, models.budget, models.bench))
    [sent] = rows_of(database, [second])
    assert sent.status is CallStatus.SENT
    [forecast] = hear_seats(database, [second], models)
    assert forecast.status is ForecastStatus.ANSWERED
    assert forecast.cost_usd == sent.worst_case_usd + Decimal("0.006")
    assert [(one.attempt, one.status.value) for one in rows_of(database, [second])] == [(1, "sent"), (2, "answered")]
    with database.connection() as connection:
        assert len(open_reservations(connection)) == 1


def test_parallel_calls_leave_only_as_far_as_the_budget_goes(database, apis: ModelApis):
    """A6, issue 5.2: 50 calls at once against a budget for 3: exactly 3 leave, the others abstain."""
    apis.behaviours["openai"] = [Behaviour(silent=True)]
    models = models_for(deadline=4.0)
    snapshots = snapshots_of(database, 50)
    calls = calls_about(snapshots, models, "gpt")
    probe = calls_about(snapshots, models, "gpt")[0]
    worst = worst_case(probe)
    budget = models.budget.model_copy(update={"seat_day_usd": worst * 3 + worst / 2})
    forecasts = hear_seats(database, calls, models.model_copy(update={"budget": budget}))
    reasons = [one.reason_code for one in forecasts]
    assert len(apis.requests["openai"]) == 3
    assert reasons.count(ReasonCode.SEAT_BUDGET) == 47
    assert reasons.count(ReasonCode.SEAT_TIMEOUT) == 3
    refused = [one for one in rows_of(database, calls) if one.status is CallStatus.WITHHELD]
    assert len(refused) == 47
    assert all(one.cost_usd == 0 and "of the day's" in one.error for one in refused)


def worst_case(call):
    """What the first turn of this call can cost at most, asked of a book that lets nothing leave."""
    seen = []

    class Looking:
        def now(self):
            return NOON

        async def open(self, row):
            seen.append(row.worst_case_usd)
            raise asyncio.CancelledError

        async def close(self, *_, **__):
            raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        ask_seats([call], Looking())
    return seen[0]


def test_failing_seat_is_benched_and_tried_again(database, apis: ModelApis):
    """Issue 5: a dead provider must not hold up every decision until its deadline, nor stay out for ever."""
    bench = MODELS.bench.model_copy(update={"failures": 3, "minutes": 30})
    models = models_for(bench=bench)
    calls = calls_about(snapshots_of(database, 10), models, "gpt")
    clock = ReplayClock(NOON)
    with database.connection() as connection:
        save_forecasts(connection, [call.prompt for call in calls], [])

    def ask(*which):
        """As another process would: what is known is in the database."""
        book = StoredBook(database, models.budget, bench, clock)
        return [one.reason_code for one in ask_seats([calls[one] for one in which], book)]

    apis.behaviours["openai"] = [Behaviour(status=400)]
    assert [ask(number)[0] for number in range(4)] == [ReasonCode.SEAT_PROVIDER_ERROR] * 3 + [ReasonCode.SEAT_BENCHED]
    assert len(apis.requests["openai"]) == 3
    clock.advance_to(NOON + timedelta(minutes=31))
    # Three at once after the rest: one tries, the others wait for it.
    assert sorted(ask(4, 5, 6)) == [ReasonCode.SEAT_BENCHED, ReasonCode.SEAT_BENCHED, ReasonCode.SEAT_PROVIDER_ERROR]
    assert ask(7) == [ReasonCode.SEAT_BENCHED]
    apis.behaviours["openai"] = [Behaviour()]
    clock.advance_to(NOON + timedelta(minutes=62))
    assert ask(8) == [None]
    assert ask(9) == [None]
    assert len(apis.requests["openai"]) == 6


PROSE, IMPOSSIBLE = Behaviour(text="prose"), Behaviour(text=GOOD.replace('"p_up_4h":0.6', '"p_up_4h":1.6'))
WAYS = (
    (PROSE,),
    (PROSE, PROSE),
    (IMPOSSIBLE, IMPOSSIBLE),
    (Behaviour(status=429, retry_after="0.1"),),
    (Behaviour(status=429, retry_after="900"),),
    (Behaviour(status=503),),
    (Behaviour(status=400),),
    (Behaviour(silent=True),),
    (Behaviour(cut_off=True),),
    (Behaviour(model="another-model"),),
)


def behaviours_of_half_a_day(random, ways):
    """Twelve answers of one provider with these ways of failing among them, each repeated where a turn repairs it."""
    answers = [GOOD.replace('"p_up_4h":0.6', f'"p_up_4h":{random.uniform(0.1, 0.9):.3f}') for _ in range(12)]
    given = [(Behaviour(text=text),) for text in answers]
    for hour, way in zip(random.permutation(12), ways, strict=False):
        given[hour] = way
    return [one for turn in given for one in turn]


def decided(snapshots, forecasts):
    per_seat = len(SEATS)
    hearings = [
        Hearing(one, RANGING, tuple(forecasts[place * per_seat : (place + 1) * per_seat]))
        for place, one in enumerate(snapshots)
    ]
    decisions = deliberate(
        account="demo",
        hearings=hearings,
        history=(),
        outcomes=pl.DataFrame(schema=OUTCOMES),
        models=MODELS,
        decisions=DECISIONS,
    )
    return [repr(one).encode() for one in decisions]


def in_bytes(forecasts):
    return [
        canonical_json({name: getattr(one, name) for name in one.__dataclass_fields__}).encode() for one in forecasts
    ]


def test_day_is_replayed_from_stored_calls_without_a_network(database, apis: ModelApis, monkeypatch):
    """Issue 5.4, X3: a replay that asks again, or that decides otherwise, is no replay."""
    random = np.random.default_rng(SEED)
    dealt = random.permutation(len(WAYS))
    for place, vendor in enumerate(apis.behaviours):
        ways = [WAYS[dealt[(2 * place + one) % len(WAYS)]] for one in range(2)]
        apis.behaviours[vendor] = [*behaviours_of_half_a_day(random, ways), Behaviour()]
    models = models_for(deadline=2.0)
    models = models.model_copy(
        update={
            "bench": models.bench.model_copy(update={"failures": 12}),
            "budget": models.budget.model_copy(update={"seat_day_usd": Decimal("1.5")}),
        }
    )
    snapshots = snapshots_of(database, 12)
    # Hour by hour, as in a day: all at once, a slow machine would know no other reason than the deadline.
    recorded = [one for hour in snapshots for one in hear_seats(database, calls_about([hour], models), models)]
    reasons = {one.reason_code for one in recorded}
    assert None in reasons
    assert len(reasons) > 4, (SEED, reasons)
    with database.connection() as connection:
        connection.execute("DELETE FROM research.seat_forecasts")

    def refuse(*_, **__):
        msg = "a replay opened a connection"
        raise AssertionError(msg)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", refuse)
    replaying = models.model_copy(update={"calls": CallMode.REPLAY})
    replayed = hear_seats(database, calls_about(snapshots, replaying), replaying)
    assert in_bytes(replayed) == in_bytes(recorded), SEED
    assert decided(snapshots, replayed) == decided(snapshots, recorded)
    # And from the forecasts that are stored now.
    assert in_bytes(hear_seats(database, calls_about(snapshots, replaying), replaying)) == in_bytes(recorded)


def test_unrecorded_question_abstains_in_a_replay_and_is_asked_later(database, apis: ModelApis):
    """X3: a replay that cannot answer says so, and its abstention is not taken for the answer afterwards."""
    snapshots = snapshots_of(database, 1)
    replaying, recording = models_for(calls=CallMode.REPLAY), models_for()
    absent = hear_seats(database, calls_about(snapshots, replaying), replaying)
    assert {one.reason_code for one in absent} == {ReasonCode.SEAT_NOT_RECORDED}
    assert not any(apis.requests.values())
    assert hear_seats(database, calls_about(snapshots, replaying), replaying) == absent
    present = hear_seats(database, calls_about(snapshots, recording), recording)
    assert {one.status for one in present} == {ForecastStatus.ANSWERED}
    assert hear_seats(database, calls_about(snapshots, replaying), replaying) == present
    with pytest.raises(ValueError, match="only stored answers"):
        ask_seats(
            [replace(one, recorded_only=True) for one in calls_about(snapshots, recording)],
            StoredBook(database, recording.budget, recording.bench),
        )


def test_keys_never_reach_the_database(database, apis: ModelApis):
    """X9: a provider that repeats a key, or a model that was told it, must not write it into evidence."""
    apis.behaviours["openai"] = [Behaviour(status=401, error=f"Incorrect API key provided: {KEY}")]
    apis.behaviours["xai"] = [Behaviour(text=GOOD.replace("Test.", f"The key is {KEY}."))]
    apis.behaviours["deepseek"] = [Behaviour(text=f"my key: {KEY}")]
    models = models_for()
    snapshots = snapshots_of(database, 1)
    forecasts = hear_seats(database, calls_about(snapshots, models), models)
    assert forecasts[1].reasoning == "The key is [secret]."
    with database.connection() as connection:
        text = connection.execute(
            """SELECT (SELECT string_agg(c::text, '') FROM research.model_calls c)
                   || (SELECT string_agg(f::text, '') FROM research.seat_forecasts f)
                   || (SELECT string_agg(r::text, '') FROM ops.model_reservations r)"""
        ).fetchone()[0]
        stored = read_snapshot_forecasts(connection, [snapshots[0].snapshot_id])
    assert KEY not in text
    assert "Incorrect API key provided: [secret]" in text
    assert len(stored) == 6


def test_two_processes_do_not_pay_for_the_same_question(database, apis: ModelApis):
    """X3: whoever comes second is told so, and finds the answer when it comes back."""
    models = models_for()
    calls = calls_about(snapshots_of(database, 1), models, "gpt")
    with database.connection() as connection:
        save_forecasts(connection, [calls[0].prompt], [])
    book = StoredBook(database, models.budget, models.bench)
    [first] = ask_seats(calls, book)
    with pytest.raises(SeatBusyError, match="another process is asking gpt"):
        ask_seats(calls, book)
    assert len(apis.requests["openai"]) == 1
    assert in_bytes(hear_seats(database, calls, models)) == in_bytes([first])
    assert len(apis.requests["openai"]) == 1


def test_ended_call_cannot_be_changed(database, apis: ModelApis):
    """DESIGN 3.7: evidence that can be rewritten is none."""
    models = models_for()
    calls = calls_about(snapshots_of(database, 1), models, "gpt")
    hear_seats(database, calls, models)
    for change in ("UPDATE research.model_calls SET raw_answer = 'BUY'", "DELETE FROM research.model_calls"):
        with pytest.raises(psycopg.errors.RaiseException, match="stays as it is"), database.connection() as connection:
            connection.execute(change)
