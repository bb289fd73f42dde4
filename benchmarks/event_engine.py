"""The honest engine: bars a second by turnover, what an order costs as orders grow, symbols from 1 to 10, and a peer.

    .venv/bin/python benchmarks/event_engine.py [--peers PYTHON] [--rounds N]

PYTHON is as in `backtest.py`. A year of generated minutes with a fixed seed and targets drawn by lot; the real risk
engine with limits that let the orders through, so that there are orders to pay for. Goals: 250,000 bars/s at about
1,400 trades a year, and a cost per order that stays flat. Runs are interleaved and medians are shown.
"""

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

import numpy as np
from backtest import YEAR, cross, market, peers

from triplegain_pipelines.backtest.event_engine import run_events
from triplegain_pipelines.backtest.kernel import run
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.strategy import Signals

MOMENTUM = STRATEGIES["momentum"]
TURNOVERS = (0, 1_400, 14_000)
SYMBOLS = (1, 2, 5, 10)
# Costs small enough for an account to live through 14,000 trades by lot.
TERMS = Terms(starting_equity=100_000.0, fee=1e-05, slippage=0.0)
ENDLESS = Decimal(10) ** 12


def roomy() -> RiskLimits:
    """The configured limits with room for every order; breakers and the market's volatility are looked at as ever."""
    limits = load_settings().risk
    room = {"max_order_size": ENDLESS, "max_daily_volume": ENDLESS, "max_daily_loss": ENDLESS}
    steps = {"half_size": ENDLESS, "pause": ENDLESS + 1, "lock": ENDLESS + 2}
    return limits.model_copy(
        update={
            "money": limits.money.model_copy(update=room | {"max_open_positions": 10}),
            "drawdown_ladder": limits.drawdown_ladder.model_copy(update=steps),
        }
    )


def lots(series: CandleSeries, trades: int, seed: int = 3) -> Signals:
    """Targets that go in and out of the market so many times."""
    bars = len(series)
    target = np.zeros(bars, np.int8)
    if trades:
        turns = np.sort(np.random.default_rng(seed).choice(np.arange(11_000, bars - 1), 2 * trades, replace=False))
        target = (np.searchsorted(turns, np.arange(bars), side="right") % 2).astype(np.int8)
    return Signals(target, np.zeros(bars, np.int8), series.close * 0.01, 2.0)


def backtest(series: list[CandleSeries], signals: list[Signals], terms: Terms = TERMS) -> BacktestResult:
    """All symbols on one account."""
    return run_events(
        {one.symbol: IndicatorValues(one) for one in series},
        {one.symbol: made for one, made in zip(series, signals, strict=True)},
        strategy=MOMENTUM,
        parameters=MOMENTUM.parameters(),
        limits=roomy(),
        terms=terms,
        instruments={one.symbol: Instrument(one.symbol, price_step=Decimal("0.01")) for one in series},
    )


def timed(work: Callable[[], BacktestResult]) -> tuple[float, int]:
    """Seconds, and how many trades they were for."""
    start = monotonic_seconds()
    made = work()
    return monotonic_seconds() - start, made.trades.height


def by_turnover(rounds: int) -> None:
    """Bars a second, and what a trade costs beyond the bars."""
    series = market(YEAR)
    signals = {trades: lots(series, trades) for trades in TURNOVERS}
    backtest([series.part(0, 30_000)], [lots(series.part(0, 30_000), 100)])
    seconds: dict[int, list[float]] = defaultdict(list)
    made: dict[int, int] = {}
    for _ in range(rounds):
        for trades in TURNOVERS:
            took, made[trades] = timed(lambda trades=trades: backtest([series], [signals[trades]]))  # type: ignore[misc]
            seconds[trades].append(took)
    idle = statistics.median(seconds[0])
    for trades in TURNOVERS:
        took = statistics.median(seconds[trades])
        each = f"{(took - idle) / made[trades] * 1e6:8.0f} us each" if made[trades] else ""
        print(f"1 symbol, {made[trades]:>6} trades {took:8.3f} s {YEAR / took:12,.0f} bars/s {each}")  # noqa: T201


def by_symbols(rounds: int) -> None:
    """The same number of trades in each of more and more symbols, with a quarter of a year each."""
    bars = YEAR // 4
    every = [market(bars, seed) for seed in range(max(SYMBOLS))]
    series = [
        CandleSeries(f"S{place}/USDT", one.timeframe, *(getattr(one, name) for name in CandleSeries.__slots__[2:]))
        for place, one in enumerate(every)
    ]
    signals = [lots(one, 350, seed) for seed, one in enumerate(series)]
    seconds: dict[int, list[float]] = defaultdict(list)
    made: dict[int, int] = {}
    for _ in range(rounds):
        for count in SYMBOLS:
            took, made[count] = timed(lambda count=count: backtest(series[:count], signals[:count]))  # type: ignore[misc]
            seconds[count].append(took)
    for count in SYMBOLS:
        took = statistics.median(seconds[count])
        rate = count * bars / took
        print(f"{count:>2} symbols, {made[count]:>5} trades {took:8.3f} s {rate:12,.0f} bars/s")  # noqa: T201


def beside_a_peer(interpreter: str | None, rounds: int) -> None:
    """The cross of averages of `backtest.py`, beside the kernel and backtesting.py."""
    series = market(YEAR)
    signals = cross(series)
    seconds: dict[str, list[float]] = defaultdict(list)
    trades: dict[str, int] = {}
    run(series, signals, TERMS)
    with peers(interpreter, series, signals) as others:
        for _ in range(rounds):
            took, trades["event engine"] = timed(lambda: backtest([series], [signals]))
            seconds["event engine"].append(took)
            start = monotonic_seconds()
            trades["kernel"] = len(run(series, signals, TERMS).trades)
            seconds["kernel"].append(monotonic_seconds() - start)
            said = others.ask("backtesting.py", "one")
            if said is not None:
                seconds["backtesting.py"].append(said[0])
                trades["backtesting.py"] = said[2]
    for name, took in seconds.items():
        median = statistics.median(took)
        print(f"{name:<15} {trades[name]:>6} trades {median:8.3f} s {YEAR / median:12,.0f} bars/s")  # noqa: T201
    if "backtesting.py" not in seconds:
        print("backtesting.py  not installed: see --peers")  # noqa: T201


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("TRIPLEGAIN_PEERS"))
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    by_turnover(wanted.rounds)
    by_symbols(wanted.rounds)
    beside_a_peer(wanted.peers, wanted.rounds)


if __name__ == "__main__":
    main()
