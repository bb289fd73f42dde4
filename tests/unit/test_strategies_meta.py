"""The meta-strategy: what it believes, whom it switches, what it takes from those that move together, and its words."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from strategy_returns import NAMES, SETTINGS, day, noise, returns_of, settings, unlike

from triplegain_pipelines.domain.decisions import Regime
from triplegain_pipelines.domain.errors import DataError, SettingsError
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.strategies.beliefs import beliefs
from triplegain_pipelines.strategies.meta import Allocation, allocate
from triplegain_pipelines.strategies.overlaps import Overlap, overlaps, shares_left

pytestmark = pytest.mark.unit

RANGING, BULL = Regime.RANGING, Regime.TRENDING_BULL


def allocation(weights: dict[str, float], *, off: tuple[str, ...] = (), at: datetime | None = None) -> Allocation:
    """An allocation of the day before day 89."""
    active = {name: name not in off for name in weights}
    return Allocation(at or day(88), RANGING, weights, active, (), (), 0.0, ())


def test_without_any_day_the_parts_are_equal() -> None:
    """I4: with nothing known any tilt is an opinion of the code."""
    made = allocate(returns_of({name: [] for name in NAMES}), day(0), None, SETTINGS)
    assert made.weights == dict.fromkeys(sorted(NAMES), 0.166666)
    assert all(made.active.values())
    assert made.explanation[0] == "No day is known yet: what is believed beforehand decides."


def test_strategies_with_the_same_results_get_equal_parts() -> None:
    """I4: shrinkage goes to equal parts; names, or the order they come in, must not be worth anything."""
    series = unlike(90, 1, dict.fromkeys(NAMES, 1.5))
    made = allocate(returns_of(series), day(89), None, SETTINGS)
    assert set(made.weights.values()) == {0.166666}


def test_beliefs_are_those_of_the_model() -> None:
    """I4: the answer in another form, by adding up precisions over every unknown of the model, the common one too.

    Three strategies; 40 days that began in another regime and 30 in this one; one has no days in it.
    """
    regimes = [BULL] * 40 + [RANGING] * 30
    series = {name: noise(70, seed, sharpe) for seed, (name, sharpe) in enumerate({"a": 3, "b": -1, "c": 0}.items())}
    series["c"][41:] = np.nan
    found = beliefs(returns_of(series, regimes), SETTINGS)
    # Unknowns: 0 the common ratio, 1 to 3 each strategy's own, 4 to 6 each one's in this regime.
    precision, pulled = np.zeros((7, 7)), np.zeros(7)
    precision[0, 0] = 1 / SETTINGS.common_spread**2
    for above, below, spread in [
        *((0, 1 + place, SETTINGS.spread) for place in range(3)),
        *((1 + place, 4 + place, SETTINGS.regime_spread) for place in range(3)),
    ]:
        link = np.zeros(7)
        link[[above, below]] = [1, -1]
        precision += np.outer(link, link) / spread**2
    for place, name in enumerate(series):
        parts = [(1 + place, series[name][:41]), (4 + place, series[name][41:])]
        for unknown, part in parts if name != "c" else parts[:1]:
            daily = part.mean() / part.std(ddof=1)
            weight = len(part) / 365 / (1 + daily**2 / 2)
            precision[unknown, unknown] += weight
            pulled[unknown] += weight * daily * np.sqrt(365)
    covariance = np.linalg.inv(precision)
    for place, name in enumerate(series):
        assert found[name].sharpe == pytest.approx((covariance @ pulled)[4 + place], abs=1e-8)
        assert found[name].deviation == pytest.approx(np.sqrt(covariance[4 + place, 4 + place]), abs=1e-8)
    assert [found["a"].elsewhere.days, found["a"].here.days] == [41, 29]
    assert found["c"].here.sharpe is None


def test_a_day_counts_for_the_regime_that_it_began_in() -> None:
    """B1: the regime at a day's end already knows the day; results sorted by it would be chosen by themselves."""
    regimes = [RANGING, BULL, BULL, RANGING, RANGING]
    began = returns_of({"a": [0.0] * 5}, regimes).began_in(RANGING)
    assert began.tolist() == [False, True, False, False, True]


