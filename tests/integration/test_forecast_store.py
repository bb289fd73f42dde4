"""Forecasts, decisions and outcomes in the database, and the council that ties them together."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest
from seats_data import (
    AS_OF,
    DECISIONS,
    GRACE,
    MODELS,
    POOL,
    RANGING,
    SEATS,
    abstained,
    answered,
    make_prompt,
    make_snapshot,
)

from triplegain_pipelines.agents import council
from triplegain_pipelines.agents.council import Hearing, deliberate, hear_seats
from triplegain_pipelines.agents.seats import ask_seats, plan_calls
from triplegain_pipelines.domain.forecasts import PooledForecast
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.outcomes import settle
from triplegain_pipelines.store.decisions import read_decision, read_decisions, read_pooled, save_decisions
from triplegain_pipelines.store.forecasts import (
    read_forecasts,
    read_prompts,
    read_snapshot_forecasts,
    save_forecasts,
)
from triplegain_pipelines.store.outcomes import OUTCOMES, SCORED, read_outcomes, read_scored, save_outcomes

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
FAR = AS_OF + timedelta(days=30)
QUICK = MODELS.model_copy(update={"pool": POOL.model_copy(update={"settled_needed": 5})})


def store_snapshots(connection, *snapshots):
    for one in snapshots:
        connection.execute(
            """INSERT INTO research.snapshots (snapshot_id, venue, symbol, as_of, content_hash, data_version,
                   code_version, document) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                one.snapshot_id,
                one.venue,
                one.symbol,
                one.as_of,
                one.content_hash,
                one.data_version,
                one.code_version,
                one.document,
            ),
        )


def calls_about(*snapshots):
    return [
        call for one in snapshots for call in plan_calls(one.snapshot_id, make_prompt(one), MODELS, llm_enabled=True)
    ]


def hearing(hours, p_up=0.7):
    snapshot = make_snapshot(as_of=AS_OF + hours * HOUR)
    forecasts = tuple(replace(answered(seat, p_up), snapshot_id=snapshot.snapshot_id) for seat in SEATS)
    return Hearing(snapshot, RANGING, forecasts)


def rising_candles(hours):
    minutes = range(hours * 60)
    return pl.DataFrame(
        {
            "opened_at": pl.Series(
                [AS_OF - GRACE + timedelta(minutes=one) for one in minutes], dtype=pl.Datetime("us", "UTC")
            ),
            "open": [100.0 + one for one in minutes],
        }
    )


def outcomes_of(hours, *, now=FAR):
    places = [AS_OF + one * HOUR for one in range(hours)]
    candles = rising_candles(hours + 30)
    return settle(candles, "BTC/USDT", places, horizons=(4, 24), now=now, grace=GRACE, round_trip_cost=0.003)


def session(hearings, outcomes, history=()):
    return deliberate(
        account="demo",
        hearings=hearings,
        history=history,
        outcomes=outcomes,
        models=QUICK,
        decisions=DECISIONS,
    )


def test_forecasts_come_back_as_they_were(connection):
    """A6: cost to the last digit, text to the last character, abstentions with their reason."""
    snapshot = make_snapshot()
    prompt = make_prompt(snapshot)
    odd = replace(
        answered("gpt", 0.1 + 0.2),
        raw_answer='a,"b"\nc\\N 🚀',
        reasoning="",
        cost_usd=Decimal("0.000000123456789"),
        parameters={"max_tokens": 800, "nested": {"a": [1, None]}},
    )
    wanted = [replace(one, prompt_hash=prompt.prompt_hash) for one in (odd, abstained("qwen"))]
    store_snapshots(connection, snapshot)
    save_forecasts(connection, [prompt], wanted)
    assert read_forecasts(connection, [one.forecast_id for one in wanted]) == wanted
    assert read_snapshot_forecasts(connection, [snapshot.snapshot_id]) == wanted
    assert read_prompts(connection, [prompt.prompt_hash]) == {prompt.prompt_hash: prompt}


