"""The meta-strategy's decisions in words, each with the numbers it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass

from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.strategies.beliefs import Belief, Observed
from triplegain_pipelines.strategies.overlaps import Overlap
from triplegain_pipelines.strategies.returns import StrategyReturns

_SHOWN = 0.0005  # a change that percentages with one place do not show


@dataclass(frozen=True, slots=True)
class Change:
    """What led from one allocation to the next.

    Attributes:
        seen: the returns that were looked at.
        believed: what is believed of each strategy.
        thresholds: from which probability of earning each is on.
        active: which are on.
        switched: which were not as they are.
        overlaps: the pairs that move together.
        left: what those keep of their allocation.
        before: the weights before.
        weights: the weights now.
        asked: the turnover that was asked for, switching off aside.
        way: how far of it was gone.
    """

    seen: StrategyReturns
    believed: Mapping[str, Belief]
    thresholds: Mapping[str, float]
    active: Mapping[str, bool]
    switched: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    left: Mapping[str, float]
    before: Mapping[str, float]
    weights: Mapping[str, float]
    asked: float
    way: float


def explanation(change: Change, settings: MetaStrategySettings) -> tuple[str, ...]:
    """The regime, each strategy, what was switched, what left, what overlaps, what turnover held back, and cash."""
    sentences = [_start(change.seen)]
    sentences += [_strategy(name, change) for name in change.seen.strategies]
    sentences += [_switch(name, change) for name in change.switched]
    sentences += [_gone(name, weight) for name, weight in sorted(change.before.items()) if name not in change.weights]
    sentences += [_overlap(one, change.left, settings.correlated_over) for one in change.overlaps]
    if change.way < 1:
        sentences.append(
            f"This asks for a turnover of {change.asked:.1%}; {settings.turnover:.1%} is allowed, "
            f"so {change.way:.0%} of the way is gone."
        )
    sentences.append(f"Cash {max(0.0, 1 - sum(change.weights.values())):.1%}.")
    return tuple(sentences)


def _start(seen: StrategyReturns) -> str:
    if seen.regime is None:
        return "No day is known yet: what is believed beforehand decides."
    return f"Regime {seen.regime.value}; {len(seen.known_at)} days until {seen.known_at[-1]:%Y-%m-%d %H:%M} UTC."


def _strategy(name: str, change: Change) -> str:
    belief, before, after = change.believed[name], change.before.get(name, 0.0), change.weights[name]
    moved = f"{before:.1%} -> {after:.1%}" if abs(after - before) >= _SHOWN else f"stays at {after:.1%}"
    return (
        f"{name} {moved}: Sharpe ratio {_seen(belief.here)} in this regime and {_seen(belief.elsewhere)} in others, "
        f"believed {belief.sharpe:+.2f} +- {belief.deviation:.2f}; it earns with a probability of {belief.earns:.0%}."
    )


def _seen(observed: Observed) -> str:
    if observed.sharpe is None:
        return f"unknown ({observed.days} days)"
    return f"{observed.sharpe:+.2f} ({observed.days} days)"


def _switch(name: str, change: Change) -> str:
    earns, threshold = change.believed[name].earns, change.thresholds[name]
    to, edge = ("on", "not under") if change.active[name] else ("off", "under")
    return f"{name} is switched {to}: it earns with a probability of {earns:.1%}, {edge} {threshold:.1%}."


def _gone(name: str, weight: float) -> str:
    return f"{name} is no longer among the strategies: its {weight:.1%} goes back to cash."


def _overlap(one: Overlap, left: Mapping[str, float], threshold: float) -> str:
    both = (
        f"{' and '.join(one.strategies)} move together: correlation {one.correlation:.2f} over {one.days} days is over "
        f"{threshold:.2f}"
    )
    if not all(name in left for name in one.strategies):
        return f"{both}; they are not both on, so nothing is taken from them."
    return f"{both}; each gets {left[one.strategies[0]]:.0%} of what it would get alone, the rest stays in cash."