def test_a_quarter_of_luck_moves_little_and_years_move_more() -> None:
    """I4: over 90 days a Sharpe ratio of 3 is one and a half standard errors; the account may not follow it."""
    few = returns_of(unlike(90, 2, dict.fromkeys(NAMES, 0.0) | {"macd": 3.0}))
    years = returns_of(unlike(1000, 2, dict.fromkeys(NAMES, 0.0) | {"macd": 3.0}))
    wide = settings(window_days=1095, turnover=1.0)
    after_few = allocate(few, day(89), None, SETTINGS).weights["macd"]
    after_years = allocate(years, day(999), None, wide).weights["macd"]
    assert 1 / 6 < after_few < 0.3
    assert 0.3 < after_years <= SETTINGS.most_each


def test_allocation_moves_with_the_regime() -> None:
    """I4: the same results, another regime: what earned in it gets more, and what lost in it less."""
    regimes = ([BULL] * 30 + [RANGING] * 30) * 6
    follower = np.concatenate([[0.0], np.tile([*noise(30, 1, 8), *noise(30, 2, -8)], 6)])[:360]
    returner = np.concatenate([[0.0], np.tile([*noise(30, 3, -8), *noise(30, 4, 8)], 6)])[:360]
    wide = settings(window_days=365)
    ranging = returns_of({"momentum": follower, "bollinger": returner}, regimes)
    bull = returns_of({"momentum": follower, "bollinger": returner}, [*regimes[:-1], BULL])
    in_ranging, in_bull = (allocate(one, day(359), None, wide) for one in (ranging, bull))
    assert (in_ranging.regime, in_bull.regime) == (RANGING, BULL)
    assert in_ranging.weights["bollinger"] > in_bull.weights["bollinger"]
    assert in_ranging.weights["momentum"] < in_bull.weights["momentum"]
    assert not in_ranging.active["momentum"]
    assert in_bull.active["momentum"]


def losing(sharpe: float) -> dict[str, np.ndarray]:
    """One strategy with that Sharpe ratio beside five without."""
    return unlike(90, 3, dict.fromkeys(NAMES, 0.0) | {"macd": sharpe})


def test_switches_have_a_memory() -> None:
    """I4: between the two thresholds a strategy stays as it was; else it would go on and off with every day."""
    series = returns_of(losing(-1.5))
    earns = beliefs(series, SETTINGS)["macd"].earns
    assert SETTINGS.off_under < earns < SETTINGS.on_from
    weights = dict.fromkeys(NAMES, 0.15)
    on = allocate(series, day(89), allocation(weights), SETTINGS)
    off = allocate(series, day(89), allocation(weights | {"macd": 0.0}, off=("macd",)), SETTINGS)
    assert (on.active["macd"], off.active["macd"]) == (True, False)
    assert on.switched == off.switched == ()


def test_a_strategy_that_loses_is_switched_off_at_once_and_says_so() -> None:
    """I4: it may not keep its money because the turnover was used up by others."""
    series = returns_of(losing(-8))
    before = allocation(dict.fromkeys(NAMES, 0.16) | {"macd": 0.2})
    made = allocate(series, day(89), before, settings(turnover=0.01))
    assert made.weights["macd"] == 0
    assert made.switched == ("macd",)
    earns = beliefs(series, SETTINGS)["macd"].earns
    assert f"macd is switched off: it earns with a probability of {earns:.1%}, under 25.0%." in made.explanation
    again = allocate(returns_of(losing(8)), day(90), made, SETTINGS)
    assert again.switched == ("macd",)
    assert any(one.startswith("macd is switched on: it earns with a probability of ") for one in again.explanation)
    assert again.weights["macd"] > 0


