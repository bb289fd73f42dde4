"""Research as jobs: backtests of strategies, studies of parameters over the cores of a machine or more, and a sweep."""

from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg

from assets.metadata import table
from jobs.executors import research_executor
from jobs.tags import KIND, run_tags
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import settings
from triplegain_pipelines.store.database import Database

# Of each kind one run goes on at a time: nightly reports do not wait for what takes hours.
_RESEARCH, _STUDY = {KIND: "research"}, {KIND: "study"}

backtest = dg.define_asset_job(
    "backtest",
    selection=dg.AssetSelection.assets("backtests", "research_runs"),
    description="Strategies over stored history, with benchmarks, doubts and a verdict; in MLflow side by side.",
    executor_def=dg.in_process_executor,
    tags={**_STUDY, "dagster/max_runtime": "21600"},
)

allocation = dg.define_asset_job(
    "allocation",
    selection=dg.AssetSelection.assets("strategy_allocation"),
    description="Move the allocation between the strategies, once a day, and say why.",
    executor_def=dg.in_process_executor,
    tags=_RESEARCH,
)


@dg.schedule(job=allocation, cron_schedule="35 0 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def allocation_schedule() -> dg.RunRequest:
    """Every night after the reports, when the day's returns are known."""
    return dg.RunRequest(tags=run_tags("research", settings().profile.account))


class Searched(dg.Config):
    """Which strategy on which bars, searched how. Days are UTC, the last one left out."""

    strategy: str
    symbol: str
    starts_at: str
    ends_at: str
    timeframe: Timeframe = Timeframe.H1
    method: str = "grid"
    trials: int = 200
    seed: int = 0


@dg.op(out={"study": dg.Out(str), "piece": dg.DynamicOut(dict)}, tags=_STUDY)
def plan_study(
    config: Searched, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> Iterator[dg.Output[str] | dg.DynamicOutput[dict[str, object]]]:
    """Seal the data, write the study down, and hand out the pieces in which something is left to do."""
    from triplegain_pipelines.operations.optimising import StudyPlan, begin_pieces

    plan = StudyPlan(
        strategy=config.strategy,
        venue=session.venue,
        symbol=config.symbol,
        timeframe=config.timeframe,
        start=datetime.fromisoformat(config.starts_at).replace(tzinfo=UTC),
        end=datetime.fromisoformat(config.ends_at).replace(tzinfo=UTC),
        method=config.method,
        trials=config.trials,
        seed=config.seed,
    )
    study_id, pieces = begin_pieces(database, session.settings, plan, session.clock)
    yield dg.Output(str(study_id), "study")
    for batches in pieces:
        piece = {"study": str(study_id), "pieces": len(pieces), "batches": [astuple(batch) for batch in batches]}
        yield dg.DynamicOutput(piece, batches[0].key, "piece")


@dg.op(tags=_STUDY)
def run_trials(
    context: dg.OpExecutionContext,
    piece: dict,  # type: ignore[type-arg]
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
) -> int:
    """Run what is left of one piece, each trial on a fork of its own; how many it ran."""
    from triplegain_pipelines.backtest.bench import Batch
    from triplegain_pipelines.operations.optimising import run_piece

    batches = [Batch(*batch) for batch in piece["batches"]]
    try:
        ran = run_piece(database, session.settings, UUID(piece["study"]), batches, piece["pieces"], session.clock)
    except UnavailableError as error:  # what is stored is not run again, so asking once more costs nothing
        raise dg.RetryRequested(max_retries=5, seconds_to_wait=15) from error
    context.add_output_metadata({"trials": ran})
    return ran


@dg.op(tags=_STUDY)
def conclude_study(
    context: dg.OpExecutionContext,
    study: str,
    ran: list,  # type: ignore[type-arg]
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
) -> None:
    """Judge the study, propose what it found, and tell what became of its forks."""
    from triplegain_pipelines.operations.optimising import conclude_pieces, fork_lives, study_table

    found = conclude_pieces(database, session.settings, UUID(study), session.clock)
    context.log.info("%d trials were run in %d pieces", sum(ran), len(ran))
    shown = {"verdict": found.words, "walk forward": table(study_table(found.study)), "trials now": sum(ran)}
    context.log_event(dg.AssetMaterialization("studies", metadata=shown))
    context.log_event(dg.AssetMaterialization("forks", metadata={"life": table(fork_lives(database))}))
    context.log_event(
        dg.AssetMaterialization(
            "strategy_parameters", metadata={"id": str(found.parameters_id), "proposed": table([found.proposed])}
        )
    )


@dg.job(
    executor_def=research_executor(),
    description="Search for better parameters by a walk forward; each trial on a fork of the data.",
    tags={**_STUDY, "dagster/max_runtime": "86400"},
)
def optimise() -> None:
    """Plan, run the pieces wherever there is room, conclude. A run that was killed is launched again and goes on."""
    study, pieces = plan_study()
    conclude_study(study, pieces.map(run_trials).collect())


@dg.op(tags=_RESEARCH)
def end_old_forks(
    context: dg.OpExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> None:
    """End forks whose time has passed or whose worker is gone, and remove data of which no fork lives."""
    from triplegain_pipelines.operations.optimising import fork_lives, sweep

    swept = sweep(database, session.settings, session.clock)
    context.log_event(
        dg.AssetMaterialization(
            "forks",
            metadata={
                "expired": swept.expired,
                "left behind by a dead worker": swept.left_behind,
                "sealed data removed": len(swept.removed),
                "life": table(fork_lives(database)),
            },
        )
    )


@dg.job(executor_def=dg.in_process_executor, description="End forks whose time has passed, and what they left behind.")
def sweep_forks() -> None:
    """One op; rows stay, for every trial ever made counts."""
    end_old_forks()


@dg.schedule(job=sweep_forks, cron_schedule="25 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def sweep_schedule() -> dg.RunRequest:
    """Every hour, away from decisions and reports."""
    return dg.RunRequest(tags=run_tags("research", settings().profile.account))
