"""The verdict on a backtest: the sentence that a trader reads first, for each way of being worth little."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from backtest_cases import BTC, START, Traded, candles, case, every, knowing, traded, wandering

from triplegain_pipelines.evaluation.backtest_page import comparison_verdict
from triplegain_pipelines.evaluation.backtest_verdict import (
    BacktestCase,
    Judgement,
    Verdict,
    WalkForward,
    WalkForwardWindow,
    holm,
    judge,
)
from triplegain_pipelines.evaluation.results_linter import LintCode, LintEvidence, LookAheadCheck

pytestmark = pytest.mark.unit

FLAT = wandering(24 * 400, seed=11)
RISING = wandering(24 * 400, seed=12, drift=0.0006)


def walked(made: float, deflated: float | None = 0.99) -> WalkForward:
    window = WalkForwardWindow(
        START, START + timedelta(days=90), START + timedelta(days=120), {"fast": 10}, 1.0, 0.5, made, 20
    )
    return WalkForward((window,), sharpe=0.5, deflated=deflated, trials=72)


def knowing_case(**changes: Any) -> BacktestCase:
    return case(FLAT, knowing(FLAT, 12, 120), **changes)


def test_a_signal_that_knows_the_future_voids_everything() -> None:
    """B2: the better it looks the worse it is; nothing else may be said before this."""
    judged = judge(knowing_case(evidence=LintEvidence(look_ahead=LookAheadCheck(24, 3))))
    assert judged.verdict is Verdict.UNTRUE
    assert "3 signals differed when the future was cut off" in judged.sentence


def test_no_trades() -> None:
    """B1: a strategy that never traded was not tested."""
    assert judge(case(FLAT, [])).verdict is Verdict.NO_TRADES


def test_a_loss_is_called_a_loss_with_what_holding_made() -> None:
    """B1: entering every ten hours pays the costs a hundred times."""
    judged = judge(case(FLAT, every(900, 10, 3)))
    assert judged.verdict is Verdict.LOSES
    assert judged.sentence.startswith(f"It lost {-judged.figures.portfolio.total_return:.1%} after costs")
    assert f"{judged.hold.total_return:+.1%}" in judged.sentence


def test_fees_that_ate_a_profit_are_named() -> None:
    """B1: a small edge that the fees eat asks for other trading, not for another idea."""
    rising = candles(100 * 1.002 ** np.arange(24 * 100))
    judged = judge(case(rising, every(1000, 2, 1)))
    assert judged.verdict is Verdict.LOSES
    assert "Without the fees it would have made about +" in judged.sentence


def test_few_trades_are_too_few_whatever_they_made() -> None:
    """Trading engines notes 6.2: with few trades expect wide intervals and say so."""
    judged = judge(case(FLAT, knowing(FLAT, 24, 29)))
    assert judged.verdict is Verdict.TOO_LITTLE
    assert judged.sentence.startswith("29 trades in 400 days are too few")


def test_earning_less_smoothly_than_holding_is_no_success() -> None:
    """B1: any long position earns in a market that rises; the question is whether holding did it better."""
    judged = judge(case(RISING, every(60, 150, 100)))
    assert judged.figures.portfolio.total_return > 0
    assert judged.verdict is Verdict.HOLDING
    assert judged.sentence.startswith("Not better than holding: ")


def test_a_profit_that_random_entries_make_too_is_luck() -> None:
    """Issue 6: profit in a flat market without timing; the sentence has the p value."""
    for seed in range(40):
        starts = np.sort(np.random.default_rng(seed).choice(59, 34, replace=False)) * 160 + 1
        judged = judge(case(FLAT, [Traded(int(one), int(one) + 150) for one in starts]))
        if judged.verdict is Verdict.LUCK:
            assert judged.random is not None
            assert "p = " in judged.sentence
            assert max(judged.random.p_value, judged.better_p or 1) > 0.05
            return
    pytest.fail("none of 40 seeds earned by luck")


def test_a_planted_edge_is_shown() -> None:
    """Issue 6: somebody who knows the future is better than holding and than random entries."""
    judged = judge(knowing_case())
    assert judged.verdict is Verdict.EDGE
    assert judged.better_p is not None
    assert judged.better_p <= 0.05
    assert "with nothing chosen on these" in judged.sentence


@pytest.mark.parametrize(
    ("walk", "trials", "verdict"),
    [
        (None, 72, Verdict.IN_SAMPLE),
        (None, 1, Verdict.EDGE),
        (walked(0.05), 72, Verdict.EDGE),
        (walked(0.0), 72, Verdict.FADED),
        (walked(0.05, 0.949), 72, Verdict.SEARCHED),
        (walked(0.05, 0.95), 72, Verdict.EDGE),
        (walked(0.05, None), 72, Verdict.EDGE),
    ],
)
def test_the_best_of_many_trials_must_hold_on_unseen_bars(
    walk: WalkForward | None, trials: int, verdict: Verdict
) -> None:
    """I5: a good curve in sample is an upper bound; a walk-forward and a deflated Sharpe ratio decide."""
    assert judge(knowing_case(walk_forward=walk, evidence=LintEvidence(trials=trials))).verdict is verdict


def test_a_walk_forward_counts_as_out_of_sample_for_the_linter() -> None:
    """The linter must not ask for what lies beside it."""
    searched = LintEvidence(trials=72)
    assert LintCode.IN_SAMPLE_ONLY in {one.code for one in judge(knowing_case(evidence=searched)).findings}
    judged = judge(knowing_case(evidence=searched, walk_forward=walked(0.1)))
    assert LintCode.IN_SAMPLE_ONLY not in {one.code for one in judged.findings}


def test_judging_twice_gives_the_same() -> None:
    """A p value that changes when the report is written again is no evidence."""
    first, again = judge(knowing_case(seed=3)), judge(knowing_case(seed=3))
    assert (first.sentence, first.better_p, first.interval) == (again.sentence, again.better_p, again.interval)
    assert first.random is not None
    assert again.random is not None
    assert first.random.p_value == again.random.p_value


def test_chances_are_corrected_as_holm_did() -> None:
    """Holm 1979: sorted, times how many are left, never falling, at most one; worked by hand."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def luck_and_skill() -> tuple[list[Judgement], Judgement]:
    losers = [judge(case(FLAT, every(300, 30, length))) for length in (3, 5, 7)]
    return losers, judge(knowing_case())


