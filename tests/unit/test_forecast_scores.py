"""The board of scores, made of a frame of forecasts."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from triplegain_pipelines.evaluation.forecast_scores import (
    ALWAYS_EVEN,
    BASE_RATE,
    score_forecasters,
)
from triplegain_pipelines.store.outcomes import SCORED

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)
T = datetime(2024, 8, 5, tzinfo=UTC)


def rows(name, forecasts, happened, *, baseline=False):
    return pl.DataFrame(
        [
            (name, baseline, "BTC/USDT", T + number * HOUR, p_up, went_up)
            for number, (p_up, went_up) in enumerate(zip(forecasts, happened, strict=True))
        ],
        schema=SCORED,
        orient="row",
    )


def board(*frames, needed=100, interval=4 * HOUR):
    scores = score_forecasters(pl.concat(frames), horizon=4 * HOUR, interval=interval, needed=needed)
    return {score.name: score for score in scores}


def test_board_by_hand():
    """A7: four calls, one abstained, one unsettled: two scored, one right; Brier (0.04 + 0.36) / 2."""
    score = board(rows("gpt", [0.8, 0.6, None, 0.9], [True, False, True, None]))["gpt"]
    assert (score.asked, score.answered, score.settled) == (4, 3, 2)
    assert (score.coverage, score.abstention_rate) == (0.5, 0.25)
    assert (score.accuracy, score.brier) == (0.5, pytest.approx(0.2))
    assert score.accuracy_interval.low == pytest.approx(0.0945, abs=1e-4)  # Wilson, 1 of 2
    assert score.brier_interval.low < 0.2 < score.brier_interval.high
    assert score.note == "not enough data: 2 of 100 forecasts needed"


def test_overlap_widens_the_interval():
    """A7: hourly forecasts of 4 hours are a quarter as many: without it luck looks like skill."""
    happened = [True, False] * 200
    alone = board(rows("gpt", [0.6] * 400, happened))["gpt"]
    overlapping = board(rows("gpt", [0.6] * 400, happened), interval=HOUR)["gpt"]
    assert (alone.effective, overlapping.effective) == (400, 100)
    assert overlapping.accuracy_interval.low < alone.accuracy_interval.low
    assert overlapping.note is None


def test_one_half_is_on_no_side():
    """A7: the ancestor's defect 2: always-HOLD must not count as right."""
    score = board(rows("gpt", [0.5, 0.5], [True, False]))["gpt"]
    assert (score.accuracy, score.accuracy_interval, score.brier) == (None, None, 0.25)


def test_plain_baselines_are_on_every_board():
    """A7: a score means nothing without what costs nothing beside it."""
    scores = board(
        rows("gpt", [0.9, 0.9, 0.9, 0.9], [True, True, True, False]),
        rows("consensus", [0.6, 0.6, 0.6, None], [True, True, True, False]),
    )
    assert scores[ALWAYS_EVEN].brier == 0.25
    assert scores[BASE_RATE].brier == pytest.approx(0.1875)  # 0.75 always, three of four rose
    assert scores[ALWAYS_EVEN].settled == 4
    assert [score.kind for score in scores.values()] == ["seat", "consensus", "baseline", "baseline"]


def test_baseline_seats_are_labelled():
    """DESIGN 3.8: simulated things say so."""
    assert board(rows("gpt", [0.6], [True], baseline=True))["gpt"].kind == "baseline seat"


def test_impostors_do_not_win():
    """A7: always-up and always-even seats never beat a seat with skill, and a seat that leaks does."""
    rng = np.random.default_rng(8)
    happened = (rng.uniform(size=4000) < 0.52).tolist()
    skilled = np.where(np.array(happened), 0.6, 0.45)
    scores = board(
        rows("always up", [0.99] * 4000, happened),
        rows("always even", [0.5] * 4000, happened),
        rows("skilled", skilled.tolist(), happened),
        rows("leaking", [0.98 if one else 0.02 for one in happened], happened),
    )
    order = sorted(("always up", "always even", "skilled", "leaking"), key=lambda name: scores[name].brier)
    assert order == ["leaking", "skilled", "always even", "always up"]


def test_nothing_settled_scores_nothing():
    """A7: no data is None, not a zero that looks like perfection."""
    scores = board(rows("gpt", [0.6, None], [None, None]))
    assert list(scores) == ["gpt"]
    assert (scores["gpt"].brier, scores["gpt"].log_loss, scores["gpt"].calibration_error) == (None, None, None)
