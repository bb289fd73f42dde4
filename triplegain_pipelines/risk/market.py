"""What the market's state says of a symbol beside what is held: swings, correlations, and what is not known of them.

A swing is a position's weight, a fraction of the equity with its sign, times the volatility of its symbol.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from triplegain_pipelines.domain.risk import MarketState

ZERO = Decimal(0)


class Surroundings(NamedTuple):
    """What surrounds a symbol. `alike` is the size in money of the positions that count with it as one asset.

    `volatility` is that of the symbol and `percentile` where it stands, `variance` that of all positions held, and
    `pull` how far they move along with the symbol. `unknown` names what is not known; it is empty where all is.
    """

    alike: Decimal = ZERO
    volatility: float = 0.0
    percentile: float = 0.0
    variance: float = 0.0
    pull: float = 0.0
    unknown: str = ""


def surroundings(
    market: MarketState | None,
    symbol: str,
    sign: int,
    worths: Sequence[tuple[str, Decimal]],
    equity: float,
    correlated_from: float,
) -> Surroundings:
    """What surrounds `symbol` for a position of the direction `sign`, beside positions of the values `worths`."""
    if market is None:
        return Surroundings(unknown="the market's state")
    volatilities, correlations = market.volatilities, market.correlations
    own, percentile = volatilities.get(symbol, math.nan), market.percentiles.get(symbol, math.nan)
    if not (0 <= own < math.inf and 0 <= percentile <= 1):  # false for NaN, too
        return Surroundings(unknown=f"volatility of {symbol}")
    if not worths or equity <= 0:
        return Surroundings(ZERO, own, percentile, 0.0, 0.0, "")
    alike, variance, pull = ZERO, 0.0, 0.0
    swings: list[tuple[str, float]] = []
    for other, worth in worths:
        itself = volatilities.get(other, math.nan)
        together = correlations.get(_pair(symbol, other), math.nan) if other != symbol else 1.0
        if not (0 <= itself < math.inf and -1 <= together <= 1):
            return Surroundings(unknown=f"volatility of {other}, or its correlation with {symbol}")
        swing = float(worth) / equity * itself
        variance += swing * swing
        pull += swing * together
        # Short of what moves the other way is the same bet.
        if (abs(together) if swing * sign < 0 else together) >= correlated_from and other != symbol:
            alike += abs(worth)
        for before, already in swings:
            between = correlations.get(_pair(before, other), math.nan)
            if not -1 <= between <= 1:
                return Surroundings(unknown=f"correlation of {before} and {other}")
            variance += 2 * already * swing * between
        swings.append((other, swing))
    return Surroundings(alike, own, percentile, variance, pull, "")


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
