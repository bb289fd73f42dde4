"""What is said of a study, and from which figures."""

import math

import numpy as np
import pytest

from triplegain_pipelines.backtest.verdict import Bar, Evidence, Verdict, evidence_of, verdict_of
from triplegain_pipelines.store.studies import Tried

pytestmark = pytest.mark.unit

BAR = Bar(level=0.05, fewest_days=90, fewest_trades=30)


def scores(variance: float) -> tuple[float, float]:
    """Two scores of this variance (ddof 1)."""
    return (0.0, math.sqrt(2 * variance))


def published_returns() -> list[float]:
    """1,250 daily returns with a yearly Sharpe ratio of 2.5 (250 days), a skew of -3 and a kurtosis of 10.

    A kurtosis of skew^2 + 1 leaves one distribution: two values, the higher one with p = (1 + (9 / 13)^0.5) / 2.
    """
    high = round(1250 * (1 + math.sqrt(9 / 13)) / 2)
    values = np.array([1.0] * high + [0.0] * (1250 - high))
    standard = (values - values.mean()) / values.std(ddof=1)
    return (0.001 * (standard + 2.5 / math.sqrt(250))).tolist()


def test_the_published_vector() -> None:
    """I5: Bailey and Lopez de Prado (2014), the numerical example: 100 trials, variance 1/2 a year, 0.9004."""
    evidence = evidence_of(published_returns(), 100, Tried(100, scores(0.5 / 250 * 1250)))
    assert evidence.sharpe == pytest.approx(2.5 / math.sqrt(250))
    assert (evidence.skew, evidence.kurtosis) == (pytest.approx(-3, abs=0.01), pytest.approx(10, abs=0.05))
    assert evidence.luck == pytest.approx(0.1132, abs=5e-5)
    assert evidence.deflated == pytest.approx(0.9004, abs=2e-3)
    assert verdict_of(evidence, BAR)[0] is Verdict.NOT_SIGNIFICANT
    fewer = evidence_of(published_returns(), 100, Tried(46, scores(2.5)))
    assert fewer.deflated == pytest.approx(0.9505, abs=2e-3)


def test_more_trials_ask_for_more() -> None:
    """I5: a trial that is not counted makes luck look like skill."""
    chances = [evidence_of(published_returns(), 100, Tried(n, scores(2.5))).deflated for n in (1, 10, 100, 1000)]
    assert chances == sorted(chances, reverse=True)  # type: ignore[type-var]
    assert len(set(chances)) == 4


def test_trials_that_all_do_the_same_are_as_one() -> None:
    """I5: a hundred copies of one strategy are no hundred chances; what tells is how far their ratios lie apart."""
    alone = evidence_of(published_returns(), 100, Tried(1, (1.0,)))
    copies = evidence_of(published_returns(), 100, Tried(100, (1.0,) * 100))
    assert copies.deflated == alone.deflated


def test_without_a_spread_to_see_luck_s_own_is_taken() -> None:
    """I5: of many trials one traded: their spread is unknown, not zero."""
    unseen = evidence_of(published_returns(), 100, Tried(100, (1.0,)))
    assert unseen.trial_variance == 1 / 1250
    assert unseen.luck > 0


@pytest.mark.parametrize(
    ("returns", "trades", "verdict", "words"),
    [
        ([], 0, Verdict.NOT_ENOUGH_DATA, "0 of 90 days and 0 of 30 trades"),
        ([0.01, -0.01] * 44, 100, Verdict.NOT_ENOUGH_DATA, "88 of 90 days"),
        ([0.01, -0.005] * 200, 29, Verdict.NOT_ENOUGH_DATA, "29 of 30 trades"),
        ([0.0] * 100, 30, Verdict.NOT_SIGNIFICANT, "never moved"),
        ([0.01, -0.0101] * 200, 30, Verdict.NOT_SIGNIFICANT, "where the best of 20 trials without skill shows"),
        ([0.01, -0.005] * 200, 30, Verdict.SIGNIFICANT, "95% are needed"),
    ],
)
def test_verdicts(returns: list[float], trades: int, verdict: Verdict, words: str) -> None:
    """I5: a verdict that does not say 'not enough data' when it is so would be believed."""
    found, text = verdict_of(evidence_of(returns, trades, Tried(20, scores(1.0))), BAR)
    assert found is verdict
    assert words in text
    assert text.startswith(found.value)


def test_a_loser_is_never_significant() -> None:
    """I5: whatever was tried, returns under zero are no edge."""
    lost = evidence_of((-np.array(published_returns())).tolist(), 100, Tried(1, ()))
    assert isinstance(lost, Evidence)
    assert lost.deflated is not None
    assert lost.deflated < 0.01
