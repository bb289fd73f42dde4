"""How fast the indicators are: the whole set over a year of minutes, many symbols, and one new minute of many series.

    .venv/bin/python benchmarks/indicators.py [--peers PYTHON]

Every row is measured in turns with the others, medians are shown, and the ratio of two rows of one run is what counts:
the times of a busy machine are noisy. PYTHON is the interpreter of an environment with `benchmarks/peers.txt` in it;
peers that are not there are named. The bars are generated from a fixed seed.

'TA-Lib' calls it for every output that it has or that is made of its functions: 25 of the 33. It has no Supertrend, no
rank, no slope and no states; 'all 33' adds them by `registry`'s formulas, which is what somebody with TA-Lib has to run
for what ours gives. 'formulas' is `registry`'s way of computing all 33, with its checks for markets that stand still.
'memory used again' writes into the same array every time; everybody else asks the system for pages in every round.
"""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from statistics import median

import numpy as np
import polars as pl
from peer_packages import find_peers

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe
from triplegain_pipelines.indicators import states, trend
from triplegain_pipelines.indicators.bars import Array, Bars
from triplegain_pipelines.indicators.batch import columns_of
from triplegain_pipelines.indicators.registry import INDICATORS, OUTPUTS, WINDOW, read_indicators
from triplegain_pipelines.indicators.stream import ClosedBar, IndicatorStream
from triplegain_pipelines.indicators.ta import ta
from triplegain_pipelines.market.series import CandleSeries

SEED = 20_240_805
YEAR = 525_600
ROUNDS = 7
SYMBOLS = (1, 10, 50)
MINUTE = 60_000_000
Task = Callable[[], object]


def main() -> None:
    """Print the tables."""
    find_peers()
    whole_set()
    growth()
    new_minute()


def whole_set() -> None:
    """A year of minutes of one symbol, by everybody."""
    bars = market(YEAR)
    out = np.empty((len(OUTPUTS), YEAR))
    tasks: dict[str, Task] = {
        "TA-Lib, its 25 outputs": lambda: [task() for task in talib_tasks(bars)],
        "TA-Lib, two threads": lambda: in_threads(talib_tasks(bars)),
        "TA-Lib and formulas for the rest, all 33": lambda: [task() for task in talib_and_formulas(bars)],
        "formulas": lambda: [one.values(bars) for one in INDICATORS],
        "ours": lambda: columns_of(bars),
        "ours, memory used again": lambda: columns_of(bars, out=out),
        "pure polars": lambda: polars_set(frame_of(bars)),
    }
    if installed("polars_talib"):
        tasks["polars-talib, its 20 outputs"] = lambda: polars_talib_set(frame_of(bars))
        tasks["polars-talib and the rest, all 33"] = lambda: (
            polars_talib_set(frame_of(bars)),
            [task() for task in beside_polars_talib(bars)],
        )
    times = in_turns(tasks)
    talib, all_33 = (times[name] for name in times if name.startswith("TA-Lib") and "threads" not in name)
    say(f"\nthe set over {YEAR:,} bars", "ms", "TA-Lib / this", "all 33 / this")
    for name, seconds in times.items():
        say(name, f"{seconds * 1e3:.1f}", f"{talib / seconds:.2f}", f"{all_33 / seconds:.2f}")
    say("goal for ours", "", ">= 2.5")


