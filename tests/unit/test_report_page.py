"""The page of the validation report: what stands on it, what is escaped, and that it needs nothing from outside."""

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from report_inputs import BTC, END, START, make_calls, make_inputs, make_score, make_trade

from triplegain_pipelines.evaluation.narratives import narrate
from triplegain_pipelines.evaluation.performance import execution_metrics, portfolio_metrics, trade_metrics
from triplegain_pipelines.evaluation.report import report_document
from triplegain_pipelines.evaluation.report_charts import drawdown_chart
from triplegain_pipelines.evaluation.report_page import PLOTLY_FILE, place_plotly, render_page
from triplegain_pipelines.evaluation.validation import build_validation
from triplegain_pipelines.evaluation.validation_inputs import ValidationInputs
from triplegain_pipelines.evaluation.wording import lasted, meaning, plain
from triplegain_pipelines.store.evidence import DecisionCounts

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 22, 12, tzinfo=UTC)


class Page(HTMLParser):
    """What a browser would see: visible text, the elements' names, and whether all of them are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.names: list[str] = []
        self.open: list[str] = []
        self.scripts: dict[str, str] = {}
        self.sources: list[str] = []
        self._script: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the element."""
        given = dict(attrs)
        self.names.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        if tag == "script":
            self._script = given.get("data-for")
            self.sources += [given["src"]] if given.get("src") else []

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost element is closed first."""
        assert self.open.pop() == tag
        self._script = None if tag == "script" else self._script

    def handle_data(self, data: str) -> None:
        """Keep what can be read, and the data of the charts."""
        if self.open and self.open[-1] == "script":
            if self._script:
                self.scripts[self._script] = data
        elif not self.open or self.open[-1] != "style":
            self.text += data


def rendered(inputs: ValidationInputs) -> Page:
    return Page(render_page(build_validation(inputs), NOW))


def test_every_section_is_there_and_every_element_is_closed() -> None:
    """B3: a person must find verdict, criteria, equity, trades, refusals, seats, breakers, gaps and provenance."""
    page = rendered(make_inputs())
    assert page.open == []
    for words in (
        "PASSED",
        "Criteria",
        "Equity against doing nothing clever",
        "buy and hold BTC/USDT",
        "Trades",
        "Decisions and refusals",
        "The six seats, the consensus and the baselines",
        "Circuit breakers and the drawdown ladder",
        "Gaps in the market data",
        "Where this comes from",
        "c0ffee",
        "5eed",
        "consensus-1",
        "22 Jan 2026 12:00 UTC",
    ):
        assert words in page.text, words


def test_what_is_not_real_stands_at_the_top() -> None:
    """DESIGN rule 8: simulated market, baseline seats and paper fills are said before the first number."""
    page = rendered(make_inputs(simulated=True, baseline=True, replay=True))
    top = page.text[: page.text.index("Criteria")]
    for label in ("Simulated market", "Baseline seats", "Paper fills", "Replay"):
        assert label in top, label
    assert "can never count for live trading" in page.text
    assert "plain rules and no language models" in page.text


def test_text_from_rows_is_escaped() -> None:
    """A model's explanation is untrusted: as markup it could rewrite the verdict it is printed under."""
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    inputs = make_inputs(
        trades=[make_trade(1, 2.0, evil)],
        prices=make_inputs().prices.with_columns(symbol=pl.lit(f"X{evil}/USDT")),
        benchmarks=[replace(item, name=evil) for item in make_inputs().benchmarks],
        symbols=(BTC, f"X{evil}/USDT"),
        calls=[make_calls(seat=evil, model=evil, reasons={evil: 1})],
        forecasters=[make_score(evil, evil, 0.2)],
        code_versions={evil: [evil]},
    )
    page = rendered(inputs)
    assert page.open == []
    assert "img" not in page.names
    assert page.names.count("script") == rendered(make_inputs()).names.count("script")
    assert evil in page.text


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    """A9: without a network the charts must be drawn; a page that calls a CDN also tells others what is read."""
    html = render_page(build_validation(make_inputs()), NOW)
    assert Page(html).sources == [PLOTLY_FILE]
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//|@import|url\(", html)
    place_plotly(tmp_path)
    assert (tmp_path / PLOTLY_FILE).stat().st_size > 1_000_000
    before = (tmp_path / PLOTLY_FILE).stat().st_mtime_ns
    place_plotly(tmp_path)
    assert (tmp_path / PLOTLY_FILE).stat().st_mtime_ns == before