def test_where_everything_loses_everything_is_cash() -> None:
    """I4: equal parts of strategies that lose are no safe default."""
    made = allocate(returns_of(unlike(90, 4, dict.fromkeys(NAMES, -8.0))), day(89), None, SETTINGS)
    assert set(made.weights.values()) == {0.0}
    assert made.explanation[-1] == "Cash 100.0%."


def test_a_correlated_pair_gets_less_together() -> None:
    """I4: over 0.8 two strategies are nearly one bet; with 0.95 they get 1 / 1.95 of what they would get apart."""
    apart = unlike(90, 5, dict.fromkeys(NAMES, 0.0))
    together = apart | {"macd": 0.95 * apart["momentum"] + np.sqrt(1 - 0.95**2) * apart["macd"]}
    free = settings(turnover=1.0)
    plain = allocate(returns_of(apart), day(89), None, free)
    made = allocate(returns_of(together), day(89), None, free)
    (warning,) = made.warnings
    assert warning.strategies == ("macd", "momentum")
    assert warning.correlation == pytest.approx(0.95, abs=1e-9)
    assert plain.warnings == ()
    joint = made.weights["macd"] + made.weights["momentum"]
    assert joint == pytest.approx((plain.weights["macd"] + plain.weights["momentum"]) / 1.95, abs=1e-5)
    assert made.weights["breakout"] == plain.weights["breakout"], "what they lose is cash, not others' risk"
    assert (
        "macd and momentum move together: correlation 0.95 over 89 days is over 0.80; each gets 51% of what it would "
        "get alone, the rest stays in cash."
    ) in made.explanation


def test_three_of_a_kind_are_one_group() -> None:
    """I4: a chain of pairs is one bet; two pairs that share nothing are two."""
    pairs = tuple(Overlap(pair, 0.9, 90) for pair in (("a", "b"), ("b", "c"), ("d", "e"), ("e", "off"), ("off", "z")))
    left = shares_left(pairs, frozenset("abcdez"))
    assert left == pytest.approx(dict.fromkeys("abc", 1 / 2.8) | dict.fromkeys("de", 1 / 1.9))
    assert shares_left(tuple(reversed(pairs)), frozenset("abcdez")) == left


def test_a_correlation_needs_days_and_movement() -> None:
    """I4: ten common days, or days without a trade, correlate perfectly by accident."""
    few = np.full(90, np.nan)
    few[:29] = noise(29, 1)
    assert overlaps(returns_of({"a": few, "b": few.copy()}), SETTINGS) == ()
    still = np.zeros(90)
    assert overlaps(returns_of({"a": still, "b": still.copy()}), SETTINGS) == ()
    few[29] = 0.01
    assert overlaps(returns_of({"a": few, "b": few.copy()}), SETTINGS) == (Overlap(("a", "b"), 1.0, 30),)


def test_turnover_is_limited_and_the_rest_follows() -> None:
    """I4: each change costs; the next ones go the rest of the way."""
    series = returns_of(unlike(90, 6, dict.fromkeys(NAMES, 0.0)))
    before = allocation({**dict.fromkeys(NAMES, 0.0), "macd": 1.0})
    made = allocate(series, day(89), before, SETTINGS)
    assert made.turnover == pytest.approx(0.25, abs=1e-5)
    assert made.weights["macd"] == pytest.approx(0.75, abs=1e-5)
    assert "This asks for a turnover of 83.3%; 25.0% is allowed, so 30% of the way is gone." in made.explanation
    for number in range(90, 94):
        made = allocate(series, day(number), made, SETTINGS)
    assert made.weights["macd"] == pytest.approx(1 / 6, abs=0.02)
    assert made.turnover < 0.25


def test_what_is_no_longer_there_goes_back_to_cash() -> None:
    """I4: a strategy taken out of the registry must not keep its money, nor be paid out to nobody unsaid."""
    series = returns_of({"macd": noise(90, 1), "momentum": noise(90, 2)})
    made = allocate(series, day(89), allocation({"macd": 0.3, "momentum": 0.3, "old": 0.4}), SETTINGS)
    assert set(made.weights) == {"macd", "momentum"}
    assert "old is no longer among the strategies: its 40.0% goes back to cash." in made.explanation
    assert made.turnover >= 0.4