def test_many_losers_are_called_losers() -> None:
    """B1: a page of eighteen losses must not end with the likeliest winner."""
    losers, _ = luck_and_skill()
    verdict, sentence = comparison_verdict(losers)
    assert verdict is Verdict.LOSES
    assert sentence.startswith("None of 3 made money after costs")


def test_one_that_holds_after_the_correction_is_named() -> None:
    """Issue 6: the correction must not bury a true edge."""
    losers, skilled = luck_and_skill()
    verdict, sentence = comparison_verdict([*losers, skilled])
    assert verdict is Verdict.EDGE
    assert sentence == "After all 4 were looked at, this is still better than luck: made by hand on BTC/USDT 1h."


def test_the_best_of_many_is_lucky() -> None:
    """Issue 6: p = 0.03 alone is p = 0.54 as the best of 18, and no edge."""
    _, skilled = luck_and_skill()
    assert skilled.random is not None
    lucky = replace(skilled, better_p=0.03, random=replace(skilled.random, p_value=0.02))
    others = [replace(skilled, better_p=0.5, random=None, verdict=Verdict.LUCK)] * 17
    assert comparison_verdict([lucky])[0] is Verdict.EDGE
    verdict, sentence = comparison_verdict([lucky, *others])
    assert verdict is Verdict.LUCK
    assert "p = 0.03 alone and p = 0.54 as the best of 18" in sentence


def test_missing_candles_stop_the_judgement() -> None:
    """A verdict without its benchmark would be none."""
    from triplegain_pipelines.domain.errors import DataError

    with pytest.raises(DataError, match=BTC):
        judge(BacktestCase(traded(FLAT, every(30, 100, 10)), {}))
