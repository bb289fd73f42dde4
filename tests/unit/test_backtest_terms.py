"""The terms of a backtest, and the luck of its orders: one generator, in plain Python and compiled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.backtest.luck import first_share, splitmix64
from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.errors import InputError

pytestmark = pytest.mark.unit


def test_the_generator_is_splitmix64() -> None:
    """B2: another generator would give other fills than the ones that earlier results were made with.

    The outputs are those of Vigna's splitmix64.c for the seed 1234567, as published with Rosetta Code's task.
    """
    state, drawn = 1234567, []
    for _ in range(3):
        drawn.append(splitmix64(state))
        state = (state + 0x9E37_79B9_7F4A_7C15) % 2**64
    assert drawn == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**52),
    st.sampled_from([0, 1]),
    st.sampled_from([0.0, 0.5, 0.98, 1.0]),
)
def test_compiled_luck_has_the_same_bits(seed: int, opened_at: int, leg: int, fill_rate: float) -> None:
    """B2: engines whose luck differs in one bit make different trades, and parity shows nothing."""
    from triplegain_pipelines.backtest.kernel_walk import first_share as compiled_share

    assert compiled_share(seed, opened_at, leg, fill_rate) == first_share(seed, opened_at, leg, fill_rate)


def test_luck_has_the_rate_and_the_parts_it_says() -> None:
    """B1: a share outside of 20 to 80 per cent, or another rate, makes fills that the paper venue would not make."""
    shares = [first_share(7, 1_722_816_000_000_000 + bar * 60_000_000, 0, 0.9) for bar in range(20_000)]
    parts = [share for share in shares if share != 1.0]
    assert 0.09 < len(parts) / len(shares) < 0.11
    assert 0.2 <= min(parts) < 0.21
    assert 0.79 < max(parts) < 0.8
    assert 0.48 < sum(parts) / len(parts) < 0.52


def test_legs_and_seeds_have_luck_of_their_own() -> None:
    """B1: entries and exits that are parted together double the effect of a partial fill."""
    moments = range(0, 400 * 60_000_000, 60_000_000)
    drawn = {(seed, leg): [first_share(seed, at, leg, 0.5) for at in moments] for seed in (0, 1, -1) for leg in (0, 1)}
    assert len({tuple(shares) for shares in drawn.values()}) == len(drawn)


@pytest.mark.parametrize(
    ("name", "value"), [("fee", -0.001), ("fill_rate", 1.5), ("price_step", 0.0), ("starting_equity", float("nan"))]
)
def test_terms_that_no_market_has_are_refused(name: str, value: float) -> None:
    """B1: a percentage typed for a fraction makes a backtest that nobody can read."""
    with pytest.raises(InputError, match=name):
        Terms(**{name: value})


def test_the_document_says_every_term() -> None:
    """B1: a result whose costs are not written beside it cannot be compared with another."""
    document = Terms(fee=0.002, short_selling=True).document()
    assert (document["fee"], document["short_selling"], document["seed"]) == (0.002, True, 0)
    assert Terms(**document) == Terms(fee=0.002, short_selling=True)  # type: ignore[arg-type]
