"""From candles to evidence: the indicator rows and snapshots of one symbol for a run of decision times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from triplegain_pipelines.agents.regime import classify_regime
from triplegain_pipelines.agents.sentiment import SeatReading, score_headlines
from triplegain_pipelines.agents.snapshot import build_snapshot
from triplegain_pipelines.agents.technical import assess_technicals
from triplegain_pipelines.agents.window import Window, read_window, window
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import IndicatorReading, Signals, Snapshot
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one symbol's decisions rest on, in order of decision time."""

    readings: tuple[IndicatorReading, ...]
    snapshots: tuple[Snapshot, ...]


def gather_evidence(
    *,
    venue: str,
    symbol: str,
    candles: Mapping[Timeframe, pl.DataFrame],
    decision_times: Iterable[datetime],
    grace: timedelta,
    headlines: Sequence[Headline],
    fear_greed: Sequence[FearGreedReading],
    weights: Mapping[Timeframe, float],
) -> Evidence:
    """Indicator rows and snapshots of `symbol` at each decision time.

    Args:
        venue: where the candles come from.
        symbol: BASE/QUOTE.
        candles: 1m candles and roll-ups, each reaching `history()` before the first decision time; what lies after a
            decision time is not looked at for it.
        decision_times: points of the decision grid, UTC; each is seen `grace` later.
        grace: how long after its close a candle may still be revised.
        headlines: all that were stored; each snapshot takes those known at its time.
        fear_greed: all values of the index that were stored; each snapshot takes the newest known at its time.
        weights: the say of each timeframe.

    Raises:
        DataError: a frame is not sorted by opening time, or a bar holds a null, a NaN or an infinite value.
    """
    frames = {timeframe: _in_order(timeframe, symbol, frame) for timeframe, frame in candles.items()}
    seen: dict[Timeframe, Window] = {}
    readings: list[IndicatorReading] = []
    snapshots: list[Snapshot] = []
    for decided_at in decision_times:
        as_of = decided_at + grace
        for timeframe, bars in window(frames, as_of, grace).items():
            newest = last_closed_open(as_of, timeframe, grace)
            # The window of a long timeframe stays the same for many decisions.
            if timeframe not in seen or seen[timeframe].newest != newest:
                seen[timeframe] = read_window(timeframe, newest, bars)
        readings.extend(_row(venue, symbol, as_of, one) for one in seen.values() if one.bars.height)
        snapshots.append(
            build_snapshot(
                venue=venue,
                symbol=symbol,
                as_of=as_of,
                grace=grace,
                windows=seen,
                headlines=headlines,
                fear_greed=fear_greed,
                weights=weights,
            )
        )
    return Evidence(tuple(readings), tuple(snapshots))


def assess(snapshot: Snapshot, reading: SeatReading | None = None) -> Signals:
    """What the three agents that are code say about `snapshot`, with what a seat said of its headlines if one did."""
    return Signals(assess_technicals(snapshot), classify_regime(snapshot), score_headlines(snapshot, reading))


def _in_order(timeframe: Timeframe, symbol: str, frame: pl.DataFrame) -> pl.DataFrame:
    opened_at = frame.get_column("opened_at")
    if not (opened_at.is_sorted() and opened_at.n_unique() == frame.height):
        msg = f"the {timeframe} candles of {symbol} are not in order of opening time, or one occurs twice; sort them"
        raise DataError(msg)
    return frame.rechunk()


def _row(venue: str, symbol: str, as_of: datetime, one: Window) -> IndicatorReading:
    return IndicatorReading(
        venue=venue,
        symbol=symbol,
        timeframe=one.timeframe,
        as_of=as_of,
        code_version=INDICATORS_VERSION,
        opened_at=one.bars.item(-1, "opened_at"),
        bars=one.bars.height,
        data_hash=one.data_hash,
        readings=one.readings,
    )
