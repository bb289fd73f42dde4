"""The strategies by name. A new one is a file beside this one, and a line here."""

from collections.abc import Mapping

from triplegain_pipelines.strategies import bollinger, breakout, macd, momentum, rsi_reversion, stochastic
from triplegain_pipelines.strategies.strategy import Strategy

STRATEGIES: Mapping[str, Strategy] = {
    one.name: one
    for one in (
        momentum.STRATEGY,
        macd.STRATEGY,
        rsi_reversion.STRATEGY,
        bollinger.STRATEGY,
        breakout.STRATEGY,
        stochastic.STRATEGY,
    )
}
