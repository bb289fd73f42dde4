"""Arming live trading: with every switch on and a name typed, until it expires or is ended; and opening its keys."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import psycopg
import pytest
import yaml
from homes import Home
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from triplegain_pipelines import live_commands
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import CredentialError, InputError, LiveTradingError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import Breaker, BreakerName, BreakerState, TradingMode
from triplegain_pipelines.domain.secrets import Keys, Permissions, Purpose
from triplegain_pipelines.execution.desk import LIVE
from triplegain_pipelines.operations.credentials import add, key_ring
from triplegain_pipelines.operations.desks import live_desk
from triplegain_pipelines.operations.live import arm, disarm, live_keys, live_state
from triplegain_pipelines.operations.live_switches import missing
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import CONFIG, Deployment, Environment, Settings, load_settings
from triplegain_pipelines.store import accounts, breakers, emergency_stops, heartbeats, live_armings, trading_modes
from triplegain_pipelines.store.accounts import Account
from triplegain_pipelines.store.alerts import open_alerts
from triplegain_pipelines.store.credentials import Use
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.embedded import EmbeddedPostgres
from triplegain_pipelines.store.events import verify_chain
from triplegain_pipelines.store.live_armings import Arming, armed_until
from triplegain_pipelines.store.reports import save_report

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEYS = Keys("live-api-key-1", "bGl2ZS1zZWNyZXQtMQ==")
LIVE_ENVIRONMENT = {
    "PAPER_TRADING": "false",
    "LIVE_TRADING_ENABLED": "true",
    "ENVIRONMENT": "production",
    "LIVE_TRADING_ACCOUNT": "live",
    "LIVE_TRADING_VENUE": "kraken",
}


@dataclass
class LiveFloor:
    """A live account for which every switch is on, until a test turns one off."""

    database: Database
    settings: Settings
    config: Path
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(NOON))

    def off(self) -> set[str]:
        """Names of the switches that are off."""
        return {one.name for one in missing(live_state(self.database, self.settings, self.clock, self.config).switches)}

    def arm(self, confirmed: str = "live", why: str = "first day") -> Arming:
        """Arm it as a person would."""
        return arm(
            self.database,
            self.settings,
            confirmed=confirmed,
            why=why,
            by="ann",
            clock=self.clock,
            config=self.config,
        )

    def disarm(self, account: str | None = None) -> list[str]:
        """Disarm as a person would."""
        return disarm(self.database, account, why="enough", by="bob", clock=self.clock)

    def until(self, at: datetime | None = None) -> datetime | None:
        """Until when it is armed."""
        with self.database.connection() as connection:
            return armed_until(connection, "live", at or self.clock.now(), self.settings.config_hash)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of any query."""
        with self.database.connection() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def validated(self, **changes: Any) -> None:
        """Write a validation report that passed a day ago, with changes."""
        paper = load_settings(self.settings.environment.model_copy(update={"profile": "paper"}), self.config)
        document = {"counts_for_live": True, "config_hash": paper.config_hash}
        values: dict[str, Any] = {
            "account": "paper",
            "start": NOON - timedelta(days=15),
            "end": NOON - timedelta(days=1),
            "verdict": "PASSED",
            "path": "x.html",
            "created_at": NOON - timedelta(days=1),
        }
        document |= changes.pop("document", {})
        with self.database.connection() as connection:
            save_report(connection, document=document, **(values | changes))


def live_settings(home: Path, config: Path, **environment: Any) -> Settings:
    wanted: dict[str, Any] = {
        "home": home,
        "profile": "live",
        "paper_trading": False,
        "live_trading_enabled": True,
        "deployment": Deployment.PRODUCTION,
        "live_trading_account": "live",
        "live_trading_venue": "kraken",
    }
    return load_settings(Environment(**(wanted | environment)), config)


def allowed(_venue: str, _keys: Keys) -> Permissions:
    return Permissions(can_read=True, can_trade=True, can_withdraw=False)


