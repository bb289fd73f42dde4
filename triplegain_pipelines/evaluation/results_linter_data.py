"""Rules of the results linter about where a result comes from: its candles, its fills, its costs, what it knew when."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from triplegain_pipelines.evaluation.backtest_benchmarks import bars_of
from triplegain_pipelines.evaluation.results_linter_terms import LintCode, Linted, LintFinding, Severity
from triplegain_pipelines.market.series import CandleSeries, Floats

FEW_GAPS, MANY_GAPS = 0.01, 0.05
FEW_STALE, MANY_STALE = 0.01, 0.05
MANY_CHANGES = 0.001  # of the bars: a position begun before the later start may last a while
LARGEST_CHANGE = 0.001  # of a stop distance: what a price step hides

Flags = npt.NDArray[np.bool_]


def look_ahead(linted: Linted) -> LintFinding | None:
    """Signals that differ once the future is cut off."""
    check = linted.evidence.look_ahead
    if check is None or not check.differences:
        return None
    first = f", the first at {check.first_at:%Y-%m-%d %H:%M}" if check.first_at else ""
    words = f"{check.differences} signals differed when the future was cut off at {check.cuts} places{first}"
    return LintFinding(LintCode.LOOK_AHEAD, Severity.ERROR, words)


def recursive_indicator(linted: Linted) -> LintFinding | None:
    """Signals or stop distances that depend on where the history starts."""
    check = linted.evidence.history
    if check is None or (check.differences <= MANY_CHANGES * check.bars and check.largest_change <= LARGEST_CHANGE):
        return None
    words = (
        f"with a later start of the history {check.differences} of {check.bars} signals differed, "
        f"and stop distances by up to {check.largest_change:.2%}"
    )
    severity = Severity.ERROR if check.differences > FEW_STALE * check.bars else Severity.WARNING
    return LintFinding(LintCode.RECURSIVE_INDICATOR, severity, words)


def gap_share(linted: Linted) -> LintFinding | None:
    """Candles that the period should have and has not."""
    start, end = linted.result.starts_at, linted.result.ends_at
    due = (end - start) // linted.result.timeframe.duration
    missing = {
        symbol: max(0, due - len(bars_of(linted.result, linted.evidence.series[symbol])))
        for symbol in linted.result.symbols
        if symbol in linted.evidence.series
    }
    if not missing or not due:
        return None
    worst = max(missing, key=lambda symbol: missing[symbol])
    share = missing[worst] / due
    if share <= FEW_GAPS:
        return None
    words = f"{missing[worst]:,} of {due:,} candles of {worst} are missing ({share:.1%})"
    return LintFinding(LintCode.GAP_SHARE, Severity.ERROR if share > MANY_GAPS else Severity.WARNING, words)


def stale_fills(linted: Linted) -> LintFinding | None:
    """Fills right after missing candles, and prices that no candle around the fill has shown."""
    late = unseen = fills = 0
    for series, at, price in _fills(linted):
        fills += len(at)
        late += int(_after_a_gap(series, at).sum())
        unseen += int(_never_shown(linted, series, at, price).sum())
    if not unseen and late <= FEW_STALE * fills:
        return None
    words = []
    if late:
        words.append(f"{late} of {fills} fills came right after missing candles ({late / fills:.1%})")
    if unseen:
        words.append(f"{unseen} of {fills} fills are at prices that no candle within one bar of them has shown")
    severity = Severity.ERROR if unseen or late > MANY_STALE * fills else Severity.WARNING
    return LintFinding(LintCode.STALE_FILLS, severity, "; ".join(words))


def costs_too_small(linted: Linted) -> LintFinding | None:
    """A fee below the venue's, or none, or no slippage."""
    fee, slippage = (float(linted.result.costs.get(name, 0.0)) for name in ("fee", "slippage"))
    venue = linted.evidence.venue_fee
    words = []
    if venue is not None and fee < venue:
        words.append(f"the fee of {1e4 * fee:g} bps is below the venue's {1e4 * venue:g} bps")
    elif fee <= 0:
        words.append("no fee is paid")
    if slippage <= 0:
        words.append("market orders and stops never slip")
    if not words:
        return None
    paid = linted.figures.fee_share
    words.append(f"fees took {paid:.1%} of the starting equity")
    severity = Severity.WARNING if fee > 0 and (venue is None or fee >= venue) else Severity.ERROR
    return LintFinding(LintCode.COSTS_TOO_SMALL, severity, "; ".join(words))


def _fills(linted: Linted) -> Iterator[tuple[CandleSeries, npt.NDArray[np.int64], Floats]]:
    # Entries and exits of each symbol that has candles: the times in microseconds, and the average prices.
    for (symbol,), trades in linted.result.trades.group_by("symbol", maintain_order=True):
        series = linted.evidence.series.get(str(symbol))
        if series is None or not len(series):
            continue
        at = [trades[name].to_physical().to_numpy() for name in ("entered_at", "exited_at")]
        prices = [trades[name].to_numpy() for name in ("entry_price", "exit_price")]
        yield series, np.concatenate(at), np.concatenate(prices)


def _after_a_gap(series: CandleSeries, at: npt.NDArray[np.int64]) -> Flags:
    bar = _bar_of(series, at)
    step = series.timeframe.minutes * 60_000_000
    late: Flags = (bar > 0) & (series.opened_at[bar] - series.opened_at[np.maximum(bar - 1, 0)] > step)
    return late


def _never_shown(linted: Linted, series: CandleSeries, at: npt.NDArray[np.int64], price: Floats) -> Flags:
    # One bar to each side: an average of two fills spans two bars, and an exit may carry its bar's closing time.
    bar, last = _bar_of(series, at), len(series) - 1
    around = [np.clip(bar + step, 0, last) for step in (-1, 0, 1)]
    low = np.minimum.reduce([series.low[place] for place in around])
    high = np.maximum.reduce([series.high[place] for place in around])
    # An average of rounded fills is not exactly on the grid.
    slips = float(linted.result.costs.get("slippage", 0.0)) + 1e-9
    step = float(linted.result.costs.get("price_step", 0.0))
    unseen: Flags = (price < low * (1 - slips) - step) | (price > high * (1 + slips) + step)
    return unseen


def _bar_of(series: CandleSeries, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.maximum(np.searchsorted(series.opened_at, at, side="right") - 1, 0)
