"""The budget of calls for history: a share of the venue's limit, and trading first."""

from threading import Barrier, Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.market.venues.budget import Bucket, CallBudget, call_budget
from triplegain_pipelines.settings import Environment, load_settings

pytestmark = pytest.mark.unit


@given(st.floats(0.1, 100), st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_no_stretch_of_time_holds_more_calls_than_the_rate_allows(rate: float, pauses: list[float]) -> None:
    """M1: a back-fill that bursts gets the whole address banned, the trading calls with it."""
    bucket, now, calls = Bucket(rate, 1.0, 0.0), 0.0, []
    for pause in pauses:
        now += pause
        now += max(0.0, bucket.wait(now))
        bucket = bucket.taken(now)
        calls.append(now)
    for first, begin in enumerate(calls):
        for last, end in enumerate(calls[first:], first):
            assert last - first + 1 <= rate * (end - begin) + 1 + 1e-6


def test_a_bucket_never_holds_more_than_one_call() -> None:
    """M1: a night of silence must not allow a burst in the morning, nor a clock that stands still a free call."""
    idle = Bucket(2.0, 1.0, 0.0).refilled(3600.0)
    assert idle.tokens == 1.0
    taken = idle.taken(3600.0)
    assert taken.wait(3600.0) == 0.5
    assert taken.wait(3599.0) == 0.5


def test_history_waits_while_a_trading_call_waits_or_runs() -> None:
    """M1: a stop that must be placed cannot queue behind a year of candles."""
    budget = CallBudget(1e6)
    asking, went = Event(), Event()

    def fetch() -> None:
        asking.set()
        budget.take()
        went.set()

    with budget.trading(), budget.trading():
        thread = Thread(target=fetch, daemon=True)
        thread.start()
        assert asking.wait(5)
        assert not went.wait(0.2)
    assert went.wait(5)
    thread.join()


def test_threads_share_one_budget() -> None:
    """M1: four symbols fetched by four threads must not take four shares."""
    budget, began = CallBudget(50.0), monotonic_seconds()
    threads = [Thread(target=lambda: [budget.take() for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monotonic_seconds() - began >= 19 / 50.0 - 0.001


def test_a_venue_has_one_budget_below_its_limit() -> None:
    """M1: the budget leaves room for trading calls, whoever asks for it."""
    venues = load_settings(Environment(profile="paper")).venues
    kraken = venues.of("kraken")
    assert call_budget(kraken) is call_budget(venues.of("kraken"))
    assert call_budget(kraken) is not call_budget(venues.of("binance"))
    budget = call_budget(kraken.model_copy(update={"calls_per_second": 40.0, "history_share": 0.25}))
    began = monotonic_seconds()
    for _ in range(3):
        budget.take()
    assert monotonic_seconds() - began >= 2 / 10.0 - 0.001


def test_threads_that_come_at_once_share_one_budget() -> None:
    """M1: two budgets for one venue together spend twice what is left for history."""
    kraken = load_settings(Environment()).venues.of("kraken")
    together, found = Barrier(8), []

    def ask(rate: float) -> None:
        together.wait()
        found.append((rate, id(call_budget(kraken.model_copy(update={"calls_per_second": rate})))))

    for rate in range(1000, 1020):
        threads = [Thread(target=ask, args=(float(rate),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(found)) == 20
