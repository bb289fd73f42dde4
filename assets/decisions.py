"""Forecasts of the six seats, what came of them, and the consensus decisions of an account."""

from collections import Counter
from collections.abc import Iterable, Sequence

import dagster as dg

from assets.checks import settled_result, settled_spec
from assets.market import candles
from assets.metadata import plot, table
from assets.partitions import DAYS, ONE_RUN, utc_range
from assets.signals import regime_signals, sentiment_signals, technical_signals
from triplegain_pipelines.agents.consensus import CONSENSUS_VERSION
from triplegain_pipelines.agents.prompt import template_hash
from triplegain_pipelines.agents.seats import SEATS_VERSION
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.decisions import Action, ForecastStatus
from triplegain_pipelines.domain.shadows import ShadowMethod, ShadowRecord
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store.database import Database


@dg.asset(
    group_name="decisions",
    deps=["snapshots", technical_signals, regime_signals, sentiment_signals],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    # A new prompt, schema or way of asking is a new series of forecasts.
    code_version=f"{SEATS_VERSION}+{template_hash()[:12]}",
    kinds={"postgres"},
)
def seat_forecasts(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """One forecast of each of six seats for each snapshot. A failed seat abstains with its reason; it never holds."""
    from triplegain_pipelines.operations.deliberation import ask_about

    forecasts = ask_about(database, session, *utc_range(context))
    seats: dict[str, Counter[str]] = {}
    for one in forecasts:
        answered = one.status is ForecastStatus.ANSWERED
        seats.setdefault(f"{one.seat} ({one.model})", Counter())[str(one.action if answered else one.reason_code)] += 1
    rows = [
        {"seat": seat, **dict.fromkeys(("BUY", "SELL", "HOLD", "CLOSE"), 0), **counts} for seat, counts in seats.items()
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(forecasts),
            "baseline seats": session.baseline_seats,
            "abstentions": sum(one.status is ForecastStatus.ABSTAINED for one in forecasts),
            "cost in USD": float(sum(one.cost_usd for one in forecasts)),
            "seats": table(rows),
        },
        data_version=dg.DataVersion(content_hash([str(one.forecast_id) for one in forecasts])),
    )


@dg.asset(
    group_name="decisions",
    deps=[candles, "snapshots"],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version="2",
    kinds={"postgres", "polars"},
    check_specs=[settled_spec("forecast_outcomes")],
)
def forecast_outcomes(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], session: dg.ResourceParam[Session]
) -> dg.MaterializeResult:
    """What came of each forecast, by a rule fixed in advance: in at the next open, out at the horizon."""
    from triplegain_pipelines.market.digest import frame_digest
    from triplegain_pipelines.operations.deliberation import settle_outcomes
    from triplegain_pipelines.operations.settlement import examine_settlement

    outcomes = settle_outcomes(database, session, *utc_range(context))
    settlement = examine_settlement(database, session, *utc_range(context))
    ups = outcomes["went_up"].mean() if outcomes.height else None
    return dg.MaterializeResult(
        metadata={"dagster/row_count": outcomes.height, "share that went up": str(ups)},
        check_results=[settled_result(settlement)],
        data_version=dg.DataVersion(frame_digest(outcomes.drop("went_up"))),
    )


@dg.asset(
    group_name="decisions",
    deps=["snapshots", regime_signals, seat_forecasts, forecast_outcomes],
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
    code_version=CONSENSUS_VERSION,
    kinds={"postgres"},
)
def consensus_decisions(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    session: dg.ResourceParam[Session],
    desk: dg.ResourceParam[Desk],
) -> dg.MaterializeResult:
    """The consensus on each snapshot. Those that are still valid go to the outbox, except in a replay."""
    from triplegain_pipelines.operations.deliberation import decide_on, hand_over

    made = decide_on(database, session, *utc_range(context))
    if not session.replay:
        hand_over(desk, session, made.decisions)
    actions = Counter((one.symbol, one.action, one.reason_code) for one in made.decisions)
    rows = [{"symbol": s, "action": a, "reason": r, "count": n} for (s, a, r), n in sorted(actions.items())]
    shadows = {one.decision_id: one for one in made.shadows}
    odds = {symbol: [one.p_up for one in made.decisions if one.symbol == symbol] for symbol in session.symbols}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(made.decisions),
            "kept although today's code or data would decide otherwise": made.differing,
            "actions": table(rows),
            "p(up)": plot(odds),
            "agreement": _mean(one.agreement for one in made.decisions),
            "unanimous": sum(one.unanimous for one in made.decisions),
            "effective voters": str(made.shadows[-1].effective_voters) if made.shadows else "not known",
            "other ways of pooling (not acted on)": table(_shadow_rows(made.shadows)),
            "newest in words": dg.MetadataValue.md(
                "\n\n".join(
                    f"{one.explanation}\n{shadows[one.decision_id].words if one.decision_id in shadows else ''}"
                    for one in made.decisions[-4:]
                )
            ),
        },
        data_version=dg.DataVersion(content_hash([(str(one.decision_id), one.p_up) for one in made.decisions])),
    )


def _shadow_rows(shadows: Sequence[ShadowRecord]) -> list[dict[str, object]]:
    """One row for each way of pooling: how often it would have done what, and its mean chance of a rise."""
    rows: list[dict[str, object]] = []
    for method in ShadowMethod:
        forecasts = [one.forecasts[method] for one in shadows]
        chances = [one.p_up for one in forecasts if one.p_up is not None]
        counts = Counter(one.action.value for one in forecasts)
        rows.append(
            {
                "method": method.value,
                **{action.value: counts[action.value] for action in Action},
                "forecasts": len(chances),
                "mean p(up)": _mean(chances),
            }
        )
    return rows


def _mean(values: Iterable[float]) -> str:
    known = list(values)
    return f"{sum(known) / len(known):.3f}" if known else "none"