def change_yaml(path: Path, **changes: Any) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def open_live_account(connection: psycopg.Connection, at: datetime) -> None:
    accounts.insert(connection, LIVE, Account("live", "kraken", "USDT", Decimal(2_100), simulated=False, opened_at=at))
    states = {name: Breaker(name, BreakerState.CLOSED, at, ReasonCode.WITHIN_LIMITS.value, 0) for name in BreakerName}
    breakers.insert(connection, "live", states)
    heartbeats.beat(connection, heartbeats.CLOCK, "kraken", at)


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> LiveFloor:
    config = Path(copytree(CONFIG, tmp_path / "config"))
    change_yaml(config / "models.yaml", offline=False)
    made = LiveFloor(database, live_settings(tmp_path / "home", config), config)
    use = Use("production", "kraken", Purpose.TRADE)
    add(database, made.settings, use, KEYS, by="ann", clock=made.clock, ask=allowed)
    with database.connection() as connection:
        open_live_account(connection, NOON)
    made.validated()
    return made


def test_with_everything_on_it_is_armed_for_its_hours_and_told(floor: LiveFloor) -> None:
    """X7: who armed, why, until when and how every switch stood must be there afterwards, in a trail that holds."""
    assert floor.off() == set()
    arming = floor.arm()
    assert arming.expires_at == NOON + 24 * HOUR
    assert floor.until() == arming.expires_at
    [(by, why, switches)] = floor.rows("SELECT armed_by, why, switches FROM ops.live_armings")
    assert (by, why) == ("ann", "first day")
    assert len(switches) >= 6
    assert all(switch["on"] for switch in switches)
    with floor.database.connection() as connection:
        (alert,) = open_alerts(connection)
        assert verify_chain(connection, LIVE, "live").events == 1
    assert (alert.kind, alert.level) == ("live_armed", "info")
    assert floor.rows("SELECT kind FROM live_trading.trading_events") == [("live_armed",)]


def test_it_expires_to_the_moment(floor: LiveFloor) -> None:
    """X7: an arming that never ends is none; and a clock that was set back must not prolong it."""
    floor.arm()
    assert floor.until(NOON + 24 * HOUR - timedelta(microseconds=1)) is not None
    assert floor.until(NOON + 24 * HOUR) is None
    assert floor.until(NOON - timedelta(microseconds=1)) is None


def test_the_database_refuses_an_arming_of_more_than_a_day(floor: LiveFloor) -> None:
    """X7: whatever the code or its configuration says, an arming ends after 24 hours at most."""
    arming = floor.arm()
    too_long = replace(arming, expires_at=arming.armed_at + 24 * HOUR + timedelta(seconds=1))
    with pytest.raises(psycopg.errors.CheckViolation), floor.database.connection() as connection:
        live_armings.insert(connection, too_long)


def test_arming_again_extends_only_by_a_new_confirmation(floor: LiveFloor) -> None:
    """X7: looking at it, or reading it, must not make it longer."""
    floor.arm()
    floor.clock.advance_to(NOON + HOUR)
    with floor.database.connection() as connection:
        heartbeats.beat(connection, heartbeats.CLOCK, "kraken", floor.clock.now())
    assert floor.off() == set()
    with pytest.raises(InputError, match="not the account's name"):
        floor.arm(confirmed="Live")
    assert floor.until() == NOON + 24 * HOUR
    floor.arm(why="second day")
    assert floor.until() == NOON + 25 * HOUR
    with floor.database.connection() as connection:
        (alert,) = open_alerts(connection)
    assert "second day" in alert.text


@pytest.mark.parametrize("confirmed", ["", "LIVE", "live ", "yes", "y"])
def test_another_word_than_the_name_arms_nothing(floor: LiveFloor, confirmed: str) -> None:
    """X7: pressing return, or yes out of habit, must not move money."""
    with pytest.raises(InputError, match="nothing was armed"):
        floor.arm(confirmed=confirmed)
    assert floor.until() is None


def test_without_a_reason_nothing_is_armed_and_nothing_disarmed(floor: LiveFloor) -> None:
    """X7: who looks back has to know why."""
    with pytest.raises(InputError, match="say why"):
        floor.arm(why=" ")
    with pytest.raises(InputError, match="say why"):
        disarm(floor.database, None, why="", by="bob", clock=floor.clock)


