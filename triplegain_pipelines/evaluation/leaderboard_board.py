"""From forecasts and outcomes to the leaderboard. Pure: nothing is read, stored or drawn here.

Everybody is judged on the same settled events. An abstention counts as one half in every comparison, so that nobody
gains by answering only when it is easy. Only forecasts whose maker cannot have known the outcome count at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl

from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.evidence_gate import Standing, minimum_forecasts, standings
from triplegain_pipelines.evaluation.leaderboard import (
    Calls,
    Evidence,
    ForecasterKind,
    Holding,
    Leaderboard,
    LeaderboardRow,
    ShadowBook,
    Variant,
)
from triplegain_pipelines.evaluation.leaderboard_attribution import voters, with_shapley
from triplegain_pipelines.evaluation.leaderboard_baselines import BEST_CONSTANT, plain_baselines
from triplegain_pipelines.evaluation.leaderboard_evidence import is_evidence
from triplegain_pipelines.evaluation.leaderboard_inference import (
    NO_INFERENCE,
    Compared,
    Inference,
    bring_together,
    infer,
    participants,
)
from triplegain_pipelines.evaluation.leaderboard_leaks import returns_of_bars, what_leaks
from triplegain_pipelines.evaluation.leaderboard_quality import forecast_quality, moments_of, overlapping
from triplegain_pipelines.evaluation.leaderboard_ranking import leaders, ranked
from triplegain_pipelines.evaluation.leaderboard_words import verdict
from triplegain_pipelines.store.leaderboards import SeriesCalls, SeriesKey

EDGE = 0.03
"""What must be told from a coin: a hit rate of 53 %. Honest ones of models after their cutoff are 51 to 57 %."""

_SEATS = (ForecasterKind.SEAT, ForecasterKind.BASELINE_SEAT)
_ORDER = tuple(ForecasterKind)
_KEY = ["kind", "forecaster", "model", "template_hash", "parameters_hash"]


@dataclass(frozen=True)
class BoardInputs:
    """What a board is made of.

    `series` are the forecasts with their `evidence`, `outcomes` those of the symbols from as long ago as there are.
    `calls` are those of the seats. `trials` counts every series ever tried. `clip` is that of the consensus pool.
    `books` are shadow books by the id of the series, `holdings` what holding made.
    """

    account: str
    start: datetime
    end: datetime
    interval: timedelta
    horizon_hours: int
    longer_hours: int
    currency: str
    simulated: bool
    symbols: tuple[str, ...]
    series: pl.DataFrame
    outcomes: pl.DataFrame
    calls: Sequence[SeriesCalls]
    trials: int
    clip: float
    books: Mapping[str, ShadowBook]
    holdings: tuple[Holding, ...]


@dataclass(frozen=True)
class _Forecaster:
    """One series: its key and its forecasts, with `moment`, `went_up` (null: not settled) and `evidence`."""

    variant: Variant
    rows: pl.DataFrame
    evidence: pl.DataFrame  # settled and evidence, abstentions included

    @property
    def answered(self) -> pl.DataFrame:
        return self.evidence.drop_nulls("p_up")


def build_leaderboard(inputs: BoardInputs) -> Leaderboard:
    """The board of `inputs`."""
    lag = overlapping(timedelta(hours=inputs.horizon_hours), inputs.interval)
    forecasters = _forecasters(inputs)
    settled = _settled_events(inputs)
    trials = max(inputs.trials, len(forecasters))
    standing = _standings(forecasters, lag, trials)
    by_name = {one.variant.variant_id: one.evidence for one in forecasters}
    names = participants(by_name)
    plain = plain_baselines(inputs.outcomes, settled, inputs.horizon_hours, inputs.longer_hours)
    together = bring_together(by_name, names, plain) if names else None
    inference = infer(together, lag=lag, trials=trials) if together else NO_INFERENCE
    bars = returns_of_bars(inputs.outcomes, inputs.interval, inputs.horizon_hours, lag + 1)
    rows = [
        _row(one, inputs, lag, standing.get(one.variant.variant_id), together, inference, bars) for one in forecasters
    ]
    slopes = [one.rows for one in forecasters if one.variant.kind is ForecasterKind.CONSENSUS]
    rows = with_shapley(rows, [one.select("symbol", "as_of", "slope") for one in slopes], together, inputs.clip)
    rows = ranked(rows, standing, together)
    baselines = _baseline_rows(inputs, settled, plain, lag, together, inference)
    board = Leaderboard(
        account=inputs.account,
        start=inputs.start,
        end=inputs.end,
        horizon_hours=inputs.horizon_hours,
        currency=inputs.currency,
        simulated=inputs.simulated,
        symbols=inputs.symbols,
        events=settled.height,
        compared=together.events.height if together else 0,
        trials=inputs.trials,
        needed=minimum_forecasts(EDGE, forecasters=max(1, trials)),
        rows=(*sorted(rows, key=_place), *baselines),
        holdings=inputs.holdings,
        leaders=leaders(rows, standing, together, inference),
        effective_voters=voters(rows, together),
        verdict=(),
    )
    return replace(board, verdict=verdict(board))


def _forecasters(inputs: BoardInputs) -> list[_Forecaster]:
    outcomes = inputs.outcomes.filter(pl.col("horizon_hours") == inputs.horizon_hours)
    series = inputs.series.with_columns(moment=pl.Series(moments_of(inputs.series, inputs.interval))).join(
        outcomes.select("symbol", "as_of", "went_up"), on=["symbol", "as_of"], how="left", maintain_order="left"
    )
    found = []
    for key, rows in series.group_by(_KEY, maintain_order=True):
        named = SeriesKey(*(str(part) for part in key))
        variant = Variant(
            variant_id=str(named.variant_id),
            forecaster=named.forecaster,
            kind=ForecasterKind(named.kind),
            model=named.model,
            template_hash=named.template_hash,
            parameters_hash=named.parameters_hash,
        )
        found.append(_Forecaster(variant, rows, rows.drop_nulls("went_up").filter(is_evidence())))
    return found


def _settled_events(inputs: BoardInputs) -> pl.DataFrame:
    outcomes = inputs.outcomes.filter(pl.col("horizon_hours") == inputs.horizon_hours)
    asked = inputs.series.select("symbol", "as_of").unique()
    return outcomes.join(asked, on=["symbol", "as_of"], how="semi").sort("as_of", "symbol")


def _standings(forecasters: Sequence[_Forecaster], lag: int, trials: int) -> dict[str, Standing]:
    """What the gate says of each, on all of its own settled evidence."""
    found = {}
    for one in forecasters:
        rows = one.answered
        p_up = rows.get_column("p_up").to_numpy().astype(np.float64).reshape(-1, 1)
        went_up = rows.get_column("went_up").to_numpy().astype(np.bool_)
        moments = rows.get_column("moment").to_numpy().astype(np.int64)
        found[one.variant.variant_id] = standings(p_up, went_up, moments, lag=lag, trials=trials, edge=EDGE)[0]
    return found


def _row(
    one: _Forecaster,
    inputs: BoardInputs,
    lag: int,
    standing: Standing | None,
    together: Compared | None,
    inference: Inference,
    bars: pl.DataFrame,
) -> LeaderboardRow:
    identity = one.variant.variant_id
    settled = one.rows.drop_nulls("went_up")
    counts = dict(settled.group_by("evidence").len().iter_rows())
    doubtful = settled.drop_nulls("p_up").filter(~is_evidence())
    in_comparison = together is not None and identity in together.names
    return LeaderboardRow(
        variant=one.variant,
        seat=one.variant.forecaster if one.variant.kind in _SEATS else None,
        calls=_calls(one, inputs),
        evidence={kind: int(counts[kind.value]) for kind in Evidence if kind.value in counts},
        quality=forecast_quality(one.answered, inputs.interval, lag),
        unranked_quality=forecast_quality(doubtful, inputs.interval, lag),
        gate=None if standing is None or standing.enough else standing.note,
        rank=None,
        compared_brier=_score(together, identity) if in_comparison else None,
        in_confidence_set=inference.in_confidence_set.get(identity),
        beats_baselines_p=inference.beats_baselines.get(identity),
        spa_p=None,
        shapley=None,
        leak=what_leaks(settled, bars, inputs.interval, lag),
        shadow_book=inputs.books.get(identity),
    )


def _calls(one: _Forecaster, inputs: BoardInputs) -> Calls:
    variant = one.variant
    key = SeriesKey(
        variant.kind.value, variant.forecaster, variant.model, variant.template_hash, variant.parameters_hash
    )
    for made in inputs.calls:
        if made.key == key:
            return Calls(
                asked=made.asked,
                answered=made.answered,
                reasons=made.reasons,
                latency_p50_ms=made.latency_p50_ms,
                latency_p95_ms=made.latency_p95_ms,
                tokens=made.tokens,
                cost_usd=made.cost_usd,
            )
    # A pool calls nobody itself: the consensus costs what all seats cost, and is silent below the quorum.
    asked, silent = one.rows.height, one.rows.get_column("p_up").null_count()
    pays = variant.kind is ForecasterKind.CONSENSUS
    return Calls(
        asked=asked,
        answered=asked - silent,
        reasons={ReasonCode.QUORUM_NOT_MET.value: silent} if silent else {},
        latency_p50_ms=None,
        latency_p95_ms=None,
        tokens=sum(made.tokens for made in inputs.calls) if pays else 0,
        cost_usd=sum((made.cost_usd for made in inputs.calls), Decimal(0)) if pays else Decimal(0),
    )


def _score(together: Compared | None, name: str) -> float | None:
    if together is None or not len(together.went_up):
        return None
    return float(together.scores[together.names.index(name)])


def _baseline_rows(
    inputs: BoardInputs,
    settled: pl.DataFrame,
    plain: pl.DataFrame,
    lag: int,
    together: Compared | None,
    inference: Inference,
) -> list[LeaderboardRow]:
    """A row for each plain baseline, and one for the best constant that nobody could have known."""
    if settled.is_empty():
        return []
    share = settled.select("symbol", "as_of").with_columns(
        forecaster=pl.lit(BEST_CONSTANT), p_up=pl.lit(settled.get_column("went_up").mean())
    )
    said = pl.concat([plain, share.select(plain.columns)])
    places = settled.select("symbol", "as_of", "went_up")
    rows = []
    for (name,), forecasts in said.group_by("forecaster", maintain_order=True):
        judged = forecasts.join(places, on=["symbol", "as_of"], how="inner", maintain_order="left")
        compared = together.best_constant if together and name == BEST_CONSTANT else None
        named = str(name)
        rows.append(
            LeaderboardRow(
                variant=Variant(
                    str(deterministic_id("variant", "baseline", named)), named, ForecasterKind.BASELINE, "", "", ""
                ),
                seat=None,
                calls=Calls(judged.height, judged.height, {}, None, None, 0, Decimal(0)),
                evidence={Evidence.NO_MEMORY: judged.height},
                quality=forecast_quality(judged, inputs.interval, lag),
                unranked_quality=None,
                gate=None,
                rank=None,
                compared_brier=_score(together, named) if together and named in together.names else compared,
                in_confidence_set=inference.in_confidence_set.get(named),
                beats_baselines_p=None,
                spa_p=inference.nobody_beats.get(named),
                shapley=None,
                leak=None,
                shadow_book=None,
            )
        )
    return rows


def _place(row: LeaderboardRow) -> tuple[bool, int, int, str]:
    """The order of the page. Those without a rank are not ordered by score: that would be a ranking all the same."""
    return row.rank is None, row.rank or 0, _ORDER.index(row.variant.kind), row.name
