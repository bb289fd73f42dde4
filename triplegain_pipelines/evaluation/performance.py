"""Performance metrics, defined once: pure functions of equity marks, closed trades and executed orders.

The year has 365 days, a day is a UTC day, and a metric that has no meaning for its input is None, never
infinity or NaN. Money comes in as Decimal and leaves as float, because what leaves is a statistic for a report.
What the market itself did belongs to benchmarks.py, and what is good enough to validation.py.

An equity frame has the columns `at` (UTC, sorted), `equity`, `positions_value` (signed market value), both marked to
market in the account's currency and net of fees, and `external_flow`, what was paid in or out since the mark before.
Returns and drawdowns are time-weighted: a payment is neither, and its size weighs nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.evaluation.performance_walk import Floats, Times, Walked, walk_marks
from triplegain_pipelines.store.performance import ExecutedOrder, TradeRecord

DAYS_PER_YEAR = 365
POINT_IS_ENOUGH_DAYS = 60  # under this many days a Sharpe ratio is shown with its interval
_FEWEST_RETURNS = 2  # one return has no deviation
_YEARLY = math.sqrt(DAYS_PER_YEAR)
_NORMAL_95 = 1.959963984540054
_NO_VARIANCE = 1e-12  # a constant series has rounding noise of about 1e-17, and a Sharpe ratio of 1e16
_DAY, _MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
_DAY_MICROSECONDS = _DAY // _MICROSECOND
_MARKET_LEGS = frozenset({Leg.ENTRY, Leg.EXIT})


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall from a peak. `depth` is a fraction of the peak; over 1 means that equity went negative.

    `days` runs from the peak to the recovery, or to the end where there was none. `under_water` is the share of the
    period spent below a peak.
    """

    depth: float
    peak_at: datetime
    trough_at: datetime
    recovered_at: datetime | None
    days: float
    under_water: float


@dataclass(frozen=True, slots=True)
class PortfolioMetrics:
    """What the equity curve says. Returns, exposure and drawdown are fractions.

    `calmar` is the yearly growth over the deepest drawdown; where `calmar_since_start` is true the period is shorter
    than a year and the total return stands in for the growth. `days` counts the whole UTC days behind the ratios.
    `paid_in` is what was paid in less what was paid out; the equities are money with it, the returns leave it out.
    `mean_exposure` counts long and short alike, `net_exposure` short ones with a minus.
    """

    days: int
    starting_equity: float
    final_equity: float
    paid_in: float
    total_return: float
    sharpe: float | None
    sharpe_interval: Interval | None
    sortino: float | None
    drawdown: Drawdown
    calmar: float | None
    calmar_since_start: bool
    time_in_market: float
    mean_exposure: float
    net_exposure: float
    marks: int


@dataclass(frozen=True, slots=True)
class TradeMetrics:
    """What the closed trades say, each flat to flat and net of fees; money in the account's currency.

    `fee_drag` is fees over gross profit, None where there was no gross profit to eat into. `without_stop` counts the
    trades that have no R multiple, because nothing was at risk in writing.
    """

    closed: int
    wins: int
    losses: int
    break_even: int
    win_rate: float | None
    win_rate_interval: Interval | None
    gross_wins: float
    gross_losses: float
    profit_factor: float | None
    average_win: float | None
    average_loss: float | None
    expectancy: float | None
    expectancy_error: float | None
    mean_r: float | None
    r_error: float | None
    without_stop: int
    net_profit: float
    fees: float
    fee_drag: float | None


@dataclass(frozen=True, slots=True)
class ExecutionMetrics:
    """What the filled orders say. Basis points are positive where the fill was worse than the price decided on.

    `slippage_bps` is of market orders against the price of the decision, `trigger_slippage_bps` of stops and targets
    against their trigger; both weighted by value. Latency is of market orders, from the recorded intent to the first
    recorded fill, in seconds of the database's clock. `turnover` is traded value over mean equity.
    """

    filled_orders: int
    traded_value: float
    turnover: float | None
    slippage_bps: float | None
    trigger_slippage_bps: float | None
    latency_p95_seconds: float | None


