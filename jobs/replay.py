"""A replay: history worked through by the same assets, risk engine and order path as paper trading.

Four runs, one after the other, on a persistent instance, so that a person finds them in the Dagster page.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg

from jobs.tags import QUIET, run_tags
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.errors import PermanentError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.operations.replay_plan import ReplayPlan

Tell = Callable[[str, float], None]

_REPORTS = ("validation_report", "data_quality_report")
_COMPARISONS = ("leaderboard", "model_comparison")


def run_replay(defs: dg.Definitions, instance: dg.DagsterInstance, plan: ReplayPlan, tell: Tell) -> None:
    """Run the four jobs of a replay; each may be run again at any time and adds nothing twice.

    Args:
        defs: the code location.
        instance: where the runs are recorded.
        plan: what to replay.
        tell: called with the name of each finished step and its seconds.

    Raises:
        PermanentError: a run failed.
    """
    window = {"config": {"starts_at": plan.start.isoformat(), "ends_at": plan.end.isoformat()}}
    _run(defs, instance, plan, tell, "market_data", first=plan.history_from)
    _run(defs, instance, plan, tell, "decision_history", first=plan.first)
    _run(defs, instance, plan, tell, "replay_execution", ops={"walk_history": window})
    reports = _REPORTS + (_COMPARISONS if plan.compares else ())
    _run(defs, instance, plan, tell, "reports", ops=dict.fromkeys(reports, window), assets=("trade_journal", *reports))


def _run(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    plan: ReplayPlan,
    tell: Tell,
    job: str,
    *,
    first: date | None = None,
    ops: Mapping[str, Any] | None = None,
    assets: Sequence[str] | None = None,
) -> None:
    session = {"account": plan.account, "venue": plan.venue, "symbols": list(plan.symbols), "replay": True}
    tags = dict(run_tags("replay", plan.account, "replay"))
    if first is not None:
        tags |= {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(plan.last)}
    # A run is new each time, so its id holds the time.
    run_id = str(deterministic_id("run", plan.account, job, SystemClock().now()))
    with _watched(instance, run_id, tell):
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=tags,
            asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
            run_config={"resources": {"session": {"config": session}}, "ops": ops or {}, "loggers": QUIET},
            raise_on_error=False,
        )
    if not result.success:
        failures = [event for event in result.all_events if event.is_failure]
        cause = failures[0].message if failures else "no step says why"
        error = next((event.event_specific_data.error for event in failures if event.is_step_failure), None)  # type: ignore[union-attr]
        msg = f"the run {result.run_id} of {job} failed: {(error.cause or error).message.strip() if error else cause}"
        raise PermanentError(msg)


@contextmanager
def _watched(instance: dg.DagsterInstance, run_id: str, tell: Tell) -> Iterator[None]:
    """Each step of the run is told when it succeeds."""
    told: set[str] = set()

    def on_event(entry: dg.EventLogEntry, _cursor: str) -> None:
        event = entry.dagster_event
        if event is not None and event.is_step_success and event.step_key and event.step_key not in told:
            told.add(event.step_key)
            tell(event.step_key, event.step_success_data.duration_ms / 1000)

    instance.watch_event_logs(run_id, None, on_event)
    try:
        yield
    finally:
        instance.end_watch_event_logs(run_id, on_event)
        for entry in instance.all_logs(run_id):
            on_event(entry, "")