def turn_off(floor: LiveFloor, name: str) -> None:
    """Turn one switch off in the way that it would be off."""
    environment: dict[str, dict[str, Any]] = {
        "paper trading off": {"paper_trading": True},
        "live trading enabled": {"live_trading_enabled": False},
        "production": {"deployment": Deployment.STAGING},
        "account named": {"live_trading_account": "paper"},
        "venue named": {"live_trading_venue": "binance"},
        "six models, no baselines": {"llm_enabled": False},
    }
    if name in environment:
        floor.settings = live_settings(floor.settings.home, floor.config, **environment[name])
        return
    with floor.database.connection() as connection:
        if name == "checked trade key":
            connection.execute("UPDATE ops.credentials SET checked_at = checked_at - interval '25 hours'")
        elif name == "books reconciled":
            connection.execute(
                """INSERT INTO live_trading.reconciliations (account, reconciled_at, watermark, differences)
                   VALUES ('live', %(at)s, %(at)s, %(differences)s)""",
                {"at": NOON, "differences": '[{"outcome": "ADOPT"}, {"outcome": "HALT", "symbol": "BTC/USDT"}]'},
            )
        elif name == "clock trusted":
            connection.execute("DELETE FROM ops.heartbeats WHERE name = 'clock'")
        elif name == "no emergency stop":
            emergency_stops.insert(connection, None, flatten=False, raised_by="bob", why="fire", at=NOON)
        elif name == "mode ACTIVE":
            mode, reason = TradingMode.REDUCING, ReasonCode.MODE_OPERATOR
            trading_modes.change(connection, "live", mode, changed_by="bob", reason=reason, why="holiday", at=NOON)
        elif name == "breakers closed":
            connection.execute("UPDATE ops.breakers SET state = 'OPEN' WHERE name = 'rapid_loss'")
    if name == "validation passed":
        floor.validated(verdict="FAILED", end=NOON - HOUR, created_at=NOON)
    elif name == "configuration validated":
        change_yaml(floor.config / "paper.yaml", backup_venue="coinbase")


@pytest.mark.parametrize(
    "name",
    [
        "paper trading off",
        "live trading enabled",
        "production",
        "account named",
        "venue named",
        "six models, no baselines",
        "checked trade key",
        "validation passed",
        "configuration validated",
        "books reconciled",
        "clock trusted",
        "no emergency stop",
        "mode ACTIVE",
        "breakers closed",
    ],
)
def test_one_switch_that_is_off_is_enough(floor: LiveFloor, name: str) -> None:
    """X7: each switch holds by itself, read from where it really is."""
    assert floor.off() == set()
    turn_off(floor, name)
    assert floor.off() == {name}
    with pytest.raises(LiveTradingError, match=name):
        floor.arm()
    assert floor.until() is None
    assert floor.rows("SELECT * FROM ops.live_armings") == []


def test_the_file_of_the_emergency_stop_counts_too(floor: LiveFloor) -> None:
    """R6: the stop works without the database, so arming has to see it without the database's word."""
    floor.settings.home.mkdir(exist_ok=True)
    (floor.settings.home / "EMERGENCY_STOP").touch()
    assert floor.off() == {"no emergency stop"}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"document": {"counts_for_live": False}}, {"validation passed"}),
        ({"document": {"config_hash": "another"}}, {"configuration validated"}),
        ({"end": NOON - timedelta(days=8), "start": NOON - timedelta(days=30)}, set()),
        ({"account": "other", "verdict": "FAILED"}, set()),
        ({"start": NOON - timedelta(days=2), "verdict": "FAILED", "end": NOON}, set()),
    ],
)
def test_the_newest_validation_of_its_account_counts(
    floor: LiveFloor, changes: dict[str, Any], names: set[str]
) -> None:
    """X7, B3: an older report must not hide a newer one, nor a look at the last two days the validation itself."""
    end = changes.pop("end", NOON - HOUR)
    floor.validated(end=end, **changes)
    assert floor.off() == names


def test_other_limits_than_the_validated_ones_cannot_be_armed(floor: LiveFloor) -> None:
    """X7: what was validated is what trades: a limit that was changed since was never tried."""
    risk = yaml.safe_load((floor.config / "risk.yaml").read_text())
    change_yaml(floor.config / "risk.yaml", heartbeat_seconds=risk["heartbeat_seconds"] - 1)
    floor.settings = live_settings(floor.settings.home, floor.config)
    assert floor.off() == {"configuration validated"}


