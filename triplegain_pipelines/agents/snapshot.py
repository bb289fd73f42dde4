"""The snapshot: the document that holds exactly what an agent may see of a symbol at one moment.

It is made here and read everywhere; no agent gets anything else. Which bars it may rest on is said in `window`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from triplegain_pipelines.agents.headlines import known_headlines
from triplegain_pipelines.agents.window import Window
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import Readings, Snapshot
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.timeframes import Timeframe, last_closed_open
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.news.fear_greed import FearGreedReading, newest_known
from triplegain_pipelines.settings.profile import SIMULATED_VENUE

SNAPSHOT_VERSION = f"snapshot-2+{INDICATORS_VERSION}"
"""Raise the number when the document changes; the indicators' version follows by itself."""

RECENT_BARS = 12
SIGNIFICANT_DIGITS = 10
MAXIMUM_CANDLE_AGE = timedelta(minutes=5)
MAXIMUM_FEAR_GREED_AGE = timedelta(hours=48)
"""The index has one value a day, which counts from the day's beginning: one missing day is borne, two are not."""

_NEEDED = ("atr_14", "rsi_14")


def build_snapshot(
    *,
    venue: str,
    symbol: str,
    as_of: datetime,
    grace: timedelta,
    windows: Mapping[Timeframe, Window],
    headlines: Iterable[Headline],
    fear_greed: Iterable[FearGreedReading],
    weights: Mapping[Timeframe, float],
) -> Snapshot:
    """The snapshot of `symbol` at `as_of`.

    Prices stand in it as they were published. Volumes and indicators are rounded to 10 significant digits, which keeps
    the text short and is far below their own noise. `complete` is false, with the reasons, where it must not lead to
    new risk: the newest 1m candle closed more than 5 minutes ago, or the 1h ATR or RSI has no value. Of the
    fear-and-greed index it holds the newest value known, null where that is of more than 48 hours ago. `weights` is the
    say of each timeframe; it stands in the document, so that what is made of it can be made again under other weights.

    Raises:
        DataError: a window holds a bar that had not closed at `as_of`.
    """
    for one in windows.values():
        _refuse_look_ahead(one, symbol, as_of, grace)
    age = _candle_age(windows.get(Timeframe.M1), as_of)
    hourly = windows[Timeframe.H1].readings if Timeframe.H1 in windows else {}
    lacks = _lacks(age, hourly)
    document = canonical_json(
        {
            "venue": venue,
            "symbol": symbol,
            "as_of": as_of,
            "simulated": venue == SIMULATED_VENUE,
            "complete": not lacks,
            "incomplete_reasons": lacks,
            "candle_age_seconds": None if age is None else age.total_seconds(),
            "reference_price": None if age is None else windows[Timeframe.M1].bars.item(-1, "close"),
            "atr": _rounded(hourly.get("atr_14")),
            "timeframe_weights": {timeframe.value: weight for timeframe, weight in weights.items()},
            "timeframes": {timeframe.value: _section(one) for timeframe, one in windows.items()},
            "headlines": [
                {
                    "title": one.title,
                    "source": one.source,
                    "age_minutes": (as_of - one.first_seen_at) // timedelta(minutes=1),
                }
                for one in known_headlines(headlines, as_of)
            ],
            "fear_greed": _index(newest_known(fear_greed, as_of, MAXIMUM_FEAR_GREED_AGE), as_of),
        }
    )
    identity = content_hash(document)
    return Snapshot(
        snapshot_id=deterministic_id("snapshot", identity),
        venue=venue,
        symbol=symbol,
        as_of=as_of,
        content_hash=identity,
        data_version=content_hash({timeframe.value: one.data_hash for timeframe, one in windows.items()}),
        code_version=SNAPSHOT_VERSION,
        document=document,
    )


def _index(reading: FearGreedReading | None, as_of: datetime) -> Mapping[str, object] | None:
    # The number says all: no word of a stranger goes on from here.
    if reading is None:
        return None
    return {"score": reading.score, "age_minutes": (as_of - reading.published_at) // timedelta(minutes=1)}


def _refuse_look_ahead(one: Window, symbol: str, as_of: datetime, grace: timedelta) -> None:
    newest = last_closed_open(as_of, one.timeframe, grace)
    if one.newest != newest or (one.bars.height and one.bars.item(-1, "opened_at") > newest):
        msg = (
            f"the {one.timeframe} window of {symbol} does not end at {newest.isoformat()}, the newest bar closed at "
            f"{as_of.isoformat()}; cut it with window()"
        )
        raise DataError(msg)


def _candle_age(minutely: Window | None, as_of: datetime) -> timedelta | None:
    if minutely is None or minutely.bars.is_empty():
        return None
    opened_at: datetime = minutely.bars.item(-1, "opened_at")
    return as_of - (opened_at + Timeframe.M1.duration)


def _lacks(age: timedelta | None, hourly: Readings) -> list[str]:
    lacks = []
    if age is None:
        lacks.append("there is no recent 1m candle")
    elif age > MAXIMUM_CANDLE_AGE:
        lacks.append(f"the newest 1m candle closed {age.total_seconds():.0f} s ago")
    lacks.extend(f"1h {name} has no value" for name in _NEEDED if hourly.get(name) is None)
    return lacks


def _section(one: Window) -> dict[str, Any]:
    if one.bars.is_empty():
        return {"bars": 0, "bars_missing": 0, "closes": [], "volumes": [], "indicators": {}}
    recent = one.bars.tail(RECENT_BARS)
    minutes = recent.item(-1, "minutes") if "minutes" in recent.columns else one.timeframe.minutes
    return {
        "bars": one.bars.height,
        "bars_missing": one.missing,
        "last_opened_at": recent.item(-1, "opened_at"),
        "minutes_missing": one.timeframe.minutes - minutes,
        "closes": recent.get_column("close").to_list(),
        "volumes": [_rounded(volume) for volume in recent.get_column("volume").to_list()],
        "indicators": {name: _rounded(value) for name, value in one.readings.items()},
    }


def _rounded(value: float | None) -> float | None:
    # Adding 0.0 turns -0.0 into 0.0: one spelling for one number.
    return None if value is None else float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0
