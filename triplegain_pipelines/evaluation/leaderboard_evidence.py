"""Which forecasts are evidence: those whose maker cannot have known the outcome, live or after the model's cutoff.

A language model has read about the past. What it "forecasts" before its knowledge cutoff may be remembered, so it is
shown and labelled, and never ranked; nor is a model whose cutoff nobody stated.
"""

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl

from triplegain_pipelines.evaluation.leaderboard import Evidence, ForecasterKind

WITHOUT_SEATS = "BASELINE_FORECASTER"
"""The shadow that hears no seat: a regression on the same features, which remembers nothing."""

# A pool is as doubtful as the most doubtful of its members: in the order of doubt.
_DOUBT = (
    Evidence.NO_MEMORY,
    Evidence.LIVE,
    Evidence.POST_CUTOFF,
    Evidence.UNKNOWN_CUTOFF,
    Evidence.PRE_CUTOFF,
)
_EVENT = ("symbol", "as_of")


def label_evidence(
    series: pl.DataFrame, cutoffs: Mapping[tuple[str, str], date | None], horizon: timedelta
) -> pl.DataFrame:
    """`series` of store/leaderboards.py with a column `evidence`.

    A forecast is live where it was written down before its outcome could exist. The consensus and the shadow pools
    are as doubtful at an event as the most doubtful seat that was asked there.

    Args:
        series: forecasts of seats, the consensus and shadow pools.
        cutoffs: last day that a seat's model knows of, by seat and model; None or missing: nobody stated it.
        horizon: of the forecasts.
    """
    known = pl.DataFrame(
        [(seat, model, day) for (seat, model), day in cutoffs.items()],
        schema={"forecaster": pl.String, "model": pl.String, "cutoff": pl.Date},
        orient="row",
    )
    seats = series.filter(pl.col("kind").is_in([ForecasterKind.SEAT.value, ForecasterKind.BASELINE_SEAT.value]))
    labelled = seats.join(known, on=["forecaster", "model"], how="left", maintain_order="left").with_columns(
        evidence=pl.when(pl.col("kind") == ForecasterKind.BASELINE_SEAT.value)
        .then(pl.lit(Evidence.NO_MEMORY.value))
        .when(pl.col("recorded_at") <= pl.col("as_of") + horizon)
        .then(pl.lit(Evidence.LIVE.value))
        .when(pl.col("cutoff").is_null())
        .then(pl.lit(Evidence.UNKNOWN_CUTOFF.value))
        .when(pl.col("as_of").dt.date() > pl.col("cutoff"))
        .then(pl.lit(Evidence.POST_CUTOFF.value))
        .otherwise(pl.lit(Evidence.PRE_CUTOFF.value))
    )
    doubts = {kind.value: number for number, kind in enumerate(_DOUBT)}
    kinds = {number: kind for kind, number in doubts.items()}
    worst = (
        labelled.group_by(_EVENT)
        .agg(doubt=pl.col("evidence").replace_strict(doubts, return_dtype=pl.Int64).max())
        .with_columns(evidence=pl.col("doubt").replace_strict(kinds, return_dtype=pl.String))
        .drop("doubt")
    )
    pools = series.join(seats.select("kind").unique(), on="kind", how="anti", maintain_order="left")
    pooled = pools.join(worst, on=list(_EVENT), how="left", maintain_order="left").with_columns(
        evidence=pl.when(pl.col("forecaster") == WITHOUT_SEATS)
        .then(pl.lit(Evidence.NO_MEMORY.value))
        .otherwise(pl.col("evidence").fill_null(Evidence.UNKNOWN_CUTOFF.value))
    )
    return pl.concat([labelled.drop("cutoff"), pooled])


def is_evidence() -> pl.Expr:
    """Whether the row's forecast may be ranked."""
    return pl.col("evidence").is_in([one.value for one in Evidence if one.ranked])
