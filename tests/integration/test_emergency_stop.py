"""The emergency stop: by file, by row, with the database down; what it does at once, and how it is released."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders import ACCOUNT, COSTS, TradingFloor, decision, trading_floor

from triplegain_pipelines.domain.decisions import Action
from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.domain.orders import Claim
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.execution.emergency import (
    StopOrder,
    carry_out,
    emergency_file,
    raise_stop,
    release_stop,
    write_file,
)
from triplegain_pipelines.execution.exits import Closing
from triplegain_pipelines.execution.order_path import OrderPath
from triplegain_pipelines.operations.stopping import stop_trading
from triplegain_pipelines.settings import PROJECT, Environment, Settings, load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.events import verify_chain

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def floor(database: Database, home: Path) -> TradingFloor:
    made = trading_floor(database)
    return replace(made, desk=replace(made.desk, emergency_file=emergency_file(home)))


def asked(floor: TradingFloor, account: str | None = None, *, flatten: bool = False) -> StopOrder:
    """A stop by a person."""
    return StopOrder(account, flatten, "ann", "it smells of smoke", floor.clock.now())


def own(home: Path) -> Settings:
    """Settings of a home."""
    return load_settings(Environment(home=home, profile="demo"))


def execute(floor: TradingFloor, action: Action = Action.BUY) -> tuple[object, ...]:
    """How a decision of now ends."""
    floor.pass_time(MINUTE)
    made = decision(as_of=floor.clock.now(), action=action)
    floor.queue(made)
    with OrderPath(floor.desk) as path:
        path.execute(made.decision_id)
    return floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)[0]


@pytest.mark.parametrize("by", ["touch", "command", "row", "row of the account"])
@pytest.mark.parametrize("action", [Action.BUY, Action.CLOSE])
def test_the_next_send_of_a_running_order_path_is_refused(
    floor: TradingFloor, home: Path, by: str, action: Action
) -> None:
    """R6, issue: the stop is set between the risk check and the sending, and the order goes out all the same."""
    if action is Action.CLOSE:
        assert execute(floor) == ("DONE", "VENUE_FILLED")
    floor.pass_time(MINUTE)
    made = decision(as_of=floor.clock.now(), action=action)
    floor.queue(made)
    sent = len(floor.broker.submissions)
    with OrderPath(floor.desk) as path:
        claim = path.claim(made.decision_id)
        assert isinstance(claim, Claim)
        assert path.check_risk(made.decision_id, claim.token).goes_on
        if by == "touch":
            home.mkdir()
            emergency_file(home).touch()
        elif by == "command":
            write_file(home, asked(floor))
        else:
            raise_stop(floor.database, asked(floor, ACCOUNT if by == "row of the account" else None))
        assert not path.submit(made.decision_id, claim.token).goes_on
        legs = {intent.leg.value for intent in floor.broker.submissions[sent:]}
        assert legs == set()
        path.settle(made.decision_id, claim.token)
    ended = floor.rows("SELECT status, reason_code FROM outbox WHERE decision_id = %s", made.decision_id)
    assert ended == [("REFUSED", "EMERGENCY_STOP")]
    # What a position needs is sent all the same: its stop was taken back for the exit.
    legs = {intent.leg.value for intent in floor.broker.submissions[sent:]}
    assert legs == (set() if action is Action.BUY else {"STOP", "TAKE_PROFIT"})


def test_a_stop_refuses_new_decisions_until_it_is_released(floor: TradingFloor, home: Path) -> None:
    """R6: a stop that ends by itself, or that nobody can end."""
    raise_stop(floor.database, asked(floor))
    write_file(home, asked(floor))
    assert execute(floor)[1] == "EMERGENCY_STOP"
    released = release_stop(floor.database, home, asked(floor))
    assert [(stop.account, stop.raised_by) for stop in released] == [(None, "ann")]
    assert not emergency_file(home).exists()
    assert execute(floor) == ("DONE", "VENUE_FILLED")
    with pytest.raises(InputError, match="no emergency stop of any account is in force"):
        release_stop(floor.database, home, asked(floor))
    told = floor.rows(
        "SELECT kind, payload::json ->> 'why' FROM trading_events WHERE kind LIKE 'emergency%%' ORDER BY sequence"
    )
    assert told == [("emergency_stopped", "it smells of smoke"), ("emergency_released", "it smells of smoke")]
    with floor.database.connection() as connection:
        assert verify_chain(connection, "paper_trading", ACCOUNT).broken_at is None


def test_one_account_is_released_without_the_others(floor: TradingFloor, home: Path) -> None:
    """R6: releasing one account that lets all of them go."""
    raise_stop(floor.database, asked(floor))
    raise_stop(floor.database, asked(floor, ACCOUNT))
    write_file(home, asked(floor))
    assert len(release_stop(floor.database, home, asked(floor, ACCOUNT))) == 1
    assert emergency_file(home).exists()
    assert execute(floor)[1] == "EMERGENCY_STOP"
    with pytest.raises(InputError, match="there is no account nobody"):
        raise_stop(floor.database, asked(floor, "nobody"))
    with pytest.raises(InputError, match="say why"):
        StopOrder(None, flatten=False, operator="ann", why=" ", at=floor.clock.now())


def test_a_stop_waits_for_nobody(floor: TradingFloor) -> None:
    """R6: somebody hangs in the middle of a transaction on the account, and the person at the keyboard hangs too."""
    with floor.database.connection() as hanging:
        hanging.execute("SELECT * FROM paper_trading.take_books(%s, true)", [ACCOUNT])
        raise_stop(floor.database, asked(floor))
        assert floor.rows("SELECT count(*) FROM emergency_stops WHERE released_at IS NULL") == [(1,)]


@pytest.mark.parametrize("flatten", [False, True])
def test_what_a_stop_does_at_once(database: Database, home: Path, *, flatten: bool) -> None:
    """R6: an entry that goes on filling after the stop; positions that stay although they were to be closed."""
    floor = trading_floor(database, costs=replace(COSTS, fill_rate=0.0))
    floor.desk = replace(floor.desk, emergency_file=emergency_file(home))
    assert execute(floor) == ("DONE", "VENUE_FILLED")
    heard: list[str] = []
    done = stop_trading(own(home), asked(floor, flatten=flatten), opened(database), desk_of(floor), heard.append)
    entry = "SELECT o.state FROM orders o JOIN intents USING (client_order_id) WHERE leg = 'ENTRY'"
    assert floor.rows(entry) == [("CANCELED",)]
    held = floor.rows("SELECT quantity FROM positions")
    resting = floor.rows("SELECT order_type FROM paper_venue.orders WHERE state = 'OPEN' ORDER BY 1")
    if flatten:
        # A paper exit of this fill rate leaves a part to the next candle, which the guardian follows.
        assert not done or held == []
        assert any("BTC/USDT" in line for line in heard)
    else:
        assert done
        assert len(held) == 1
        assert resting == [("STOP",), ("TAKE_PROFIT",)]


def test_flattening_closes_positions_although_all_is_halted(floor: TradingFloor) -> None:
    """R6: HALTED sends nothing for a decision, and the stop itself must be able to close all the same."""
    assert execute(floor) == ("DONE", "VENUE_FILLED")
    raise_stop(floor.database, asked(floor, flatten=True))
    assert carry_out(floor.desk, closing=True, wait=0) == {"BTC/USDT": Closing.CLOSED}
    assert floor.rows("SELECT count(*) FROM positions") == [(0,)]
    assert floor.rows("SELECT count(*) FROM paper_venue.orders WHERE state = 'OPEN'") == [(0,)]
    assert floor.rows("SELECT count(*) FROM trades") == [(1,)]


def test_with_the_database_down_the_file_stops_this_home(
    floor: TradingFloor, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: a stop that needs what has just failed."""
    monkeypatch.setattr("triplegain_pipelines.store.database._WAIT_SECONDS", 0.2)
    heard: list[str] = []
    down = Database(NOWHERE)
    assert not stop_trading(own(home), asked(floor), opened(down), desk_of(floor), heard.append)
    assert "which stops every process of this home" in heard[0]
    assert heard[1].startswith("NOT in the database")
    assert execute(floor)[1] == "EMERGENCY_STOP"
    with pytest.raises(UnavailableError):
        release_stop(down, home, asked(floor))
    assert emergency_file(home).exists(), "what cannot be released everywhere stays"
    assert not stop_trading(own(home), asked(floor, ACCOUNT), opened(down), desk_of(floor), heard.append)
    assert heard[-1].startswith("test is NOT stopped")