def without_flows(equity: pl.DataFrame) -> pl.DataFrame:
    """Columns `at` and `equity`, as the equity would have grown with nothing paid in or out.

    Each mark grows by what the account earned since the mark before: its equity without the payment, over the equity
    before. Marks before the first payment stay as they are. What was lost altogether stays lost: money paid in later
    brings none of it back.

    >>> hours = [datetime(2024, 8, 1, hour) for hour in range(3)]
    >>> frame = pl.DataFrame({"at": hours, "equity": [100.0, 220.0, 110.0], "external_flow": [0.0, 110.0, 0.0]})
    >>> without_flows(frame)["equity"].to_list()
    [100.0, 110.0, 55.0]
    """
    plain = equity.select("at", "equity")
    flows = equity["external_flow"].to_numpy()
    if not flows.any():
        return plain
    paid = np.flatnonzero(flows)
    worth = equity["equity"].to_numpy()
    grown = worth.copy()
    factor, kept = 1.0, 0.0  # of the span since the payment before: its marks times `factor`, or `kept` throughout
    for start, stop in zip(paid, [*paid[1:], len(worth)], strict=True):
        before = (worth[start] - flows[start]) * factor + kept
        factor, kept = (before / worth[start], 0.0) if before > 0 and worth[start] > 0 else (0.0, before)
        grown[start:stop] = worth[start:stop] * factor + kept
    return plain.with_columns(equity=pl.Series(grown))


def daily_returns(equity: pl.DataFrame, start: datetime, end: datetime, starting_equity: float) -> list[float]:
    """Return of each whole UTC day between `start` and `end`, open positions included.

    Equity at a midnight is the last mark at or before it, `starting_equity` before the first. A day without marks is
    a return of zero. After a day that ends without positive equity there is nothing left to have a return on, so the
    series stops there.
    """
    return _daily_returns(_times(equity), without_flows(equity)["equity"].to_numpy(), start, end, starting_equity)


