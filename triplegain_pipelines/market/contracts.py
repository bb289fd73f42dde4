"""The contracts of frames at the assets' edges, each defined once: columns, types and rules.

A rule is a polars expression with a sentence, so the importer finds the broken line of a file by the very rule
that guards an asset. The pandera schemas are built of them on first use, because pandera takes a second to import.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Effect, GapKind, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import EPOCH, Timeframe
from triplegain_pipelines.market.news.frames import FEAR_GREED_COLUMNS, HEADLINE_COLUMNS

if TYPE_CHECKING:
    import pandera.polars as pa

TIME = pl.Datetime("us", "UTC")
_PRICES = ("open", "high", "low", "close")
_BAR: dict[str, pl.DataType] = {"opened_at": TIME, **{name: pl.Float64() for name in (*_PRICES, "volume")}}
CANDLE_COLUMNS: Mapping[str, pl.DataType] = {**_BAR, "trades": pl.Int32()}
ROLLUP_COLUMNS: Mapping[str, pl.DataType] = {**_BAR, "minutes": pl.Int32()}
GAP_COLUMNS: Mapping[str, pl.DataType] = {"starts_at": TIME, "ends_at": TIME, "missing": pl.Int32()}
EXPLAINED_GAP_COLUMNS: Mapping[str, pl.DataType] = {**GAP_COLUMNS, "kind": pl.String()}
FINDING_COLUMNS: Mapping[str, pl.DataType] = {
    "venue": pl.String(),
    "symbol": pl.String(),
    "at": TIME,
    "code": pl.String(),
    "held": pl.Boolean(),
    "settlement": pl.String(),
}
INDICATOR_KEYS: Mapping[str, pl.DataType] = {
    "venue": pl.String(),
    "symbol": pl.String(),
    "timeframe": pl.String(),
    "as_of": TIME,
    "code_version": pl.String(),
    "opened_at": TIME,
}
_HELD_CODES = [code.value for code in QualityCode if code.effect is Effect.HELD]


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for every row: `holds` is a Boolean expression, `broken` says what is wrong where it does not."""

    broken: str
    holds: pl.Expr


def _rises(name: str) -> pl.Expr:
    return pl.col(name).diff().dt.total_microseconds().fill_null(1) > 0


# Each of these looks at one row alone, so that a row which breaks it can be refused without the others.
FINITE_RULE = Rule("a price or the volume is not finite", pl.all_horizontal(pl.col(*_PRICES, "volume").is_finite()))
_ROW_RULES = (
    Rule("low is not above zero", pl.col("low") > 0),
    Rule("high is below open or close", pl.col("high") >= pl.max_horizontal("open", "close")),
    Rule("low is above open or close", pl.col("low") <= pl.min_horizontal("open", "close")),
    Rule("volume is negative", pl.col("volume") >= 0),
)
_TRADES_RULE = Rule("trades is negative", pl.col("trades").fill_null(0) >= 0)
CONSISTENCY_RULES = (*_ROW_RULES, _TRADES_RULE)
BAR_RULES: tuple[Rule, ...] = (
    Rule("opened_at is not after the row before (sorted, each time once)", _rises("opened_at")),
    FINITE_RULE,
    *_ROW_RULES,
)
CANDLE_RULES = (*BAR_RULES, _TRADES_RULE)
_ROLLUP_RULES = (*BAR_RULES, Rule("minutes is below one", pl.col("minutes") >= 1))
_GAP_RULES = (
    Rule("starts_at is not after the row before", _rises("starts_at")),
    Rule("ends_at is before starts_at", pl.col("ends_at") >= pl.col("starts_at")),
    Rule("missing is below one", pl.col("missing") >= 1),
)
_FINDING_RULES = (
    Rule("code is not a known one", pl.col("code").is_in(list(QualityCode))),
    Rule("held is not what its code leads to", pl.col("held") == pl.col("code").is_in(_HELD_CODES)),
    Rule("settlement is not a known one", pl.col("settlement").fill_null("over").is_in(list(Settlement))),
)
_INDICATOR_RULES = (
    Rule("the bar had not closed when it was seen", pl.col("opened_at") < pl.col("as_of")),
    Rule("timeframe is not a known one", pl.col("timeframe").is_in(list(Timeframe))),
)
_HEADLINE_RULES = (
    Rule("headline_id stands there twice", pl.col("headline_id").is_unique()),
    Rule("title is empty", pl.col("title").str.len_chars() > 0),
)
_INDEX_RULES = (Rule("score is not between 0 and 100", pl.col("score").is_between(0, 100)),)


