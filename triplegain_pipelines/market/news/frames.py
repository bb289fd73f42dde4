"""The columns of headlines and of the fear-and-greed index, for contracts, and the frames that have them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import polars as pl

from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading

_TIME = pl.Datetime("us", "UTC")

HEADLINE_COLUMNS: Mapping[str, pl.DataType] = {
    "headline_id": pl.String(),
    "source": pl.String(),
    "title": pl.String(),
    "published_at": _TIME,
    "first_seen_at": _TIME,
    "link": pl.String(),
    "story_id": pl.String(),
    "first_seen_assumed": pl.Boolean(),
}
"""`published_at`, `link` and `story_id` may be null."""

FEAR_GREED_COLUMNS: Mapping[str, pl.DataType] = {
    "source": pl.String(),
    "published_at": _TIME,
    "score": pl.Int64(),
    "classification": pl.String(),
    "first_seen_at": _TIME,
    "first_seen_assumed": pl.Boolean(),
}


def headline_frame(headlines: Sequence[Headline]) -> pl.DataFrame:
    """`headlines` as a frame with `HEADLINE_COLUMNS`."""
    return _frame(headlines, HEADLINE_COLUMNS)


def fear_greed_frame(readings: Sequence[FearGreedReading]) -> pl.DataFrame:
    """`readings` as a frame with `FEAR_GREED_COLUMNS`."""
    return _frame(readings, FEAR_GREED_COLUMNS)


def _frame(rows: Sequence[Headline] | Sequence[FearGreedReading], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    values = [tuple(getattr(row, field.name) for field in fields(row)) for row in rows]
    return pl.DataFrame(values, schema=dict(columns), orient="row")
