"""The shadow pools beside a run of decisions, each with what was known at its time.

How they pool is in `shadow_pools`, what they may have learnt in `track_record`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

import numpy as np

from triplegain_pipelines.agents.baseline_forecaster import FEATURES_VERSION, features_of, forecast_log_odds
from triplegain_pipelines.agents.consensus import side_of, to_chance
from triplegain_pipelines.agents.prompt import template_hash
from triplegain_pipelines.agents.shadow_pools import SHADOWS_VERSION, Voice, pool_voices
from triplegain_pipelines.agents.track_record import Settlements, TrackRecord
from triplegain_pipelines.agents.voters import voters_in_words
from triplegain_pipelines.domain.decisions import Action, Decision, ForecastStatus
from triplegain_pipelines.domain.evidence import Signals, Snapshot
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.shadows import Panel, ShadowForecast, ShadowMethod, ShadowRecord
from triplegain_pipelines.settings.models import PoolSettings

VERSION = f"{SHADOWS_VERSION}+{FEATURES_VERSION}"
"""A change of a method or of the baseline's features begins a new series."""

_SEAT_METHODS: tuple[ShadowMethod, ...] = tuple(
    method for method in ShadowMethod if method is not ShadowMethod.BASELINE_FORECASTER
)


@dataclass(frozen=True, slots=True)
class Case:
    """A decision and exactly what it was made of."""

    decision: Decision
    snapshot: Snapshot
    signals: Signals
    forecasts: tuple[SeatForecast, ...]


def shadow_decisions(
    *,
    cases: Iterable[Case],
    history: Iterable[Panel],
    settlements: Settlements,
    pool: PoolSettings,
    interval: timedelta,
) -> list[ShadowRecord]:
    """The shadows of each case, in order of time and symbol.

    Args:
        cases: in any order, all of one account.
        history: the account's panels from before the first case.
        settlements: of whatever has settled by now; a shadow knows those of before its decision only.
        pool: as the consensus has it.
        interval: between two decisions about one symbol.
    """
    record = TrackRecord(history, settlements, interval, pool, FEATURES_VERSION)
    made: list[ShadowRecord] = []
    in_order = sorted(cases, key=lambda one: (one.snapshot.as_of, one.snapshot.symbol))
    for as_of, session in groupby(in_order, key=lambda one: one.snapshot.as_of):
        record.settle(as_of)
        shadows = [_shadow(case, record, pool) for case in session]
        for one in shadows:
            record.add(one.panel)
        made.extend(shadows)
    return made


def _shadow(case: Case, record: TrackRecord, pool: PoolSettings) -> ShadowRecord:
    panel, decision = panel_of(case), case.decision
    independence = record.independence(panel.voters)
    seats = [voter.partition(" ")[0] for voter in panel.voters]
    settled = record.settled(panel.voters)
    return ShadowRecord(
        decision_id=decision.decision_id,
        forecast_ids=decision.forecast_ids,
        code_version=VERSION,
        panel=panel,
        unanimous=decision.unanimous,
        agreement=decision.agreement,
        disagreement=decision.disagreement,
        settled=settled,
        effective_voters=independence.effective,
        error_correlation=tuple(None if np.isnan(one) else one for one in independence.correlation.ravel().tolist()),
        words=voters_in_words(seats, independence.correlation, independence.effective, settled),
        forecasts=_forecasts(case, panel, record, pool),
    )


def panel_of(case: Case) -> Panel:
    """What was said, in the order of the seats' names."""
    seats = sorted(case.forecasts, key=lambda one: one.seat)
    return Panel(
        symbol=case.snapshot.symbol,
        as_of=case.snapshot.as_of,
        features_version=FEATURES_VERSION,
        voters=tuple(f"{one.seat} {one.model} {template_hash()[:12]}" for one in seats),
        p_up=tuple(one.p_up_4h if one.status is ForecastStatus.ANSWERED else None for one in seats),
        features=features_of(case.snapshot, case.signals),
    )


def _forecasts(
    case: Case, panel: Panel, record: TrackRecord, pool: PoolSettings
) -> Mapping[ShadowMethod, ShadowForecast]:
    decision = case.decision
    odds: dict[ShadowMethod, float] = {}
    if decision.quorum_met:
        lessons = record.lessons(panel.voters, decision.slope)
        odds = pool_voices(_voices(panel, case.forecasts), lessons, pool.clip)
    # Closing is voted on and not pooled, so it is the same for every way of pooling.
    closes = decision.action is Action.CLOSE
    forecasts: dict[ShadowMethod, ShadowForecast] = {
        method: _forecast(odds.get(method), pool, complete=case.snapshot.complete, closes=closes)
        for method in _SEAT_METHODS
    }
    baseline = forecast_log_odds(record.coefficients(len(panel.features)), panel.features)
    seatless = _forecast(baseline, pool, complete=case.snapshot.complete, closes=False)
    return {**forecasts, ShadowMethod.BASELINE_FORECASTER: seatless}


def _voices(panel: Panel, forecasts: Sequence[SeatForecast]) -> list[Voice]:
    said = sorted(forecasts, key=lambda one: one.seat)
    return [
        Voice(voter, p_up, one.confidence or 0.0)
        for voter, p_up, one in zip(panel.voters, panel.p_up, said, strict=True)
        if p_up is not None
    ]


def _forecast(log_odds: float | None, pool: PoolSettings, *, complete: bool, closes: bool) -> ShadowForecast:
    p_up = None if log_odds is None else to_chance(log_odds)
    if closes:
        return ShadowForecast(p_up, log_odds, Action.CLOSE)
    return ShadowForecast(p_up, log_odds, side_of(p_up, pool.dead_band) if complete and p_up else Action.HOLD)
