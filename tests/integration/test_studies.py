"""Studies: in pieces, in any order, twice; what they count, and what nobody can rewrite."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from research_market import RESEARCH, laboratory, planned, random_walk
from study_checks import BARS, SERIES, lives, pieces, shown, trials, undisturbed

from triplegain_pipelines.backtest.bench import Batch
from triplegain_pipelines.backtest.forks import Laboratory
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.backtest.study import begin_study, run_batches
from triplegain_pipelines.backtest.verdict import conclude
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.operations.studies import bar_of, propose_parameters, run_study
from triplegain_pipelines.store import studies
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.studies import Study

pytestmark = pytest.mark.integration


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Laboratory:
    return laboratory(database, tmp_path)


@pytest.mark.parametrize("method", list(Method))
def test_a_study_runs_in_pieces_and_repeats_nothing(place: Laboratory, method: Method) -> None:
    """I5: Dagster maps batches over processes and may run one twice; what is stored must not be run again."""
    study = planned(SERIES, method=method)
    study_id = begin_study(place, study, SERIES)
    planned_pieces = pieces(place, study_id)
    with pytest.raises(InputError, match="run its batches first"):
        conclude(place, study_id, bar_of(RESEARCH))
    for batch in reversed(planned_pieces):
        run_batches(place, study_id, [batch], portion=RESEARCH.portion_trials)
    before = trials(place, study_id)
    assert len(before) == len(study.folds) * study.trials_per_fold
    assert run_batches(place, study_id, planned_pieces, portion=RESEARCH.portion_trials) == 0
    assert pieces(place, study_id) == []
    assert trials(place, study_id) == before
    assert all(one.attempt == 1 and one.state == "DONE" for one in before)
    concluded = conclude(place, study_id, bar_of(RESEARCH))
    assert conclude(place, study_id, bar_of(RESEARCH)) == concluded
    assert concluded.conclusion is not None
    for fold in concluded.conclusion["folds"]:
        assert {"in_sample", "out_of_sample"} <= set(fold)
    assert (shown(place, study_id), concluded.conclusion) == undisturbed(place, study)


def test_pieces_run_side_by_side(place: Laboratory) -> None:
    """I5: two workers on one study must neither wait for ever for each other nor mix up their trials."""
    study = planned(SERIES)
    study_id = begin_study(place, study, SERIES)
    planned_pieces = pieces(place, study_id)
    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(lambda one: run_batches(place, study_id, [one], portion=4), planned_pieces))
    assert sum(ran) == len(study.folds) * study.trials_per_fold
    concluded = conclude(place, study_id, bar_of(RESEARCH))
    assert (shown(place, study_id), concluded.conclusion) == undisturbed(place, study)


def test_a_search_that_learns_goes_on_in_other_portions(place: Laboratory) -> None:
    """I5: who changes the size of a portion between two runs must not have what is stored proposed anew."""
    study = planned(SERIES, method=Method.TPE)
    study_id = begin_study(place, study, SERIES)
    first = pieces(place, study_id)[0]
    run_batches(place, study_id, [Batch(first.fold, 0, 6)], portion=3)
    before = trials(place, study_id)
    assert run_batches(place, study_id, [first], portion=4) == study.trials_per_fold - 6
    after = trials(place, study_id)
    assert after[:6] == before
    parameters = [tuple(one.parameters.items()) for one in after]
    assert len(set(parameters)) == study.trials_per_fold


def test_each_trial_has_a_fork_whose_life_is_written_down(place: Laboratory) -> None:
    """I5: forks are visible through their life: created, used, destroyed."""
    study = planned(SERIES)
    run_study(place, RESEARCH, study, SERIES)
    own = len(study.folds) * study.trials_per_fold
    assert lives(place, study.study_id) == {"DESTROYED": own + 1}  # the study's own holds the data
    with place.database.connection() as connection:
        rows = connection.execute(
            """SELECT f.used_at >= f.created_at AND f.destroyed_at >= f.used_at, t.fork_id IS NOT NULL
               FROM research.forks f LEFT JOIN research.trials t USING (trial_id) WHERE f.trial_id IS NOT NULL"""
        ).fetchall()
    assert rows == [(True, True)] * own
    assert len({one.fork_id for one in trials(place, study.study_id)}) == own


def test_every_trial_ever_made_counts(place: Laboratory) -> None:
    """I5: the store counts the trials of other studies of the market too, or one would search until luck strikes."""
    first = planned(SERIES, method=Method.GRID)
    run_study(place, RESEARCH, first, SERIES)
    longer = random_walk(3, BARS + 24)
    second = planned(longer, method=Method.SOBOL)  # a day more of data is no new beginning
    elsewhere = planned(SERIES, venue="another market")
    for study, series in ((second, longer), (elsewhere, SERIES)):
        run_study(place, RESEARCH, study, series)
    with place.database.connection() as connection:
        counted = {study.study_id: studies.ever_tried(connection, study) for study in (first, second, elsewhere)}
        concluded = studies.read(connection, second.study_id).conclusion
    assert counted[elsewhere.study_id].trials == elsewhere.trials_per_fold
    assert counted[second.study_id].trials == first.trials_per_fold + second.trials_per_fold
    assert counted[first.study_id] == counted[second.study_id]
    assert sorted(counted[elsewhere.study_id].scores) == pytest.approx(scores_by_hand(place, elsewhere), abs=1e-12)
    assert concluded is not None
    assert concluded["out_of_sample"]["trials"] == counted[second.study_id].trials


def scores_by_hand(place: Laboratory, study: Study) -> list[float]:
    """Of each set of parameters: its daily Sharpe ratios weighted by days, times the root of all its days."""
    by_place: dict[int, list[tuple[float, int]]] = {}
    for one in trials(place, study.study_id):
        if one.test and one.test["daily_sharpe"] is not None:
            by_place.setdefault(one.place, []).append((one.test["daily_sharpe"], one.test["days"]))
    return sorted(sum(s * d for s, d in found) / sum(d for _, d in found) ** 0.5 for found in by_place.values())


def test_what_is_stored_cannot_be_rewritten(place: Laboratory) -> None:
    """I5: whoever could take back a trial could take back that it was tried."""
    study = planned(SERIES)
    concluded = run_study(place, RESEARCH, study, SERIES)
    assert propose_parameters(place, concluded) == propose_parameters(place, concluded)
    for statement in (
        "DELETE FROM research.trials",
        "DELETE FROM research.studies",
        "DELETE FROM research.forks",
        "UPDATE research.trials SET train = '{}'",
        "UPDATE research.studies SET verdict = 'significant'",
        "UPDATE research.forks SET state = 'CREATED', destroyed_at = NULL",
        "UPDATE research.strategy_parameters SET parameters = '{}'",
    ):
        with place.database.autocommit() as connection, pytest.raises(psycopg.errors.RaiseException):
            connection.execute(statement.encode())


def test_bars_that_are_not_the_study_s(place: Laboratory) -> None:
    """I5: a study of one market with the bars of another would be believed."""
    with pytest.raises(InputError, match="plan it again"):
        begin_study(place, planned(SERIES), random_walk(4, BARS))
