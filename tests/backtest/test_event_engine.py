"""The event engine: passing bars changes nothing, breakers trip in time, symbols share limits, books balance."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from engine_cases import (
    HOUSE,
    STRATEGY,
    after_a_week,
    by_events,
    drawn_signals,
    instrument_of,
    wandering_series,
    wide_limits,
)

from triplegain_pipelines.backtest.event_bars import moment
from triplegain_pipelines.backtest.event_desk import EventDesk
from triplegain_pipelines.backtest.event_engine import run_events
from triplegain_pipelines.backtest.event_market import HourlyMarket
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import BreakerName, BreakerState
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.evaluation.backtest_result import BacktestResult
from triplegain_pipelines.indicators.market_state import HISTORY, market_state, percentiles
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.strategies.strategy import Signals

pytestmark = pytest.mark.backtest

TERMS = Terms(seed=1, fill_rate=0.7)
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


def nervous_limits(seed: int) -> RiskLimits:
    """Limits that are reached all the time: breakers trip, rest, go on trial and trip again."""
    generator = np.random.default_rng(seed)
    limits = wide_limits(TERMS)
    breakers = HOUSE.breakers
    return limits.model_copy(
        update={
            "short_selling": bool(generator.random() < 0.5),
            "money": HOUSE.money.model_copy(
                update={
                    "max_order_size": Decimal(500),
                    "max_daily_volume": Decimal(int(generator.choice([900, 100_000]))),
                    "max_open_positions": int(generator.choice([1, 3])),
                    "max_portfolio_volatility": 1.0,
                }
            ),
            "drawdown_ladder": HOUSE.drawdown_ladder.model_copy(
                update={
                    "half_size": Decimal("0.01"),
                    "pause": Decimal(str(generator.choice(["0.02", "0.19"]))),
                    "lock": Decimal("0.2"),
                }
            ),
            "daily_loss": HOUSE.daily_loss.model_copy(update={"warn": Decimal("0.002"), "halt": Decimal("0.01")}),
            "breakers": breakers.model_copy(
                update={
                    "rapid_loss": breakers.rapid_loss.model_copy(
                        update={"threshold": Decimal("0.0015"), "window_minutes": int(generator.choice([5, 30]))}
                    ),
                    "consecutive_losses": breakers.consecutive_losses.model_copy(update={"threshold": 2}),
                    "volatility": breakers.volatility.model_copy(update={"reduce_from": 0.6, "halt_over": 0.9}),
                }
            ),
        }
    )


def several(seed: int, count: int, bars: int, timeframe: Timeframe) -> tuple[list[CandleSeries], list[Signals]]:
    """Series of several symbols with gaps of their own, and signals that change all the time."""
    series = [
        wandering_series(seed * 10 + place, bars, timeframe, symbol=symbol, price=3_000.0, sigma=0.004, missing=0.01)
        for place, symbol in enumerate(SYMBOLS[:count])
    ]
    return series, [drawn_signals(seed * 10 + place, one, change=0.05) for place, one in enumerate(series)]


def final(run: EventDesk, result: BacktestResult) -> dict[str, object]:
    """Everything that a run leaves behind."""
    books = run.account.books
    return {
        "trades": result.trades.rows(),
        "equity": result.equity.rows(),
        "refusals": result.refusals,
        "asked": sorted((one.symbol, one.decided_bar, one.refused, one.codes) for one in run.asked),
        "breakers": {name: (one.state, one.trials_left) for name, one in books.breakers.items()},
        "tripped": {n: one.changed_at for n, one in books.breakers.items() if one.state is BreakerState.OPEN},
        "risk": replace(books.risk, evaluated_at=moment(0)),
        "cash": books.cash,
        "positions": books.positions,
    }


@pytest.mark.parametrize("seed", range(12))
def test_passing_bars_changes_nothing(seed: int) -> None:
    """B2, issue 6: a breaker that trips between two orders is missed because the bars in between were not looked at."""
    timeframe = (Timeframe.M1, Timeframe.M5, Timeframe.H1)[seed % 3]
    bars = {Timeframe.M1: 13_500, Timeframe.M5: 4_500, Timeframe.H1: 1_500}[timeframe]
    series, signals = several(seed, 1 + seed % 3, bars, timeframe)
    start = after_a_week(series[0]) - (1 + seed % 2) * 60 // timeframe.minutes
    limits = nervous_limits(seed)
    fast = final(*by_events(series, signals, TERMS, limits, start=start))
    slow = final(*by_events(series, signals, TERMS, limits, start=start, slowly=True))
    for name, value in slow.items():
        assert fast[name] == value, (seed, name)


def test_the_nervous_limits_are_reached() -> None:
    """The test above shows nothing if no breaker trips in it."""
    codes: set[ReasonCode] = set()
    for seed in range(6):
        series, signals = several(seed, 1 + seed % 3, 4_500, Timeframe.M5)
        run, _ = by_events(series, signals, TERMS, nervous_limits(seed), start=after_a_week(series[0]))
        codes |= {code for one in run.asked for code in one.codes}
    assert codes >= {
        ReasonCode.BREAKER_OPEN,
        ReasonCode.BREAKER_HALF_OPEN,
        ReasonCode.VOLATILITY_REDUCED,
        ReasonCode.TOO_MANY_POSITIONS,
        ReasonCode.DRAWDOWN_HALF_SIZE,
        ReasonCode.DAILY_LOSS_WARNING,
        ReasonCode.ENTRY_UNFINISHED,
    }


def falling(bars: int, crash: int, fall: float) -> CandleSeries:
    """Minutes that lie still, but for a fall in one of them."""
    quiet = wandering_series(3, bars, Timeframe.M1, sigma=0.0002)
    factor = np.where(np.arange(bars) >= crash, 1 - fall, 1.0)
    prices = [np.round(one * factor, 2) for one in (quiet.open, quiet.high, quiet.low, quiet.close)]
    prices[1] = np.maximum(prices[1], prices[0])
    return CandleSeries(quiet.symbol, Timeframe.M1, quiet.opened_at, *prices, quiet.volume)


def house_breaker(name: BreakerName, limits: RiskLimits) -> RiskLimits:
    """`limits` in which one breaker opens at a loss of 1.5 per cent."""
    threshold = Decimal("0.015")
    if name is BreakerName.RAPID_LOSS:
        rapid = HOUSE.breakers.rapid_loss.model_copy(update={"threshold": threshold})
        return limits.model_copy(update={"breakers": limits.breakers.model_copy(update={"rapid_loss": rapid})})
    if name is BreakerName.DAILY_LOSS:
        return limits.model_copy(update={"daily_loss": HOUSE.daily_loss.model_copy(update={"halt": threshold})})
    steps = {"half_size": Decimal("0.005"), "pause": Decimal("0.01"), "lock": threshold}
    return limits.model_copy(update={"drawdown_ladder": HOUSE.drawdown_ladder.model_copy(update=steps)})


@pytest.mark.parametrize(
    ("name", "state", "minutes_later"),
    [
        (BreakerName.RAPID_LOSS, BreakerState.HALF_OPEN, 60),
        (BreakerName.DAILY_LOSS, BreakerState.OPEN, 0),
        (BreakerName.DRAWDOWN, BreakerState.OPEN, 0),
    ],
)
def test_a_loss_between_two_orders_opens_its_breaker(
    name: BreakerName, state: BreakerState, minutes_later: int
) -> None:
    """R5, R6, B2: the fall of a minute, hours after the entry and hours before the next order, is seen at its minute.

    2 per cent of 2,100 over a stop 3,700 away buy 0.0113 bitcoins, which lose 37, or 1.8 per cent, when 30,000 fall by
    11 per cent. An hour later the breaker of rapid losses has rested.
    """
    crash = 9 * 1_440
    series = falling(crash + 600, crash, 0.11)
    target = np.ones(len(series), np.int8)
    signals = Signals(target, target, np.full(len(series), 1_850.0), 2.0)
    terms = Terms(risk_per_trade=0.02, fill_rate=1.0)
    run, _ = by_events(series, signals, terms, house_breaker(name, wide_limits(terms)), start=crash - 300)
    assert not run.trades
    breakers = run.account.books.breakers
    assert breakers[name].state is state
    assert breakers[name].changed_at == moment(int(series.closed_at[crash + minutes_later]))
    assert [one for one, breaker in breakers.items() if breaker.state is not BreakerState.CLOSED] == [name]


def test_an_entry_that_was_refused_is_asked_for_again_while_it_is_wanted() -> None:
    """B2, R7: a price that ran away for one minute does not cost the whole trade, and is not paid either."""
    decided = 9 * 1_440
    quiet = wandering_series(3, decided + 100, Timeframe.M1, sigma=0.0002)
    opened = quiet.open.copy()
    opened[decided + 1] = np.round(quiet.close[decided] * 1.02, 2)
    prices = (opened, np.maximum(quiet.high, opened), quiet.low, quiet.close, quiet.volume)
    series = CandleSeries(quiet.symbol, Timeframe.M1, quiet.opened_at, *prices)
    target = (np.arange(len(series)) >= decided).astype(np.int8)
    signals = Signals(target, target, np.full(len(series), 1_850.0), 2.0)
    limits = wide_limits(TERMS).model_copy(update={"price_band": HOUSE.price_band})
    run, result = by_events(series, signals, TERMS, limits, start=decided - 10)
    assert result.refusals[ReasonCode.PRICE_OUT_OF_BAND.value] == 1
    (lane,) = run.lanes
    assert lane.opened is not None
    assert (lane.opened.decided_bar, lane.opened.entry_bar) == (decided + 1, decided + 2)


def test_symbols_share_the_account_and_its_limits() -> None:
    """R4, B2: each symbol is tested as if it had all the money, and together they would hold five times of it."""
    series, signals = several(2, 3, 6_000, Timeframe.M5)
    limits = wide_limits(TERMS)
    one = limits.model_copy(update={"money": limits.money.model_copy(update={"max_open_positions": 1})})
    start = after_a_week(series[0])
    _, alone = by_events(series, signals, TERMS, one, start=start)
    _, together = by_events(series, signals, TERMS, limits, start=start)
    assert alone.refusals[ReasonCode.TOO_MANY_POSITIONS.value] > 10
    spans = sorted(zip(alone.trades["entered_at"], alone.trades["exited_at"], strict=True))
    assert all(left <= entered for (_, left), (entered, _) in pairwise(spans))
    assert together.trades.height > alone.trades.height
    assert set(together.trades["symbol"]) == set(SYMBOLS)


def test_the_books_balance_at_the_end() -> None:
    """X1, B2: profits that do not add up to the equity, or a fill that is in the position and not in the ledger."""
    for seed in range(4):
        series, signals = several(seed, 2, 5_000, Timeframe.M5)
        run, result = by_events(series, signals, TERMS, HOUSE, start=after_a_week(series[0]))
        books = run.account.books
        marks = {symbol: Decimal(repr(float(track.series.close[-1]))) for symbol, track in run.grid.tracks.items()}
        value = sum((held.quantity * marks[held.symbol] for held in books.positions), Decimal(0))
        assert run.marks[run.grid.moments.size - 1] == (books.cash + value, value)
        assert result.equity["equity"][-1] == float(books.cash + value)
        closed = sum((one.trade.profit for one in run.trades), Decimal(0))
        opened = sum(
            (-held.quantity * held.average_entry - held.fees + held.realised + held.quantity * Decimal(0))
            for held in books.positions
        )
        assert abs(books.cash - (Decimal(2100) + closed + opened)) < Decimal("1e-15")
        assert result.trades.height > 3


def test_nothing_that_comes_later_changes_a_trade() -> None:
    """B2: no look-ahead. Bars cut off behind a moment leave every trade closed before it as it was."""
    series, signals = several(7, 2, 6_000, Timeframe.M5)
    start = after_a_week(series[0])
    whole, _ = by_events(series, signals, TERMS, HOUSE, start=start)
    for cut in (3_000, 4_321, 5_500):
        until = int(series[0].opened_at[cut])
        lengths = [int(np.searchsorted(one.opened_at, until)) for one in series]
        parts = [one.part(0, length) for one, length in zip(series, lengths, strict=True)]
        cut_signals = [
            Signals(one.target[:length], one.reason[:length], one.atr[:length], one.stop_atr)
            for one, length in zip(signals, lengths, strict=True)
        ]
        shorter, _ = by_events(parts, cut_signals, TERMS, HOUSE, start=start)
        before = [one for one in whole.trades if one.trade.closed_at < moment(until)]
        assert before
        assert [one for one in shorter.trades if one.trade.closed_at < moment(until)] == before


def test_the_market_of_a_backtest_is_the_market_of_live_trading() -> None:
    """R6: percentiles that are worked out for all hours at once, and differ from those that live trading sees."""
    generator = np.random.default_rng(4)
    series = wandering_series(4, 40 * 24 * 4, Timeframe.M15, missing=0.3)
    kept = np.ones(len(series), bool)
    kept[1_500:1_620] = False  # more than a day
    arrays = [getattr(series, name)[kept] for name in ("opened_at", "open", "high", "low", "close", "volume")]
    series = CandleSeries(series.symbol, series.timeframe, *arrays)
    market = HourlyMarket([series])
    hour = 3_600_000_000
    first, count = int(series.opened_at[0]) // hour, HISTORY.days * 24 + 1
    closes: dict[int, float] = {
        int(at) // hour: float(close) for at, close in zip(series.opened_at, series.close, strict=True)
    }
    seen = 0
    for last in generator.integers(0, 38 * 24, 150).tolist():
        window = np.array([closes.get(first + last - back, np.nan) for back in reversed(range(count))])
        at = moment((first + last + 1) * hour)
        live = market_state(at, {series.symbol: window})
        assert market.state(at, [series.symbol]) == live
        seen += len(live.percentiles)
    assert 50 < seen < 150
    assert np.isnan(percentiles(np.full(500, np.nan))).all()


def test_what_cannot_be_run_says_why() -> None:
    """B2: bars that hide what risk looks at, or a symbol without signals, must not give something like a result."""
    daily = wandering_series(1, 400, Timeframe.D1)
    signals = drawn_signals(1, daily)
    parts = {"strategy": STRATEGY, "parameters": STRATEGY.parameters(), "limits": HOUSE, "terms": TERMS}
    instruments = {daily.symbol: instrument_of(daily.symbol, TERMS)}
    with pytest.raises(InputError, match="bars of 1d"):
        run_events({daily.symbol: IndicatorValues(daily)}, {daily.symbol: signals}, instruments=instruments, **parts)
    hourly = wandering_series(1, 400, Timeframe.H1)
    values = {hourly.symbol: IndicatorValues(hourly)}
    with pytest.raises(InputError, match="missing for"):
        run_events(values, {}, instruments=instruments, **parts)
    with pytest.raises(InputError, match="one value for each bar"):
        run_events(values, {hourly.symbol: drawn_signals(1, daily.part(0, 30))}, instruments=instruments, **parts)
    late = datetime(2030, 1, 1, tzinfo=UTC)
    made = {hourly.symbol: drawn_signals(1, hourly)}
    with pytest.raises(InputError, match="no bar of"):
        run_events(values, made, instruments=instruments, start=late, **parts)