def growth() -> None:
    """Ten times the bars, and more symbols over two threads."""
    sizes = {f"{count:,} bars": count for count in (YEAR // 10, YEAR, YEAR * 10)}
    memory = np.empty(len(OUTPUTS) * YEAR * 10)
    tasks: dict[str, Task] = {}
    for name, count in sizes.items():
        bars, out = market(count), memory[: len(OUTPUTS) * count].reshape(len(OUTPUTS), count)
        tasks[name] = lambda bars=bars: columns_of(bars)
        tasks[f"{name}, memory used again"] = lambda bars=bars, out=out: columns_of(bars, out=out)
    times = in_turns(tasks)
    for more in ("", ", memory used again"):
        say(f"\nten times the bars{more}", "ms", "ns a bar", "of a tenth")
        before: float | None = None
        for name, count in sizes.items():
            seconds = times[name + more]
            ratio = f"{seconds / before:.1f}" if before else ""
            say(name, f"{seconds * 1e3:.1f}", f"{seconds / count * 1e9:.0f}", ratio)
            before = seconds
    say("goal", "", "", "<= 11")
    count = YEAR // 10
    markets = [market(count, seed) for seed in range(max(SYMBOLS))]
    tasks = {
        f"{symbols} symbols": (
            lambda symbols=symbols: in_threads([lambda b=b: columns_of(b)[:, -1].copy() for b in markets[:symbols]])
        )
        for symbols in SYMBOLS
    }
    say(f"\nsymbols of {count:,} bars, two threads", "ms", "ns a bar")
    for name, seconds in in_turns(tasks, rounds=3).items():
        say(name, f"{seconds * 1e3:.1f}", f"{seconds / count / int(name.split()[0]) * 1e9:.0f}")


def new_minute() -> None:
    """One more bar of every series."""
    say("\none new minute", "ms", "goal")
    for symbols, goal in ((3, "<= 1 ms"), (50, "<= 15 ms")):
        keys = [(f"S{symbol}", timeframe) for symbol in range(symbols) for timeframe in DECISION_TIMEFRAMES]
        history = market(WINDOW)
        stream = IndicatorStream.after([series_of(*key, history) for key in keys])
        tasks: dict[str, Task] = {
            f"{len(keys)} series, ours": stream_task(stream),
            f"{len(keys)} series, a window of {WINDOW} bars each": window_task(history, len(keys)),
        }
        if installed("talipp"):
            tasks[f"{len(keys)} series, talipp (8 indicators)"] = talipp_task(history, len(keys))
        for name, seconds in in_turns(tasks, rounds=3 * ROUNDS).items():
            say(name, f"{seconds * 1e3:.3f}", goal if "ours" in name else "")


def market(count: int, seed: int = SEED) -> Bars:
    """A random walk with bars as wide as minutes of bitcoin are."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 1e-3, count)))
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) * (1 + draw.uniform(0, 1e-3, count))
    low = np.minimum(opened, close) * (1 - draw.uniform(0, 1e-3, count))
    return Bars(high, low, close, draw.uniform(0.1, 9, count))


def frame_of(bars: Bars) -> pl.DataFrame:
    """The same as a frame."""
    return pl.DataFrame({name: getattr(bars, name) for name in ("high", "low", "close", "volume")})


def series_of(symbol: str, timeframe: Timeframe, bars: Bars) -> CandleSeries:
    """The same as a series of minutes from the epoch on."""
    opened_at = np.arange(len(bars)) * MINUTE
    return CandleSeries(symbol, timeframe, opened_at, bars.close, bars.high, bars.low, bars.close, bars.volume)


def talib_tasks(bars: Bars) -> list[Task]:
    """What TA-Lib can do of the set, an indicator a task."""
    high, low, close, volume, lib = bars.high, bars.low, bars.close, bars.volume, ta()

    def keltner() -> tuple[Array, Array]:
        middle, width = lib.EMA(close, 20), 2 * lib.ATR(high, low, close, 10)
        return middle + width, middle - width

    def choppiness() -> Array:
        ranges = lib.MAX(high, 14) - lib.MIN(low, 14)
        return 100 * np.log(lib.SUM(lib.TRANGE(high, low, close)[1:], 14) / ranges[1:]) / np.log(14)

    def vwap() -> Array:
        return lib.SUM((high + low + close) / 3 * volume, 20) / lib.SUM(volume, 20)

    return [
        lambda: lib.ADX(high, low, close, 14),
        choppiness,
        lambda: (lib.EMA(close, 12), lib.EMA(close, 26), lib.SMA(close, 20), lib.SMA(close, 50)),
        lambda: lib.RSI(close, 14),
        lambda: lib.MACD(close, 12, 26, 9),
        lambda: lib.BBANDS(close, 20, 2.0, 2.0),
        lambda: lib.ATR(high, low, close, 14),
        lambda: lib.STOCH(high, low, close, 14, 3, 0, 3, 0),
        lambda: lib.OBV(close, volume),
        lambda: (lib.MAX(high, 20), lib.MIN(low, 20)),
        lambda: lib.CCI(high, low, close, 20),
        lambda: lib.WILLR(high, low, close, 14),
        keltner,
        vwap,
    ]


def talib_and_formulas(bars: Bars) -> list[Task]:
    """The same, and what TA-Lib has not; ADX and choppiness with their states in place of them alone."""
    _adx, _choppiness, *others = talib_tasks(bars)
    return others + _beyond_talib(bars)


def beside_polars_talib(bars: Bars) -> list[Task]:
    """What polars-talib has not: TA-Lib for Donchian and VWAP, formulas for what TA-Lib has not either."""
    *_, donchian, _cci, _williams, _keltner, vwap = talib_tasks(bars)
    return [donchian, vwap, *_beyond_talib(bars)]


def _beyond_talib(bars: Bars) -> list[Task]:
    rest = (states.trending, states.choppy, states.sloping, states.volatile, trend.supertrend)
    return [lambda one=one: one.values(bars) for one in INDICATORS if one.function in rest]


def polars_set(frame: pl.DataFrame) -> pl.DataFrame:
    """The part of the set that polars' expressions reach without a loop, one plan: 19 outputs."""
    high, low, close, volume = (pl.col(name) for name in ("high", "low", "close", "volume"))
    move = close.diff()
    gain = move.clip(lower_bound=0).ewm_mean(alpha=1 / 14, adjust=False)
    loss = (-move).clip(lower_bound=0).ewm_mean(alpha=1 / 14, adjust=False)
    ranges = pl.max_horizontal(high - low, (high - close.shift()).abs(), (low - close.shift()).abs())
    atr = ranges.ewm_mean(alpha=1 / 14, adjust=False)
    line = close.ewm_mean(span=12, adjust=False) - close.ewm_mean(span=26, adjust=False)
    middle, width = close.rolling_mean(20), 2 * close.rolling_std(20, ddof=0)
    highest, lowest = high.rolling_max(14), low.rolling_min(14)
    k = (100 * (close - lowest) / (highest - lowest)).rolling_mean(3)
    typical = (high + low + close) / 3
    keltner = close.ewm_mean(span=20, adjust=False)
    outputs = {
        "ema_12": close.ewm_mean(span=12, adjust=False),
        "ema_26": close.ewm_mean(span=26, adjust=False),
        "sma_20": middle,
        "sma_50": close.rolling_mean(50),
        "rsi": 100 * gain / (gain + loss),
        "macd": line,
        "signal": line.ewm_mean(span=9, adjust=False),
        "upper": middle + width,
        "lower": middle - width,
        "atr": atr,
        "k": k,
        "d": k.rolling_mean(3),
        "obv": (move.sign().fill_null(1) * volume).cum_sum(),
        "vwap": (typical * volume).rolling_sum(20) / volume.rolling_sum(20),
        "donchian_upper": high.rolling_max(20),
        "donchian_lower": low.rolling_min(20),
        "keltner_upper": keltner + 2 * atr,
        "keltner_lower": keltner - 2 * atr,
        "williams": -100 * (highest - close) / (highest - lowest),
    }
    return frame.select(**outputs)


def polars_talib_set(frame: pl.DataFrame) -> pl.DataFrame:
    """The indicators that polars-talib has, one plan."""
    import polars_talib as plta

    high, low, close, volume = (pl.col(name) for name in ("high", "low", "close", "volume"))
    return frame.select(
        *(plta.ema(close, timeperiod=period).alias(f"ema_{period}") for period in (12, 20, 26)),
        *(plta.sma(close, timeperiod=period).alias(f"sma_{period}") for period in (20, 50)),
        plta.rsi(close, timeperiod=14).alias("rsi"),
        plta.macd(close).alias("macd"),
        plta.bbands(close, timeperiod=20).alias("bbands"),
        *(plta.atr(high, low, close, timeperiod=period).alias(f"atr_{period}") for period in (10, 14)),
        plta.adx(high, low, close, timeperiod=14).alias("adx"),
        plta.stoch(high, low, close, fastk_period=14).alias("stoch"),
        plta.obv(close, volume).alias("obv"),
        plta.cci(high, low, close, timeperiod=20).alias("cci"),
        plta.willr(high, low, close, timeperiod=14).alias("willr"),
    )


def stream_task(stream: IndicatorStream) -> Task:
    """One more bar of every series of the stream."""
    minutes = iter(range(WINDOW, WINDOW + 10_000))

    def take() -> Array:
        opened_at = next(minutes) * MINUTE
        return stream.take([ClosedBar(*key, opened_at, 101.0, 99.0, 100.0, 5.0) for key in stream.keys])

    return take


def window_task(history: Bars, count: int) -> Task:
    """What a decision reads, for `count` series."""
    window = frame_of(history)
    return lambda: [read_indicators(window) for _ in range(count)]


def talipp_task(history: Bars, count: int) -> Task:
    """One more bar for `count` sets of talipp's indicators, which are as many objects in Python."""
    from talipp.indicators import ADX, ATR, BB, EMA, MACD, OBV, RSI, Stoch
    from talipp.ohlcv import OHLCV

    rows = zip(history.close, history.high, history.low, history.close, history.volume, strict=True)
    bars = [OHLCV(*row) for row in rows]
    closes = [bar.close for bar in bars]
    sets = [
        (
            [EMA(12, closes), RSI(14, closes), MACD(12, 26, 9, closes), BB(20, 2.0, closes)],
            [ATR(14, bars), ADX(14, 14, bars), Stoch(14, 3, bars), OBV(bars)],
        )
        for _ in range(count)
    ]

    def add() -> None:
        for of_closes, of_bars in sets:
            for one in of_closes:
                one.add(closes[-1])
            for one in of_bars:
                one.add(bars[-1])

    return add


def in_threads(tasks: list[Task]) -> None:
    """All tasks over two threads."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def in_turns(tasks: Mapping[str, Task], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each task; a first round, which loads and compiles, does not count."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            begin = monotonic_seconds()
            task()
            times[name].append(monotonic_seconds() - begin)
    return {name: median(seconds) for name, seconds in times.items()}


def installed(name: str) -> bool:
    """Whether the peer is there; says so where it is not."""
    if find_spec(name) is None:
        say(f"{name}: not installed", "", "")
        return False
    return True


def say(what: str, *measured: str) -> None:
    """One row."""
    sys.stdout.write(f"{what:<50} {measured[0]:>12}  {'  '.join(f'{one:>14}' for one in measured[1:])}\n")


if __name__ == "__main__":
    main()
