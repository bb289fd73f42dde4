"""Recorded portfolios of other people's models on the board's terms, as far as their fields go.

They are scored by the functions that score our own seats: hit rate, independent forecasts, the gate, the paired
difference. What needs a probability, a latency or a bill cannot be had, and no such figure is made up. They are never
ranked: their knowledge cutoffs are not recorded. What they cannot tell is said in `recorded_limits`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from triplegain_pipelines.domain.recorded import RecordedAction, RecordedStep
from triplegain_pipelines.evaluation.evidence_gate import independent_forecasts, minimum_forecasts, not_enough
from triplegain_pipelines.evaluation.forecaster_tests import PairedDifference, by_moment, paired_difference
from triplegain_pipelines.evaluation.leaderboard import Evidence
from triplegain_pipelines.evaluation.leaderboard_board import EDGE
from triplegain_pipelines.evaluation.performance import Interval, wilson_interval
from triplegain_pipelines.evaluation.recorded_calls import (
    NEXT_DAY,
    SAME_DAY,
    DirectionCall,
    Prices,
    SettledCall,
    day_prices,
    direction_calls,
    settle_calls,
)
from triplegain_pipelines.evaluation.recorded_positions import Worth, last_worth, realised_results

EVIDENCE = Evidence.UNKNOWN_CUTOFF
"""What these records are as evidence; it is of no rank."""

FEWEST_DAYS = 8
"""Under so many days no difference is tested: the estimate of its error would be noise itself."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Calls that were right. `independent` is what the settled ones are worth, as symbols rise and fall together.

    `rose` is the share that went up of the same events: what a call of up on each of them would have got.
    """

    settled: int
    days: int
    independent: float
    share: float
    interval: Interval
    rose: float


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One recorded model.

    Attributes:
        model: as its file names it.
        days: on which it was asked.
        traded: of them, days with a trade. On the others it abstained or meant to stay: the records do not tell which.
        ups: calls of up.
        downs: calls of down: a sale of what it held, for it could not be short.
        hits: by our rule, None where nothing settled.
        hits_same_day: share right from the record's own price on, which the model knew when it called.
        mean_return: of following a settled call, a round trip's costs deducted.
        against_up: daily returns less those of buying the same symbols on the same days; None under `FEWEST_DAYS` days,
            and of a model that never called anything else.
        sales: of what it held.
        sales_mean: result of a sale over what the sold part had cost, costs of both sides deducted.
        sales_profit: of all, in quote currency.
        worth: of its portfolio on the newest day on which every price is known, without fees.
        started: with so much cash.
        gate: why it has no rank.
    """

    model: str
    days: int
    traded: int
    ups: int
    downs: int
    hits: Hits | None
    hits_same_day: float | None
    mean_return: float | None
    against_up: PairedDifference | None
    sales: int
    sales_mean: float | None
    sales_profit: Decimal
    worth: Worth | None
    started: Decimal
    gate: str


@dataclass(frozen=True, slots=True)
class RecordedBoard:
    """The models of one file, by name, over the days from `first` to `last`.

    `side_cost` is what one side of a trade costs here, as a share. `together` counts days on which every model made a
    call that settled: a Model Confidence Set needs the same events of all.
    """

    first: date
    last: date
    side_cost: Decimal
    needed: int
    together: int
    rows: tuple[RecordedRow, ...]


def score_records(steps: Sequence[RecordedStep], side_cost: Decimal) -> RecordedBoard:
    """The board of the recorded portfolios of one file.

    Args:
        steps: all steps of the file, at least one.
        side_cost: fee and slippage of one side, as a share of what is traded.
    """
    prices = day_prices(steps)
    calls = direction_calls(steps)
    models = sorted({step.model for step in steps})
    needed = minimum_forecasts(EDGE, forecasters=len(models))
    settled = settle_calls(calls, prices, NEXT_DAY)
    per_day = Counter(day for day, _ in {(one.call.day, one.call.model) for one in settled})
    return RecordedBoard(
        first=min(step.day for step in steps),
        last=max(step.day for step in steps),
        side_cost=side_cost,
        needed=needed,
        together=sum(count == len(models) for count in per_day.values()),
        rows=tuple(_row(model, steps, calls, prices, side_cost, needed) for model in models),
    )


def _row(
    model: str,
    steps: Sequence[RecordedStep],
    calls: Sequence[DirectionCall],
    prices: Prices,
    side_cost: Decimal,
    needed: int,
) -> RecordedRow:
    own = [step for step in steps if step.model == model]
    said = [call for call in calls if call.model == model]
    settled = settle_calls(said, prices, NEXT_DAY)
    same_day = settle_calls(said, prices, SAME_DAY)
    asked = [step for step in own if step.action is not RecordedAction.START]
    hits = _hits(settled)
    sales = realised_results(own, side_cost)
    return RecordedRow(
        model=model,
        days=len({step.day for step in asked}),
        traded=len({step.day for step in asked if step.symbol is not None}),
        ups=sum(call.up for call in said),
        downs=sum(not call.up for call in said),
        hits=hits,
        hits_same_day=_mean([one.went_up == one.call.up for one in same_day]),
        mean_return=_mean([one.gained - 2 * float(side_cost) for one in settled]),
        against_up=_against_up(settled),
        sales=len(sales),
        sales_mean=_mean([one.share for one in sales]),
        sales_profit=sum((one.profit for one in sales), Decimal(0)),
        worth=last_worth(own, prices),
        started=own[0].cash,
        gate=f"{EVIDENCE.value}, so never ranked; {not_enough(hits.independent if hits else 0.0, needed)}",
    )


def _hits(settled: Sequence[SettledCall]) -> Hits | None:
    if not settled:
        return None
    went_up = np.array([one.went_up for one in settled])
    right = went_up == np.array([one.call.up for one in settled])
    moments = _moments(settled)
    # A call is for one day and made once a day: no two of one symbol share a part of their future.
    independent = independent_forecasts(went_up, moments, lag=0)
    share = float(np.mean(right))
    interval = wilson_interval(share * independent, independent) or Interval(0.0, 1.0)
    return Hits(len(settled), len(np.unique(moments)), independent, share, interval, float(np.mean(went_up)))


def _against_up(settled: Sequence[SettledCall]) -> PairedDifference | None:
    if all(one.call.up for one in settled):
        return None
    moments = _moments(settled)
    if len(np.unique(moments)) < FEWEST_DAYS:
        return None
    gained, moved = (np.array(values) for values in zip(*((one.gained, one.move) for one in settled), strict=True))
    return paired_difference(by_moment(gained, moments), by_moment(moved, moments), lag=0)


def _moments(settled: Sequence[SettledCall]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([one.call.day.toordinal() for one in settled], dtype=np.int64)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
