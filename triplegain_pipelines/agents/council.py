"""The council in session: asks the six seats about a run of snapshots, and decides on each in order of time.

What ties the parts together is here, and what may be known when. Asking is in `seats`, deciding in
`consensus`, learning the slope in `calibration`.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

import numpy as np
import polars as pl

from triplegain_pipelines.agents.answer import FIRST_HORIZON_HOURS
from triplegain_pipelines.agents.calibration import Slope, effective_count, fit_slope
from triplegain_pipelines.agents.calls import Notebook, StoredBook
from triplegain_pipelines.agents.consensus import decide
from triplegain_pipelines.agents.headline_tones import sentiment_version
from triplegain_pipelines.agents.seats import ForecastCall, abstention, ask_seats, recall
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.evidence import RegimeSignal, Snapshot
from triplegain_pipelines.domain.forecasts import PooledForecast, SeatForecast
from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import ModelSettings, PoolSettings
from triplegain_pipelines.settings.profile import DecisionSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.forecasts import read_forecasts, save_forecasts, save_prompts
from triplegain_pipelines.store.model_calls import read_calls, save_calls

_HORIZON = timedelta(hours=FIRST_HORIZON_HOURS)
_CALLS_PER_SAVE = 576

_Place = tuple[datetime, str]
_Settlement = tuple[datetime, bool]


@dataclass(frozen=True, slots=True)
class Hearing:
    """All there is to decide on one snapshot: the regime, and one forecast of each of the six seats."""

    snapshot: Snapshot
    regime: RegimeSignal
    forecasts: tuple[SeatForecast, ...]


def hear_seats(
    database: Database, calls: Sequence[ForecastCall], models: ModelSettings | None = None
) -> list[SeatForecast]:
    """The forecast of each call, in order: what is stored already, and the rest asked for and stored.

    Answers are stored in batches as they come, and each call of a model as soon as it ends, so that a run that is
    killed does not pay for them twice. Where only stored answers count, a forecast is made again from the stored calls,
    and a seat without them abstains. The snapshots that the calls are about must be stored before.

    Args:
        database: of the forecasts.
        calls: what is asked.
        models: budget and bench that the models are held to; None where only baselines sit in.

    Raises:
        UnavailableError: the database cannot be reached.
        SeatBusyError: another process is asking the same at this moment.
        ValueError: a model would be asked, and `models` is None.
    """
    wanted = {call.conversation_id: call for call in calls}
    with database.connection() as connection:
        heard = {one.forecast_id: one for one in read_forecasts(connection, list(wanted))}
    missing = [call for identity, call in wanted.items() if identity not in heard]
    for start in range(0, len(missing), _CALLS_PER_SAVE):
        batch = missing[start : start + _CALLS_PER_SAVE]
        heard.update(_hear(database, batch, models))
    return [heard[call.conversation_id] for call in calls]


def deliberate(
    *,
    account: str,
    hearings: Iterable[Hearing],
    history: Iterable[PooledForecast],
    outcomes: pl.DataFrame,
    models: ModelSettings,
    decisions: DecisionSettings,
) -> list[Decision]:
    """A decision for each hearing, in order of time and symbol.

    At each moment the slope is learnt from those of the account's forecasts whose outcome had settled by
    then, whatever later outcomes `outcomes` may hold. So a range gives the same decisions in one piece,
    in several, or after a restart.

    Args:
        account: whose decisions these are.
        hearings: in any order.
        history: the account's pooled forecasts from before the first hearing.
        outcomes: `symbol`, `as_of`, `horizon_hours`, `settled_at`, `went_up` of all places in `history` and
            `hearings` that have settled; unsettled ones are missing.
        models: quorum, pool and who scores headlines.
        decisions: interval and validity.
    """
    record = _Record(history, settlements_of(outcomes), decisions.interval, models.pool)
    made: list[Decision] = []
    in_order = sorted(hearings, key=lambda one: (one.snapshot.as_of, one.snapshot.symbol))
    for as_of, session in groupby(in_order, key=lambda one: one.snapshot.as_of):
        slope = record.slope(as_of)
        for hearing in session:
            decision = decide(
                account=account,
                snapshot=hearing.snapshot,
                regime=hearing.regime,
                forecasts=hearing.forecasts,
                slope=slope,
                quorum=models.quorum,
                pool=models.pool,
                decisions=decisions,
                sentiment=sentiment_version(models),
            )
            made.append(decision)
            if decision.quorum_met:
                record.add(PooledForecast(decision.symbol, as_of, decision.pooled_log_odds))
    return made


def _hear(database: Database, batch: Sequence[ForecastCall], models: ModelSettings | None) -> dict[UUID, SeatForecast]:
    """The forecasts of `batch`, stored, by the identity of their call."""
    prompts = [call.prompt for call in batch]
    made = _made_before(database, batch)
    recalled = [call for call in batch if call.recorded_only]
    asked = [call for call in batch if not call.recorded_only]
    notes = Notebook()
    answers = [_recall(call, made.get(call.conversation_id, ())) for call in recalled]
    if any(not call.baseline for call in asked) and models is not None:
        answers += ask_seats(asked, StoredBook(database, models.budget, models.bench), made)
    elif all(call.baseline for call in asked):
        answers += ask_seats(asked, notes)
    else:
        answers += ask_seats(asked)
    by_call = dict(zip((call.conversation_id for call in (*recalled, *asked)), answers, strict=True))
    with database.connection() as connection:
        save_forecasts(connection, prompts, answers)
        save_calls(connection, notes.calls)
        # Read back: where another process was quicker, its answers are the ones that count.
        stored = {one.forecast_id: one for one in read_forecasts(connection, [one.forecast_id for one in answers])}
    return {identity: stored[answer.forecast_id] for identity, answer in by_call.items()}


def _made_before(database: Database, batch: Sequence[ForecastCall]) -> dict[UUID, list[ModelCall]]:
    """Calls of models that are stored without their forecast. The prompts are stored: calls refer to them."""
    of_models = [call for call in batch if not call.baseline]
    if not of_models:
        return {}
    with database.connection() as connection:
        save_prompts(connection, [call.prompt for call in of_models])
        return read_calls(connection, [call.conversation_id for call in of_models])


def _recall(call: ForecastCall, made: Sequence[ModelCall]) -> SeatForecast:
    if not call.parameters["llm_enabled"]:
        return abstention(call, ReasonCode.SEATS_DISABLED)
    return recall(call, made) or abstention(call, ReasonCode.SEAT_NOT_RECORDED)


class _Record:
    """The pooled forecasts made so far, and the slope that those settled at a moment teach."""

    def __init__(
        self,
        history: Iterable[PooledForecast],
        settlements: Mapping[_Place, _Settlement],
        interval: timedelta,
        pool: PoolSettings,
    ) -> None:
        self._settlements = settlements
        self._interval = interval
        self._pool = pool
        self._waiting: list[PooledForecast] = list(history)
        self._settled: list[tuple[_Place, float, bool]] = []

    def add(self, forecast: PooledForecast) -> None:
        self._waiting.append(forecast)

    def slope(self, as_of: datetime) -> Slope:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            place = (one.as_of, one.symbol)
            settled_at, went_up = self._settlements.get(place, (None, False))
            if settled_at is None or settled_at > as_of:
                self._waiting.append(one)
            else:
                # Kept in order of place, so that sums do not depend on the order of settling.
                insort(self._settled, (place, one.log_odds, went_up))
        return fit_slope(
            np.array([log_odds for _, log_odds, _ in self._settled], dtype=np.float64),
            np.array([went_up for _, _, went_up in self._settled], dtype=np.bool_),
            effective_count(len(self._settled), self._interval, _HORIZON),
            self._pool,
        )


def settlements_of(outcomes: pl.DataFrame) -> dict[_Place, _Settlement]:
    """When each forecast of the first horizon settled and whether the price rose, by `as_of` and symbol."""
    rows = outcomes.filter(pl.col("horizon_hours") == FIRST_HORIZON_HOURS).select(
        "as_of", "symbol", "settled_at", "went_up"
    )
    return {(as_of, symbol): (settled_at, went_up) for as_of, symbol, settled_at, went_up in rows.iter_rows()}
