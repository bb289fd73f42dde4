"""Laws of the meta-strategy, whatever the returns, the regimes, the allocation before and the settings."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategy_returns import NAMES, SETTINGS, day, returns_of, settings, unlike

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.settings.meta_strategy import MetaStrategySettings
from triplegain_pipelines.strategies.meta import Allocation, allocate
from triplegain_pipelines.strategies.returns import StrategyReturns

pytestmark = pytest.mark.unit

GRAIN = 1e-6
NOW = 100


@st.composite
def markets(draw: st.DrawFn) -> StrategyReturns:
    """Up to six strategies over up to 100 days: alike, lucky, ruinous, still, and not there on some days."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    days = draw(st.integers(0, NOW))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    shared = random.normal(0, 0.01, days)
    series = {}
    for name in names:
        likeness, sharpe = draw(st.sampled_from([0.0, 0.5, 0.95, 1.0])), draw(st.sampled_from([-20, -4, 0, 2, 9]))
        own = likeness * shared + math.sqrt(1 - likeness**2) * random.normal(0, 0.01, days)
        own += 0.01 * sharpe / math.sqrt(365)
        own *= draw(st.sampled_from([0.0, 1e-9, 1.0, 1.0]))
        own[random.random(days) < draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))] = np.nan
        series[name] = own
    regimes = [list(Regime)[code] for code in np.repeat(random.integers(0, 6, days // 20 + 1), 20)[:days]]
    return replace(returns_of(series, regimes), returns=series)


@st.composite
def allocations(draw: st.DrawFn) -> Allocation | None:
    """An allocation of some strategies, not all of which need be there any more; those that are off hold nothing."""
    if draw(st.booleans()):
        return None
    names = draw(st.lists(st.sampled_from([*NAMES, "gone"]), max_size=6, unique=True))
    active = {name: draw(st.booleans()) for name in names}
    parts = {name: draw(st.integers(0, 10)) if active[name] else 0 for name in names}
    total = max(sum(parts.values()), draw(st.integers(1, 60)))
    weights = {name: math.floor(part / total / GRAIN) * GRAIN for name, part in parts.items()}
    return Allocation(day(NOW - 1), Regime.RANGING, weights, active, (), (), 0.0, ())


RULES = st.builds(
    settings,
    tilt=st.sampled_from([0.0, 1.0, 3.0]),
    most_each=st.sampled_from([0.2, 0.4, 1.0]),
    turnover=st.sampled_from([0.05, 0.25, 1.0]),
    spread=st.sampled_from([0.1, 0.5, 5.0]),
)


@given(returns=markets(), previous=allocations(), rules=RULES)
def test_weights_are_shares_of_one_account(
    returns: StrategyReturns, previous: Allocation | None, rules: MetaStrategySettings
) -> None:
    """I4: less than nothing, more than all, money for a strategy that is off, or more for one than it may have."""
    made = allocate(returns, day(NOW), previous, rules)
    assert made.weights.keys() == made.active.keys() == returns.returns.keys()
    assert all(weight >= 0 for weight in made.weights.values())
    assert math.fsum(made.weights.values()) <= 1
    assert all(made.weights[name] == 0 for name, on in made.active.items() if not on)
    for name, weight in made.weights.items():
        before = previous.weights.get(name, 0.0) if previous else 0.0
        assert weight <= max(rules.most_each, before) + GRAIN
    assert all(sentence for sentence in made.explanation)


@given(returns=markets(), previous=allocations(), rules=RULES)
def test_turnover_is_kept(returns: StrategyReturns, previous: Allocation | None, rules: MetaStrategySettings) -> None:
    """I4: beyond what was switched off, or is no longer there, no more may change hands than is allowed."""
    made = allocate(returns, day(NOW), previous, rules)
    equal = min(1 / len(returns.returns), rules.most_each)
    before = {name: previous.weights.get(name, 0.0) if previous else equal for name in made.weights}
    changes = [made.weights[name] - before[name] for name, on in made.active.items() if on]
    added = math.fsum(max(0.0, change) for change in changes)
    taken = math.fsum(max(0.0, -change) for change in changes)
    assert max(added, taken) <= rules.turnover + GRAIN * len(made.weights)


@given(returns=markets(), previous=allocations(), seed=st.randoms(use_true_random=False))
def test_the_order_of_strategies_is_irrelevant(
    returns: StrategyReturns, previous: Allocation | None, seed: object
) -> None:
    """I4: a dictionary that is filled in another order must not move money, nor the words about it."""
    names = list(returns.returns)
    seed.shuffle(names)
    other = replace(returns, returns={name: returns.returns[name] for name in names})
    turned = previous and replace(
        previous,
        weights=dict(reversed(previous.weights.items())),
        active=dict(reversed(previous.active.items())),
    )
    assert allocate(returns, day(NOW), previous, SETTINGS) == allocate(other, day(NOW), turned, SETTINGS)


@given(returns=markets(), cut=st.integers(0, NOW), seed=st.integers(0, 2**32 - 1))
def test_nothing_after_as_of_is_seen(returns: StrategyReturns, cut: int, seed: int) -> None:
    """B1: another future, or none, and the allocation of the day must not differ."""
    assume(cut < len(returns.known_at))
    kept = cut + 1  # day `cut` was over exactly then
    random = np.random.default_rng(seed)
    altered = {
        name: np.concatenate([series[:kept], random.normal(0, 1, len(series) - kept)])
        for name, series in returns.returns.items()
    }
    later = [Regime.CHOPPY] * (len(returns.regimes) - kept)
    futures = [
        returns,
        StrategyReturns(returns.known_at, altered, (*returns.regimes[:kept], *later)),
        StrategyReturns(
            returns.known_at[:kept],
            {name: series[:kept] for name, series in returns.returns.items()},
            returns.regimes[:kept],
        ),
    ]
    made = [allocate(one, day(cut), None, SETTINGS) for one in futures]
    assert made[0] == made[1] == made[2]


@given(
    correlation=st.floats(0.81, 1.0),
    sharpes=st.lists(st.sampled_from([-2.0, 0.0, 2.0]), min_size=4, max_size=6),
    seed=st.integers(0, 1000),
)
def test_a_correlated_pair_never_gets_more(correlation: float, sharpes: list[float], seed: int) -> None:
    """I4: whatever the pair earns, together it gets less than the same results would get apart; nobody gets more."""
    apart = unlike(90, seed, dict(zip(NAMES, sharpes, strict=False)))
    one, other = NAMES[:2]
    drift = np.nanmean(apart[other])
    joined = correlation * (apart[one] - np.nanmean(apart[one]))
    joined += math.sqrt(1 - correlation**2) * (apart[other] - drift)
    rules = settings(turnover=1.0)
    plain = allocate(returns_of(apart), day(89), None, rules)
    made = allocate(returns_of(apart | {other: joined + drift}), day(89), None, rules)
    assert [warning.strategies for warning in made.warnings] == [tuple(sorted((one, other)))]
    assert any("move together" in sentence for sentence in made.explanation)
    if made.active[one] and made.active[other]:
        assert made.weights[one] + made.weights[other] < plain.weights[one] + plain.weights[other]
    for name in NAMES[2 : len(sharpes)]:
        assert made.weights[name] <= plain.weights[name] + GRAIN
