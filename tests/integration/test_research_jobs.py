"""Research as Dagster runs it: a study in pieces, what it materialises, the sweep, and where executors come from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from research_home import VENUE, research_session, store
from research_market import RESEARCH, SYMBOL, random_walk

from jobs.executors import research_executor
from jobs.research import optimise, sweep_forks
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.tracking_research import backtest_windows, study_window
from triplegain_pipelines.operations.optimising import StudyPlan, begin_pieces, optimise_parameters
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import forks, strategy_parameters, studies
from triplegain_pipelines.store.database import Database

pytestmark = pytest.mark.integration

SERIES = random_walk(seed=5, bars=24 * 260)
QUESTION = {
    "strategy": "breakout",
    "symbol": SYMBOL,
    "starts_at": "2022-08-01",
    "ends_at": "2023-04-18",
    "method": "sobol",
    "trials": 6,
}
PLAN = StudyPlan(
    strategy="breakout",
    venue=VENUE,
    symbol=SYMBOL,
    timeframe=Timeframe.H1,
    start=datetime(2022, 8, 1, tzinfo=UTC),
    end=datetime(2023, 4, 18, tzinfo=UTC),
    method="sobol",
    trials=6,
    seed=0,
)


def session_in(folder: Path) -> Session:
    session = research_session(folder)
    return replace(session, settings=session.settings.model_copy(update={"research": RESEARCH}))


def run_optimise(database: Database, session: Session) -> dg.ExecuteInProcessResult:
    resources = {
        "database": dg.ResourceDefinition.hardcoded_resource(database),
        "session": dg.ResourceDefinition.hardcoded_resource(session),
    }
    return optimise.execute_in_process(
        run_config={"ops": {"plan_study": {"config": QUESTION}}}, resources=resources, raise_on_error=True
    )


def test_a_study_in_pieces_is_the_study_in_one(database: Database, tmp_path: Path) -> None:
    """I5: what an executor spreads over processes must find what one process finds, and propose it once."""
    store(database, SERIES)
    session = session_in(tmp_path)
    done = run_optimise(database, session)
    made = {one.asset_key.to_user_string(): one for one in materialised(done)}
    assert set(made) == {"studies", "forks", "strategy_parameters"}
    with database.connection() as connection:
        (study,) = studies.read_all(connection)
        (proposed,) = strategy_parameters.history(connection)
        assert forks.living(connection) == []
    assert str(made["studies"].metadata["verdict"].value) == study.conclusion["words"]  # type: ignore[index]
    assert proposed.state == "PROPOSED"
    whole = optimise_parameters(database, session.settings, PLAN, session.clock)
    assert whole.study == study
    assert whole.parameters_id == proposed.parameters_id


def test_a_study_that_is_done_is_only_told_again(database: Database, tmp_path: Path) -> None:
    """I5: a run that is launched again after everything is done must not fail for want of pieces, nor try again."""
    store(database, SERIES)
    session = session_in(tmp_path)
    run_optimise(database, session)
    again = run_optimise(database, session)
    assert again.success
    with database.connection() as connection:
        (study,) = studies.read_all(connection)
        assert all(one.attempt == 1 for one in studies.trials_of(connection, study.study_id))


def test_the_sweep_ends_forks_of_a_study_that_nobody_finishes(database: Database, tmp_path: Path) -> None:
    """I5: a study that is given up must not keep its fork and its data for ever."""
    store(database, SERIES)
    session = session_in(tmp_path)
    begin_pieces(database, session.settings, PLAN, session.clock)
    sealed = session.settings.home / "research" / "sealed"
    assert len(list(sealed.iterdir())) == 1
    later = replace(session, clock=ReplayClock(session.clock.now() + timedelta(hours=2)))
    resources = {
        "database": dg.ResourceDefinition.hardcoded_resource(database),
        "session": dg.ResourceDefinition.hardcoded_resource(later),
    }
    swept = sweep_forks.execute_in_process(resources=resources)
    (told,) = materialised(swept)
    assert told.metadata["expired"].value == 1
    assert list(sealed.iterdir()) == []
    with database.connection() as connection:
        assert forks.living(connection) == []


@pytest.mark.parametrize(
    ("wanted", "name"), [("one", "in_process"), ("processes", "multiprocess"), (None, "multiprocess")]
)
def test_the_executor_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, name: str
) -> None:
    """D5: research grows by configuration alone; the default uses the cores of this machine."""
    monkeypatch.delenv("TRIPLEGAIN_RESEARCH_EXECUTOR", raising=False)
    if wanted:
        monkeypatch.setenv("TRIPLEGAIN_RESEARCH_EXECUTOR", wanted)
    assert research_executor().name == name


@pytest.mark.parametrize(("wanted", "package"), [("celery", "dagster-celery"), ("kubernetes", "dagster-k8s")])
def test_a_missing_executor_names_its_package(monkeypatch: pytest.MonkeyPatch, wanted: str, package: str) -> None:
    """D5: a person who asks for more machines must be told what to install, not shown an import error."""
    monkeypatch.setenv("TRIPLEGAIN_RESEARCH_EXECUTOR", wanted)
    with pytest.raises(dg.DagsterInvariantViolationError, match=package):
        research_executor()


def test_a_study_is_a_window_of_mlflow(database: Database, tmp_path: Path) -> None:
    """DESIGN §3.9: what MLflow shows of a study comes from its rows alone, so that it can be made again."""
    store(database, SERIES)
    session = session_in(tmp_path)
    found = optimise_parameters(database, session.settings, PLAN, session.clock)
    with database.connection() as connection:
        stored = studies.read(connection, found.study.study_id)
    window = study_window(stored)
    shown = stored.conclusion["out_of_sample"]  # type: ignore[index]
    assert window.run.metrics["out_of_sample_trials"] == shown["trials"]
    assert [run.name for run in window.nested] == [f"fold {fold['fold']}" for fold in stored.conclusion["folds"]]  # type: ignore[index]
    assert backtest_windows([]) == []


def materialised(done: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    """What a run materialised."""
    return [
        event.step_materialization_data.materialization
        for event in done.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
