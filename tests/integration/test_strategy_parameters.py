"""The registry of parameters: proposed with evidence, used after somebody approved, never forgotten."""

from datetime import datetime
from pathlib import Path
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
KEY = ("breakout", "BTC/USDT", "1h")
EVIDENCE = {"verdict": "not significant", "out_of_sample": {"deflated_sharpe": 0.4}}


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Laboratory:
    return laboratory(database, tmp_path)


def proposed(place: Laboratory, seed: int, now: datetime) -> UUID:
    """Parameters that a study proposed."""
    study_id = begin_study(place, planned(SERIES, seed=seed), SERIES)
    with place.database.connection() as connection:
        return strategy_parameters.propose(connection, study_id, {"entry": 40 + seed}, EVIDENCE, now)


def in_use(place: Laboratory) -> StoredParameters | None:
    with place.database.connection() as connection:
        return strategy_parameters.approved(connection, *KEY)


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
