"""Moves the allocation between the strategies, by what each returned lately and in which regimes."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.backtest.trials import walk
from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.indicators.values import IndicatorValues
from triplegain_pipelines.market.series import CandleSeries
from triplegain_pipelines.operations.research_terms import terms_for
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.store import strategy_parameters
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.research_candles import research_candles
from triplegain_pipelines.store.strategy_allocations import (
    StoredAllocation,
    newest_allocation,
    regimes_known_at,
    save_allocation,
)
from triplegain_pipelines.strategies.meta import Allocation, allocate
from triplegain_pipelines.strategies.registry import STRATEGIES
from triplegain_pipelines.strategies.returns import StrategyReturns
from triplegain_pipelines.strategies.strategy import Strategy, StrategyParameters

_DAY = timedelta(days=1)
_BARS = Timeframe.H1


def allocate_strategies(database: Database, session: Session) -> Allocation:
    """Allocate at the last midnight, UTC, and keep it.

    A strategy's return of a day is the mean, over the symbols whose candles are stored, of what its approved
    parameters, else its defaults, made on each alone. The regime is that of the session's first symbol.

    Raises:
        InputError: no hourly candles are stored for any symbol.
    """
    settings = session.settings
    as_of = floor_to(session.clock.now(), _DAY)
    first = as_of - settings.meta_strategy.window
    days = [first + _DAY * number for number in range(1, (as_of - first) // _DAY + 1)]
    markets = _markets(database, session, first, as_of)
    returns = {
        name: _mean([_daily(database, session, strategy, values, first) for values in markets])
        for name, strategy in STRATEGIES.items()
    }
    with database.connection() as connection:
        regimes = regimes_known_at(connection, session.venue, session.symbols[0], days, REGIME_VERSION)
        before = newest_allocation(connection, session.account, as_of)
        known = _known(days, returns, regimes)
        made = allocate(known, as_of, None if before is None else _previous(before), settings.meta_strategy)
        save_allocation(
            connection,
            StoredAllocation(
                account=session.account,
                as_of=as_of,
                regime=None if made.regime is None else made.regime.value,
                weights=made.weights,
                active=made.active,
                switched=made.switched,
                turnover=made.turnover,
                explanation=made.explanation,
                allocated_at=session.clock.now(),
            ),
        )
    return made


def _markets(database: Database, session: Session, first: datetime, as_of: datetime) -> list[IndicatorValues]:
    """The symbols that have candles, with what every strategy needs before the first day to be warm.

    Raises:
        InputError: none has any.
    """
    warm_up = max(strategy.warm_up(strategy.parameters()) for strategy in STRATEGIES.values()) * _BARS.duration
    with database.connection() as connection:
        frames = {
            symbol: research_candles(connection, session.venue, symbol, _BARS, first - warm_up, as_of)
            for symbol in session.symbols
        }
    found = {symbol: frame for symbol, frame in frames.items() if not frame.is_empty()}
    if not found:
        msg = (
            f"no hourly candles of {', '.join(session.symbols)} are stored for the {(as_of - first).days} days before "
            f"{as_of:%Y-%m-%d}, so no strategy can be judged; 'triplegain doctor' shows what is there"
        )
        raise InputError(msg)
    return [IndicatorValues(CandleSeries.of(symbol, _BARS, frame)) for symbol, frame in found.items()]


def _daily(
    database: Database, session: Session, strategy: Strategy, values: IndicatorValues, first: datetime
) -> dict[datetime, float]:
    """Return of each day that the strategy could have traded, by the end of the day."""
    series = values.series
    with database.connection() as connection:
        approved = strategy_parameters.approved(connection, strategy.name, session.venue, series.symbol, _BARS.value)
    parameters: StrategyParameters = strategy.parameters(**approved.parameters if approved else {})
    begin = int(np.searchsorted(series.opened_at, int(first.timestamp() * 1_000_000)))
    start = max(begin, strategy.warm_up(parameters))
    if start >= len(series):
        return {}
    terms = terms_for(session.settings, Instrument(series.symbol))
    walked = walk(values, strategy, parameters, terms, start, len(series))
    begins = _first_day(series, start)
    return {begins + _DAY * number: made for number, made in enumerate(walked.returns, 1)}


def _first_day(series: CandleSeries, start: int) -> datetime:
    """The first midnight at or after a bar opens: a return is of a whole day."""
    opened = series.opened(start)
    day = floor_to(opened, _DAY)
    return day if day == opened else day + _DAY


def _mean(of_symbols: list[dict[datetime, float]]) -> dict[datetime, float]:
    """The mean of each day over the symbols that have it."""
    days = sorted({day for one in of_symbols for day in one})
    return {day: float(np.mean([one[day] for one in of_symbols if day in one])) for day in days}


def _known(
    days: list[datetime], returns: Mapping[str, Mapping[datetime, float]], regimes: Mapping[datetime, Regime]
) -> StrategyReturns:
    """The days whose regime is known; a day on which a strategy could not have traded has no return."""
    kept = [day for day in days if day in regimes]
    return StrategyReturns(
        tuple(kept),
        {name: np.array([made.get(day, np.nan) for day in kept]) for name, made in returns.items()},
        tuple(regimes[day] for day in kept),
    )


def _previous(stored: StoredAllocation) -> Allocation:
    regime = None if stored.regime is None else Regime(stored.regime)
    return Allocation(
        as_of=stored.as_of,
        regime=regime,
        weights=stored.weights,
        active=stored.active,
        switched=tuple(stored.switched),
        warnings=(),
        turnover=stored.turnover,
        explanation=tuple(stored.explanation),
    )
