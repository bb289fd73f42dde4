"""Processes of a live account that die and come back: at once, hours later, weeks later, or with an older database.

The exchange is Kraken on loopback and goes on without them. After each restart books and exchange agree by every law.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import psycopg
import pytest
from builders import ROOMY
from forked import KILLED, At
from live_site import BTC, DAY, ETH, HOUR, OWN, SECOND, Site, live_site
from psycopg import sql

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.orders import Leg, OrderState, Side
from triplegain_pipelines.domain.risk import TradingMode
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.rehearsal import floor, kraken
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.outbox import OutboxStatus

pytestmark = [pytest.mark.integration, pytest.mark.slow]

D = Decimal
_BUY, _CLOSE, _BUY_ETHER, _CLOSE_ETHER = (
    (symbol, action) for symbol in (BTC, ETH) for action in (Action.BUY, Action.CLOSE)
)


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    busy = RiskLimits.model_validate({**OWN.risk.model_dump(), "money": {**ROOMY, "MAX_ORDER_SIZE_USD": "100"}})
    with live_site(database, limits=busy) as opened:
        yield opened


def sent(site: Site, leg: Leg) -> list[OrderState]:
    return [order.state for order in site.orders() if order.intent.leg is leg]


# Warm: started again at once


def moments(*calls: tuple[str, int]) -> list[At]:
    return [At(call, number, after) for call, number in calls for after in (False, True)]


@pytest.mark.parametrize("killed", moments(("AddOrder", 1), ("AddOrder", 2)), ids=str)
def test_killed_while_buying_and_started_again_at_once(site: Site, killed: At) -> None:
    """X3: what the dead process had sent is sent again, or forgotten, by the one that takes its place."""
    assert site.process(_BUY, killed=killed) == KILLED
    caretaker = site.restart()
    site.require_lawful()
    assert not caretaker.tally.troubles
    (bought,) = (trade for trade in site.exchange.trades if trade.side is Side.BUY)
    assert site.held() == {BTC: bought.quantity}


@pytest.mark.parametrize("killed", moments(("CancelOrder", 1), ("AddOrder", 3)), ids=str)
def test_killed_while_closing_and_started_again_at_once(site: Site, killed: At) -> None:
    """X3: the stop is gone and the exit is not known: the position is sold twice, or stays bare."""
    assert site.process(_BUY, _CLOSE, killed=killed) == KILLED
    caretaker = site.restart()
    site.require_lawful()
    assert not caretaker.tally.troubles
    assert site.held() == {}
    assert len(site.exchange.trades) == 2


def test_a_successor_goes_on_with_what_it_finds(site: Site) -> None:
    """X3: after a warm restart the account trades on, closes what the dead process bought, and its money agrees."""
    assert site.process(_BUY, killed=At("AddOrder", 1, after=True)) == KILLED
    site.restart()
    assert site.process(_BUY_ETHER) == 0
    assert site.process(_CLOSE) == 0
    site.require_lawful()
    assert set(site.held()) == {ETH}


# Cold: down for hours


def test_down_while_a_stop_filled_and_another_was_cancelled_by_hand(site: Site) -> None:
    """Issue point 4: a position that is gone lives on in the books, and one that lost its stop stays without."""
    assert site.process(_BUY, _BUY_ETHER) == 0
    (stop,) = site.resting(ETH)
    site.clock.advance(HOUR)
    site.price(BTC, "58000", "58001")
    site.exchange.cancel(stop.number)
    site.clock.advance(3 * HOUR)
    site.price(BTC, "61000", "61001")
    site.restart()
    site.require_lawful()
    assert set(site.held()) == {ETH}
    assert sent(site, Leg.STOP) == [OrderState.FILLED, OrderState.CANCELED, OrderState.OPEN]
    ((leg, lost),) = site.rows("SELECT exit_leg, profit < 0 FROM trades")
    assert (leg, lost) == ("STOP", True)
    (again,) = site.resting(ETH)
    assert again.trigger == stop.trigger
    assert again.rest == stop.rest


def test_down_while_the_rest_of_an_entry_filled(site: Site) -> None:
    """Issue point 4: the stop covers the half that was known, and the other half has none."""
    site.fill_in_parts()
    assert site.process(_BUY, killed=At("AddOrder", 1, after=True)) == KILLED
    (entry,) = site.exchange.orders
    assert 0 < entry.filled < entry.request.quantity
    site.clock.advance(2 * HOUR)
    site.price(BTC, "60100", "60101")
    site.restart()
    site.require_lawful()
    assert site.held() == {BTC: entry.request.quantity}
    assert [order.rest for order in site.resting()] == [entry.request.quantity]


def test_down_until_the_dead_man_timer_took_every_order(site: Site) -> None:
    """Issue point 4: the venue cancelled everything when nobody spoke, and the stop was among it."""
    assert site.process(_BUY) == 0
    site.exchange.cancel_all_after(60 * SECOND)  # set before the stop was placed, and not switched off
    site.clock.advance(2 * HOUR)
    assert site.resting() == []
    site.restart()
    site.require_lawful()
    assert len(site.resting()) == 1
    site.clock.advance(HOUR)
    assert len(site.resting()) == 1  # and the timer is off: nothing takes the new one


def test_down_while_the_price_passed_stop_and_came_back_after_the_stop_was_cancelled(site: Site) -> None:
    """X8: without a stop and below its level when we come back: nothing would ever sell it."""
    assert site.process(_BUY) == 0
    (stop,) = site.resting()
    site.exchange.cancel(stop.number)
    site.clock.advance(5 * HOUR)
    site.price(BTC, "55000", "55001")
    site.restart()
    assert site.held() == {}
    site.require_lawful()


# Held for long


def test_a_position_that_is_older_than_what_the_venue_lists(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue point 4: the entry is on no page any more, and the position is taken for nobody's, or sold twice."""
    monkeypatch.setattr(kraken, "_PAGE", 4)
    assert site.process(_BUY) == 0
    bought = site.held()[BTC]
    site.clock.advance(40 * DAY)
    site.arm()
    for _ in range(6):
        site.trade(*_BUY_ETHER)
        site.trade(*_CLOSE_ETHER)
    site.clock.advance(20 * DAY)
    caretaker = site.restart()
    site.require_lawful()
    assert not caretaker.tally.troubles
    assert site.held() == {BTC: bought}
    assert sent(site, Leg.STOP)[0] is OrderState.OPEN  # the very first still rests
    site.arm()
    site.trade(*_CLOSE)
    site.require_lawful()
    assert site.held() == {}


