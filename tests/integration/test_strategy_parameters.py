"""The registry of parameters: proposed with evidence, used after somebody approved, never forgotten."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from research_market import at, laboratory, planned, random_walk

from triplegain_pipelines.backtest.forks import Laboratory
from triplegain_pipelines.backtest.study import begin_study
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.operations.studies import approve_parameters, retire_parameters
from triplegain_pipelines.store import strategy_parameters
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.strategy_parameters import StoredParameters

pytestmark = pytest.mark.integration

SERIES = random_walk(1, 24 * 230)
EVIDENCE = {"verdict": "significant", "out_of_sample": {"deflated_sharpe": 0.96}}
LUCK = {"verdict": "not significant", "out_of_sample": {"deflated_sharpe": 0.4}}


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Laboratory:
    return laboratory(database, tmp_path)


def proposed(
    place: Laboratory, seed: int, now: datetime, venue: str = "test", evidence: Mapping[str, Any] = EVIDENCE
) -> UUID:
    """Parameters that a study proposed."""
    study_id = begin_study(place, planned(SERIES, seed=seed, venue=venue), SERIES)
    with place.database.connection() as connection:
        return strategy_parameters.propose(connection, study_id, {"entry": 40 + seed}, evidence, now)


def in_use(place: Laboratory, venue: str = "test") -> StoredParameters | None:
    with place.database.connection() as connection:
        return strategy_parameters.approved(connection, "breakout", venue, "BTC/USDT", "1h")


def test_nothing_is_used_before_somebody_approves(place: Laboratory) -> None:
    """I5: the best of a search is a proposal. Who let it trade, and why, is on record."""
    first = proposed(place, 1, at(0))
    assert in_use(place) is None
    used = approve_parameters(place, first, by="Ada", reason="held up in three walks")
    assert in_use(place) == used
    assert (used.state, used.approved_by, used.approved_reason) == ("APPROVED", "Ada", "held up in three walks")
    assert (used.parameters, used.evidence) == ({"entry": 41}, EVIDENCE)


def test_one_is_approved_at_a_time_and_none_is_forgotten(place: Laboratory) -> None:
    """I5: two approved sets would leave it to chance which one trades."""
    first, second, third = (proposed(place, seed, at(seed)) for seed in (1, 2, 3))
    for one in (first, second):
        approve_parameters(place, one, by="Ada", reason="better")
    assert in_use(place) is not None
    assert in_use(place).parameters_id == second  # type: ignore[union-attr]
    retire_parameters(place, third, by="Ada", reason="too few trades")
    with place.database.connection() as connection:
        known = {one.parameters_id: one for one in strategy_parameters.history(connection, "breakout")}
        assert strategy_parameters.history(connection, "macd") == []
    assert {one: known[one].state for one in (first, second, third)} == {
        first: "RETIRED",
        second: "APPROVED",
        third: "RETIRED",
    }
    assert known[first].retired_reason == f"replaced by {second}: better"
    assert known[third].approved_at is None
    with place.database.autocommit() as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            """INSERT INTO research.strategy_parameters (parameters_id, strategy, venue, symbol, timeframe, parameters,
                   study_id, evidence, state, proposed_at, approved_at, approved_by, approved_reason)
               SELECT gen_random_uuid(), strategy, venue, symbol, timeframe, parameters, study_id, evidence, state,
                   proposed_at, approved_at, approved_by, approved_reason
               FROM research.strategy_parameters WHERE state = 'APPROVED'"""
        )


def test_each_venue_has_its_own(place: Laboratory) -> None:
    """I5: what was found on one venue's candles and fees says nothing of another's."""
    here, there = proposed(place, 1, at(0)), proposed(place, 2, at(0), venue="elsewhere")
    for one in (here, there):
        approve_parameters(place, one, by="Ada", reason="held up")
    found = {venue: in_use(place, venue) for venue in ("test", "elsewhere", "a third")}
    assert {venue: one and one.parameters_id for venue, one in found.items()} == {
        "test": here,
        "elsewhere": there,
        "a third": None,
    }


@pytest.mark.parametrize("evidence", [LUCK, {"verdict": "not enough data"}, {}])
def test_what_may_be_luck_is_used_only_knowingly(place: Laboratory, evidence: Mapping[str, Any]) -> None:
    """I5: a person has the last word, and must have read the verdict; that it was set aside stays on record."""
    doubtful, good = proposed(place, 1, at(0), evidence=evidence), proposed(place, 2, at(0))
    verdict = evidence.get("verdict", "no verdict")
    with pytest.raises(InputError, match=f"'{verdict}'.*--although-not-significant"):
        approve_parameters(place, doubtful, by="Ada", reason="I like it")
    assert in_use(place) is None
    used = approve_parameters(place, doubtful, by="Ada", reason="I like it", although_not_significant=True)
    assert in_use(place) == used
    assert (used.approved_by, used.approved_reason, used.approved_although) == ("Ada", "I like it", verdict)
    with pytest.raises(InputError, match="without saying that they are not"):
        approve_parameters(place, good, by="Ada", reason="yes", although_not_significant=True)
    assert approve_parameters(place, good, by="Ada", reason="yes").approved_although is None
    with place.database.autocommit() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            """INSERT INTO research.strategy_parameters (parameters_id, strategy, venue, symbol, timeframe, parameters,
                   study_id, evidence, state, proposed_at, approved_at, approved_by, approved_reason)
               SELECT gen_random_uuid(), strategy, 'by hand', symbol, timeframe, parameters, study_id, '{}', 'APPROVED',
                   proposed_at, approved_at, approved_by, approved_reason
               FROM research.strategy_parameters WHERE state = 'APPROVED'"""
        )


def test_refusals(place: Laboratory) -> None:
    """I5: an approval without a name or a reason is none, and what was retired does not come back."""
    first = proposed(place, 1, at(0))
    for by, reason in (("", "good"), ("Ada", " ")):
        with pytest.raises(InputError, match="say who"):
            approve_parameters(place, first, by=by, reason=reason)
    retire_parameters(place, first, by="Ada", reason="no")
    with pytest.raises(InputError, match="only PROPOSED"):
        approve_parameters(place, first, by="Ada", reason="yes")
    with pytest.raises(InputError, match="retired already"):
        retire_parameters(place, first, by="Ada", reason="no")
    with pytest.raises(InputError, match="there are no parameters"):
        approve_parameters(place, UUID(int=1), by="Ada", reason="yes")
    with place.database.autocommit() as connection, pytest.raises(psycopg.errors.RaiseException, match="cannot become"):
        connection.execute("UPDATE research.strategy_parameters SET state = 'PROPOSED', retired_at = NULL")
