"""Bars, signals and limits for the two backtest engines. Nothing is asserted here."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from triplegain_pipelines.backtest import kernel
from triplegain_pipelines.backtest.event_bars import moment
from triplegain_pipelines.backtest.event_desk import EventDesk
from triplegain_pipelines.backtest.event_engine import prepared
from triplegain_pipelines.backtest.event_results import result_of
from triplegain_pipelines.backtest.event_run import go_through, go_through_slowly
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.settings import load_settings
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.strategies.strategy import Signals, Strategy, StrategyParameters

HOUSE = load_settings().risk
STRATEGY = Strategy(
    name="drawn by lot",
    parameters=StrategyParameters,
    function=lambda _values, _parameters: None,  # type: ignore[arg-type, return-value]  # never asked
    warm_up=lambda _: 0,
    grid={},
    reasons=("", "the coin says long", "the coin says flat", "the coin says short"),
)
PARAMETERS = StrategyParameters()
FIRST = 1_722_816_000_000_000  # 2024-08-05 00:00 UTC, in microseconds
_WEEK = 8 * 86_400_000_000


def wide_limits(terms: Terms, limits: RiskLimits = HOUSE) -> RiskLimits:
    """Limits that nothing but the terms reaches. What has a ceiling in the engine itself is at it or at the terms."""
    endless, never = Decimal(10) ** 15, 10**9
    breakers = limits.breakers
    return limits.model_copy(
        update={
            "risk_per_trade": Decimal(repr(terms.risk_per_trade)),
            "exposure_per_asset": Decimal("0.30"),
            "total_exposure": Decimal("0.60"),
            "short_selling": terms.short_selling,
            "money": limits.money.model_copy(
                update={
                    "max_order_size": endless,
                    "max_daily_volume": endless,
                    "max_open_positions": never,
                    "max_daily_loss": endless,
                    "max_position_size": Decimal(repr(terms.max_position)),
                    "max_portfolio_volatility": 1.0,
                }
            ),
            "portfolio": limits.portfolio.model_copy(update={"maximum_heat": Decimal("0.06")}),
            "price_band": limits.price_band.model_copy(update={"maximum_move": endless}),
            "sizing": limits.sizing.model_copy(update={"reward_to_risk": Decimal(repr(terms.reward_to_risk))}),
            "drawdown_ladder": limits.drawdown_ladder.model_copy(
                update={"half_size": endless, "pause": endless + 1, "lock": endless + 2}
            ),
            "daily_loss": limits.daily_loss.model_copy(update={"warn": endless, "halt": endless}),
            "breakers": breakers.model_copy(
                update={
                    "rapid_loss": breakers.rapid_loss.model_copy(update={"threshold": endless}),
                    "consecutive_losses": breakers.consecutive_losses.model_copy(update={"threshold": never}),
                    "volatility": breakers.volatility.model_copy(update={"reduce_from": 2.0, "halt_over": 3.0}),
                    "anomaly": breakers.anomaly.model_copy(update={"data_age_seconds": never}),
                }
            ),
        }
    )


def instrument_of(symbol: str, terms: Terms) -> Instrument:
    """The instrument with the steps and minimums of the terms."""
    return Instrument(
        symbol,
        quantity_step=Decimal(repr(terms.quantity_step)),
        price_step=Decimal(repr(terms.price_step)),
        minimum_quantity=Decimal(repr(terms.minimum_quantity)),
        minimum_cost=Decimal(repr(terms.minimum_cost)),
    )


def recorded(folder: Path, name: str, timeframe: Timeframe, rows: slice, symbol: str = "BTC/USDT") -> CandleSeries:
    """Recorded candles."""
    frame = pl.read_parquet(folder / "candles" / f"{name}.parquet").rename({"time": "opened_at"})[rows]
    return CandleSeries.of(symbol, timeframe, frame)


def wandering_series(
    seed: int,
    bars: int,
    timeframe: Timeframe = Timeframe.M5,
    *,
    symbol: str = "BTC/USDT",
    price: float = 30_000.0,
    sigma: float = 0.002,
    missing: float = 0.0,
) -> CandleSeries:
    """A random walk with jumps between a close and the next open, on a grid of cents, from which bars are missing."""
    generator = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(generator.standard_t(4, bars) * sigma * 0.7))
    opens = np.concatenate([[price], closes[:-1]]) * np.exp(generator.normal(0, sigma * 0.3, bars))
    wicks = np.abs(generator.normal(0, sigma / 2, (2, bars)))
    opens, closes = np.round(opens, 2), np.round(closes, 2)
    highs = np.round(np.maximum(opens, closes) * (1 + wicks[0]), 2)
    lows = np.round(np.minimum(opens, closes) * (1 - wicks[1]), 2)
    opened_at = FIRST + np.arange(bars, dtype=np.int64) * timeframe.minutes * 60_000_000
    kept = generator.random(bars) >= missing
    arrays = (opened_at, opens, highs, lows, closes, np.ones(bars))
    return CandleSeries(symbol, timeframe, *(np.ascontiguousarray(one[kept]) for one in arrays))


def drawn_signals(seed: int, series: CandleSeries, *, change: float = 0.02, stop_atr: float = 2.0) -> Signals:
    """Targets that change now and then for no reason, with stops near enough to be hit."""
    generator = np.random.default_rng(seed + 1_000_000)
    bars = len(series)
    changes = np.cumsum(generator.random(bars) < change)
    target = generator.choice(np.array([-1, 0, 1, 1], np.int8), changes.max(initial=0) + 1)[changes].astype(np.int8)
    reason = np.choose(target.astype(np.int64) + 1, [3, 2, 1]).astype(np.int8)
    ranges = series.close * generator.uniform(0.002, 0.006, bars)
    return Signals(target, reason, ranges, stop_atr)


def after_a_week(series: CandleSeries) -> int:
    """The first bar for which the volatility of the market is known."""
    return int(np.searchsorted(series.opened_at, series.opened_at[0] + _WEEK))


def by_events(
    series: CandleSeries | list[CandleSeries],
    signals: Signals | list[Signals],
    terms: Terms,
    limits: RiskLimits,
    *,
    start: int = 0,
    stop: int | None = None,
    strategy: Strategy = STRATEGY,
    parameters: StrategyParameters = PARAMETERS,
    slowly: bool = False,
    instruments: dict[str, Instrument] | None = None,
) -> tuple[EventDesk, BacktestResult]:
    """A run of the event engine over bars `[start, stop)` of the first series, and its result."""
    several = series if isinstance(series, list) else [series]
    wanted = signals if isinstance(signals, list) else [signals]
    first = several[0]
    until: datetime | None = None if stop is None else moment(int(first.opened_at[stop]))
    run = prepared(
        {one.symbol: IndicatorValues(one) for one in several},
        {one.symbol: made for one, made in zip(several, wanted, strict=True)},
        limits,
        terms,
        instruments or {one.symbol: instrument_of(one.symbol, terms) for one in several},
        moment(int(first.opened_at[start])),
        until,
    )
    (go_through_slowly if slowly else go_through)(run)
    return run, result_of(run, strategy, parameters, terms)


def by_kernel(
    series: CandleSeries,
    signals: Signals,
    terms: Terms,
    *,
    start: int = 0,
    strategy: Strategy = STRATEGY,
    parameters: StrategyParameters = PARAMETERS,
) -> BacktestResult:
    """The same with the kernel."""
    done = kernel.run(series, signals, terms, start=start)
    return kernel.result_of(done, series, signals, terms, strategy, parameters)