def test_a_long_held_position_whose_stop_filled_among_many_newer_trades(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue point 4: the fill lies pages back behind trades that nobody has seen yet either."""
    monkeypatch.setattr(kraken, "_PAGE", 2)
    assert site.process(_BUY, _BUY_ETHER) == 0
    site.clock.advance(30 * DAY)
    site.arm()
    assert site.process(_CLOSE_ETHER) == 0
    site.fill_in_parts()
    assert site.process(_BUY_ETHER, killed=At("AddOrder", 1, after=True)) == KILLED
    site.price(BTC, "58000", "58001")
    for _ in range(3):
        site.clock.advance(10 * DAY)
        site.price(ETH, "3001", "3001.1")
    site.restart()
    site.require_lawful()
    assert BTC not in site.held()


# The database is behind


@contextmanager
def copied(site: Site) -> Iterator[Database]:
    """A copy of the database as it is now."""
    parts = psycopg.conninfo.conninfo_to_dict(site.database.url)
    name, copy = str(parts["dbname"]), f"{parts['dbname']}_backup"
    admin_url = psycopg.conninfo.make_conninfo(site.database.url, dbname="postgres")
    site.database.close()
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), sql.Identifier(name)))
    site.database = Database(site.database.url)
    restored = Database(psycopg.conninfo.make_conninfo(site.database.url, dbname=copy))
    try:
        yield restored
    finally:
        restored.close()
        site.database.close()
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(copy)))


@pytest.fixture
def backup(site: Site) -> Iterator[Database]:
    """A copy of the database from when bitcoin had been bought."""
    assert site.process(_BUY) == 0
    with copied(site) as restored:
        yield restored


def test_an_older_database_halts_and_trades_no_more(site: Site, backup: Database) -> None:
    """Issue point 4: restored from a backup, the account acts on positions that it sold, and buys what it bought."""
    site.clock.advance(SECOND)
    site.trade(*_CLOSE)
    site.trade(*_BUY_ETHER)
    site.clock.advance(HOUR)
    at_exchange = {order.number: order.status for order in site.exchange.orders}
    trades, owned = site.exchange.trades, site.exchange.balances
    site.restart(backup)
    assert site.mode(backup) is not TradingMode.ACTIVE
    (said,) = site.halted(backup)
    assert "belongs to no order of ours" in said
    assert site.trade(*_BUY, backup) is not OutboxStatus.DONE
    assert site.trade(*_BUY_ETHER, backup) is not OutboxStatus.DONE
    site.restart(backup)
    assert {order.number: order.status for order in site.exchange.orders} == at_exchange
    assert site.exchange.trades == trades
    assert site.exchange.balances == owned
    assert site.mode(backup) is not TradingMode.ACTIVE


def test_a_decision_that_was_carried_out_is_not_carried_out_again(site: Site) -> None:
    """X2: the backup is of the moment before the order; the decision still waits there, and is still valid."""
    decision_id = site.decide(*_BUY_ETHER)
    with copied(site) as backup:
        with OrderPath(site.desk()) as path:
            assert path.execute(decision_id) is OutboxStatus.DONE
        bought = site.exchange.orders
        assert len(bought) == 2  # the entry and its stop
        behind = site.desk(backup)
        floor.make_ready(behind)
        with OrderPath(behind, wait=5) as path:
            assert path.execute(decision_id) is not OutboxStatus.DONE
        assert site.exchange.orders == bought
        assert site.mode(backup) is not TradingMode.ACTIVE


def test_an_older_database_halts_also_where_its_position_lives_on(site: Site) -> None:
    """Issue point 4: the stop was moved on to another order since; the old one's place must not be taken by a third."""
    assert site.process(_BUY, _BUY_ETHER) == 0
    with copied(site) as backup:
        site.exchange.cancel(site.resting(ETH)[0].number)
        site.restart()
        site.require_lawful()
        at_exchange = {order.number: order.status for order in site.exchange.orders}
        site.restart(backup)
        assert {order.number: order.status for order in site.exchange.orders} == at_exchange
        assert site.mode(backup) is not TradingMode.ACTIVE


def test_an_older_database_of_a_flat_account_halts_too(site: Site) -> None:
    """Issue point 4: the backup knows of nothing, so nothing in it looks wrong but what the venue says."""
    with copied(site) as backup:
        site.trade(*_BUY)
        bought = site.exchange.orders
        assert site.trade(*_BUY_ETHER, backup) is not OutboxStatus.DONE
        assert site.exchange.orders == bought
        assert site.mode(backup) is not TradingMode.ACTIVE
