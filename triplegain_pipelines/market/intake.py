"""The gate for candles from outside: what may be stored, and what was wrong with the rest.

Only what a single delivery shows by itself is judged here. Whether a well-formed candle is to be believed is the
subject of `doubts`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

import polars as pl

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, CONSISTENCY_RULES, FINITE_RULE, Rule, on_grid

_STEP = Timeframe.M1.duration
_VALUES = ("open", "high", "low", "close", "volume")
_GRID_RULE = Rule(f"the opening time is not on the grid of {Timeframe.M1}", on_grid("opened_at", Timeframe.M1))
_FAULTS: tuple[tuple[QualityCode, Rule], ...] = (
    (QualityCode.OFF_GRID, _GRID_RULE),
    (QualityCode.NOT_FINITE, FINITE_RULE),
    *((QualityCode.CROSSED, rule) for rule in CONSISTENCY_RULES),
)


@dataclass(frozen=True, slots=True)
class Screened:
    """A delivery after the gate.

    `frame` keeps the contract `candles`. `findings` has one for each row that was refused or came twice. `unfinished`
    counts the rows that were left out because their candle is still open, which is no fault of anybody.
    """

    frame: pl.DataFrame
    findings: list[Finding]
    unfinished: int = 0


def screen(frame: pl.DataFrame, *, venue: str, symbol: str, source: str, closed_before: datetime) -> Screened:
    """Divide 1-minute candles as they were delivered into those that may be stored and findings about the others.

    A minute of which a delivery holds two different candles is taken from neither, also where one of the two is
    malformed: nothing says that the other is right. The venue is asked again, because the gap stays.

    An unfinished candle is refused by its time and never by its position. Most venues send the open candle with each
    answer, so it makes a finding only where it opens more than a minute after the minute of `closed_before`: then it is
    not the open candle of any clock that is right, whatever grace up to a minute the caller gives.

    Args:
        frame: the columns of a candle frame, in any order of rows, with anything in them.
        venue: what delivered it.
        symbol: of the candles.
        source: how it came, stored with each finding.
        closed_before: only candles that closed up to then, included, have finished.

    Raises:
        DataError: the columns are not those of a candle frame.
    """
    _require_columns(frame)
    place = _Place(venue, symbol, source, closed_before)
    rows = frame.with_columns(fault=_first_fault(), unfinished=_opens_after(closed_before - _STEP))
    sound = pl.col("fault").is_null() & ~pl.col("unfinished")
    contested = pl.col("opened_at").is_duplicated()
    # Off the grid there is no minute that a row could contest.
    claims = rows.filter(pl.col("fault").is_null() | (pl.col("fault") > 0), ~pl.col("unfinished"))
    alone = claims.filter(sound, ~contested)
    doubled = claims.filter(contested)
    broken = rows.filter(pl.col("fault").is_not_null(), ~pl.col("unfinished"))
    early = rows.filter("unfinished")
    findings = [_refused(row, place) for row in broken.iter_rows(named=True)]
    too_early = early.filter(_opens_after(floor_to(closed_before, _STEP) + _STEP))
    findings += [_unfinished(row, place) for row in too_early.iter_rows(named=True)]
    kept = [alone.select(CANDLE_COLUMNS.keys())]
    for _, group in doubled.group_by("opened_at", maintain_order=True):
        one = _agreed(group)
        kept += [] if one is None else [one]
        findings += _doubled(group, place, agreed=one is not None)
    findings.sort(key=lambda finding: (finding.at, finding.code.value, str(finding.finding_id)))
    return Screened(pl.concat(kept).sort("opened_at"), findings, early.height - too_early.height)


def is_clean(frame: pl.DataFrame, closed_before: datetime) -> bool:
    """Whether `screen` would take every row of a frame of many symbols as it is.

    Args:
        frame: the columns of a candle frame and `symbol`.
        closed_before: as for `screen`.
    """
    _require_columns(frame.drop("symbol"))
    refused = _first_fault().is_not_null() | _opens_after(closed_before - _STEP)
    return not frame.select((refused | pl.struct("symbol", "opened_at").is_duplicated()).any()).item()


def published(row: Mapping[str, Any]) -> dict[str, str | float | int | None]:
    """The values of a candle as they came, in a form that JSON can hold: what is not finite becomes text."""
    values: dict[str, str | float | int | None] = {name: _spelt(row[name]) for name in _VALUES}
    return values if row.get("trades") is None else {**values, "trades": row["trades"]}


@dataclass(frozen=True, slots=True)
class _Place:
    venue: str
    symbol: str
    source: str
    closed_before: datetime

    def finding(
        self,
        at: datetime,
        code: QualityCode,
        detail: Mapping[str, str | float | int],
        values: Mapping[str, str | float | int | None] | None,
    ) -> Finding:
        return Finding(self.venue, self.symbol, at, code, self.source, detail, values)


def _require_columns(frame: pl.DataFrame) -> None:
    if dict(frame.schema) != dict(CANDLE_COLUMNS):
        got = ", ".join(f"{name} {kind}" for name, kind in frame.schema.items())
        msg = f"delivered candles have the columns {got}; they must be those of CANDLE_COLUMNS, in this order"
        raise DataError(msg)


def _first_fault() -> pl.Expr:
    """Number of the first rule in `_FAULTS` that a row breaks, or null. A missing value breaks a rule."""
    return pl.coalesce(
        *(
            pl.when(~rule.holds.fill_null(value=False)).then(pl.lit(number, pl.Int8))
            for number, (_, rule) in enumerate(_FAULTS)
        )
    )


def _opens_after(moment: datetime) -> pl.Expr:
    return (pl.col("opened_at") > moment).fill_null(value=False)


def _refused(row: Mapping[str, Any], place: _Place) -> Finding:
    code, rule = _FAULTS[row["fault"]]
    if row["opened_at"] is None:
        return place.finding(
            place.closed_before, code, {"rule": "the opening time is missing"}, {"opened_at": None, **published(row)}
        )
    return place.finding(row["opened_at"], code, {"rule": rule.broken}, published(row))


def _unfinished(row: Mapping[str, Any], place: _Place) -> Finding:
    detail = {"closed_before": place.closed_before.isoformat()}
    return place.finding(row["opened_at"], QualityCode.UNFINISHED, detail, published(row))


def _agreed(group: pl.DataFrame) -> pl.DataFrame | None:
    """The one candle that all rows of a minute are, or None. A row without the number of trades agrees with any."""
    counts = group["trades"].drop_nulls()
    if group["fault"].is_not_null().any() or group.select(_VALUES).n_unique() > 1 or counts.n_unique() > 1:
        return None
    return group.sort("trades", nulls_last=True).head(1).select(CANDLE_COLUMNS.keys())


def _doubled(group: pl.DataFrame, place: _Place, *, agreed: bool) -> Iterator[Finding]:
    at, detail = group.item(0, "opened_at"), {"copies": group.height}
    if agreed:
        yield place.finding(at, QualityCode.DUPLICATE, detail, None)
        return
    # What is malformed has a finding of its own already.
    for row in group.filter(pl.col("fault").is_null()).unique(maintain_order=True).iter_rows(named=True):
        yield place.finding(at, QualityCode.CONFLICTING, detail, published(row))


def _spelt(value: float | None) -> str | float | None:
    return value if value is None or isfinite(value) else str(value)
