"""The code location: the one place where assets, jobs, sensors and resources come together."""

# ruff: noqa: E402

import gc
import os
from collections.abc import Mapping
from typing import Any

# Before anything can import litellm: without a network its price-map thread hangs other imports.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
# Each run loads this module in a new interpreter. None of it is garbage; to look for some takes a sixth of the time.
gc.disable()

import dagster as dg

from assets import decisions, indicators, leaderboard, market, news, portfolio, reports, research, risk, signals
from jobs import decisions as decision_jobs
from jobs import execution as execution_jobs
from jobs import market as market_jobs
from jobs import rebalancing as rebalancing_jobs
from jobs import replay_execution as replay_jobs
from jobs import reports as report_jobs
from jobs import research as research_jobs
from resources.database import DatabaseResource
from resources.exchange import DeskResource, FeedResource
from resources.session import SessionResource
from sensors import breakers, budget, execution
from triplegain_pipelines.operations.logs import protect_logs

_ASSET_MODULES = (market, news, indicators, signals, risk, decisions, reports, leaderboard, research)


def build_defs(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """A fresh code location.

    Args:
        resources: replace the resources of these names; tests put their own database or clock here.
    """
    session = SessionResource()
    database = DatabaseResource()
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules(_ASSET_MODULES), *market.STREAMED, *portfolio.BOOKS, *research.STUDIED],
        jobs=[
            market_jobs.market_data,
            market_jobs.repair_market_data,
            market_jobs.expire_market_data,
            decision_jobs.decision_cycle,
            decision_jobs.decision_history,
            execution_jobs.execution,
            rebalancing_jobs.rebalance,
            replay_jobs.replay_execution,
            report_jobs.reports,
            research_jobs.backtest,
            research_jobs.optimise,
            research_jobs.sweep_forks,
            research_jobs.allocation,
        ],
        schedules=[
            market_jobs.market_data_schedule,
            market_jobs.repair_schedule,
            market_jobs.expire_schedule,
            decision_jobs.decision_schedule,
            rebalancing_jobs.rebalance_schedule,
            report_jobs.reports_schedule,
            research_jobs.sweep_schedule,
            research_jobs.allocation_schedule,
        ],
        sensors=[execution.execution_sensor, breakers.breaker_sensor, budget.budget_sensor],
        resources={
            "database": database,
            "session": session,
            "feed": FeedResource(session=session),
            "desk": DeskResource(session=session, database=database),
            **(resources or {}),
        },
        executor=dg.in_process_executor,
    )


protect_logs()
defs = build_defs()
gc.set_threshold(20_000, 10, 10)  # a run goes on to import libraries that are no garbage either
gc.enable()
