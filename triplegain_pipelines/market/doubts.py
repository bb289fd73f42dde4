"""Which well-formed candles are not to be believed yet: jumps, a feed that stands still, minutes without a trade.

Pure functions of the candles given. A candle is judged only by those before it, so the findings are the same whether
a day comes in one piece or minute by minute, as long as a day of history comes with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

import polars as pl

from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.market.intake import published
from triplegain_pipelines.settings.market import QualitySettings

USUAL_SPAN = timedelta(days=1)
"""From how far back the usual move of a minute is taken: the history that a judgement of jumps needs."""

TAIL_ROWS = 60
"""How many candles before the new ones the other judgements need: an hour of them, and so every stuck feed in it."""

_FEWEST_MOVES = 30  # with fewer the usual move of a minute is not known
_SETTLED_AFTER = 3  # so many candles in a row after a jump that stay where it went make a new level
_VALUES = ("open", "high", "low", "close", "volume")
_MINUTE = timedelta(minutes=1)


def doubtful(
    frame: pl.DataFrame, *, venue: str, symbol: str, source: str, rules: QualitySettings, since: datetime | None = None
) -> list[Finding]:
    """What is doubtful about the candles opened from `since` on.

    OUTLIER: high or low is further than `outlier_move` from the close of the last candle that was not doubted, and
    further than `outlier_scale` times the usual move. The usual move is the median of the absolute log returns of the
    candles with volume in the day before that close; over `n` minutes without a candle it counts `sqrt(n)` times. With
    fewer than 30 such returns it is not known, and the first condition decides. A wrong tick is doubted alone, and not
    the return from it. After a jump that stays, the third candle that stays makes the new level, so a real crash
    costs three findings and not an hour's. A minute without a trade repeats the price before it, so it bears witness to
    nothing: it neither makes a level nor breaks one, and is doubted with the price that it repeats.

    STUCK_FEED: the same five values, volume above zero, `stuck_candles` times in a row. All but the first are doubted,
    also those before `since`: of the first few nobody could know it yet.

    ZERO_VOLUME: minutes without a trade. Those in a row within an hour are one finding, with their number.

    The findings of the first two are about the values, which stand in `published`: other values of the same minute are
    another finding.

    Args:
        frame: keeps the contract `candles`; the history and what is new.
        venue: of the series.
        symbol: of the series.
        source: what delivered the new candles.
        rules: what counts as doubtful.
        since: opening time of the first candle to judge; all before are history. None judges all.

    Returns:
        Findings by time.
    """
    if frame.is_empty():
        return []
    first = frame.item(0, "opened_at") if since is None else since
    found = [*_outliers(frame, rules, first), *_stuck(frame, rules, first), *_without_trades(frame, first)]
    found.sort(key=lambda doubt: (doubt.at, doubt.code.value))
    return [Finding(venue, symbol, one.at, one.code, source, one.detail, one.values) for one in found]


def glance_rows(rules: QualitySettings) -> int:
    """How many candles before the new ones `suspicious_symbols` needs."""
    return max(rules.stuck_candles, _SETTLED_AFTER + 1)


def needs_a_day(tail: pl.DataFrame, new: pl.DataFrame, rules: QualitySettings) -> bool:
    """Whether outliers among new candles can be judged with a day of history only.

    So it is after a jump: only the day tells what is usual. And so it is where hardly anybody traded: an older jump may
    not have been settled yet. Else there is no outlier among the new candles, and nobody needs to load a day.

    Args:
        tail: the candles just before the new ones; at least `_SETTLED_AFTER` + 1, where there are so many.
        new: the new ones.
        rules: what counts as doubtful.
    """
    traded = int((tail["volume"] > 0).sum())
    return traded <= _SETTLED_AFTER or moved_far(pl.concat([tail, new]), rules)


def moved_far(frame: pl.DataFrame, rules: QualitySettings) -> bool:
    """Whether a candle went further than `outlier_move` from the close before it."""
    return not _candidates(frame, rules).is_empty()


def suspicious_symbols(frame: pl.DataFrame, rules: QualitySettings) -> list[str]:
    """The symbols that `doubtful` has to look at.

    Args:
        frame: `symbol` and the columns of a candle frame, sorted by symbol and time: what is new, and `glance_rows`
            candles of each symbol before it.
        rules: what counts as doubtful.
    """
    before = pl.col("close").shift(1).over("symbol").fill_null(pl.col("open"))
    same = _same(over="symbol")
    repeats = same.cast(pl.Int32).sum().over("symbol") >= rules.stuck_candles - 1
    looked_at = (_move(before) > rules.outlier_move) | (pl.col("volume") == 0) | repeats
    return frame.filter(looked_at)["symbol"].unique(maintain_order=True).to_list()


@dataclass(frozen=True, slots=True)
class _Doubt:
    at: datetime
    code: QualityCode
    detail: dict[str, str | float | int]
    values: dict[str, str | float | int | None] | None = None


class _Series:
    """The columns of a frame as lists, for the walk over the few candles after a jump."""

    def __init__(self, frame: pl.DataFrame, rules: QualitySettings) -> None:
        self._frame, self._rules = frame, rules
        self.times: list[datetime] = frame["opened_at"].to_list()
        self._high, self._low, self._close = (frame[name].to_list() for name in ("high", "low", "close"))
        self._open: list[float] = frame["open"].to_list()
        self.traded: list[bool] = (frame["volume"] > 0).to_list()

    def reference(self, number: int) -> float:
        """The close of a candle; of none, the open of the first: it has nothing else to be measured by."""
        return float(self._close[number]) if number >= 0 else self._open[0]

    def move(self, number: int, reference: int) -> float:
        """How far the candle went from the reference, as a share, up above zero; a fall to half counts as a rise."""
        price = self.reference(reference)
        up, down = self._high[number] / price - 1, price / self._low[number] - 1
        return float(up if up >= down else -down)

    def is_far(self, number: int, reference: int, usual: float) -> bool:
        """Whether the candle is out of what is usual, seen from the reference."""
        passed = (self.times[number] - self.times[max(reference, 0)]) / _MINUTE
        allowed = max(self._rules.outlier_move, self._rules.outlier_scale * usual * sqrt(max(1.0, passed)))
        return abs(self.move(number, reference)) > allowed

    def usual(self, reference: int) -> float:
        """The median absolute log return of a minute in the day up to the reference; 0 where it is not known."""
        if reference < 1:
            return 0.0
        end = self.times[reference]
        traded = self._frame.lazy().slice(0, reference + 1).filter(pl.col("opened_at") > end - USUAL_SPAN)
        minutes = pl.col("opened_at").diff().dt.total_minutes()
        returns = (
            traded.with_columns(move=(pl.col("close").log().diff().abs() / minutes.sqrt()))
            .filter(pl.col("volume") > 0)
            .select(pl.col("move").drop_nulls())
            .collect()["move"]
        )
        median = returns.median() if returns.len() >= _FEWEST_MOVES else None
        return median if isinstance(median, float) else 0.0


def _outliers(frame: pl.DataFrame, rules: QualitySettings, since: datetime) -> Iterator[_Doubt]:
    candidates = _candidates(frame, rules)
    if candidates.is_empty():
        return
    series, unjudged = _Series(frame, rules), 0
    for first in candidates.to_list():
        if first < unjudged:
            continue
        usual = series.usual(first - 1)
        last = first
        for number in _far_run(series, first, usual):
            last = number + 1
            if series.times[number] >= since:
                yield _outlier(frame, series, number, first - 1, usual)
        # The candle after the run is believed and is the next reference.
        unjudged = last + 1


def _far_run(series: _Series, first: int, usual: float) -> Iterator[int]:
    """The candles from `first` on that are far from the one before it, until one is back or a new level is settled."""
    stayed = 0
    for number in range(first, len(series.times)):
        if not series.is_far(number, first - 1, usual):
            return
        if series.traded[number]:
            stays = number > first and not series.is_far(number, number - 1, usual)
            stayed = stayed + 1 if stays else 0
        if stayed == _SETTLED_AFTER:
            return
        yield number


def _outlier(frame: pl.DataFrame, series: _Series, number: int, reference: int, usual: float) -> _Doubt:
    detail: dict[str, str | float | int] = {
        "move": series.move(number, reference),
        "usual": usual,
        "reference": series.reference(reference),
        "reference_at": series.times[max(reference, 0)].isoformat(),
    }
    values = published(frame.row(number, named=True))
    return _Doubt(series.times[number], QualityCode.OUTLIER, detail, _without_count(values))


def _stuck(frame: pl.DataFrame, rules: QualitySettings, since: datetime) -> Iterator[_Doubt]:
    same = frame.select(same=_same())["same"]
    if same.sum() < rules.stuck_candles - 1:
        return
    run = (~same).cum_sum()
    length, last = pl.len().over("run"), pl.col("opened_at").max().over("run")
    repeats = (
        frame.with_columns(same=same, run=run)
        .with_columns(length=length, last=last)
        .filter("same", pl.col("length") >= rules.stuck_candles, pl.col("last") >= since)
    )
    for row in repeats.iter_rows(named=True):
        detail: dict[str, str | float | int] = {"at_least_equal": rules.stuck_candles}
        yield _Doubt(row["opened_at"], QualityCode.STUCK_FEED, detail, _without_count(published(row)))


def _without_trades(frame: pl.DataFrame, since: datetime) -> Iterator[_Doubt]:
    empty = frame["volume"] == 0
    if not empty.any():
        return
    runs = (
        frame.select("opened_at", empty=empty, run=(~empty).cum_sum(), hour=pl.col("opened_at").dt.truncate("1h"))
        .filter("empty")
        .group_by("run", "hour", maintain_order=True)
        .agg(at=pl.col("opened_at").min(), last=pl.col("opened_at").max(), minutes=pl.len())
        .filter(pl.col("last") >= since)
    )
    for row in runs.iter_rows(named=True):
        detail: dict[str, str | float | int] = {"minutes": row["minutes"], "last": row["last"].isoformat()}
        yield _Doubt(row["at"], QualityCode.ZERO_VOLUME, detail)


def _candidates(frame: pl.DataFrame, rules: QualitySettings) -> pl.Series:
    before = pl.col("close").shift(1).fill_null(pl.col("open"))
    return frame.select(far=_move(before) > rules.outlier_move)["far"].arg_true()


def _move(before: pl.Expr) -> pl.Expr:
    return pl.max_horizontal(pl.col("high") / before, before / pl.col("low")) - 1


def _same(over: str | None = None) -> pl.Expr:
    """Whether a candle has the five values of the one before, with volume."""
    equal = (
        (pl.col(name) == (pl.col(name).shift(1).over(over) if over else pl.col(name).shift(1))) for name in _VALUES
    )
    return (pl.all_horizontal(*equal) & (pl.col("volume") > 0)).fill_null(value=False)


def _without_count(values: dict[str, str | float | int | None]) -> dict[str, str | float | int | None]:
    """Without the number of trades: a delivery that does not know it is not of another candle."""
    return {name: value for name, value in values.items() if name != "trades"}
