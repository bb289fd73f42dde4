"""How long the figures of an equity curve take; the goal is 5 ms for a million points, beside the libraries.

    .venv/bin/python benchmarks/performance.py [--peers PYTHON]

Rounds are interleaved, so that a busy machine slows all alike: the ratios hold where the times do not. The libraries
get daily or per-point returns that are ready made; ours starts from the frame and keeps the UTC days itself.
PYTHON is the interpreter of an environment with `benchmarks/peers.txt` in it; a library that is not there is named.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from statistics import median

import numpy as np
import polars as pl
from peer_packages import find_peers

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.evaluation.performance import portfolio_metrics

POINTS, ROUNDS = 1_000_000, 9
START = datetime(2022, 1, 1, tzinfo=UTC)
STARTING = 2100.0
_RUN = 700  # points that a position lasts


def marks() -> pl.DataFrame:
    """An equity curve of a mark a minute, in positions for about a third of the time."""
    draws = np.random.default_rng(1)
    worth = STARTING * np.exp(np.cumsum(draws.normal(0, 2e-4, POINTS)))
    held = np.repeat(draws.random(POINTS // _RUN + 1) < 1 / 3, _RUN)[:POINTS]
    at = pl.datetime_range(
        START + timedelta(minutes=1),
        START + timedelta(minutes=POINTS),
        "1m",
        time_unit="us",
        time_zone="UTC",
        eager=True,
    )
    columns = {"at": at, "equity": worth, "positions_value": np.where(held, worth / 5, 0.0)}
    return pl.DataFrame(columns).with_columns(external_flow=pl.lit(0.0))


def ours(frame: pl.DataFrame) -> Callable[[], object]:
    """Every figure of the curve: fourteen of them, with the interval of the Sharpe ratio."""
    end = START + timedelta(minutes=POINTS)
    return lambda: portfolio_metrics(frame, START, end, STARTING)


def plain(frame: pl.DataFrame) -> Callable[[], object]:
    """Six figures by numpy, a pass for each."""
    worth = frame["equity"].to_numpy()

    def figures() -> tuple[float, ...]:
        returns = np.diff(worth, prepend=STARTING) / np.concatenate(([STARTING], worth[:-1]))
        fall = 1 - worth / np.maximum.accumulate(worth)
        below = np.minimum(returns, 0)
        return (
            worth[-1] / STARTING - 1,
            returns.mean() / returns.std(ddof=1),
            returns.mean() / np.sqrt((below**2).mean()),
            fall.max(),
            (fall > 0).mean(),
            returns.std(ddof=1),
        )

    return figures


def by_empyrical(frame: pl.DataFrame) -> Callable[[], object]:
    """Six figures of empyrical, on returns of each point."""
    import empyrical

    worth = frame["equity"].to_numpy()
    returns = np.diff(worth, prepend=STARTING) / np.concatenate(([STARTING], worth[:-1]))
    yearly = 365 * 24 * 60
    return lambda: (
        empyrical.cum_returns_final(returns),
        empyrical.sharpe_ratio(returns, annualization=yearly),
        empyrical.sortino_ratio(returns, annualization=yearly),
        empyrical.max_drawdown(returns),
        empyrical.calmar_ratio(returns, annualization=yearly),
        empyrical.annual_volatility(returns, annualization=yearly),
    )


def by_ffn(frame: pl.DataFrame) -> Callable[[], object]:
    """Four figures of ffn, on a series that has the starting capital."""
    import ffn
    import pandas as pd

    series = pd.Series(
        np.concatenate(([STARTING], frame["equity"].to_numpy())),
        index=pd.date_range(START, periods=POINTS + 1, freq="min"),
    )
    returns = series.pct_change().dropna()
    yearly = 365 * 24 * 60
    return lambda: (
        ffn.calc_sharpe(returns, nperiods=yearly),
        ffn.calc_sortino_ratio(returns, nperiods=yearly),
        ffn.calc_max_drawdown(series),
        ffn.calc_total_return(series),
    )


def by_quantstats(frame: pl.DataFrame) -> Callable[[], object]:
    """Six figures of quantstats, on returns of each point."""
    import pandas as pd
    import quantstats  # type: ignore[import-not-found]

    stats = quantstats.stats
    series = pd.Series(frame["equity"].to_numpy(), index=pd.date_range(START, periods=POINTS, freq="min"))
    returns = series.pct_change().fillna(0)
    yearly = 365 * 24 * 60
    return lambda: (
        stats.comp(returns),
        stats.sharpe(returns, periods=yearly),
        stats.sortino(returns, periods=yearly),
        stats.max_drawdown(returns),
        stats.calmar(returns),
        stats.volatility(returns, periods=yearly),
    )


def main() -> None:
    """Print the medians of interleaved rounds."""
    find_peers()
    frame = marks()
    made: dict[str, Callable[[], object]] = {"ours, 14 figures": ours(frame), "numpy, 6 figures": plain(frame)}
    for name, package, make in (
        ("empyrical, 6 figures", "empyrical", by_empyrical),
        ("ffn, 4 figures", "ffn", by_ffn),
        ("quantstats, 6 figures", "quantstats", by_quantstats),
    ):
        if find_spec(package):
            made[name] = make(frame)
        else:
            print(f"{name:<24} not installed (benchmarks/peers.txt)")  # noqa: T201
    taken: dict[str, list[float]] = {name: [] for name in made}
    for figures in made.values():
        figures()  # compiles, and fills caches
    for _ in range(ROUNDS):
        for name, figures in made.items():
            begun = monotonic_seconds()
            figures()
            taken[name].append(1e3 * (monotonic_seconds() - begun))
    own = median(taken["ours, 14 figures"])
    for name, times in taken.items():
        print(f"{name:<24} {median(times):8.2f} ms (best {min(times):7.2f})  {median(times) / own:6.1f} x ours")  # noqa: T201


if __name__ == "__main__":
    main()
