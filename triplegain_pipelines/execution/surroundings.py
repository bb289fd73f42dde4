"""What the breakers look at beside the account itself: strategies, volatility, the market's data, failed orders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from triplegain_pipelines.domain.risk import BreakerName, BreakerStates, MarketState
from triplegain_pipelines.execution.desk import AccountTransaction
from triplegain_pipelines.risk.breakers import counted_from
from triplegain_pipelines.risk.strategies import standings
from triplegain_pipelines.settings.risk import BreakerSettings
from triplegain_pipelines.store import anomalies, breakers, heartbeats, market_states
from triplegain_pipelines.store.strategies import settled_results

_WATCHING = "watching"
"""Since when the account is watched without a pause that is longer than data may be old."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The part of `BreakerEvidence` that is not the account's own."""

    strategies: Mapping[str, tuple[int, float]]
    percentile: float | None
    data_age: timedelta | None
    crossed: tuple[str, ...]
    errors: int


def look_around(transaction: AccountTransaction, held: Iterable[str], states: BreakerStates) -> Surroundings:
    """Read the surroundings of the account now; `held` are the symbols of its positions, `states` its breakers.

    A market that is made when it is asked for is never old and has no book that could be crossed.
    """
    connection, desk, at = transaction.connection, transaction.desk, transaction.at
    rules = desk.limits.breakers
    symbols = sorted({*held, *desk.instruments})
    judged_from = counted_from(
        states.get(BreakerName.ALL_STRATEGIES_LOSING), timedelta(hours=rules.all_strategies_losing.window_hours), at
    )
    failed_from = counted_from(states.get(BreakerName.ANOMALY), timedelta(minutes=rules.anomaly.window_minutes), at)
    tolerated = timedelta(seconds=rules.anomaly.data_age_seconds)
    return Surroundings(
        strategies=standings(settled_results(connection, desk.account, judged_from, at)),
        percentile=highest_percentile(market_states.newest(connection, desk.market, at), symbols),
        data_age=_data_age(transaction, symbols, rules) if desk.clock_compared else None,
        crossed=anomalies.crossed_books(connection, desk.market, symbols, at - tolerated)
        if desk.clock_compared
        else (),
        errors=len(anomalies.failed_orders(connection, desk.schema, desk.account, failed_from)),
    )


def highest_percentile(market: MarketState | None, symbols: Iterable[str]) -> float | None:
    """The highest percentile of the volatility of `symbols`, or None where not one of them is known."""
    if market is None:
        return None
    return max((market.percentiles[symbol] for symbol in symbols if symbol in market.percentiles), default=None)


def _data_age(transaction: AccountTransaction, symbols: list[str], rules: BreakerSettings) -> timedelta:
    """The age of the newest candle or quote, or how long the account has been watched without any, if that is less.

    Who has been away finds old data only, and learns first whether new data comes.
    """
    connection, desk, at = transaction.connection, transaction.desk, transaction.at
    tolerated = timedelta(seconds=rules.anomaly.data_age_seconds)
    beaten = breakers.last_beat(connection, desk.account)
    since = heartbeats.last_beat(connection, _WATCHING, desk.account)
    if since is None or beaten is None or at - beaten > tolerated:
        since = at
        heartbeats.beat(connection, _WATCHING, desk.account, at)
    newest = anomalies.newest_data(connection, desk.market, symbols, at)
    return at - (since if newest is None else max(newest, since))