@dataclass(frozen=True, slots=True)
class Contract:
    """What a frame must be: its columns in order with their types, its rules, and the columns that may be null."""

    columns: Mapping[str, pl.DataType]
    rules: Sequence[Rule]
    nullable: frozenset[str] = frozenset()


CONTRACTS: Mapping[str, Contract] = {
    "candles": Contract(CANDLE_COLUMNS, CANDLE_RULES, frozenset({"trades"})),
    "rollups": Contract(ROLLUP_COLUMNS, _ROLLUP_RULES),
    "gaps": Contract(GAP_COLUMNS, _GAP_RULES),
    "candle_gaps": Contract(
        EXPLAINED_GAP_COLUMNS, (*_GAP_RULES, Rule("kind is not a known one", pl.col("kind").is_in(list(GapKind))))
    ),
    "data_findings": Contract(FINDING_COLUMNS, _FINDING_RULES, frozenset({"settlement"})),
    "indicators": Contract(INDICATOR_KEYS, _INDICATOR_RULES),
    "headlines": Contract(HEADLINE_COLUMNS, _HEADLINE_RULES, frozenset({"published_at", "link", "story_id"})),
    "fear_greed": Contract(FEAR_GREED_COLUMNS, _INDEX_RULES),
}


@cache
def contract(name: str) -> "pa.DataFrameSchema":
    """The pandera schema of one of `CONTRACTS`.

    Raises:
        KeyError: there is no contract of that name.
    """
    import pandera.polars as pa

    made = CONTRACTS[name]
    return pa.DataFrameSchema(
        {column: pa.Column(kind, nullable=column in made.nullable) for column, kind in made.columns.items()},
        checks=[_pandera_check(rule) for rule in made.rules],
        strict=True,
        ordered=True,
        name=name,
    )


def validate(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` unchanged, if it keeps the contract `name`.

    Raises:
        DataError: it does not; the message lists each broken rule with the first rows (from 0) that break it.
    """
    schema = contract(name)
    from pandera.errors import SchemaErrors

    try:
        return schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases: pl.DataFrame = error.failure_cases
        absent = cases.filter(pl.col("check") == "column_in_dataframe")
        # Where a column is missing, every rule that reads it fails as well: that is noise.
        broken = (
            (absent if absent.height else cases)
            .group_by("schema_context", "column", "check", maintain_order=True)
            .agg(rows=pl.col("index").drop_nulls().head(5), count=pl.len(), case=pl.col("failure_case").first())
        )
        listed = "; ".join(_explain(row) for row in broken.iter_rows(named=True))
        msg = f"{frame.height} rows of {name} break their contract: {listed}"
        raise DataError(msg) from error


def first_broken_row(frame: pl.DataFrame, rules: Sequence[Rule]) -> tuple[int, str] | None:
    """The first row (from 0) that breaks one of `rules`, and what is wrong with it; None when all hold.

    A rule that gives null, because a value is missing, counts as broken.
    """
    holds = frame.select(rule.holds.fill_null(value=False).alias(rule.broken) for rule in rules)
    rows = holds.select(pl.all_horizontal(pl.all()).arg_min()).item() if holds.height else 0
    if not holds.height or all(holds.row(rows)):
        return None
    return rows, next(name for name, value in holds.row(rows, named=True).items() if not value)


def on_grid(opened_at: str, timeframe: Timeframe) -> pl.Expr:
    """Whether the times of the column lie on the grid of `timeframe`, which starts at the Unix epoch, UTC."""
    return (pl.col(opened_at) - EPOCH).dt.total_microseconds() % (timeframe.minutes * 60_000_000) == 0


def _pandera_check(rule: Rule) -> "pa.Check":
    import pandera.polars as pa

    return pa.Check(lambda data: data.lazyframe.select(rule.holds), name=rule.broken, error=rule.broken)


def _explain(row: Mapping[str, object]) -> str:
    if row["check"] == "column_in_dataframe":
        return f"the column {row['case']} is missing"
    where = f"{row['column']}: " if row["schema_context"] == "Column" else ""
    numbers = row["rows"]
    if not isinstance(numbers, list) or not numbers:
        return f"{where}{row['check']}"
    more = ", …" if isinstance(row["count"], int) and row["count"] > len(numbers) else ""
    return f"{where}{row['check']} (rows {', '.join(map(str, numbers))}{more})"
