"""Who is ahead of whom beyond luck: the same events for all, an abstention as one half, and every trial counted.

The gate that lets anybody lead at all is evidence_gate's; the tests are forecaster_tests'. This module brings the
forecasts into their form and reads their answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from triplegain_pipelines.evaluation.forecaster_tests import (
    by_moment,
    model_confidence_set,
    paired_difference,
    superior_predictive_ability,
)
from triplegain_pipelines.evaluation.probability_scores import EVEN, Bools, Floats

CONFIDENCE_SET_SIZE = 0.10
_SEED = 20_240_805
_FEWEST_BLOCKS = 8  # of moments that do not overlap: a bootstrap of fewer knows nothing
_EVENT = ["symbol", "as_of"]


@dataclass(frozen=True, slots=True)
class Compared:
    """Forecasts of everybody that is compared, on the same events: `p_up` is (events, names), NaN where one abstained.

    `names` are the forecasters and then the plain baselines, of which there are `baselines`.
    """

    names: tuple[str, ...]
    baselines: int
    p_up: Floats
    went_up: Bools
    moments: NDArray[np.int64]
    events: pl.DataFrame

    @property
    def scores(self) -> Floats:
        """Brier score of each with abstentions as one half; shape (names,)."""
        return np.asarray(self.losses.mean(axis=0)) if len(self.went_up) else np.full(len(self.names), np.nan)

    @property
    def losses(self) -> Floats:
        """Brier loss at each event with abstentions as one half; shape (events, names)."""
        filled = np.where(np.isnan(self.p_up), EVEN, self.p_up)
        return np.asarray(np.square(filled - self.went_up[:, None]))

    @property
    def best_constant(self) -> float:
        """What the best constant would have scored, had it known the share of rises."""
        share = float(self.went_up.mean()) if len(self.went_up) else EVEN
        return share * (1 - share)


@dataclass(frozen=True, slots=True)
class Inference:
    """What the tests say, by name; empty where there is too little to test.

    `beats_baselines` is the largest p value of "no better than this baseline" over the plain baselines, times the
    trials. `nobody_beats` is of baselines: p value of "no forecaster beats it".
    """

    in_confidence_set: Mapping[str, bool]
    beats_baselines: Mapping[str, float]
    nobody_beats: Mapping[str, float]


NO_INFERENCE = Inference({}, {}, {})


def participants(forecasts: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Who is compared: the forecaster with most evidence, and all with whom at least half of its events are left.

    The same events must have been put to everybody who is compared. A series that was tried for a day would leave
    nearly none, and two wordings of one seat none at all: of such, those with more events stay, then the newer ones.

    Args:
        forecasts: by name, `symbol` and `as_of` of what is settled and evidence.
    """
    asked = {
        name: set(zip(rows["as_of"].to_list(), rows["symbol"].to_list(), strict=True))
        for name, rows in forecasts.items()
        if not rows.is_empty()
    }
    order = sorted(asked, key=lambda name: (len(asked[name]), max(asked[name])), reverse=True)
    taken: list[str] = []
    common: set[tuple[datetime, str]] = set()
    for name in order:
        left = common & asked[name] if taken else asked[name]
        if 2 * len(left) >= len(asked[order[0]]):
            taken, common = [*taken, name], left
    return tuple(name for name in forecasts if name in taken)


def bring_together(forecasts: Mapping[str, pl.DataFrame], names: Sequence[str], baselines: pl.DataFrame) -> Compared:
    """The forecasts of `names` and of the baselines at the events that were put to all of `names`.

    Args:
        forecasts: by name, `symbol`, `as_of`, `moment`, `p_up` and `went_up`, settled and evidence.
        names: who is compared; at least one.
        baselines: `forecaster`, `symbol`, `as_of`, `p_up`, for all events.
    """
    events = forecasts[names[0]].select(*_EVENT, "moment", "went_up")
    for name in names[1:]:
        events = events.join(forecasts[name].select(_EVENT), on=_EVENT, how="semi")
    events = events.sort("as_of", "symbol")
    plain = {str(name): rows for (name,), rows in baselines.group_by("forecaster", maintain_order=True)}
    columns = [_at(events, forecasts[name]) for name in names] + [_at(events, rows) for rows in plain.values()]
    return Compared(
        names=(*names, *plain),
        baselines=len(plain),
        p_up=np.column_stack(columns),
        went_up=events.get_column("went_up").to_numpy().astype(np.bool_),
        moments=events.get_column("moment").to_numpy().astype(np.int64),
        events=events,
    )


def infer(compared: Compared, *, lag: int, trials: int) -> Inference:
    """Run the tests; nothing comes back where there are too few moments for any of them.

    Args:
        compared: from `bring_together`.
        lag: how many later moments share a part of one forecast's future.
        trials: every series that was ever tried: the best of many is good by luck alone.
    """
    losses = by_moment(compared.losses, compared.moments)
    block = lag + 1
    if len(losses) < _FEWEST_BLOCKS * block:
        return NO_INFERENCE
    models = len(compared.names) - compared.baselines
    tried, plain = losses[:, :models], losses[:, models:]
    kept = model_confidence_set(losses, size=CONFIDENCE_SET_SIZE, block_length=block, seed=_SEED).included
    return Inference(
        in_confidence_set={name: bool(one) for name, one in zip(compared.names, kept, strict=True)},
        beats_baselines={
            name: min(1.0, trials * max(_better(tried[:, place], column, lag) for column in plain.T))
            for place, name in enumerate(compared.names[:models])
        },
        nobody_beats={
            name: superior_predictive_ability(plain[:, place], tried, block_length=block, seed=_SEED).consistent
            for place, name in enumerate(compared.names[models:])
        },
    )


def _better(losses: Floats, baseline: Floats, lag: int) -> float:
    """One-sided p value of "not better than the baseline"."""
    difference = paired_difference(losses, baseline, lag=lag)
    if difference is None:
        return 1.0
    return difference.p_value / 2 if difference.mean < 0 else 1 - difference.p_value / 2


def _at(events: pl.DataFrame, rows: pl.DataFrame) -> Floats:
    """The forecasts of `rows` at `events`, NaN where there is none."""
    found = events.select(_EVENT).join(rows.select(*_EVENT, "p_up"), on=_EVENT, how="left", maintain_order="left")
    return found.get_column("p_up").fill_null(float("nan")).to_numpy().astype(np.float64)
