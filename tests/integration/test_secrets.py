"""Secrets never reach anything that is written: planted ones are looked for in all of it."""

import base64
import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from echoing_venue import echoing_venue
from homes import PROGRAM, Home
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from planted import files, forms, found, rows

from triplegain_pipelines import cli
from triplegain_pipelines.domain import secrets
from triplegain_pipelines.domain.secrets import BLANK, Keys, passwords_in, redacted, remember, without_secrets
from triplegain_pipelines.store.embedded import EmbeddedPostgres

pytestmark = pytest.mark.integration

KRAKEN = Keys("kQplantedKrakenApiKey0123456789+/abcdefgh", "cGxhbnRlZCBrcmFrZW4gc2VjcmV0IG51bWJlciBvbmU+Pz8/IQ==")
SECOND = Keys("kQsecondKrakenApiKey0123456789+/abcdefghi", "c2Vjb25kIHBsYW50ZWQga3Jha2VuIHNlY3JldD8/Pz4+Pj4hIQ==")
BINANCE = Keys("plantedBinanceApiKey0123456789abcdefghijkl", "plantedBinanceSecret0123456789abcdefghijklm")
OTHER_PASSWORD = "pl4nted$db~password"  # noqa: S105 - planted
LIVE = {
    "PAPER_TRADING": "false",
    "LIVE_TRADING_ENABLED": "true",
    "ENVIRONMENT": "production",
    "LIVE_TRADING_ACCOUNT": "live",
    "LIVE_TRADING_VENUE": "kraken",
    "TRIPLEGAIN_PROFILE": "live",
}
KEYS_GIVEN = ("kraken", "binance", "coinbase")
LEAKY = Path(__file__).parents[1] / "support" / "leaky_process.py"


def _pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@dataclass(frozen=True)
class Written:
    """A home in which everything went wrong, and what has been planted in it."""

    home: Home
    server: EmbeddedPostgres
    secrets: dict[str, str]
    exits: dict[str, int]

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Every file and every row; the master key and the server's password have files of their own."""
        yield from files(self.home.path, but=["master.key", "password"])
        if self.server.home != self.home.path / "postgres":
            yield from files(self.server.home, but=["password"])
        for name in ("triplegain", "dagster", "mlflow"):
            yield from rows(self.server.url(name))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    home = Home(tmp_path_factory.mktemp("secrets") / "home")
    server = EmbeddedPostgres(home.path / "postgres")
    server.ensure()
    keys = {"kraken": KRAKEN, "binance": BINANCE, "coinbase": Keys("organizations/planted/apiKeys/0123", _pem())}
    exits = _run_everything(home, keys)
    known = {f"{venue} {part}": getattr(pair, part) for venue, pair in keys.items() for part in Keys.__slots__}
    known |= {"second key": SECOND.api_key, "second secret": SECOND.secret, "other password": OTHER_PASSWORD}
    known["master key"] = (home.path / "keys" / "master.key").read_text().strip()
    known["database password"] = (server.home / "password").read_text().strip()
    yield Written(home, server, known, exits)
    server.stop()