def test_a_new_strategy_starts_from_nothing() -> None:
    """I4: it has no results and no share yet; it gets one by the same steps as the others."""
    before = allocation({"macd": 0.4, "momentum": 0.4})
    series = returns_of({"macd": noise(90, 1), "momentum": noise(90, 2), "fresh": np.full(90, np.nan)})
    made = allocate(series, day(89), before, SETTINGS)
    assert made.active["fresh"]
    assert made.switched == ("fresh",)
    assert 0 < made.weights["fresh"] <= 0.25


def test_each_strategy_is_explained_with_its_numbers() -> None:
    """I4: 'moved because of performance' explains nothing that could be checked."""
    series = returns_of(unlike(90, 7, {"macd": 2.0, "momentum": -1.0}), [BULL] * 45 + [RANGING] * 45)
    believed = beliefs(series, SETTINGS)["macd"]
    made = allocate(series, day(89), allocation({"macd": 0.2, "momentum": 0.2}), SETTINGS)
    assert made.explanation[0] == f"Regime ranging; 90 days until {day(89):%Y-%m-%d} 00:00 UTC."
    assert made.explanation[1] == (
        f"macd 20.0% -> {made.weights['macd']:.1%}: Sharpe ratio {believed.here.sharpe:+.2f} (44 days) in this regime "
        f"and {believed.elsewhere.sharpe:+.2f} (45 days) in others, believed {believed.sharpe:+.2f} +- "
        f"{believed.deviation:.2f}; it earns with a probability of {believed.earns:.0%}."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"known_at": (day(1), day(0))}, "no later than the one before"),
        ({"known_at": (day(0),)}, "1 days need as many regimes"),
        ({"regimes": (RANGING,)}, "the regimes have another number"),
        ({"returns": {"macd": np.array([0.1])}}, "macd have another number"),
        ({"returns": {"macd": np.array([0.1, np.inf])}}, "macd has an infinite return"),
        ({"known_at": (day(0).replace(tzinfo=None), day(1).replace(tzinfo=None))}, "UTC"),
    ],
)
def test_returns_that_do_not_fit_together_are_refused(change: dict[str, object], said: str) -> None:
    """I4: a series one day off pairs every return with another day's regime, and nobody would see it."""
    good = returns_of({"macd": [0.1, 0.2]})
    with pytest.raises((DataError, ValueError), match=said):
        replace(good, **change)


def test_an_allocation_is_made_of_one_account() -> None:
    """I4: weights that sum to more than 1 are leverage that nobody decided."""
    with pytest.raises(DataError, match="sum at most 1"):
        allocation({"a": 0.6, "b": 0.5})
    with pytest.raises(DataError, match="at least 0"):
        allocation({"a": -0.1})
    with pytest.raises(DataError, match="is not before"):
        allocate(returns_of({"a": [0.1]}), day(5), allocation({"a": 1.0}, at=day(5)), SETTINGS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"off_under": 0.5}, "must be under on_from"),
        ({"window_days": 30, "correlation_days": 60}, "window_days"),
        ({"correlated_over": 0.9}, "less than or equal to 0.8"),
        ({"turnover": 0}, "greater than 0"),
        ({"spread": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_hold_are_refused(change: dict[str, float], said: str) -> None:
    """I4: the threshold of 0.8 is a requirement, and hysteresis with one edge is none."""
    with pytest.raises(ValidationError, match=said):
        settings(**change)


def test_an_unknown_key_of_the_file_fails(tmp_path: Path) -> None:
    """DESIGN §1: a limit written under a misspelt key would silently not hold."""
    config = Path(copytree(CONFIG, tmp_path / "config"))
    path = config / "meta_strategy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"turnovr": 0.1}))
    with pytest.raises(SettingsError, match=r"meta_strategy.yaml is wrong: turnovr"):
        load_settings(Environment(profile="demo"), config)
    assert timedelta(days=SETTINGS.window_days) == SETTINGS.window