def _daily_returns(at: Times, worth: Floats, start: datetime, end: datetime, starting_equity: float) -> list[float]:
    first = -(-_microseconds(start) // _DAY_MICROSECONDS) * _DAY_MICROSECONDS
    midnights = np.arange(first, _microseconds(end) + 1, _DAY_MICROSECONDS)
    last = np.searchsorted(at, midnights, side="right") - 1
    values = np.where(last < 0, starting_equity, worth[last] if len(worth) else starting_equity).tolist()
    returns: list[float] = []
    previous = None
    for value in values:
        if previous is not None:
            returns.append(value / previous - 1)
        if value <= 0:
            break
        previous = value
    return returns


def sharpe(returns: Sequence[float]) -> float | None:
    """Mean over standard deviation (ddof 1) of daily returns, times sqrt(365).

    None with fewer than two returns or without variance.

    >>> round(sharpe([0.01, -0.01, 0.03]), 4)
    9.5525
    """
    if len(returns) < _FEWEST_RETURNS:
        return None
    deviation = float(np.std(returns, ddof=1))
    if deviation <= _NO_VARIANCE:
        return None
    return float(np.mean(returns)) / deviation * _YEARLY


def sharpe_interval(returns: Sequence[float]) -> Interval | None:
    """95 % interval of the yearly Sharpe ratio: error sqrt((1 + SR^2 / 2) / n) of the daily one (Lo 2002, eq. 9)."""
    yearly = sharpe(returns)
    if yearly is None:
        return None
    daily = yearly / _YEARLY
    margin = _NORMAL_95 * ((1 + daily**2 / 2) / len(returns)) ** 0.5 * _YEARLY
    return Interval(yearly - margin, yearly + margin)


def sortino(returns: Sequence[float]) -> float | None:
    """Mean over the root mean square of min(return, 0) taken over all days, times sqrt(365).

    None with fewer than two returns or without a losing day.

    >>> round(sortino([0.01, -0.01, 0.03]), 4)
    33.0908
    """
    if len(returns) < _FEWEST_RETURNS:
        return None
    downside = float(np.sqrt(np.mean(np.square(np.minimum(returns, 0.0)))))
    if downside <= _NO_VARIANCE:
        return None
    return float(np.mean(returns)) / downside * _YEARLY


def drawdown_curve(equity: pl.DataFrame, start: datetime, starting_equity: float) -> pl.DataFrame:
    """Columns `at`, `equity`, `peak` and `drawdown` (a fraction of the peak), seeded with the starting equity.

    Equity is without payments in and out.
    """
    seed = pl.DataFrame(
        {"at": [start], "equity": [starting_equity]}, schema={"at": pl.Datetime("us", "UTC"), "equity": pl.Float64}
    )
    marks = pl.concat([seed, without_flows(equity)]).with_columns(peak=pl.col("equity").cum_max())
    return marks.with_columns(drawdown=1 - pl.col("equity") / pl.col("peak"))


def maximum_drawdown(equity: pl.DataFrame, start: datetime, end: datetime, starting_equity: float) -> Drawdown:
    """The deepest drawdown on all marks. Depth depends on how often equity is marked; more marks find deeper falls."""
    worth = without_flows(equity)["equity"].to_numpy()
    walked = walk_marks(
        _times(equity),
        worth,
        worth,
        np.zeros(len(worth)),  # a fall asks for no positions
        start=_microseconds(start),
        end=_microseconds(end),
        seed=starting_equity,
    )
    return _drawdown(walked, start, end)


def portfolio_metrics(equity: pl.DataFrame, start: datetime, end: datetime, starting_equity: float) -> PortfolioMetrics:
    """Every metric of the equity curve over `[start, end]`; an account without marks has kept its starting equity.

    Raises:
        ValueError: the period is empty or the starting equity is not positive.
    """
    if end <= start or starting_equity <= 0:
        msg = f"metrics need start < end and positive starting equity, not {start}, {end} and {starting_equity}"
        raise ValueError(msg)
    final = float(equity["equity"][-1]) if equity.height else starting_equity
    at, worth = _times(equity), without_flows(equity)["equity"].to_numpy()
    grown = float(worth[-1]) if len(worth) else starting_equity
    total = grown / starting_equity - 1
    returns = _daily_returns(at, worth, start, end, starting_equity)
    walked = walk_marks(
        at,
        worth,
        equity["equity"].to_numpy(),
        equity["positions_value"].to_numpy(),
        start=_microseconds(start),
        end=_microseconds(end),
        seed=starting_equity,
    )
    fall, period = _drawdown(walked, start, end), (end - start) / _MICROSECOND
    years = (end - start) / (_DAY * DAYS_PER_YEAR)
    growth = total if years < 1 else (grown / starting_equity) ** (1 / years) - 1 if grown > 0 else None
    return PortfolioMetrics(
        days=len(returns),
        starting_equity=starting_equity,
        final_equity=final,
        paid_in=float(equity["external_flow"].to_numpy().sum()),
        total_return=total,
        sharpe=sharpe(returns),
        sharpe_interval=sharpe_interval(returns),
        sortino=sortino(returns),
        drawdown=fall,
        calmar=growth / fall.depth if growth is not None and fall.depth > 0 else None,
        calmar_since_start=years < 1,
        time_in_market=walked.held / period,
        mean_exposure=walked.exposed / period,
        net_exposure=walked.net / period,
        marks=equity.height,
    )


def trade_metrics(trades: Sequence[TradeRecord]) -> TradeMetrics:
    """Every metric of the closed trades. Without trades the counts are zero and the ratios None."""
    multiples = [float(trade.r_multiple) for trade in trades if trade.r_multiple is not None]
    return closed_trade_metrics(
        np.array([float(trade.profit) for trade in trades]),
        np.array(multiples),
        float(sum(trade.fees for trade in trades)),
    )


def closed_trade_metrics(profits: Floats, multiples: Floats, fees: float) -> TradeMetrics:
    """Every metric of closed trades, from profits after fees, the R multiples of those that have one, and fees."""
    wins, losses = profits[profits > 0], profits[profits < 0]
    won, lost = float(wins.sum()), float(np.abs(losses).sum())
    net = float(profits.sum())
    gross, closed = net + fees, len(profits)
    return TradeMetrics(
        closed=closed,
        wins=len(wins),
        losses=len(losses),
        break_even=closed - len(wins) - len(losses),
        win_rate=len(wins) / closed if closed else None,
        win_rate_interval=wilson_interval(len(wins), closed),
        gross_wins=won,
        gross_losses=lost,
        profit_factor=won / lost if len(losses) else None,
        average_win=_mean(wins),
        average_loss=_mean(losses),
        expectancy=_mean(profits),
        expectancy_error=_standard_error(profits),
        mean_r=_mean(multiples),
        r_error=_standard_error(multiples),
        without_stop=closed - len(multiples),
        net_profit=net,
        fees=fees,
        fee_drag=fees / gross if gross > 0 else None,
    )


def execution_metrics(orders: Sequence[ExecutedOrder], mean_equity: float) -> ExecutionMetrics:
    """Every metric of the filled orders; `mean_equity` is what turnover is measured against."""
    market = [order for order in orders if order.leg in _MARKET_LEGS]
    triggered = [order for order in orders if order.leg not in _MARKET_LEGS]
    waits = [order.latency_seconds for order in market if order.latency_seconds is not None]
    value = float(sum(order.value for order in orders))
    return ExecutionMetrics(
        filled_orders=len(orders),
        traded_value=value,
        turnover=value / mean_equity if mean_equity > 0 else None,
        slippage_bps=_slippage_bps(market),
        trigger_slippage_bps=_slippage_bps(triggered),
        latency_p95_seconds=float(np.quantile(waits, 0.95, method="inverted_cdf")) if waits else None,
    )


def wilson_interval(successes: float, trials: float) -> Interval | None:
    """95 % interval of a share (Wilson 1927); None without trials. Counts may be effective ones, with a fraction.

    >>> interval = wilson_interval(8, 10)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.4902, 0.9433)
    """
    if not trials:
        return None
    share, z2 = successes / trials, _NORMAL_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    margin = _NORMAL_95 / (1 + z2 / trials) * (share * (1 - share) / trials + z2 / (4 * trials**2)) ** 0.5
    return Interval(max(0.0, centre - margin), min(1.0, centre + margin))


def _drawdown(walked: Walked, start: datetime, end: datetime) -> Drawdown:
    peak = EPOCH + walked.peak_at * _MICROSECOND
    recovered = None if walked.recovered_at is None else EPOCH + walked.recovered_at * _MICROSECOND
    return Drawdown(
        depth=walked.depth,
        peak_at=peak,
        trough_at=EPOCH + walked.trough_at * _MICROSECOND,
        recovered_at=recovered,
        days=((recovered or end) - peak) / _DAY,
        under_water=walked.wet * _MICROSECOND / (end - start),
    )


def _times(equity: pl.DataFrame) -> Times:
    return equity["at"].cast(pl.Datetime("us", "UTC")).to_physical().to_numpy()


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def _slippage_bps(orders: Sequence[ExecutedOrder]) -> float | None:
    value = sum(order.value for order in orders)
    if not value:
        return None
    cost = sum(order.side.sign * (order.value - order.quantity * order.wanted_price) for order in orders)
    wanted = sum(order.quantity * order.wanted_price for order in orders)
    return float(cost / wanted * 10_000)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _standard_error(values: Floats) -> float | None:
    return float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
