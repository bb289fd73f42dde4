"""The words of the domain: clock, ids, canonical spelling, the grid of candles, the life of an order."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.domain.canonical import canonical_json, content_hash
from triplegain_pipelines.domain.clock import ReplayClock, SystemClock, require_utc
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument, exact_price
from triplegain_pipelines.domain.orders import TRANSITIONS, OrderState
from triplegain_pipelines.domain.timeframes import DECISION_TIMEFRAMES, Timeframe, floor_to, last_closed_open

pytestmark = pytest.mark.unit

MOMENT = datetime(2024, 8, 5, 13, 47, 12, tzinfo=UTC)


def test_a_replay_clock_never_runs_backwards() -> None:
    """DESIGN §2: a clock that steps back would let a decision see its own future."""
    clock = ReplayClock(MOMENT)
    clock.advance_to(MOMENT + timedelta(seconds=1))
    with pytest.raises(ValueError, match="cannot run backwards"):
        clock.advance_to(MOMENT)
    assert clock.now() == MOMENT + timedelta(seconds=1)


def test_times_without_utc_are_refused() -> None:
    """Trap 20: a naive or local time shifts every candle when the clocks change."""
    for wrong in (MOMENT.replace(tzinfo=None), MOMENT.astimezone(timezone(timedelta(hours=2)))):
        with pytest.raises(ValueError, match="not an aware UTC time"):
            require_utc(wrong)
    assert require_utc(SystemClock().now())


def test_ids_are_the_same_for_ever() -> None:
    """X3: an id that changes between versions would make an order look like a new one after an update."""
    assert deterministic_id("order", "paper", 1) == UUID("a0b54571-fb74-571f-801d-4241205ded8d")
    assert deterministic_id("order", "a", "bc") != deterministic_id("order", "ab", "c")


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()))
def test_equal_documents_have_equal_hashes(document: dict[str, object]) -> None:
    """D1: the order of keys must not make an unchanged snapshot look changed."""
    backwards = dict(reversed(list(document.items())))
    assert content_hash(document) == content_hash(backwards)


def test_what_has_no_canonical_spelling_is_refused() -> None:
    """A NaN or an unknown object in a hash would differ from run to run."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"price": float("nan")})
    with pytest.raises(TypeError, match="no canonical spelling"):
        canonical_json({"price": object()})
    assert canonical_json([Decimal("1E+2"), MOMENT, OrderState.OPEN]) == '["100","2024-08-05T13:47:12+00:00","OPEN"]'


@given(
    st.datetimes(datetime(2013, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(DECISION_TIMEFRAMES),
)
def test_only_closed_candles_may_be_used(as_of: datetime, timeframe: Timeframe) -> None:
    """M4, trap 15: the newest usable candle has closed, grace included, and no closed one is passed over."""
    grace = timedelta(seconds=10)
    opened = last_closed_open(as_of, timeframe, grace)
    assert opened == floor_to(opened, timeframe.duration)
    assert opened + timeframe.duration + grace <= as_of < opened + 2 * timeframe.duration + grace


@given(st.decimals("0.00000001", "1000000", allow_nan=False, places=8))
def test_a_published_price_survives_the_float(price: Decimal) -> None:
    """X4: a price that changes on its way through a float would never add up to the last digit."""
    assert exact_price(float(price)) == price


@pytest.mark.parametrize("symbol", ["BTCUSDT", "btc/usdt", "BTC/", "/USDT", "BTC/USDT:USDT", ""])
def test_a_wrong_symbol_is_refused_with_an_example(symbol: str) -> None:
    """An order in a misread symbol is an order in the wrong market."""
    with pytest.raises(InputError, match="for example BTC/USDT"):
        _ = Instrument(symbol).base


def test_final_states_are_final_and_every_state_is_reachable() -> None:
    """X3: an order that leaves FILLED or LOST would be traded again."""
    final = {state for state in OrderState if state.is_final}
    assert final == {OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.LOST}
    reachable = set().union(*TRANSITIONS.values())
    assert reachable == set(OrderState) - {OrderState.PENDING_SUBMIT}
    # Once the venue has an order, only the venue can end it.
    assert OrderState.LOST not in TRANSITIONS[OrderState.OPEN] | TRANSITIONS[OrderState.PARTIALLY_FILLED]
