"""Two real processes for one live account: one acts, and one that lost the account cannot send, however late it wakes.

The first is stopped (SIGSTOP) where it is most dangerous, and goes on (SIGCONT) when another has the account.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from forked import At, ended
from live_site import BTC, ETH, SECOND, Site, live_site

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import AccountBusyError
from triplegain_pipelines.domain.orders import Leg, OrderState
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.store.database import Database

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_BUY = (BTC, Action.BUY)
_CREATE = {"kraken": "AddOrder", "binance": "order"}
_CREATED = {"kraken": "AddOrder", "binance": "POST order"}


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    with live_site(database) as opened:
        yield opened


def fall_asleep() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@dataclass
class Sleepers:
    """Processes that buy bitcoin and stop at a call. None outlives its test."""

    living: list[int] = field(default_factory=list)

    def at(self, site: Site, at: At) -> int:
        """One that has stopped there; its id."""
        child = site.start(_BUY, at=at, do=fall_asleep)
        _, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"it ended with {status}"
        self.living.append(child)
        return child

    def wake(self, child: int) -> int:
        """Let it go on to its end; how it ended."""
        os.kill(child, signal.SIGCONT)
        self.living.remove(child)
        return ended(child)


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    """See `Sleepers`."""
    made = Sleepers()
    yield made
    for child in made.living:
        os.kill(child, signal.SIGKILL)
        ended(child)


def take_the_lock_away(site: Site) -> None:
    """The database ends the session that holds the account's lock, as it does when its network is gone."""
    query = """SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
               WHERE locktype = 'advisory' AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    assert site.rows(query) == [(True,)]


def test_the_second_process_cannot_act(site: Site, sleepers: Sleepers) -> None:
    """Issue point 5: two workers take the same account, and each buys."""
    first = sleepers.at(site, At("AddOrder"))
    second = site.decide(ETH, Action.BUY)
    with pytest.raises(AccountBusyError, match="another process trades"), OrderPath(site.desk()) as path:
        path.execute(second)
    with pytest.raises(AccountBusyError), OrderPath(site.desk(), wait=0.2):
        pass
    assert site.exchange.orders == ()
    assert sleepers.wake(first) == 0
    assert [order.request.symbol for order in site.exchange.orders] == [BTC, BTC]  # the entry and its stop
    with OrderPath(site.desk()) as path:
        path.execute(second)
    site.require_lawful()


def test_a_second_real_process_cannot_act_either(database: Database, sleepers: Sleepers) -> None:
    """Issue point 5: the lock holds between processes and not only between threads of one."""
    with live_site(database, expiry=60 * SECOND) as site:
        first = sleepers.at(site, At("AddOrder"))
        waiting = site.start((ETH, Action.BUY))  # waits for five seconds, and gives up
        assert ended(waiting) == 1
        assert site.exchange.orders == ()
        assert sleepers.wake(first) == 0
        assert [order.request.symbol for order in site.exchange.orders] == [BTC, BTC]
        site.restart()
        site.require_lawful()
        assert set(site.held()) == {BTC, ETH}  # what the other was to do still waited


def test_a_process_whose_lock_is_gone_sends_nothing(site: Site, sleepers: Sleepers) -> None:
    """Issue point 5: its session ended before it wrote the order, and nobody else has the account yet."""
    first = sleepers.at(site, At("BalanceEx", 2))
    take_the_lock_away(site)
    assert sleepers.wake(first) == 1
    assert site.exchange.orders == ()
    assert "AddOrder" not in {call.name for call in site.server.calls}
    site.restart()
    site.require_lawful()


@pytest.mark.parametrize("venue", ["kraken", "binance"])
def test_a_request_that_wakes_up_late_is_refused_by_the_venue(
    database: Database, venue: str, sleepers: Sleepers
) -> None:
    """Issue point 5: asleep between the last check and the wire; another gave the order up and bought in its place."""
    with live_site(database, venue=venue) as site:
        first = sleepers.at(site, At(_CREATE[venue]))
        take_the_lock_away(site)
        site.clock.advance(site.expiry + SECOND)
        site.restart()
        entries = [order for order in site.orders() if order.intent.leg is Leg.ENTRY]
        assert [order.state for order in entries] == [OrderState.LOST, OrderState.FILLED]
        before, calls = site.exchange.orders, len(site.server.calls)
        assert sleepers.wake(first) == 1
        (late, *_) = [call for call in site.server.calls[calls:] if call.name == _CREATED[venue]]
        assert str(entries[0].client_order_id) in str(late.parameters)
        assert site.exchange.orders == before  # it arrived, and was refused
        site.restart()
        site.require_lawful()


@pytest.mark.parametrize("venue", ["kraken", "binance"])
def test_a_late_request_is_refused_though_nobody_else_has_spoken(
    database: Database, venue: str, sleepers: Sleepers
) -> None:
    """Issue point 5: no newer nonce of a successor stands in its way, and only the expiry keeps it out."""
    with live_site(database, venue=venue) as site:
        first = sleepers.at(site, At(_CREATE[venue]))
        take_the_lock_away(site)
        site.clock.advance(site.expiry + SECOND)
        sleepers.wake(first)
        assert _CREATED[venue] in {call.name for call in site.server.calls}
        assert site.exchange.orders == ()
        site.restart()
        site.require_lawful()
        assert len(site.exchange.trades) == 1


def test_a_process_that_was_overtaken_cannot_book_or_send_what_comes_next(site: Site, sleepers: Sleepers) -> None:
    """Issue point 5: its entry was taken, and it fell asleep before the answer; two of them place the stop."""
    first = sleepers.at(site, At("AddOrder", after=True))
    take_the_lock_away(site)
    site.restart()
    site.require_lawful()
    before = site.exchange.orders
    assert len(before) == 2
    assert sleepers.wake(first) == 1
    assert site.exchange.orders == before
    site.restart()
    site.require_lawful()