def _run_everything(home: Home, keys: dict[str, Keys]) -> dict[str, int]:
    printed = home.path / "printed"
    printed.mkdir(parents=True)
    refused = {"TRIPLEGAIN_DATABASE_URL": f"postgresql://someone:{OTHER_PASSWORD}@127.0.0.1:1/triplegain"}
    broken = {"TRIPLEGAIN_DATABASE_URL": f"postgresql://someone:x@{OTHER_PASSWORD}@127.0.0.1:1/triplegain"}
    planted = json.dumps({venue: (pair.api_key, pair.secret) for venue, pair in keys.items()})
    exits: dict[str, int] = {}

    def run(name: str, *command: str, given: str = "", **environment: str) -> None:
        # No proxy and no name server: the venues cannot be reached, whatever the machine can.
        nowhere = {"https_proxy": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
        variables = home.environment(**(LIVE | nowhere | environment))
        done = subprocess.run(
            command, env=variables, input=given, capture_output=True, text=True, timeout=120, check=False
        )
        (printed / f"{name}.out").write_text(done.stdout)
        (printed / f"{name}.err").write_text(done.stderr)
        exits[name] = done.returncode

    def credentials(name: str, *arguments: str, given: str = "", **environment: str) -> None:
        run(name, str(PROGRAM), "credentials", *arguments, given=given, **environment)

    first, second = (f"{pair.api_key}\n{pair.secret}\n" for pair in (KRAKEN, SECOND))
    credentials("add", "add", "kraken", "trade", given=first)
    credentials("add-again", "add", "kraken", "trade", given=second)
    credentials("rotate", "rotate", "kraken", "trade", given=second)
    credentials("list", "list", "--json")
    credentials("check", "check")
    credentials("master", "rotate", "--master")
    credentials("remove", "remove", "kraken", "trade")
    with echoing_venue() as address, ThreadPoolExecutor(4) as processes:
        waiting = [
            processes.submit(run, end, sys.executable, str(LEAKY), address, str(printed), end, given=planted)
            for end in ("dagster", "command", "crash", "error")
        ]
        broken_pair = f"{SECOND.api_key} {SECOND.secret}"
        waiting += [
            processes.submit(credentials, "add-broken", "add", "kraken", "watch", given=broken_pair),
            processes.submit(credentials, "refused", "list", **refused),
            processes.submit(credentials, "malformed", "list", **broken),
        ]
        for one in waiting:
            one.result()
    return exits


@pytest.mark.slow
def test_everything_that_can_go_wrong_went_wrong(written: Written) -> None:
    """X8: a search of what was never written proves nothing: each process has to have come as far as it should."""
    wanted = dict.fromkeys(("add", "list", "master", "remove", "dagster"), 0)
    wanted |= dict.fromkeys(("add-again", "add-broken", "rotate", "check", "refused", "malformed"), 1)
    wanted |= {"crash": -6, "command": 1, "error": 1}
    printed = written.home.path / "printed"
    assert written.exits == wanted, "\n".join(path.read_text() for path in sorted(printed.glob("*.err")))
    texts = {path.name: path.read_text() for path in printed.iterdir() if path.is_file()}
    assert "unchecked" in texts["list.out"]
    assert BLANK in texts["command.err"]
    assert "KeyError" in texts["command.err"]
    assert "slipped into an error" in texts["error.err"]
    assert "Fatal Python error: Aborted" in texts["fault-crash.log"]
    assert "thread slipping failed" in texts["error.err"]
    assert "a call failed" in texts["python-command.log"]
    assert "API-Key" in texts["python-command.log"]  # ccxt's own log of the headers it sends
    assert "handle_errors" in texts["command.out"]  # a traceback through ccxt
    assert texts["errors.txt"].count("Invalid signature") >= len(KEYS_GIVEN) * 3
    dagster = [name for name, data in files(printed / "dagster") if b"RESOURCE_INIT_FAILURE" in data]
    assert dagster


@pytest.mark.slow
def test_no_planted_secret_is_in_anything_that_was_written(written: Written) -> None:
    """X8: logs, database, run storage, reports, errors and crash dumps are read by many, and copied to many places."""
    assert found(written.everything(), written.secrets) == []


@pytest.mark.slow
def test_the_search_finds_what_is_there(written: Written, tmp_path: Path) -> None:
    """X8: a search that finds nothing anywhere would let everything pass."""
    for name, secret in written.secrets.items():
        for form, value in forms(secret).items():
            (tmp_path / "leak").write_bytes(b"before " + value + b" after")
            assert any(line.startswith(f"{name} ({form})") for line in found(files(tmp_path), {name: secret}))
    fingerprint = json.loads((written.home.path / "printed" / "list.out").read_text())["credentials"][0]["fingerprint"]
    places = {line.split(" in ")[1] for line in found(written.everything(), {"fingerprint": fingerprint})}
    assert "ops.credentials" in places


@contextmanager
def forgetting() -> Iterator[None]:
    """What other tests remembered is none in here, and what is remembered in here is none to other tests."""
    before, secrets._forms = secrets._forms, frozenset()
    try:
        yield
    finally:
        secrets._forms = before


@examples(deadline=None)
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60),
    around=st.text(max_size=10),
)
def test_no_form_of_a_remembered_secret_stays_in_a_text(secret: str, around: str) -> None:
    """X8: libraries and proxies write headers and addresses encoded; each form gives the secret away."""
    with forgetting():
        remember(secret)
        for form, value in forms(secret).items():
            if not form.startswith("base64 behind"):
                assert value.decode() not in redacted(around + value.decode() + around), form
        for before in range(4):
            encoded = base64.b64encode(b":" * before + secret.encode() + b"!").decode()
            assert BLANK in redacted(around + encoded), before


def test_keys_of_several_lines_are_blanked_line_by_line() -> None:
    """X8: a traceback indents lines, and then no text holds the key as a whole."""
    pem = _pem()
    indented = "\n".join(f"    {line}" for line in pem.splitlines())
    with forgetting():
        remember(pem)
        for line in pem.splitlines()[1:-1]:
            assert line not in redacted(indented)


def test_short_words_and_users_are_no_secrets() -> None:
    """X8: a log in which every 'postgres' is blanked is one that nobody can read."""
    remember("short", *passwords_in("postgresql://postgres:postgres@localhost/x"))
    assert redacted("a short word of postgres") == "a short word of postgres"
    assert passwords_in("postgresql://u:p%40ss-word@h/x?password=asked-for") == [
        "asked-for",
        "p%40ss-word",
        "p@ss-word",
    ]


def test_an_exception_leaves_without_secrets_and_with_its_class() -> None:
    """X8: Dagster keeps the whole chain of causes of an error; each link can hold an answer of a venue."""
    keys = Keys("planted-key-of-a-chain", "planted-secret-of-a-chain")

    def fail() -> None:
        try:
            {}[keys.api_key, f"of {keys.secret}"]
        except KeyError as error:
            error.add_note(f"noted {keys.secret}")
            msg = f"in between {keys.secret}"
            raise ValueError(msg) from error

    def fail_again() -> None:
        try:
            fail()
        except ValueError:
            msg = f"at the end {keys.api_key}"
            raise RuntimeError(msg)  # noqa: B904 - the context counts too

    with pytest.raises(RuntimeError) as caught, without_secrets():
        fail_again()
    text = "".join(traceback.format_exception(caught.value))
    assert "planted" not in text
    assert text.count(BLANK) >= 4
    assert "KeyError" in text


def test_keys_cannot_be_pickled() -> None:
    """X8: a pickle is a copy of the keys on its way to another process or to the disk."""
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Keys("planted-key-1", "planted-secret-1"))


def test_the_commands_print_plain_tracebacks() -> None:
    """X8: typer's pretty exceptions print local variables, which is where keys are while they are used."""
    apps = [cli.app, *(group.typer_instance for group in cli.app.registered_groups)]
    assert len(apps) >= 3
    assert all(app is not None and app.pretty_exceptions_enable is False for app in apps)


def test_every_process_of_ours_protects_its_logs() -> None:
    """X8: the protection holds only where it was switched on: in the commands, and in the code location's processes."""
    program = "import logging, triplegain_pipelines.definitions; print(type(logging.getLogRecordFactory()).__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "_RedactedRecords"
