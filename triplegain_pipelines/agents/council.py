"""The council in session: asks the six seats about a run of snapshots, and decides on each in order of time.

What ties the parts together is here, and what may be known when. Asking is in `seats`, deciding in
`consensus`, learning the slope in `calibration`.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
import polars as pl

from triplegain_pipelines.agents.answer import FIRST_HORIZON_HOURS
from triplegain_pipelines.agents.calibration import Slope, effective_count, fit_slope
from triplegain_pipelines.agents.consensus import decide
from triplegain_pipelines.agents.seats import SeatCall, ask_seats
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.evidence import RegimeSignal, Snapshot
from triplegain_pipelines.domain.forecasts import PooledForecast, SeatForecast
from triplegain_pipelines.settings.models import ModelSettings, PoolSettings
from triplegain_pipelines.settings.profile import DecisionSettings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.forecasts import read_forecasts, save_forecasts

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


def hear_seats(database: Database, calls: Sequence[SeatCall]) -> list[SeatForecast]:
    """The forecast of each call, in order: what is stored already, and the rest asked for and stored.

    Answers are stored in batches as they come, so that a run that is killed does not pay for them twice.
    The snapshots that the calls are about must be stored before.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    wanted = {call.forecast_id: call for call in calls}
    with database.connection() as connection:
        heard = {one.forecast_id: one for one in read_forecasts(connection, list(wanted))}
    missing = [call for identity, call in wanted.items() if identity not in heard]
    for start in range(0, len(missing), _CALLS_PER_SAVE):
        batch = missing[start : start + _CALLS_PER_SAVE]
        answers = ask_seats(batch)
        with database.connection() as connection:
            save_forecasts(connection, [call.prompt for call in batch], answers)
            # Read back: where another process was quicker, its answers are the ones that count.
            stored = read_forecasts(connection, [call.forecast_id for call in batch])
        heard.update({one.forecast_id: one for one in stored})
    return [heard[call.forecast_id] for call in calls]


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
        models: quorum and pool.
        decisions: interval and validity.
    """
    record = _Record(history, _settlements(outcomes), decisions.interval, models.pool)
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
            )
            made.append(decision)
            if decision.quorum_met:
                record.add(PooledForecast(decision.symbol, as_of, decision.pooled_log_odds))
    return made


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


def _settlements(outcomes: pl.DataFrame) -> dict[_Place, _Settlement]:
    rows = outcomes.filter(pl.col("horizon_hours") == FIRST_HORIZON_HOURS).select(
        "as_of", "symbol", "settled_at", "went_up"
    )
    return {(as_of, symbol): (settled_at, went_up) for as_of, symbol, settled_at, went_up in rows.iter_rows()}
