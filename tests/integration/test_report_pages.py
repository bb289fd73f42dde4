"""The pages of reports over real HTTP: what is written is found, and nothing else of the home is."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from triplegain_pipelines.services.report_pages import application
from triplegain_pipelines.settings import Environment, load_settings

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one report, one page of Data Docs and a secret."""
    for name, text in {
        "reports/demo/week_1.html": "<html>the week</html>",
        "data_docs/summary.html": "<html>the tables</html>",
        "postgres/password": "secret",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def pages(home: Path) -> Iterator[httpx.Client]:
    """A client of the server over `home`."""
    server = uvicorn.Server(
        uvicorn.Config(application(load_settings(Environment(home=home))), port=0, log_level="warning")
    )
    socket = server.config.bind_socket()
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{socket.getsockname()[1]}") as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_every_report_is_listed_and_opens(pages: httpx.Client) -> None:
    """D4: a report that nobody finds, or a link on the Dagster page that leads nowhere."""
    index = pages.get("/").text
    for address, text in {"reports/demo/week_1.html": "the week", "data_docs/summary.html": "the tables"}.items():
        assert f'href="{address}"' in index
        assert text in pages.get(f"/{address}").text


@pytest.mark.parametrize(
    "address", ["/postgres/password", "/reports/../postgres/password", "/reports/%2e%2e/postgres/password"]
)
def test_nothing_else_of_the_home_is_served(pages: httpx.Client, address: str) -> None:
    """X8: the database's password lies beside the reports."""
    assert pages.build_request("GET", address).url.raw_path
    assert pages.get(address).status_code == 404


def test_another_name_for_this_machine_is_refused(pages: httpx.Client) -> None:
    """A page of another site could read reports through a host name of its own that leads to loopback."""
    assert pages.get("/", headers={"host": "evil.example"}).status_code == 400