def test_other_symbols_than_the_validated_ones_cannot_be_armed(floor: LiveFloor) -> None:
    """X7: the live profile is a file of its own, and must not trade what nobody validated."""
    change_yaml(floor.config / "live.yaml", symbols=["DOGE/USDT"], rebalancing=None)
    floor.settings = live_settings(floor.settings.home, floor.config)
    assert floor.off() == {"configuration validated"}


@pytest.mark.parametrize("profile", ["demo", "paper"])
def test_no_other_profile_can_be_armed(floor: LiveFloor, profile: str) -> None:
    """X7: on the simulated market, and with a profile for paper, real money stays out whatever else is set."""
    environment = {"profile": profile, "live_trading_account": profile, "live_trading_venue": "kraken"}
    floor.settings = live_settings(floor.settings.home, floor.config, **environment)
    floor.settings = floor.settings.model_copy(
        update={
            "environment": floor.settings.environment.model_copy(
                update={
                    "live_trading_account": floor.settings.profile.account,
                    "live_trading_venue": floor.settings.profile.venue,
                }
            )
        }
    )
    assert {"live profile"} <= floor.off()
    assert ("real market" in floor.off()) == (profile == "demo")
    with pytest.raises(LiveTradingError, match="live profile"):
        floor.arm(confirmed=floor.settings.profile.account)
    with pytest.raises(LiveTradingError, match="live profile"):
        live_keys(floor.settings, floor.settings.profile.account, key_ring(floor.database, floor.settings))


def test_what_is_changed_after_the_arming_is_not_armed(floor: LiveFloor) -> None:
    """X7: who armed six models and these limits did not arm baselines, or other limits, for the rest of the day."""
    armed = floor.arm()
    assert live_state(floor.database, floor.settings, floor.clock, floor.config).armed_until == armed.expires_at
    change_yaml(floor.config / "models.yaml", offline=True)
    changed = live_settings(floor.settings.home, floor.config)
    assert live_state(floor.database, changed, floor.clock, floor.config).armed_until is None
    change_yaml(floor.config / "models.yaml", offline=False)
    restored = live_settings(floor.settings.home, floor.config)
    assert live_state(floor.database, restored, floor.clock, floor.config).armed_until == armed.expires_at


def test_the_keys_of_one_venue_are_sent_to_no_other(floor: LiveFloor) -> None:
    """X7, X8: an account opened at another venue, or a run told so, must not open that one with the profile's keys."""
    session = Session("live", "binance", ("BTC/USDT",), replay=False, settings=floor.settings, clock=floor.clock)
    with pytest.raises(LiveTradingError, match="binance"):
        live_desk(floor.database, session)