def test_first_answer_stays(connection):
    """DESIGN 3.7: evidence is never rewritten: a second answer to the same call changes nothing."""
    snapshot = make_snapshot()
    prompt = make_prompt(snapshot)
    first = replace(answered("gpt", 0.6), prompt_hash=prompt.prompt_hash)
    store_snapshots(connection, snapshot)
    for one in (first, replace(first, p_up_4h=0.9)):
        save_forecasts(connection, [prompt], [one])
    assert read_forecasts(connection, [first.forecast_id]) == [first]


def test_seats_are_asked_once(database, monkeypatch):
    """X3: a restarted run pays for no answer twice, and goes on where it was killed."""
    asked = []

    def counting(calls, *book):
        asked.append(len(calls))
        return ask_seats(calls, *book)

    monkeypatch.setattr(council, "ask_seats", counting)
    first, second = make_snapshot(), make_snapshot(as_of=AS_OF + HOUR)
    with database.connection() as connection:
        store_snapshots(connection, first, second)
    heard = hear_seats(database, calls_about(first))
    both = hear_seats(database, calls_about(second, first))
    assert asked == [6, 6]
    assert both[6:] == heard
    assert [one.seat for one in both] == [*SEATS, *SEATS]
    assert hear_seats(database, calls_about(second, first)) == both
    assert asked == [6, 6]


def test_answers_are_kept_batch_by_batch(database, monkeypatch):
    """X3: killed in the second batch, the first one is stored."""
    snapshots = make_snapshot(), make_snapshot(as_of=AS_OF + HOUR)
    with database.connection() as connection:
        store_snapshots(connection, *snapshots)
    asked = []

    def dying(calls, *book):
        if asked:
            raise KeyboardInterrupt
        asked.append(calls)
        return ask_seats(calls, *book)

    monkeypatch.setattr(council, "ask_seats", dying)
    monkeypatch.setattr(council, "_CALLS_PER_SAVE", 6)
    with pytest.raises(KeyboardInterrupt):
        hear_seats(database, calls_about(*snapshots))
    with database.connection() as connection:
        stored = read_snapshot_forecasts(connection, [one.snapshot_id for one in snapshots])
    assert {one.snapshot_id for one in stored} == {snapshots[0].snapshot_id}
    assert len(stored) == 6


def test_decisions_come_back_as_they_were(connection):
    """D1: verify computes a decision again and compares: a float that lost a bit would look like tampering."""
    hearings = [hearing(0, 0.7), hearing(1, 0.1 + 0.2)]
    store_snapshots(connection, *(one.snapshot for one in hearings))
    made = session(hearings, pl.DataFrame(schema=OUTCOMES))
    assert save_decisions(connection, made) == 0
    assert read_decisions(connection, "demo", AS_OF, AS_OF + 2 * HOUR) == made
    assert read_decisions(connection, "demo", AS_OF, AS_OF + HOUR) == made[:1]
    assert read_decisions(connection, "other", AS_OF, FAR) == []
    assert read_decision(connection, made[1].decision_id) == made[1]
    assert read_decision(connection, made[1].snapshot_id) is None


def test_first_decision_stands_and_a_different_one_is_reported(connection):
    """DESIGN 3.7: a rerun with changed code must neither rewrite the past nor pass unseen."""
    hearings = [hearing(0), hearing(1)]
    store_snapshots(connection, *(one.snapshot for one in hearings))
    made = session(hearings, pl.DataFrame(schema=OUTCOMES))
    save_decisions(connection, made)
    assert save_decisions(connection, made) == 0
    assert save_decisions(connection, [replace(made[0], size_factor=Decimal("0.51")), made[1]]) == 1
    assert read_decisions(connection, "demo", AS_OF, FAR) == made
    assert save_decisions(connection, []) == 0


def test_only_decisions_with_a_quorum_teach(connection):
    """A5: a slope learnt from three seats' pool would be another pool's slope."""
    whole, lacking = hearing(0), hearing(1)
    lacking = replace(
        lacking,
        forecasts=(*lacking.forecasts[:3], *(abstained(seat, ReasonCode.SEAT_SCHEMA) for seat in list(SEATS)[3:])),
    )
    store_snapshots(connection, whole.snapshot, lacking.snapshot)
    save_decisions(connection, made := session([whole, lacking], pl.DataFrame(schema=OUTCOMES)))
    assert read_pooled(connection, "demo", FAR) == [PooledForecast("BTC/USDT", AS_OF, made[0].pooled_log_odds)]
    assert read_pooled(connection, "demo", AS_OF) == []
    later = session([whole, lacking, hearing(24)], outcomes_of(25))[-1]
    assert later.settled_count * 4 == 1