def test_a_home_that_cannot_be_written_is_stopped_by_the_row(floor: TradingFloor, tmp_path: Path) -> None:
    """R6: a full disk that keeps the person from stopping what still trades."""
    (tmp_path / "home").write_text("a file where the folder should be")
    heard: list[str] = []
    assert not stop_trading(own(tmp_path / "home"), asked(floor), opened(floor.database), desk_of(floor), heard.append)
    assert heard[0].startswith("NOT as a file")
    assert floor.rows("SELECT count(*) FROM emergency_stops") == [(1,)]


def test_the_command_stops_a_home_whose_database_does_not_answer(home: Path) -> None:
    """R6: the command itself, as a person types it when everything else is dead."""
    command = [sys.executable, "-c", "from triplegain_pipelines.cli import main; main()", "stop", "--emergency"]
    environment = {"TRIPLEGAIN_HOME": str(home), "TRIPLEGAIN_DATABASE_URL": NOWHERE, "TRIPLEGAIN_PROFILE": "demo"}
    ended = subprocess.run(
        [*command, "--why", "all is dead"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "which stops every process of this home" in " ".join(ended.stdout.split())
    assert "Traceback" not in ended.stderr
    assert '"why": "all is dead"' in emergency_file(home).read_text()


def opened(database: Database):
    """How the command opens its database."""

    @contextmanager
    def open_it() -> Iterator[Database]:
        database.check()
        yield database

    return open_it


def desk_of(floor: TradingFloor):
    """The desk of the floor, whoever asks."""

    def find(database: Database, settings: Settings, account: str) -> Desk:
        assert account == ACCOUNT
        return floor.desk

    return find
