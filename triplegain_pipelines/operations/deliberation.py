"""From stored snapshots and signals to forecasts, outcomes and decisions of a range of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import polars as pl

from triplegain_pipelines.agents.answer import FIRST_HORIZON_HOURS, SECOND_HORIZON_HOURS
from triplegain_pipelines.agents.council import Hearing, deliberate, hear_seats, settlements_of
from triplegain_pipelines.agents.headline_tones import sentiment_version
from triplegain_pipelines.agents.prompt import render_prompt
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.seats import ForecastCall, plan_calls
from triplegain_pipelines.agents.shadow_council import Case, shadow_decisions
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.shadows import ShadowRecord
from triplegain_pipelines.evaluation.outcomes import LONGEST_WAIT, settle
from triplegain_pipelines.execution.account import queue_decisions
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.operations.watch import open_session_account
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decisions, read_pooled, save_decisions
from triplegain_pipelines.store.outcomes import read_outcomes, save_outcomes
from triplegain_pipelines.store.series import decision_candles
from triplegain_pipelines.store.shadow_pools import read_panels, read_shadows, save_shadows
from triplegain_pipelines.store.signals import read_signals
from triplegain_pipelines.store.snapshots import read_snapshots

_HORIZONS = (FIRST_HORIZON_HOURS, SECOND_HORIZON_HOURS)


@dataclass(frozen=True, slots=True)
class Deliberation:
    """The decisions of a range with their shadows, and how many of them differ from what was decided there before.

    A decision is evidence: it stays as it was, also where late data or new code would decide otherwise today.
    """

    decisions: list[Decision]
    shadows: list[ShadowRecord]
    differing: int


def ask_about(database: Database, session: Session, start: datetime, end: datetime) -> list[SeatForecast]:
    """Six forecasts for each snapshot of [start, end), asked for unless they are stored."""
    calls = [call for _, _, calls in _questions(database, session, start, end) for call in calls]
    return hear_seats(database, calls, session.settings.models)


def settle_outcomes(database: Database, session: Session, start: datetime, end: datetime) -> pl.DataFrame:
    """What came of the forecasts of [start, end), and of those before whose longest horizon reaches into it."""
    earliest = start - timedelta(hours=max(_HORIZONS)) - LONGEST_WAIT
    settled = []
    for symbol in session.symbols:
        with database.connection() as connection:
            times = [one.as_of for one in read_snapshots(connection, session.venue, [symbol], earliest, end)]
            candles = decision_candles(connection, session.venue, symbol, earliest, end)
            grace = session.settings.profile.decisions.grace
            found = settle(
                candles,
                symbol,
                times,
                horizons=_HORIZONS,
                now=session.clock.now(),
                grace=grace,
                round_trip_cost=session.round_trip_cost,
            )
            save_outcomes(connection, session.venue, found)
        settled.append(found)
    return pl.concat(settled)


def decide_on(database: Database, session: Session, start: datetime, end: datetime) -> Deliberation:
    """The consensus on each snapshot of [start, end), from forecasts that are stored, with its shadows beside it."""
    questions = _questions(database, session, start, end)
    calls = [call for _, _, calls in questions for call in calls]
    heard = iter(hear_seats(database, calls, session.settings.models))
    answers = [tuple(islice(heard, len(calls))) for _, _, calls in questions]
    hearings = [
        Hearing(snapshot, signals.regime, said) for (snapshot, signals, _), said in zip(questions, answers, strict=True)
    ]
    models, settings = session.settings.models, session.settings.profile.decisions
    with database.connection() as connection:
        outcomes = read_outcomes(connection, session.venue, session.symbols, end)
        decisions = deliberate(
            account=session.account,
            hearings=hearings,
            history=read_pooled(connection, session.account, start),
            outcomes=outcomes,
            models=models,
            decisions=settings,
        )
        differing = save_decisions(connection, decisions)
        made = {one.snapshot_id: one for one in decisions}
        shadows = shadow_decisions(
            cases=[
                Case(made[snapshot.snapshot_id], snapshot, signals, said)
                for (snapshot, signals, _), said in zip(questions, answers, strict=True)
            ],
            history=read_panels(connection, session.account, start),
            settlements=settlements_of(outcomes),
            pool=models.pool,
            interval=settings.interval,
        )
        save_shadows(connection, shadows)
        # What was decided first stands, and is what is acted on.
        stored = read_decisions(connection, session.account, start, end)
        return Deliberation(stored, read_shadows(connection, session.account, start, end), differing)


def hand_over(desk: Desk, session: Session, decisions: Sequence[Decision]) -> None:
    """Put the decisions that are still valid into the outbox of the account, which is opened if it is not open."""
    open_session_account(desk, session)
    queue_decisions(desk, [one for one in decisions if one.valid_until >= session.clock.now()])


def _questions(
    database: Database, session: Session, start: datetime, end: datetime
) -> list[tuple[Snapshot, Signals, list[ForecastCall]]]:
    with database.connection() as connection:
        snapshots = read_snapshots(connection, session.venue, session.symbols, start, end)
        signals = read_signals(
            connection,
            [snapshot.snapshot_id for snapshot in snapshots],
            technical=TECHNICAL_VERSION,
            regime=REGIME_VERSION,
            sentiment=sentiment_version(session.settings.models),
        )
    missing = [snapshot for snapshot in snapshots if snapshot.snapshot_id not in signals]
    if missing:
        msg = f"{len(missing)} snapshots from {missing[0].as_of:%Y-%m-%d %H:%M} on have no signals of this version; "
        raise DataError(msg + "materialise technical_signals, regime_signals and sentiment_signals of these days")
    enabled = session.settings.environment.llm_enabled
    models = session.settings.models
    return [
        (
            snapshot,
            signals[snapshot.snapshot_id],
            plan_calls(
                snapshot.snapshot_id,
                render_prompt(snapshot, signals[snapshot.snapshot_id]),
                models,
                llm_enabled=enabled,
            ),
        )
        for snapshot in snapshots
    ]
