"""What a person sees when something is wrong: one clear line, an exit code, and nothing half written."""

from pathlib import Path

import pytest
from homes import Home

from triplegain_pipelines.store.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.integration]

_HEADER = "time,open,high,low,close,volume\n"
_GOOD = "2024-08-01T00:00:00Z,10,11,9,10,1\n2024-08-01T00:01:00Z,10,11,9,10,1\n"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which two candles are stored; its server keeps running so that the tests are quick."""
    home = Home(tmp_path_factory.mktemp("errors") / "home")
    file = tmp_path_factory.mktemp("files") / "btcusdt_1m_binance_2024-08.csv"
    file.write_text(_HEADER + _GOOD)
    assert home.run("import", file).returncode == 0
    return home


def refused(home: Home, *arguments: object, **environment: str) -> str:
    """Run a command that must fail with one line on stderr and nothing on stdout; return the line."""
    done = home.run(*arguments, **environment)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_an_unknown_symbol_names_what_is_stored(used: Home) -> None:
    """A typing error in a symbol must not start a replay of nothing."""
    line = refused(used, "replay", "--symbols", "DOGE/USDT", "--from", "2024-08-01", "--to", "2024-08-02")
    assert "no 1m candles of DOGE/USDT" in line
    assert "BTC/USDT of binance" in line


def test_a_symbol_of_the_wrong_form_shows_the_right_one(used: Home) -> None:
    """BTCUSDT is how venues write it, and not how it is written here."""
    line = refused(used, "replay", "--symbols", "BTCUSDT", "--from", "2024-08-01", "--to", "2024-08-02")
    assert "BTC/USDT" in line


def test_a_future_date_is_refused(used: Home) -> None:
    """A replay over days that have not happened would report on nothing as if it were something."""
    line = refused(used, "replay", "--symbols", "BTC/USDT", "--from", "2024-08-01", "--to", "2999-01-01")
    assert "future" in line


def test_dates_in_the_wrong_order_are_refused(used: Home) -> None:
    """An empty range would end with a report of no trades."""
    line = refused(used, "replay", "--symbols", "BTC/USDT", "--from", "2024-08-02", "--to", "2024-08-02")
    assert "not before --to" in line


def test_a_range_without_candles_says_what_there_is(used: Home) -> None:
    """A replay of a stretch without data would make no decision and look calm."""
    line = refused(used, "replay", "--symbols", "BTC/USDT", "--from", "2024-09-01", "--to", "2024-09-02")
    assert "2024-08-01" in line
    assert "import" in line


def test_a_missing_file_is_refused(used: Home) -> None:
    """The name of the file that is not there must be in the message."""
    assert "nowhere.parquet" in refused(used, "import", "nowhere.parquet")


def test_a_broken_file_names_the_line_and_stores_nothing(used: Home, tmp_path: Path) -> None:
    """M2: half an import leaves a history that looks whole."""
    file = tmp_path / "ethusdt_1m_binance_2024-08.csv"
    file.write_text(_HEADER + _GOOD + "2024-08-01T00:02:00Z,10,5,9,10,1\n")
    line = refused(used, "import", file)
    assert "line 4" in line
    with used.rows() as connection:
        assert connection.execute("SELECT count(*) FROM market.candles WHERE symbol = 'ETH/USDT'").fetchone() == (0,)


def test_a_venue_that_is_not_described_says_where_to_describe_it(used: Home) -> None:
    """M1: a venue of which no limit is known must not be asked, and a person must know what to write where."""
    days = ("--from", "2024-08-01", "--to", "2024-08-02")
    line = refused(used, "backfill", "--symbols", "BTC/USDT", *days, "--venue", "bitstamp")
    assert "'bitstamp' is not in venues.yaml" in line
    assert "kraken" in line


def test_the_simulated_market_has_no_stream_and_says_so(used: Home) -> None:
    """M3: a service that follows nothing would look like one that follows a quiet market."""
    assert "the simulated market has no stream" in refused(used, "stream")


def test_a_wrong_setting_names_file_and_key(used: Home) -> None:
    """DESIGN §1: a person must find the typing error without reading code."""
    line = refused(used, "status", TRIPLEGAIN_PROFILE="nonesuch")
    assert "nonesuch.yaml" in line
    assert "demo" in line
    assert "webserver_port" in refused(used, "status", TRIPLEGAIN_WEBSERVER_PORT="eighty")


def test_an_unreachable_database_is_said_without_its_password(used: Home) -> None:
    """X8: an address that does not answer must be named, and its password never."""
    url = "postgresql://someone:planted@127.0.0.1:1/triplegain"
    line = refused(used, "status", TRIPLEGAIN_DATABASE_URL=url)
    assert "127.0.0.1:1" in line
    assert "planted" not in line


def test_no_command_leaves_a_server_behind(used: Home) -> None:
    """A command that fails must stop the server it started."""
    refused(used, "import", "nowhere.parquet")
    assert not EmbeddedPostgres(used.path / "postgres").is_running()


def test_a_report_of_an_unknown_account_names_those_there_are(used: Home) -> None:
    """A report of nothing must not be written."""
    assert "there is no account nobody" in refused(used, "report", "--hours", "24", "--account", "nobody")


def test_doctor_finds_a_good_home_good(used: Home) -> None:
    """A person asks the doctor when nothing works: it must itself not fail."""
    done = used.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "baselines sit in all six seats" in done.stdout
