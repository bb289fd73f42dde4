"""The great-expectations suites over real tables, and their Data Docs."""

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from report_rows import ACCOUNT, START, VENUE, Period, copy_rows, plant

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.evaluation.data_quality import QualityReport, write_quality_report
from triplegain_pipelines.store.database import Database

pytestmark = [pytest.mark.integration, pytest.mark.slow]

END = START + timedelta(days=1)


@pytest.fixture
def planted(database: Database) -> Database:
    with database.connection() as connection:
        plant(connection, Period(days=1, symbols=("BTC/USDT",)))
        copy_rows(
            connection,
            "market",
            "rollups",
            [
                {
                    "venue": VENUE,
                    "symbol": "BTC/USDT",
                    "timeframe": "1h",
                    "opened_at": START,
                    "open": 10.0,
                    "high": 12.0,
                    "low": 9.0,
                    "close": 11.0,
                    "volume": 5.0,
                    "minutes": 60,
                }
            ],
        )
    return database


def check(database: Database, folder: Path) -> QualityReport:
    return write_quality_report(
        database, folder, venue=VENUE, symbols=["BTC/USDT"], account=ACCOUNT, start=START, end=END
    )


def test_good_rows_pass_and_planted_bad_ones_are_named(planted: Database, tmp_path: Path) -> None:
    """M4: a candle off its grid, a roll-up of too many minutes and new risk without a quorum each fail their suite."""
    docs = tmp_path / "docs"
    good = check(planted, docs)
    assert good.success, good.suites
    assert [suite.name.split(",")[0] for suite in good.suites] == [
        "market.candles",
        "market.rollups",
        "research.consensus_decisions",
    ]
    assert all("simulated market" in suite.name for suite in good.suites)
    assert good.docs_path.is_file()
    assert "GOOD" in good.summary_path.read_text()
    links = re.findall(r'href="(validations/[^"]+)"', good.summary_path.read_text())
    assert len(links) == 3
    assert all((docs / unquote(link)).is_file() for link in links)
    with planted.connection() as connection:
        connection.execute("UPDATE market.candles SET opened_at = opened_at + '7 s' WHERE opened_at = %s", (START,))
        connection.execute("UPDATE market.rollups SET minutes = 61")
        connection.execute(
            "UPDATE research.consensus_decisions SET quorum_met = false, action = 'BUY' WHERE as_of < %s",
            (START + timedelta(minutes=5),),
        )
    bad = check(planted, docs)
    assert not bad.success
    assert [suite.failed for suite in bad.suites] == [
        ("every candle opens on the grid of its timeframe: 1 rows",),
        ("no roll-up is made of more minutes than its timeframe has: 1 rows",),
        ("no new risk without a quorum: 1 rows",),
    ]
    assert "no new risk without a quorum: 1 rows" in bad.summary_path.read_text()
    pages = list(docs.rglob("*.html"))
    assert sum("validations" in page.parts for page in pages) == 3
    assert not list(tmp_path.glob(".*"))
    secret = planted.url.split(":")[2].split("@")[0]
    assert len(secret) > 5
    assert not [page for page in pages if secret in page.read_text()]


def test_an_empty_period_is_no_success(planted: Database, tmp_path: Path) -> None:
    """M4: no candles at all is the worst gap, and a suite over nothing would pass."""
    report = write_quality_report(
        planted, tmp_path / "docs", venue=VENUE, symbols=["ETH/USDT"], account=ACCOUNT, start=START, end=END
    )
    assert not report.success


def test_an_outage_leaves_the_old_pages_alone(tmp_path: Path) -> None:
    """Rule 9: the docs of yesterday are better than none."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.html").write_text("yesterday")
    with pytest.raises(UnavailableError):
        check(Database("postgresql://nobody:x@127.0.0.1:1/none"), docs)
    assert (docs / "index.html").read_text() == "yesterday"