def test_every_chart_has_its_place_and_its_data() -> None:
    """A chart whose data is missing is an empty box that nobody notices."""
    html = render_page(build_validation(make_inputs()), NOW)
    charts = {name: json.loads(text) for name, text in Page(html).scripts.items()}
    assert set(charts) == set(re.findall(r'data-chart="([^"]+)"', html)) == {"equity", "drawdown", f"price {BTC}"}
    assert [trace["name"] for trace in charts["equity"]["data"]] == [
        "cash",
        "equal-weight hold",
        "buy and hold BTC/USDT",
        "this account",
    ]
    assert {trace["name"] for trace in charts[f"price {BTC}"]["data"]} == {"price", "won", "lost"}


def test_refusals_are_told_by_what_refused() -> None:
    """R1: a proposal that was made smaller and then refused was not refused for being made smaller."""
    page = rendered(make_inputs())
    assert "Why decisions made no order, one reason each" in page.text
    assert "DRAWDOWN_PAUSED" in page.text
    assert "TOTAL_EXPOSURE_REDUCED" not in page.text
    assert report_document(build_validation(make_inputs()))["refusals"] == [{"code": "DRAWDOWN_PAUSED", "count": 8}]


def test_too_few_forecasts_are_said_and_nobody_is_ranked() -> None:
    """A7: an order of noise printed as a ranking is what a leaderboard is feared for; who leads is said elsewhere."""
    few = rendered(make_inputs()).text
    assert "takes about 1,208 independent forecasts; here are 119" in few
    assert "Nobody is ranked here" in few
    assert "Not enough data" in few
    scores = [replace(make_score(name, "seat", 0.24, note=None), effective=1300.0) for name in ("gpt", "grok")]
    enough = rendered(make_inputs(forecasters=scores)).text
    assert "Nobody is ranked here" in enough
    assert "Not enough data" not in enough


def test_an_idle_account_has_a_page() -> None:
    """The first report of a new account is looked at first."""
    empty = make_inputs(
        profits=[],
        equities=[],
        calls=[],
        forecasters=[],
        reasons=[],
        breaker_changes=[],
        gaps=[],
        positions=[],
        by_symbol=[],
        decisions=DecisionCounts(0, 0, 0, 0, 0),
        execution=execution_metrics([], 2100),
        trading=trade_metrics([]),
    )
    page = rendered(empty)
    assert "No trade was closed in this period." in page.text
    assert "No breaker changed its state" in page.text
    assert "No forecast of this period has a known outcome yet." in page.text


def test_many_trades_are_folded_and_none_is_lost() -> None:
    """A8: each trade has its story, and the page still has an end."""
    page = rendered(make_inputs())
    assert "The 48 trades before these" in page.text
    assert page.text.count("6 of 6 seats answered") == 60


def test_a_trade_is_told_in_plain_words() -> None:
    """A8, X9: why it was opened, what risk did, how it ended, and the R multiple."""
    story = narrate(make_trade(1, -2.0), "USDT")
    assert story.opening == (
        "Bought 0.01 BTC at 60,000 in a trending bull market: 6 of 6 seats answered and put the chance of a rise "
        "at 57%."
    )
    assert story.risk == "The quantity was lowered so that the stop costs no more than the risk per trade."
    assert story.ending == (
        "The stop loss ended it after 3 h at 59,800: -2.00 USDT after fees of 0.50, "
        "which is -0.50 times what was at risk."
    )


def test_numbers_and_durations_are_spelt_for_people() -> None:
    """A price of 0.000123456789 or a duration of 183900 s is not readable."""
    assert [plain(Decimal(text)) for text in ("64210.500", "0.000123456789", "1200", "0", "-3.10", "1E+2")] == [
        "64,210.5",
        "0.000123457",
        "1,200",
        "0",
        "-3.1",
        "100",
    ]
    assert lasted(timedelta(days=2, hours=3, minutes=5)) == "2 d 3 h"
    assert meaning("GONE_SINCE") == "GONE_SINCE"


def test_the_deepest_fall_survives_the_thinning_of_the_chart() -> None:
    """A chart of hourly points that hides a one-minute crash would contradict the table beside it."""
    minutes = 20 * 1440
    values = [2100.0] * minutes
    values[12345] = 1050.0
    equity = pl.DataFrame(
        {
            "at": [START + timedelta(minutes=index + 1) for index in range(minutes)],
            "equity": values,
            "positions_value": 0.0,
            "external_flow": 0.0,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    portfolio = portfolio_metrics(equity, START, END, 2100)
    depths = json.loads(drawdown_chart(make_inputs(equity=equity, portfolio=portfolio)))["data"][0]["y"]
    points = np.frombuffer(base64.b64decode(depths["bdata"]), dtype=depths["dtype"])
    assert len(points) <= 1502
    assert points.min() == pytest.approx(-50)
