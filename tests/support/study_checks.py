"""What tests of studies ask of a laboratory, and the study that nothing disturbed."""

from uuid import UUID

from research_market import RESEARCH, planned, random_walk

from triplegain_pipelines.backtest.bench import Batch
from triplegain_pipelines.backtest.forks import Laboratory, sweep_forks
from triplegain_pipelines.backtest.search import Method
from triplegain_pipelines.backtest.study import plan_batches
from triplegain_pipelines.operations.studies import run_study
from triplegain_pipelines.store import forks, studies
from triplegain_pipelines.store.studies import StoredTrial, Study

BARS = 24 * 230  # two folds with a test, and one without
SERIES = random_walk(3, BARS)


def pieces(place: Laboratory, study_id: UUID) -> list[Batch]:
    """The batches that are left."""
    return plan_batches(place, study_id, size=RESEARCH.batch_trials)


def trials(place: Laboratory, study_id: UUID) -> list[StoredTrial]:
    """The trials that are stored."""
    with place.database.connection() as connection:
        return studies.trials_of(connection, study_id)


def shown(place: Laboratory, study_id: UUID) -> list[object]:
    """What a study's trials say, without when and at which attempt."""
    return [
        (one.fold, one.place, one.parameters, one.train, one.test, one.train_trades_hash, one.test_trades_hash)
        for one in trials(place, study_id)
    ]


def lives(place: Laboratory, study_id: UUID) -> dict[str, int]:
    """How many forks are in each state."""
    with place.database.connection() as connection:
        return forks.lives_by_state(connection, study_id)


def undisturbed(place: Laboratory, disturbed: Study) -> tuple[list[object], object]:
    """The same study on a market of another name, where nothing else was ever tried."""
    method, trials_of_each = Method(disturbed.method), disturbed.trials_per_fold
    calm = planned(SERIES, venue="calm", method=method, trials=trials_of_each)
    concluded = run_study(place, RESEARCH, calm, SERIES)
    return shown(place, calm.study_id), concluded.conclusion


def require_same_end(place: Laboratory, study: Study) -> None:
    """The study is gone on with, ends as one that nothing disturbed, and neither forks, bars nor journals stay."""
    concluded = run_study(place, RESEARCH, study, SERIES)
    assert (shown(place, study.study_id), concluded.conclusion) == undisturbed(place, study)
    assert set(lives(place, study.study_id)) == {"DESTROYED"}
    sweep_forks(place)
    assert not list(place.folder.iterdir())
    assert not list(place.all_journals.iterdir())