def test_outcomes_come_back_as_they_were(connection):
    """A5: outcomes are settled once; a candle that is corrected later does not change them."""
    outcomes = outcomes_of(3)
    save_outcomes(connection, "binance", outcomes)
    save_outcomes(connection, "binance", outcomes.with_columns(went_up=pl.lit(value=False)))
    assert read_outcomes(connection, "binance", ["BTC/USDT"], FAR).equals(outcomes)
    assert read_outcomes(connection, "binance", ["BTC/USDT"], AS_OF + 5 * HOUR)["as_of"].to_list() == [AS_OF]
    assert read_outcomes(connection, "kraken", ["BTC/USDT"], FAR).schema == outcomes.schema


def test_scored_rows_hold_seats_and_consensus(connection):
    """A7: a board without abstentions or unsettled forecasts would flatter those who fail."""
    snapshot = make_snapshot()
    prompt = make_prompt(snapshot)
    forecasts = tuple(
        replace(abstained(seat) if seat == "qwen" else answered(seat, 0.7), prompt_hash=prompt.prompt_hash)
        for seat in SEATS
    )
    store_snapshots(connection, snapshot)
    save_forecasts(connection, [prompt], forecasts)
    save_decisions(connection, made := session([Hearing(snapshot, RANGING, forecasts)], pl.DataFrame(schema=OUTCOMES)))
    window = ("demo", AS_OF, AS_OF + HOUR)
    unsettled = read_scored(connection, *window, 4)
    assert unsettled["went_up"].null_count() == unsettled.height == 7
    save_outcomes(connection, "binance", outcomes_of(1))
    scored = read_scored(connection, *window, 4)
    assert dict(scored.schema) == SCORED
    rows = {name: (p_up, went_up) for name, _, _, _, p_up, went_up in scored.iter_rows()}
    assert rows == {seat: (None if seat == "qwen" else 0.7, True) for seat in SEATS} | {
        "consensus": (made[0].p_up, True)
    }
    assert scored.filter(pl.col("forecaster") != "consensus")["baseline"].all()
    assert set(read_scored(connection, *window, 24)["forecaster"]) == set(SEATS)


def test_slope_knows_settled_outcomes_only():
    """B2: the slope at a decision must not know outcomes that settled after it, though a backfill has them all."""
    made = session([hearing(number) for number in range(40)], outcomes_of(40))
    settled = [decision.settled_count * 4 for decision in made]
    # Made at hour h, settled at h + 4:02:10, so known at hour h + 5.
    assert settled == [max(0, number - 4) for number in range(40)]
    # 5 independent ones are needed, which are 20 of these.
    assert made[23].slope == 0.3
    assert made[24].slope > 0.3


def test_range_in_pieces_gives_the_same_decisions():
    """X3: partitions, restarts and live runs must come to what one backfill comes to, bit for bit."""
    outcomes = outcomes_of(40)
    hearings = [hearing(number, 0.3 + number / 100) for number in range(40)]
    whole = session(hearings, outcomes)
    first = session(hearings[:17], outcomes_of(40, now=AS_OF + 17 * HOUR))
    history = [PooledForecast(one.symbol, one.as_of, one.pooled_log_odds) for one in first]
    second = session(reversed(hearings[17:]), outcomes, reversed(history))
    assert first + second == whole


def test_a_first_value_after_many_missing_ones_is_stored(connection):
    """A week of warm-up without an ATR must not make the first decision that has one impossible to store."""
    hearings = [hearing(number) for number in range(120)]
    store_snapshots(connection, *(one.snapshot for one in hearings))
    made = session(hearings, pl.DataFrame(schema=OUTCOMES))
    made = [replace(one, atr=None if number < 119 else 0.1) for number, one in enumerate(made)]
    assert save_decisions(connection, made) == 0
    assert read_decisions(connection, "demo", AS_OF, FAR) == made
