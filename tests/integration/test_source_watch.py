"""The watch over the main venue and its backup, over stored candles."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from candle_frames import START, candle_frame

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.failover import Watched
from triplegain_pipelines.operations.failover import FAILOVER_ALERT, SourceReport, ToFetch, watch_sources
from triplegain_pipelines.settings import Environment, Settings, load_settings
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.series import decision_candles
from triplegain_pipelines.store.sources import current_source

pytestmark = pytest.mark.integration

MAIN, BACKUP = "kraken", "binance"
SYMBOLS = ("BTC/USDT", "ETH/USDT")
PAPER = load_settings(Environment(profile="paper"))


def _minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


@dataclass
class Market:
    """Two venues whose candles are stored as they close, and the service that looks at them each minute."""

    database: Database
    settings: Settings = PAPER
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(START))
    watched: Watched | None = None

    def pass_minute(self, *, main: bool, backup: bool = True) -> SourceReport | None:
        """One minute on: the candle of it comes from those venues that live; then a look, five seconds later."""
        opened = int((self.clock.now() - START) / timedelta(minutes=1))
        self.clock.advance_to(_minute(opened + 1) + timedelta(seconds=5))
        with self.database.connection() as connection:
            for venue, price in ((MAIN, 100.0), (BACKUP, 101.0)):
                if {MAIN: main, BACKUP: backup}[venue]:
                    frame = candle_frame([opened], price=price)
                    upsert_candles(connection, venue, SYMBOLS[0], Timeframe.M1, frame, "test")
        return self.look()

    def look(self) -> SourceReport | None:
        """One look, without a new candle."""
        report = watch_sources(self.database, self.settings, MAIN, SYMBOLS, self.clock, self.watched)
        self.watched = report.watched if report else None
        return report

    def switches(self) -> list[tuple[object, ...]]:
        """What was recorded."""
        with self.database.connection() as connection:
            return connection.execute(
                "SELECT from_venue, to_venue, switched_at, basis FROM market.source_switches ORDER BY sequence"
            ).fetchall()


@pytest.fixture
def market(database: Database) -> Market:
    """A market whose two venues have been well for twenty minutes."""
    made = Market(database)
    for _ in range(20):
        report = made.pass_minute(main=True)
        assert report is not None
        assert (report.source, report.switch, report.fetch) == (MAIN, None, None)
    return made


def _silence(market: Market) -> SourceReport:
    """Let the main venue be silent until it is left."""
    for _ in range(10):
        report = market.pass_minute(main=False)
        assert report is not None
        if report.switch:
            return report
    pytest.fail("the main venue was never left")


def test_a_silent_main_venue_is_left_and_taken_again(market: Market) -> None:
    """M7: the whole way there and back, with the basis, the alert and what is to be fetched."""
    left = _silence(market)
    assert left.switch is not None
    # Its last candle closed at minute 20; more than three minutes later it is left.
    assert left.switch.switched_at == _minute(23) + timedelta(seconds=5)
    assert left.source == BACKUP
    assert left.fetch == ToFetch(BACKUP, SYMBOLS, START)
    with market.database.connection() as connection:
        (alert,) = open_alerts(connection)
        closes = decision_candles(connection, MAIN, SYMBOLS[0], START, _minute(60))["close"].to_list()
    assert (alert.kind, alert.subject, alert.level) == (FAILOVER_ALERT, MAIN, "warning")
    assert "kraken gave no candle for 185 s" in alert.text
    assert "come from binance" in alert.text
    assert closes == [100.0] * 20
    again = market.pass_minute(main=False)
    assert again is not None
    assert (again.source, again.switch, again.fetch) == (BACKUP, None, None)
    reports = [market.pass_minute(main=True) for _ in range(16)]
    back = reports[-1]
    assert back is not None
    assert [report.switch for report in reports[:-1] if report] == [None] * 15
    assert (back.source, back.fetch) == (MAIN, ToFetch(MAIN, SYMBOLS, START))
    rows = market.switches()
    assert [row[:2] for row in rows] == [(MAIN, BACKUP), (BACKUP, MAIN)]
    assert rows[0][3] == {SYMBOLS[0]: pytest.approx(0.01), SYMBOLS[1]: None}
    assert rows[1][3] == {SYMBOLS[0]: pytest.approx(100 / 101 - 1), SYMBOLS[1]: None}
    with market.database.connection() as connection:
        assert open_alerts(connection) == []


def test_when_both_are_silent_nothing_is_switched(market: Market) -> None:
    """M7: our own network is down; a switch would only be undone a quarter of an hour later."""
    for _ in range(30):
        report = market.pass_minute(main=False, backup=False)
        assert report is not None
        assert report.switch is None
    assert market.switches() == []


def test_a_restart_holds_old_silence_against_nobody(market: Market) -> None:
    """M7: at the first look after a night both venues are old; the main one gets its time."""
    market.clock.advance_to(_minute(600))
    market.watched = None
    for number in range(4):
        report = market.pass_minute(main=number >= 3)
        assert report is not None
        assert report.switch is None


def test_what_a_dead_process_had_to_fetch_is_said_again(market: Market) -> None:
    """M7: killed between the switch and the fetch, the buckets of the day would stay torn."""
    _silence(market)
    market.watched = None
    first, second = market.look(), market.look()
    assert first is not None
    assert second is not None
    assert first.fetch == ToFetch(BACKUP, SYMBOLS, START)
    assert second.fetch is None
    market.clock.advance_to(_minute(1440 + 30))
    market.watched = None
    late = market.look()
    assert late is not None
    assert (late.source, late.fetch) == (BACKUP, None)


def test_a_switch_and_its_alert_are_one(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: a switch that nobody is told of, because the process died between the two."""

    def dying(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("triplegain_pipelines.operations.failover.raise_alert", dying)
    with pytest.raises(KeyboardInterrupt):
        _silence(market)
    with market.database.connection() as connection:
        assert current_source(connection, MAIN) == MAIN


def test_without_a_backup_there_is_nothing_to_decide(database: Database) -> None:
    """M7: the simulated market has none."""
    profile = PAPER.profile.model_copy(update={"backup_venue": None})
    assert Market(database, PAPER.model_copy(update={"profile": profile})).look() is None
