"""The great-expectations suites over real tables, and their Data Docs."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from doubt_frames import RULES
from report_rows import ACCOUNT, START, VENUE, Period, copy_rows, plant

from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.evaluation.data_quality import QualityReport, write_quality_report
from triplegain_pipelines.operations.reporting import check_quality
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Environment, load_settings
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


def _minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def _gap(first: int, last: int, missing: int, kind: str = "missing") -> dict[str, Any]:
    place = {"venue": VENUE, "symbol": "BTC/USDT", "timeframe": "1m"}
    return {**place, "starts_at": _minute(first), "ends_at": _minute(last), "missing": missing, "kind": kind}


def _finding(code: str, minute: int, *, held: bool, settlement: str | None = None) -> dict[str, Any]:
    long_ago = START - timedelta(days=2)
    return {
        "finding_id": deterministic_id("test", code, minute),
        "venue": VENUE,
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "at": _minute(minute),
        "code": code,
        "held": held,
        "detail": "{}",
        "source": "test",
        "detected_at": long_ago,
        "settled_at": long_ago if settlement else None,
        "settlement": settlement,
    }


def _book(bid: float, ask: float) -> dict[str, Any]:
    place = {"venue": VENUE, "symbol": "BTC/USDT", "at": START, "source": "test"}
    return {**place, "bid": bid, "bid_quantity": 1.0, "ask": ask, "ask_quantity": 1.0}


def _headline(title: str, published: int) -> dict[str, Any]:
    seen = {"source": "simulated wire", "first_seen_at": START, "published_at": _minute(published)}
    return {"headline_id": title, "title": title, **seen}


def check(database: Database, folder: Path) -> QualityReport:
    return write_quality_report(
        database, folder, venue=VENUE, symbols=["BTC/USDT"], account=ACCOUNT, start=START, end=END, rules=RULES
    )


def test_good_rows_pass_and_planted_bad_ones_are_named(planted: Database, tmp_path: Path) -> None:
    """M4: a candle off its grid, a roll-up of too many minutes and new risk without a quorum each fail their suite."""
    docs = tmp_path / "docs"
    good = check(planted, docs)
    assert good.success, good.suites
    assert [suite.name.split(",")[0] for suite in good.suites] == [
        "market.candles",
        "market.rollups",
        "market.candle_gaps",
        "market.data_findings",
        "market.top_of_book",
        "market.headlines",
        "research.consensus_decisions",
    ]
    assert all("simulated market" in suite.name for suite in good.suites)
    assert good.docs_path.is_file()
    assert "GOOD" in good.summary_path.read_text()
    links = re.findall(r'href="(validations/[^"]+)"', good.summary_path.read_text())
    assert len(links) == 7
    assert all((docs / unquote(link)).is_file() for link in links)
    with planted.connection() as connection:
        connection.execute("UPDATE market.candles SET opened_at = opened_at + '7 s' WHERE opened_at = %s", (START,))
        connection.execute("UPDATE market.rollups SET minutes = 61")
        connection.execute(
            "UPDATE research.consensus_decisions SET quorum_met = false, action = 'BUY' WHERE as_of < %s",
            (START + timedelta(minutes=5),),
        )
        copy_rows(connection, "market", "candle_gaps", [_gap(10, 20, 11), _gap(15, 25, 11), _gap(40, 41, 7)])
        copy_rows(
            connection,
            "market",
            "data_findings",
            [_finding("STRANGE", 1, held=False), _finding("OUTLIER", 2, held=False), _finding("OUTLIER", 3, held=True)],
        )
        copy_rows(connection, "market", "top_of_book", [_book(100.0, 111.0)])
        copy_rows(connection, "market", "headlines", [_headline(" ", 0), _headline("Up", 90)])
    bad = check(planted, docs)
    assert not bad.success
    assert [suite.failed for suite in bad.suites] == [
        ("every candle opens on the grid of its timeframe: 1 rows",),
        ("no roll-up is made of more minutes than its timeframe has: 1 rows",),
        (
            "each gap counts the candles from its start to its end: 1 rows",
            "no missing minute is in two gaps: 1 rows",
        ),
        (
            "expect column values to be in set (code): 1 rows",
            "a finding holds its candle exactly where its code says so: 1 rows",
            "no candle is held for more than a day: 1 rows",
        ),
        ("no ask is more than a tenth above its bid: 1 rows",),
        (
            "every headline has a title: 1 rows",
            "no headline was published more than an hour after it was seen: 1 rows",
        ),
        ("no new risk without a quorum: 1 rows",),
    ]
    assert "no new risk without a quorum: 1 rows" in bad.summary_path.read_text()
    pages = list(docs.rglob("*.html"))
    assert sum("validations" in page.parts for page in pages) == 7
    assert not list(tmp_path.glob(".*"))
    secret = planted.url.split(":")[2].split("@")[0]
    assert len(secret) > 5
    assert not [page for page in pages if secret in page.read_text()]


def test_the_figures_stand_on_the_page(planted: Database, tmp_path: Path) -> None:
    """M4: what was found, how it ended, what is missing and what was changed must be there for a person to read."""
    with planted.connection() as connection:
        gaps = [_gap(-5, 4, 10, "outage"), _gap(30, 32, 3, "repaired")]
        copy_rows(connection, "market", "candle_gaps", gaps)
        findings = [
            _finding("CROSSED", 1, held=False),
            _finding("OUTLIER", 2, held=True, settlement="confirmed"),
            _finding("OUTLIER", 3, held=True, settlement="corrected"),
            {**_finding("OUTLIER", 4, held=True), "detected_at": END},
        ]
        copy_rows(connection, "market", "data_findings", findings)
        skew = {"offset_seconds": -3.0, "largest_seconds": 3.5, "refuses": 1}
        clock = {**_finding("CLOCK_SKEW", 9, held=False), "symbol": "*", "detail": json.dumps(skew)}
        copy_rows(connection, "market", "data_findings", [clock])
        changed = "UPDATE market.candles SET close = close * 2, high = high * 2 WHERE opened_at = %s"
        connection.execute(changed, (_minute(700),))
        revision = """INSERT INTO market.candle_revisions (venue, symbol, timeframe, opened_at, open, high, low, close,
                volume, source, recorded_at, superseded_by)
            SELECT venue, symbol, timeframe, opened_at, open, high, low, close, volume, source, recorded_at, 'rest'
            FROM market.candles WHERE opened_at = %s"""
        connection.execute(revision.encode(), (_minute(50),))
    configured = load_settings(Environment(profile="demo")).model_copy(update={"home": tmp_path})
    session = Session(ACCOUNT, VENUE, ("BTC/USDT",), replay=False, settings=configured, clock=ReplayClock(END))
    report = check_quality(planted, session, START, END)
    figures = report.figures
    assert [(one.code, one.found, one.confirmed, one.corrected, one.holding) for one in figures.findings] == [
        ("CLOCK_SKEW", 1, 0, 0, 0),
        ("CROSSED", 1, 0, 0, 0),
        ("OUTLIER", 3, 1, 1, 1),
    ]
    assert [(gap.kind, gap.gaps, gap.minutes) for gap in figures.gaps] == [("outage", 1, 5), ("repaired", 1, 3)]
    assert [(one.candles, one.revisions) for one in figures.revisions] == [(1, 1)]
    assert [(flag.code, flag.candles) for flag in figures.flags] == [("OUTLIER", 1)]
    (spell,) = figures.clock
    assert (spell.offset_seconds, spell.refused, spell.ended_at) == (-3.0, True, None)
    assert (figures.statistics["BTC/USDT"].candles, figures.statistics["BTC/USDT"].usable) == (1440, 1439)
    page = report.summary_path.read_text()
    for words in (
        "Simulated market",
        "CROSSED",
        "Never held",
        "outage",
        "-3.00 s",
        "refused",
        "none came within an hour",
    ):
        assert words in page


def test_an_empty_period_is_no_success(planted: Database, tmp_path: Path) -> None:
    """M4: no candles at all is the worst gap, and a suite over nothing would pass."""
    report = write_quality_report(
        planted,
        tmp_path / "docs",
        venue=VENUE,
        symbols=["ETH/USDT"],
        account=ACCOUNT,
        start=START,
        end=END,
        rules=RULES,
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