def test_disarming_works_for_a_user_without_a_name(floor: LiveFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """X7: a container may know its user by number only; that must not keep anybody from ending new risk."""

    def nameless() -> str:
        raise KeyError

    floor.arm()
    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr(live_commands, "opened_database", lambda: nullcontext(floor.database))
    monkeypatch.setattr(live_commands, "SystemClock", lambda: floor.clock)
    live_commands.disarm_live(why="enough")
    assert floor.until() is None


def test_disarming_works_at_once_and_is_told(floor: LiveFloor) -> None:
    """X7: the way out must be the shortest one."""
    floor.arm()
    assert floor.disarm() == ["live"]
    assert floor.until() is None
    assert floor.rows("SELECT kind FROM live_trading.trading_events ORDER BY sequence")[-1] == ("live_disarmed",)
    with floor.database.connection() as connection:
        assert open_alerts(connection) == []
    assert floor.disarm() == []


def test_disarming_needs_nothing_and_waits_for_nobody(floor: LiveFloor) -> None:
    """X7: with keys gone, a broken profile, and somebody in the account's books, it still has to end new risk."""
    floor.arm()
    with floor.database.connection() as connection:
        connection.execute("DELETE FROM ops.credentials")
        connection.execute("DELETE FROM ops.reports")
        connection.execute("DELETE FROM ops.breakers")
    with floor.database.connection() as holder:
        accounts.take_books(holder, LIVE, "live", durable=True)
        ending = threading.Thread(target=floor.disarm)
        ending.start()
        for _ in range(1000):
            if floor.until() is None:
                break
            threading.Event().wait(0.01)
        assert floor.until() is None
        assert ending.is_alive()  # it only waits to write into the trail
    ending.join(10)
    assert floor.rows("SELECT kind FROM live_trading.trading_events ORDER BY sequence")[-1] == ("live_disarmed",)


def test_disarming_one_account_leaves_the_others_armed(floor: LiveFloor) -> None:
    """X7: a word for one account is no word for another."""
    arming = floor.arm()
    with floor.database.connection() as connection:
        live_armings.insert(connection, replace(arming, account="second"))
        assert live_armings.disarm(connection, "live", NOON, "bob", "enough") == ["live"]
        assert armed_until(connection, "second", NOON, arming.config_hash) == arming.expires_at
        assert armed_until(connection, "live", NOON, arming.config_hash) is None


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    made=st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 24), st.booleans()), max_size=6),
    asked=st.integers(-40, 60),
)
def test_armed_means_that_some_arming_covers_the_moment(
    floor: LiveFloor, made: list[tuple[int, int, bool]], asked: int
) -> None:
    """X7: whatever was armed and ended before, new risk is allowed only inside an arming that nobody ended."""
    at = NOON + asked * HOUR
    with floor.database.connection() as connection:
        for start, hours, ended in made:
            begin = NOON + start * HOUR
            live_armings.insert(connection, Arming("law", begin, begin + hours * HOUR, "ann", "law", []))
            if ended:
                connection.execute(
                    """UPDATE ops.live_armings SET disarmed_at = now() WHERE arming_id =
                       (SELECT max(arming_id) FROM ops.live_armings)"""
                )
        covering = [
            NOON + (start + hours) * HOUR
            for start, hours, ended in made
            if not ended and start <= asked < start + hours
        ]
        assert armed_until(connection, "law", at) == max(covering, default=None)
        connection.execute("DELETE FROM ops.live_armings")


def test_keys_for_a_live_desk_need_every_switch_that_is_set_by_hand(floor: LiveFloor) -> None:
    """X7: no way around the switches leads to a desk for real money."""
    ring = key_ring(floor.database, floor.settings)
    assert live_keys(floor.settings, "live", ring) == KEYS
    with pytest.raises(LiveTradingError, match="for 'paper'"):
        live_keys(floor.settings, "paper", ring)
    for name in ("paper trading off", "live trading enabled", "production", "account named", "venue named"):
        turn_off(floor, name)
        with pytest.raises(LiveTradingError, match=name):
            live_keys(floor.settings, "live", ring)
    floor.settings = live_settings(floor.settings.home, floor.config)
    staging = key_ring(floor.database, live_settings(floor.settings.home, floor.config, deployment=Deployment.STAGING))
    with pytest.raises(CredentialError, match="keys of production"):
        live_keys(floor.settings, "live", staging)


def test_an_expired_arming_or_an_old_check_still_gives_the_keys_to_reduce_risk(floor: LiveFloor) -> None:
    """X7: an account whose arming has expired must still be able to close what it holds."""
    turn_off(floor, "checked trade key")
    turn_off(floor, "validation passed")
    assert live_keys(floor.settings, "live", key_ring(floor.database, floor.settings)) == KEYS


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("live"))
    server = EmbeddedPostgres(made.path / "postgres")
    server.ensure()
    yield made
    server.stop()


@pytest.mark.slow
def test_the_commands_say_what_is_off_and_take_no_name_from_a_script(home: Home) -> None:
    """X7: the exit code tells a script that live is off, and no script can confirm in a person's place."""
    done = home.run("live", "check", TRIPLEGAIN_PROFILE="live", **LIVE_ENVIRONMENT)
    assert done.returncode == 1, done.stderr
    assert "off  checked trade key" in done.stdout
    assert "on   paper trading off" in done.stdout
    refused = home.run("live", "arm", "--why", "test", TRIPLEGAIN_PROFILE="live", **LIVE_ENVIRONMENT)
    assert refused.returncode == 1
    assert "cannot be armed" in refused.stderr
    ended = home.run("live", "disarm", "--why", "test")
    assert (ended.returncode, ended.stdout.strip()) == (0, "nothing was armed")
