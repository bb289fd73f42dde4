"""Laws of the walk: what is chosen from and what is judged on never share a bar, nor come near each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.backtest.splits import Fold, purge_bars, walk_forward
from triplegain_pipelines.domain.errors import InputError

pytestmark = pytest.mark.unit


@st.composite
def walks(draw: st.DrawFn) -> dict[str, int | bool]:
    """Arguments of a walk that has at least one test."""
    walk: dict[str, int | bool] = {
        "first": draw(st.integers(0, 300)),
        "train": draw(st.integers(1, 500)),
        "test": draw(st.integers(1, 200)),
        "purge": draw(st.integers(0, 100)),
        "embargo": draw(st.integers(0, 50)),
    }
    fewest = sum(walk.values())
    return {**walk, "bars": draw(st.integers(fewest, fewest + 3000)), "anchored": draw(st.booleans())}


@given(walks())
def test_train_ends_long_before_test(walk: dict[str, int]) -> None:
    """I5: a shared bar, or one within purge and embargo, would show the choice what it is judged on."""
    for fold in walk_forward(**walk):
        if fold.is_tested:
            assert fold.test_start - fold.train_stop == walk["purge"] + walk["embargo"]
        assert 0 <= walk["first"] <= fold.train_start < fold.train_stop <= fold.test_start <= fold.test_stop
        assert fold.test_stop <= walk["bars"]


@given(walks())
def test_every_bar_is_tested_once(walk: dict[str, int]) -> None:
    """I5: a bar that is judged twice counts luck twice; one that is left out may be the one that hurts."""
    times = np.zeros(walk["bars"], dtype=int)
    tested = [fold for fold in walk_forward(**walk) if fold.is_tested]
    for fold in tested:
        times[fold.test_start : fold.test_stop] += 1
    begin = walk["first"] + walk["train"] + walk["purge"] + walk["embargo"]
    assert not times[:begin].any()
    assert (times[begin:] == 1).all()
    assert all(walk["test"] <= fold.test_stop - fold.test_start < 2 * walk["test"] for fold in tested)


@given(walks())
def test_train_ranges_roll_or_grow(walk: dict[str, int]) -> None:
    """I5: a rolling walk forgets, an anchored one does not; neither may do the other."""
    folds = walk_forward(**walk)
    lengths = [fold.train_stop - fold.train_start for fold in folds]
    if walk["anchored"]:
        assert {fold.train_start for fold in folds} == {walk["first"]}
        assert lengths == sorted(lengths)
    else:
        assert set(lengths) == {walk["train"]}


@given(walks())
def test_the_last_fold_chooses_from_the_newest_bars(walk: dict[str, int]) -> None:
    """I5: what is proposed for the time to come must know the newest bars, and be judged by none of these."""
    last = walk_forward(**walk)[-1]
    assert (last.train_stop, last.test_start, last.test_stop) == (walk["bars"],) * 3


@given(walks())
def test_a_longer_history_changes_no_earlier_fold(walk: dict[str, int]) -> None:
    """I5: a split that moved with the end of the data would let tomorrow change yesterday's verdict."""
    now, later = (walk_forward(**{**walk, "bars": walk["bars"] + more}) for more in (0, walk["test"] * 2))
    settled = len(now) - 2  # the last test takes the rest
    assert later[:settled] == now[:settled]


def test_by_hand() -> None:
    """I5: a walk worked out on paper: 10 of warm-up, 20 of training, 3 + 2 of distance, tests of 15 in 75 bars."""
    folds = walk_forward(75, first=10, train=20, test=15, purge=3, embargo=2, anchored=False)
    assert folds == (Fold(0, 10, 30, 35, 50), Fold(1, 25, 45, 50, 75), Fold(2, 55, 75, 75, 75))


def test_refusals() -> None:
    """I5: a walk without a test would conclude from nothing."""
    with pytest.raises(InputError, match="need 50"):
        walk_forward(49, first=10, train=20, test=15, purge=3, embargo=2, anchored=False)
    with pytest.raises(InputError, match="cannot be made"):
        walk_forward(49, first=10, train=20, test=15, purge=-3, embargo=2, anchored=False)
    assert purge_bars([26, 200], 48) == 200
    assert purge_bars([], 48) == 48
