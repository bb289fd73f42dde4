"""Research: what strategies would have made, and what was found by searching. Nothing here trades."""

from datetime import datetime, timedelta

import dagster as dg
from pydantic import Field

from assets.metadata import page_address, picture, table
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database

STUDIED = [
    dg.AssetSpec(
        "studies",
        group_name="research",
        deps=["candles", "rollups"],
        description="Every study of parameters, with all of its trials. Made by the job `optimise`.",
        kinds={"postgres"},
    ),
    dg.AssetSpec(
        "forks",
        group_name="research",
        deps=["candles", "rollups"],
        description="The forks of the data that trials worked on, from their creation to their end.",
        kinds={"postgres"},
    ),
    dg.AssetSpec(
        "strategy_parameters",
        group_name="research",
        deps=["studies"],
        description="What studies proposed, and what a person approved or retired. No other parameters are used.",
        kinds={"postgres"},
    ),
]
_DAY, _YEAR = timedelta(days=1), timedelta(days=365)


class Tested(dg.Config):
    """Which strategies on which bars. Empty means all strategies, the session's symbols, and the year before now."""

    strategies: list[str] = Field(default_factory=list)
    symbols: list[str] = Field(default_factory=list)
    timeframe: Timeframe = Timeframe.H1
    starts_at: str = ""
    ends_at: str = ""

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Beginning and end of the bars, UTC."""
        end = datetime.fromisoformat(self.ends_at) if self.ends_at else floor_to(now, _DAY)
        return (datetime.fromisoformat(self.starts_at) if self.starts_at else end - _YEAR), end


@dg.asset(group_name="research", deps=["candles", "rollups", "strategy_parameters"], code_version="1", kinds={"html"})
def backtests(
    context: dg.AssetExecutionContext,
    config: Tested,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
) -> dg.MaterializeResult:
    """Each strategy on each symbol through the real risk engine, with benchmarks, doubts and a verdict: a page each."""
    from triplegain_pipelines.evaluation.backtest_picture import backtest_picture
    from triplegain_pipelines.evaluation.backtest_table import backtest_table
    from triplegain_pipelines.operations.backtests import BacktestPlan, run_backtests
    from triplegain_pipelines.strategies.registry import STRATEGIES

    start, end = config.period(session.clock.now())
    strategies, symbols = tuple(config.strategies) or tuple(STRATEGIES), tuple(config.symbols) or session.symbols
    written = run_backtests(
        database,
        session.settings,
        BacktestPlan(strategies, session.venue, symbols, config.timeframe, start, end),
        session.clock,
        lambda what, done, planned: context.log.info("%s: %d of %d done", what, done, planned),
    )
    return dg.MaterializeResult(
        metadata={
            "results": table(backtest_table(written.judged)),
            "the best Sharpe ratio": picture(backtest_picture(written.best)),
            "page": dg.MetadataValue.url(page_address(session.settings, written.page)),
        },
        data_version=dg.DataVersion(written.content),
    )


@dg.asset(group_name="research", deps=[backtests, "studies"], code_version="1", kinds={"mlflow"})
def research_runs(database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]) -> dg.MaterializeResult:
    """Backtests and studies of the last thirty days side by side in MLflow: a projection that can be made again."""
    from triplegain_pipelines.operations.research_tracking import track_research

    projected = track_research(database, session.settings, session.clock.now() - 30 * _DAY)
    address = f"http://127.0.0.1:{session.settings.environment.mlflow_port}/#/experiments"
    return dg.MaterializeResult(
        metadata={
            "in MLflow": table(
                [
                    {
                        "run": name,
                        "runs in it": len(one.nested),
                        "address": f"{address}/{one.experiment_id}/runs/{one.run_id}",
                    }
                    for name, one in projected.items()
                ]
            )
        }
    )


@dg.asset(
    group_name="research",
    deps=["rollups", "regime_signals", "strategy_parameters"],
    code_version="1",
    kinds={"postgres"},
)
def strategy_allocation(
    database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """How much of the account each strategy is given, by regime and by results, and why. Nothing trades by it yet."""
    from triplegain_pipelines.operations.strategy_allocation import allocate_strategies

    made = allocate_strategies(database, session)
    rows = [
        {"strategy": name, "weight": f"{weight:.1%}", "on": made.active[name]} for name, weight in made.weights.items()
    ]
    return dg.MaterializeResult(
        metadata={
            "weights": table(rows),
            "cash": f"{1 - sum(made.weights.values()):.1%}",
            "why": dg.MetadataValue.md("\n\n".join(made.explanation)),
            "turnover": made.turnover,
        },
        data_version=dg.DataVersion(content_hash([made.as_of, made.weights])),
    )
