"""Random frames and ready snapshots for tests of indicators and agents."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from candle_frames import START

from triplegain_pipelines.agents.snapshot import build_snapshot
from triplegain_pipelines.agents.window import read_window, window
from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.evidence import Snapshot
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.timeframes import ROLLUP_TIMEFRAMES, Timeframe, last_closed_open
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.headlines import Headline
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.settings import load_settings

GRACE = timedelta(seconds=10)
WEIGHTS = load_settings().market.timeframe_weights


def random_frame(count: int, *, timeframe: Timeframe = Timeframe.M1, seed: int = 7, drift: float = 0.0) -> pl.DataFrame:
    """A candle frame of `count` bars from 2024-08-05 on: a random walk from 100 with `drift` a bar."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(drift + draw.normal(0, 1e-3, count)))
    opened = np.concatenate([[100.0], close])[:count]
    return pl.DataFrame(
        {
            "opened_at": [START + timeframe.duration * bar for bar in range(count)],
            "open": opened,
            "high": np.maximum(opened, close) * (1 + draw.uniform(0, 1e-3, count)),
            "low": np.minimum(opened, close) * (1 - draw.uniform(0, 1e-3, count)),
            "close": close,
            "volume": draw.uniform(0.1, 9, count),
            "trades": pl.Series([None] * count, dtype=pl.Int32),
        },
        schema_overrides={"opened_at": CANDLE_COLUMNS["opened_at"]},
    )


def with_rollups(minutely: pl.DataFrame) -> dict[Timeframe, pl.DataFrame]:
    """1m candles and all roll-ups made of them."""
    return {Timeframe.M1: minutely, **{timeframe: roll_up(minutely, timeframe) for timeframe in ROLLUP_TIMEFRAMES}}


def snapshot_of(
    candles: dict[Timeframe, pl.DataFrame],
    as_of: datetime,
    *,
    headlines: Sequence[Headline] = (),
    venue: str = "binance",
) -> Snapshot:
    """The snapshot of BTC/USDT at `as_of`."""
    windows = {
        timeframe: read_window(timeframe, last_closed_open(as_of, timeframe, GRACE), bars)
        for timeframe, bars in window(candles, as_of, GRACE).items()
    }
    return build_snapshot(
        venue=venue,
        symbol="BTC/USDT",
        as_of=as_of,
        grace=GRACE,
        windows=windows,
        headlines=headlines,
        fear_greed=(),
        weights=WEIGHTS,
    )


def recorded_candles(path: object) -> pl.DataFrame:
    """A recorded file of 1m candles as a candle frame."""
    frame = pl.read_parquet(str(path))
    return frame.select(
        pl.col("time").dt.cast_time_unit("us").alias("opened_at"), "open", "high", "low", "close", "volume"
    )


def snapshot_with(
    readings: Mapping[Timeframe, Mapping[str, float | None]],
    titles: Sequence[str] = (),
    weights: Mapping[Timeframe, float] = WEIGHTS,
) -> Snapshot:
    """A snapshot that holds these readings and headlines and nothing else."""
    document = canonical_json(
        {
            "timeframe_weights": {timeframe.value: weight for timeframe, weight in weights.items()},
            "timeframes": {timeframe.value: {"indicators": values} for timeframe, values in readings.items()},
            "headlines": [{"title": title, "source": "CoinDesk", "age_minutes": 5} for title in titles],
        }
    )
    identity = content_hash(document)
    return Snapshot(
        deterministic_id("snapshot", identity), "binance", "BTC/USDT", START, identity, "data", "code", document
    )
