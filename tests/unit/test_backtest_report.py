"""The page and the JSON of a backtest: what stands on them, what is escaped, and that nothing comes from outside."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from backtest_cases import BTC, ETH, Traded, case, every, knowing, traded, wandering, without
from test_backtest_verdict import walked

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.backtest_charts import (
    drawdown_chart,
    equity_chart,
    heat_axes,
    heat_chart,
    price_chart,
)
from triplegain_pipelines.evaluation.backtest_page import render_backtest
from triplegain_pipelines.evaluation.backtest_report import report_document, write_backtest_report
from triplegain_pipelines.evaluation.backtest_verdict import BacktestCase, judge
from triplegain_pipelines.evaluation.results_linter import LintEvidence

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERIES = wandering(24 * 200, seed=2)
TRIALS = pl.DataFrame(
    {
        "fast": [5, 10, 20] * 4,
        "slow": [50, 50, 50, 100, 100, 100] * 2,
        "stop_atr": [2.0] * 6 + [3.0] * 6,
        "sharpe": [0.1, 0.2, None, 0.4, 0.5, 0.6, 0.3, 0.4, None, 0.6, 0.7, 0.8],
    }
)


class Elements(HTMLParser):
    """Whether all elements are closed, the text that can be read, and what is fetched from where."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.sources = "", []  # type: tuple[str, list[str]]
        self.places: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the element."""
        given = dict(attrs)
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.sources += [given["src"]] if given.get("src") else []  # type: ignore[list-item]
        self.places += [given["data-chart"]] if given.get("data-chart") else []  # type: ignore[list-item]

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost element is closed first."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what can be read."""
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text += data


@pytest.fixture(scope="module")
def full() -> BacktestCase:
    evidence = LintEvidence(trials=12, venue_fee=0.002, grid={"fast": (5, 10, 20)})
    return case(SERIES, every(60, 70, 20), walk_forward=walked(0.02), trials=TRIALS, evidence=evidence)


def test_everything_a_trader_needs_is_on_the_page(full: BacktestCase) -> None:
    """B1: verdict, figures, benchmarks, doubts, luck, walk-forward, heat map, trades, how to read, provenance."""
    judged = judge(full)
    page = Elements(render_backtest(judged, NOW))
    assert page.open == []
    assert page.sources == ["plotly.min.js"]
    text = " ".join(page.text.split())
    for words in (
        judged.verdict.value,
        judged.sentence,
        "What speaks against believing it",
        "COSTS_TOO_SMALL",
        "buy and hold BTC/USDT",
        "hold with the same exposure",
        "random entries, the middle of 1,000",
        "Skill or luck?",
        "Chosen here, tested there",
        "A plateau or a peak?",
        "Expectancy",
        "± ",
        "Time under water",
        "The best and the worst",
        "the band was crossed → signal",
        "How to read this",
        "fee = 0.001",
    ):
        assert words in text, words
    assert page.places == ["equity", "drawdown", "random", "walk", "heat", f"price {BTC}"]
    assert text.index(judged.sentence) < text.index("Return")  # read first


def test_every_chart_that_is_placed_is_there(full: BacktestCase) -> None:
    """A place without its chart is a blank card; plotly would only write an error nobody sees."""
    html = render_backtest(judge(full), NOW)
    charts = dict(re.findall(r'<script type="application/json" data-for="([^"]+)">(.*?)</script>', html))
    assert set(charts) == set(Elements(html).places)
    assert all(json.loads(chart)["data"] for chart in charts.values())


def test_a_result_without_trades_is_a_page() -> None:
    """B1: nothing to show is shown as nothing, and nothing fails."""
    page = Elements(render_backtest(judge(case(SERIES, [])), NOW))
    assert page.open == []
    assert "NO TRADES" in page.text
    assert "No trade was closed." in page.text
    assert "random" not in page.places


def test_words_of_a_result_cannot_become_markup() -> None:
    """A strategy's reason or name is text, wherever it came from."""
    evil = "<script>alert(1)</script>"
    made = traded(SERIES, every(20, 100, 20), strategy=evil)
    made = replace(made, trades=made.trades.with_columns(entry_reason=pl.lit(evil)))
    html = render_backtest(judge(BacktestCase(made, {BTC: SERIES})), NOW)
    assert evil not in html
    assert Elements(html).open == []


def test_a_simulated_market_says_so() -> None:
    """DESIGN rule 8: on every page."""
    assert "Simulated market" in Elements(render_backtest(judge(case(SERIES, [], simulated=True)), NOW)).text


def test_curves_are_thinned_and_no_fall_is_hidden() -> None:
    """A page of a million marks opens on no phone; a thinned drawdown that misses the deepest mark lies."""
    series = wandering(24 * 1000, seed=8)
    judged = judge(case(series, every(230, 100, 50, share=1.0)))
    drawdown = json.loads(drawdown_chart(judged))["data"]
    assert -min(decoded(drawdown[1]["y"])) == pytest.approx(100 * judged.figures.portfolio.drawdown.depth, abs=1e-3)
    prices = decoded(json.loads(price_chart(judged, BTC))["data"][0]["y"])
    assert len(prices) <= 1200
    assert max(prices) == pytest.approx(series.close.max(), rel=0.02)
    assert min(prices) == pytest.approx(series.close.min(), rel=0.02)
    assert len(decoded(json.loads(equity_chart(judged))["data"][0]["y"])) <= 1200


