"""Other backtesters at the work of `backtest.py`, in the environment of `peers.txt`; it starts this file itself.

    PEERS_PYTHON benchmarks/backtest_peers.py DATA.npz

Each line on standard input is an engine and a task. Each line on standard output is the processor's seconds it took,
how many combinations that were, and how many trades they made; `absent` where the engine is not installed.
"""

import contextlib
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

FEE, SLIPPAGE, STOP, TARGET = 0.001, 0.0005, 0.02, 0.04
CHUNK = 20  # columns at a time, or vectorbt takes gigabytes

Task = Callable[[], tuple[int, int]]


def vectorbt_tasks(data: dict[str, Any], engine: str) -> dict[str, Task]:
    """One backtest, and a part of the sweep: signals of moving averages that are there already."""
    import vectorbt

    prices = {name: data[name][:, None] for name in ("close", "open", "high", "low")}
    costs = {"fees": FEE, "slippage": SLIPPAGE, "sl_stop": STOP, "tp_stop": TARGET, "freq": "1min"}

    def portfolio(entries: Any, exits: Any) -> Any:  # noqa: ANN401
        return vectorbt.Portfolio.from_signals(entries=entries, exits=exits, **prices, **costs, engine=engine)

    rising = data["rising"][:, None]

    def one() -> tuple[int, int]:
        return 1, int(portfolio(rising, ~rising).orders.count().sum()) // 2

    def sweep() -> tuple[int, int]:
        pairs = data["pairs"][:: len(data["pairs"]) // CHUNK + 1]  # of all kinds: their slow periods repeat every CHUNK
        averages = {period: moving_average(data["close"], period) for period in set(pairs.ravel().tolist())}
        all_rising = np.column_stack([averages[fast] > averages[slow] for fast, slow in pairs])
        made = portfolio(all_rising, ~all_rising)
        made.total_return()
        return len(pairs), int(made.orders.count().sum()) // 2

    return {"one": one, "sweep": sweep}


def backtesting_tasks(data: dict[str, Any]) -> dict[str, Task]:
    """One backtest with backtesting.py; it has no slippage, so it is given a spread."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    columns = {"Open": data["open"], "High": data["high"], "Low": data["low"], "Close": data["close"]}
    frame = pd.DataFrame(
        {**columns, "Volume": 1.0}, index=pd.date_range("2022-01-01", periods=len(data["close"]), freq="min")
    )
    rising = data["rising"]

    class Cross(Strategy):  # type: ignore[misc]
        """Long while the faster average is over the slower one."""

        def init(self) -> None:
            """Nothing: the signals are there."""

        def next(self) -> None:
            """After the close of a bar."""
            place, price = len(self.data) - 1, self.data.Close[-1]
            if self.position:
                if not rising[place]:
                    self.position.close()
            elif rising[place] and not rising[place - 1]:
                self.buy(size=0.9, sl=price * (1 - STOP), tp=price * (1 + TARGET))

    def one() -> tuple[int, int]:
        made = Backtest(frame, Cross, cash=10_000_000, commission=FEE, spread=SLIPPAGE).run()
        return 1, int(made["# Trades"])

    return {"one": one}


def moving_average(close: Any, period: int) -> Any:  # noqa: ANN401
    """Simple average of the last `period` closes, NaN before."""
    sums = np.cumsum(close)
    average = np.full(len(close), np.nan)
    average[period - 1 :] = (sums[period - 1 :] - np.concatenate([[0.0], sums[:-period]])) / period
    return average


def main() -> None:
    """Answer one line after another."""
    data = dict(np.load(sys.argv[1]))
    tasks: dict[str, dict[str, Task]] = {}
    for line in sys.stdin:
        engine, task = line.split()
        name = engine.partition("-")[2]
        if engine not in tasks:
            with contextlib.suppress(Exception):  # not installed, or built without this engine
                tasks[engine] = vectorbt_tasks(data, name) if name else backtesting_tasks(data)
                if name:
                    for warmed in tasks[engine].values():
                        warmed()  # compiles
        if task not in tasks.get(engine, {}):
            print("absent", flush=True)  # noqa: T201
            continue
        began = process_time()
        combinations, trades = tasks[engine][task]()
        print(process_time() - began, combinations, trades, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
