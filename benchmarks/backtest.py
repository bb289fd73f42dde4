"""The fast engine beside other backtesters: one backtest, a sweep, memory, and how cost grows.

    .venv/bin/python benchmarks/backtest.py [--peers PYTHON] [--rounds N]

PYTHON is the interpreter of an environment with `benchmarks/peers.txt` in it; without one (or TRIPLEGAIN_PEERS) the
peers are said to be absent. A year of generated minutes with a fixed seed, a cross of moving averages, 10 bps of fee,
5 bps of slippage, a stop at 2 % and a target at 4 %. Seconds are the processor's, which other programs disturb least;
a sweep's are those of all its threads together. Runs are interleaved and medians are shown: trust the ratios. The
engines differ in what a bar may fill (ours: next open, price grid), so their trades differ a little.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import psutil

from triplegain_pipelines.backtest.kernel import run
from triplegain_pipelines.backtest.sweep import sweep
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.indicators.trend import sma
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.strategy import Signals, StrategyParameters

YEAR = 525_600
FAST, SLOW = 60, 240
PAIRS = [(fast, slow) for fast in range(10, 210, 10) for slow in range(250, 1250, 50)]
MOMENTUM = STRATEGIES["momentum"]
# The whole account in each position, as the peers do, and a stop at 2 % of the price.
TERMS = Terms(starting_equity=100_000.0, fill_rate=1.0, risk_per_trade=0.02, max_position=1.0)
_COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
CHEAP = replace(
    TERMS, fee=0.0, slippage=0.0
)  # costs ruin the account in ten years of this, and the ruined trade no more
ENGINES = ("vectorbt-rust", "vectorbt-numba", "backtesting.py")
PEER_SCRIPT = Path(__file__).with_name("backtest_peers.py")


def market(bars: int, seed: int = 7) -> CandleSeries:
    """Generated minutes: a random walk of 6 bps a minute on a grid of 0.01."""
    rng = np.random.default_rng(seed)
    close = np.round(30_000 * np.exp(np.cumsum(rng.normal(0, 0.0006, bars))), 2)
    opened = np.concatenate([[30_000.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + np.abs(rng.normal(0, 0.0003, bars))), 2)
    low = np.round(np.minimum(opened, close) * (1 - np.abs(rng.normal(0, 0.0003, bars))), 2)
    at = 1_640_995_200_000_000 + np.arange(bars) * 60_000_000
    return CandleSeries("BTC/USDT", Timeframe.M1, at, opened, high, low, close, np.ones(bars))


def cross(series: CandleSeries) -> Signals:
    """Long while the faster average is over the slower one."""
    values = IndicatorValues(series)
    target = (values.of(sma, period=FAST)[0] > values.of(sma, period=SLOW)[0]).astype(np.int8)
    return Signals(target, np.zeros(len(series), np.int8), series.close * 0.01, 2.0)


def pairs(count: int) -> list[StrategyParameters]:
    """The first `count` parameters of a sweep, the pairs again and again."""
    made = [MOMENTUM.parameters(fast=fast, slow=slow) for fast, slow in PAIRS]  # type: ignore[call-arg]
    return [made[place % len(made)] for place in range(count)]


class Peers:
    """The peers' process, or nothing where there is no interpreter for them."""

    def __init__(self, process: "subprocess.Popen[str] | None") -> None:
        self._process = process

    def ask(self, engine: str, task: str) -> tuple[float, int, int] | None:
        """Processor seconds, combinations and trades; None where the engine is absent."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            return None
        self._process.stdin.write(f"{engine} {task}\n")
        self._process.stdin.flush()
        words = self._process.stdout.readline().split()
        return (float(words[0]), int(words[1]), int(words[2])) if len(words) > 1 else None


@contextmanager
def peers(interpreter: str | None, series: CandleSeries, signals: Signals) -> Iterator[Peers]:
    """The peers with the same candles and signals."""
    if interpreter is None:
        yield Peers(None)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data.npz"
        columns = {name: getattr(series, name) for name in ("open", "high", "low", "close")}
        np.savez(place, rising=signals.target == 1, pairs=np.array(PAIRS), **columns)
        command = [interpreter, str(PEER_SCRIPT), str(place)]
        with subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            yield Peers(process)
            if process.stdin is not None:
                process.stdin.close()


def beside_peers(interpreter: str | None, rounds: int) -> None:
    """One backtest and the sweep, interleaved with the peers."""
    series = market(YEAR)
    signals, parameters = cross(series), pairs(len(PAIRS))
    done = run(series, signals, TERMS)
    sweep(IndicatorValues(series), MOMENTUM, parameters[:2], TERMS)
    seconds: dict[str, list[float]] = defaultdict(list)
    walls: list[float] = []
    trades: dict[str, int] = {"one kernel": len(done.trades)}
    with peers(interpreter, series, signals) as others:
        for task in ("one", "sweep"):
            for _ in range(rounds if task == "one" else min(rounds, 3)):
                own = timed_run(series, signals) if task == "one" else timed_sweep(series, parameters, trades, walls)
                seconds[f"{task} kernel"].append(own)
                for engine in ENGINES:
                    said = others.ask(engine, task)
                    if said is not None:
                        seconds[f"{task} {engine}"].append(said[0] / said[1])
                        trades[f"{task} {engine}"] = said[2] // said[1]
    for task in ("one", "sweep"):
        own = statistics.median(seconds[f"{task} kernel"])
        for engine in ("kernel", *ENGINES):
            taken = seconds.get(f"{task} {engine}")
            if taken is None:
                say(f"{task:<6} {engine:<15} absent")
                continue
            middle = statistics.median(taken)
            rate = f"{middle * 1e3:9.2f} ms" if task == "one" else f"{1 / middle:9.1f} combinations a processor second"
            say(f"{task:<6} {engine:<15} {rate}  {middle / own:8.1f} x ours  {trades[f'{task} {engine}']} trades each")
    say(f"sweep  kernel on two threads: {statistics.median(walls):.0f} combinations a second of the clock")
    say(f"sha256 over all trades of the one: {done.sha256}")


def timed_run(series: CandleSeries, signals: Signals) -> float:
    """Seconds of one backtest: all trades, and the equity of each day."""
    began = process_time()
    run(series, signals, TERMS)
    return process_time() - began


def timed_sweep(
    series: CandleSeries, parameters: list[StrategyParameters], trades: dict[str, int], walls: list[float]
) -> float:
    """Seconds a combination, indicators and signals included; nothing is known at the start."""
    values = IndicatorValues(series)
    began, wall = process_time(), monotonic_seconds()
    table = sweep(values, MOMENTUM, parameters, TERMS, threads=2)
    taken = process_time() - began
    walls.append(len(parameters) / (monotonic_seconds() - wall))
    trades["sweep kernel"] = int(table["trades"].sum()) // len(parameters)
    return taken / len(parameters)


def memory() -> None:
    """Peak memory of a sweep of 400 pairs over a year of minutes, over the data, in a process of its own."""
    series = market(YEAR)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data.npz"
        np.savez(place, **{name: getattr(series, name) for name in _COLUMNS})
        command = [sys.executable, __file__, "--only-sweep", str(place)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    say(told.strip())


def only_sweep(place: str) -> None:
    """The sweep alone; what the data, the libraries and the compiled code take is known before it begins."""
    columns: list[Any] = [np.load(place)[name] for name in _COLUMNS]
    series = CandleSeries("BTC/USDT", Timeframe.M1, *columns)
    sweep(IndicatorValues(series.part(0, 5_000)), MOMENTUM, pairs(4), TERMS)
    before = psutil.Process().memory_info().rss / 2**20
    sweep(IndicatorValues(series), MOMENTUM, pairs(len(PAIRS)), TERMS, threads=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    say(f"memory: at most {peak - before:.0f} MiB over the {before:.0f} MiB of libraries, compiled code and data")


def growth(rounds: int) -> None:
    """How cost grows with bars of a backtest and of a sweep, symbols and parameters; 1.0 is linear.

    Every round begins with candles that are not in the processor's caches, as a first backtest does: a tenth of a year
    would stay there from one round to the next, and a year would not.
    """
    for label, sizes in (
        ("bars", (YEAR // 10, YEAR, YEAR * 10)),
        ("swept bars", (YEAR // 10, YEAR, YEAR * 10)),
        ("symbols", (1, 10, 50)),
        ("parameters", (100, 100_000)),
    ):
        smallest = None
        for size in sizes:
            taken = statistics.median(_grown(label, size) for _ in range(max(rounds, 5)))
            smallest = smallest or taken / size
            say(f"{label:<10} {size:>9,} {taken * 1e3:10.2f} ms  {taken / size / smallest:5.2f} x linear")


_made: dict[tuple[str, int], tuple[CandleSeries, Signals]] = {}


def _grown(label: str, size: int) -> float:
    """Seconds of a run or a sweep over so many bars, of runs over so many symbols, of a sweep of so many parameters."""
    bars = {"symbols": YEAR // 10, "parameters": 1_500}.get(label, size)
    if (label, bars) not in _made:
        _made.clear()
        series = market(bars)
        _made[label, bars] = series, cross(series)
    series, signals = _made[label, bars]
    if label == "parameters":
        parameters, values = pairs(size), IndicatorValues(series)
        sweep(values, MOMENTUM, parameters[: len(PAIRS)], TERMS)  # the indicators are the same for all
        began = process_time()
        sweep(values, MOMENTUM, parameters, TERMS)
        return process_time() - began
    if label == "swept bars":
        few, values = pairs(64), IndicatorValues(series)
        _fill_caches()
        began = process_time()
        sweep(values, MOMENTUM, few, CHEAP)
        return process_time() - began
    symbols = [replace(series, symbol=f"C{number}/USDT") for number in range(size if label == "symbols" else 1)]
    _fill_caches()
    began = process_time()
    for one in symbols:
        run(one, signals, CHEAP)
    return process_time() - began


def _fill_caches() -> None:
    """Read so much of something else that no candle is left in them."""
    _else.sum()


_else = np.ones(1 << 24)  # 128 MiB


def say(text: str) -> None:
    """One line of the result."""
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("TRIPLEGAIN_PEERS"), help="interpreter of the peers")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--only-sweep", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only_sweep:
        only_sweep(chosen.only_sweep)
        return
    beside_peers(chosen.peers, chosen.rounds)
    memory()
    growth(chosen.rounds)


if __name__ == "__main__":
    main()