def decoded(values: object) -> list[float]:
    """Numbers of a figure, which plotly writes as base64 where they came as an array."""
    if isinstance(values, dict):
        import base64

        return list(np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"])).astype(float))
    assert isinstance(values, list)
    return values


def test_the_heat_map_is_the_median_over_what_is_not_shown(full: BacktestCase) -> None:
    """A maximum over the other parameters would turn every field green; untraded cells stay empty."""
    judged = judge(full)
    axes = heat_axes(judged)
    assert axes == ("fast", "slow")
    cells = json.loads(heat_chart(judged, axes))["data"][0]
    assert (cells["x"], cells["y"]) == (["5", "10", "20"], ["50", "100"])
    assert [decoded(row) for row in cells["z"]] == [[0.2, 0.3, None], [0.5, 0.6, 0.7]]
    assert heat_axes(judge(replace(full, trials=TRIALS.select("fast", "sharpe")))) is None


def test_one_case_gives_a_page_and_its_json(full: BacktestCase, tmp_path: Path) -> None:
    """B1: a person opens the page, a program the JSON beside it; both need plotly.js in their folder only."""
    page = write_backtest_report(tmp_path / "new", [full], generated_at=NOW)
    document = json.loads(page.with_suffix(".json").read_text())
    assert sorted(one.name for one in page.parent.iterdir()) == sorted(
        [page.name, page.with_suffix(".json").name, "plotly.min.js"]
    )
    assert document["figures"]["trades"]["closed"] == 60
    assert document["benchmarks"]["buy and hold BTC/USDT"]["sharpe"] is not None
    assert document["walk_forward"]["total_return"] == pytest.approx(0.02)
    assert document["verdict"] in page.read_text()


def test_the_json_is_the_same_whenever_it_is_written(full: BacktestCase) -> None:
    """Equal results give equal documents, or no hash of one means anything."""
    assert report_document(judge(full)) == report_document(judge(full))


def test_several_cases_give_a_comparison_that_links_to_each(tmp_path: Path) -> None:
    """Issue 6: six strategies on three symbols, side by side and each with its own page."""
    cases = []
    for place in range(6):
        for symbol in (BTC, ETH, "XRP/USDT"):
            series = wandering(24 * 120, seed=place, symbol=symbol)
            cases.append(BacktestCase(traded(series, every(35, 80, 10), strategy=f"rule {place}"), {symbol: series}))
    page = write_backtest_report(tmp_path, cases, generated_at=NOW, title="Six on three")
    html = page.read_text()
    links = re.findall(r'<a href="([^"]+)">', html)
    assert len(links) == 18
    assert all((tmp_path / link).is_file() for link in links)
    assert f'href="{page.name}"' in (tmp_path / links[0]).read_text()
    assert Elements(html).open == []
    assert len(json.loads(page.with_suffix(".json").read_text())["backtests"]) == 18


def test_the_same_case_twice_and_none_at_all_are_refused(tmp_path: Path) -> None:
    """Two pages of one name would overwrite each other, and count twice in the correction for many."""
    one = case(SERIES, every(20, 100, 10))
    with pytest.raises(InputError, match="two of the backtests are the same"):
        write_backtest_report(tmp_path, [one, one], generated_at=NOW)
    with pytest.raises(InputError, match="no backtest"):
        write_backtest_report(tmp_path, [], generated_at=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_portfolio_of_two_symbols_is_one_page(tmp_path: Path) -> None:
    """B1: a result over several symbols is compared with equal weight and rebalancing, and draws both prices."""
    series = {BTC: SERIES, ETH: without(wandering(24 * 200, seed=9, symbol=ETH), [5, 6])}
    both = replace(
        traded(SERIES, [Traded(10 + 50 * place, 30 + 50 * place) for place in range(40)]), symbols=(BTC, ETH)
    )
    others = traded(series[ETH], [Traded(20 + 50 * place, 40 + 50 * place) for place in range(40)]).trades
    both = replace(both, trades=pl.concat([both.trades, others]).sort("exited_at"))
    judged = judge(BacktestCase(both, series))
    assert judged.hold.name == "equal-weight hold"
    page = Elements(write_backtest_report(tmp_path, [judged.case], generated_at=NOW).read_text())
    assert {f"price {BTC}", f"price {ETH}"} <= set(page.places)
    assert "rebalanced 33/33/33" in page.text


def test_short_periods_show_the_interval_and_not_the_point() -> None:
    """Trading engines notes 6.2: with less than 60 days print the interval."""
    series = wandering(24 * 40, seed=3)
    judged = judge(case(series, knowing(series, 10, 35)))
    page = " ".join(Elements(render_backtest(judged, NOW)).text.split())
    assert judged.interval is not None
    assert f"Sharpe ratio{judged.interval.low:.1f} to {judged.interval.high:.1f}" in page
