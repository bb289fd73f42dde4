"""The leaderboard from rows in a real database to page, JSON and row, with shadow books walked on real candles."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from builders import forget_trading
from report_rows import ACCOUNT, HOUR, SEATS, START, VENUE, Period, plant

from assets.leaderboard import leaderboard
from assets.partitions import Window
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.clock import ReplayClock
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.evaluation.leaderboard import Evidence, ForecasterKind, Leaderboard
from triplegain_pipelines.operations.leaderboard import make_leaderboard, session_of, write_leaderboard
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.leaderboards import latest_leaderboard, register_variants
from triplegain_pipelines.store.overview import read_overviews
from triplegain_pipelines.store.results import result_hash

pytestmark = pytest.mark.integration

PAPER = "paper_trading"
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@pytest.fixture
def planted(database: Database) -> Period:
    """A day of decisions; `gpt` says what it would do in bitcoin, and costs, and the others hold."""
    period = Period(days=1)
    with database.connection() as connection:
        plant(connection, period)
        calm = canonical_json(
            {
                "volatilities": dict.fromkeys(SYMBOLS, 0.2),
                "percentiles": dict.fromkeys(SYMBOLS, 0.5),
                "correlations": [[*SYMBOLS, 0.5]],
            }
        )
        connection.execute(
            """INSERT INTO research.market_states (venue, as_of, document, code_version)
               SELECT DISTINCT venue, as_of, %s::jsonb, 'test' FROM research.consensus_decisions""",
            [calm],
        )
        connection.execute(
            """UPDATE research.seat_forecasts f SET cost_usd = 0.05,
                   action = CASE WHEN s.symbol <> 'BTC/USDT' THEN 'HOLD' WHEN p_up_4h > 0.5 THEN 'BUY' ELSE 'CLOSE' END
               FROM research.snapshots s WHERE s.snapshot_id = f.snapshot_id AND seat = 'gpt' AND status = 'answered'"""
        )
        connection.execute(
            "UPDATE research.consensus_decisions SET atr = reference_price / 100, regime = 'trending_bull'"
        )
    return period


def session(tmp_path: Path, now: datetime, symbols: tuple[str, ...] = SYMBOLS) -> Session:
    own = load_settings(Environment(profile="demo", home=tmp_path), CONFIG)
    return Session(ACCOUNT, VENUE, symbols, replay=True, settings=own, clock=ReplayClock(now))


def made(database: Database, tmp_path: Path, end: datetime) -> Leaderboard:
    return make_leaderboard(database, session(tmp_path, end + 5 * HOUR), START, end)


def test_page_file_and_row_hold_what_the_rows_say(database: Database, planted: Period, tmp_path: Path) -> None:
    """B3, A6: a figure on the page that no row bears out, or a baseline that passes for a model, would mislead.

    What comes from a row may be anything, and must not become part of the page.
    """
    with database.connection() as connection:
        connection.execute(
            "UPDATE research.seat_forecasts SET model = 'x/<script>alert(1)</script>' WHERE seat = 'qwen'"
        )
    written = write_leaderboard(database, session(tmp_path, planted.end + HOUR), START, planted.end)
    board, rows = written.board, planted.rows["research", "seat_forecasts"]
    gpt = next(row for row in board.rows if row.seat == "gpt")
    mine = [row for row in rows if row["seat"] == "gpt"]
    outcomes = {(row["symbol"], row["as_of"]): row["went_up"] for row in planted.rows["research", "forecast_outcomes"]}
    places = {row["snapshot_id"]: (row["symbol"], row["as_of"]) for row in planted.rows["research", "snapshots"]}
    settled = [
        (row["p_up_4h"], outcomes[places[row["snapshot_id"]]])
        for row in mine
        if row["p_up_4h"] is not None and places[row["snapshot_id"]] in outcomes
    ]
    assert gpt.quality is not None
    assert gpt.quality.settled == len(settled) > 35
    assert gpt.quality.brier == pytest.approx(sum((p - up) ** 2 for p, up in settled) / len(settled))
    assert (gpt.calls.asked, gpt.calls.cost_usd) == (
        48,
        Decimal("0.05") * gpt.calls.answered + Decimal("0.0004") * (48 - gpt.calls.answered),
    )
    assert gpt.variant.kind is ForecasterKind.BASELINE_SEAT
    assert set(gpt.evidence) == {Evidence.NO_MEMORY}
    assert board.leaders == ()
    assert board.events == len(outcomes)
    consensus = next(row for row in board.rows if row.variant.kind is ForecasterKind.CONSENSUS)
    assert consensus.shadow_book is not None
    assert consensus.shadow_book.bill_usd == sum((row.calls.cost_usd for row in board.rows if row.seat), Decimal(0))
    page = written.path_html.read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "NOT ENOUGH DATA" in page
    assert f"{gpt.quality.brier:.4f}" in page
    assert "gpt (baseline: momentum)" in page
    assert ">gpt<" not in page
    assert "Baselines in the seats" in page
    assert "Simulated market" in page
    document = json.loads(written.path_json.read_text())
    with database.connection() as connection:
        assert latest_leaderboard(connection, ACCOUNT) == (written.path_html.name, document)
    assert [row["name"] for row in document["rows"]] == [row.name for row in board.rows]
    assert (written.path_html.parent / "plotly.min.js").exists()


def test_a_shadow_book_trades_on_one_seat_and_pays_its_bill(
    database: Database, planted: Period, tmp_path: Path
) -> None:
    """A6: a book without fees, risk or bill would make every seat look better than it could ever be."""
    board = made(database, tmp_path, planted.end)
    books = {row.seat: row.shadow_book for row in board.rows if row.seat}
    assert set(books) == set(SEATS)
    gpt, idle = books["gpt"], books["qwen"]
    assert gpt is not None
    assert idle is not None
    assert gpt.trades > 0
    assert idle.trades == 0
    bills = {row.seat: row.calls.cost_usd for row in board.rows if row.seat}
    assert (gpt.bill_usd, idle.bill_usd) == (bills["gpt"], bills["qwen"])
    assert gpt.curve[-1][1] == pytest.approx(float(gpt.final_equity))
    assert idle.max_drawdown == pytest.approx(-idle.net_return)
    assert idle.gross_return == 0
    # A seat that only holds still pays for its calls.
    assert idle.net_return == pytest.approx(-float(idle.bill_usd) / float(idle.starting_equity))
    assert gpt.net_return == pytest.approx(gpt.gross_return - float(gpt.bill_usd) / float(gpt.starting_equity))
    with database.connection() as connection:
        connection.execute("SET LOCAL search_path TO paper_trading")
        query = "SELECT sum(fee), count(*) FROM fills WHERE account = %s"
        fees, fills = connection.execute(query, [gpt.account]).fetchone() or (0, 0)
        verdicts = connection.execute("SELECT count(*) FROM verdicts WHERE account = %s", [gpt.account]).fetchone()
        equity = connection.execute(
            "SELECT equity FROM equity WHERE account = %s ORDER BY at DESC LIMIT 1", [gpt.account]
        ).fetchone()
    assert fees > 0
    assert fills >= gpt.trades
    assert verdicts is not None
    assert verdicts[0] > 0
    assert equity is not None
    assert gpt.final_equity == pytest.approx(equity[0] - gpt.bill_usd)


@pytest.mark.no_cover
def test_a_book_walked_in_pieces_is_the_one_walked_at_once(database: Database, planted: Period, tmp_path: Path) -> None:
    """I6: every night adds a day; books that depend on when somebody looked would be no evidence."""
    for hours in (9, 24):
        board = made(database, tmp_path, START + hours * HOUR)
    pieces = next(row.shadow_book for row in board.rows if row.seat == "gpt")
    assert pieces is not None
    with database.connection() as connection:
        digest = result_hash(connection, PAPER, pieces.account, planted.end)
    forget_trading(database)
    at_once = next(row.shadow_book for row in made(database, tmp_path, planted.end).rows if row.seat == "gpt")
    assert at_once == pieces
    assert pieces.trades > 0
    with database.connection() as connection:
        assert result_hash(connection, PAPER, pieces.account, planted.end) == digest


def test_shadow_accounts_are_no_accounts_of_a_person(database: Database, planted: Period, tmp_path: Path) -> None:
    """O5: six more accounts in the status would hide the one that matters, and could be taken for it."""
    made(database, tmp_path, planted.end)
    with database.connection() as connection:
        assert [one.account for one in read_overviews(connection, PAPER)] == [ACCOUNT]
        shadows = connection.execute("SELECT count(*) FROM paper_trading.accounts").fetchone()
    assert shadows == (7,)
    found, start, end = session_of(database, session(tmp_path, planted.end).settings, None)
    assert (found.account, found.symbols, start, end) == (ACCOUNT, SYMBOLS, START, planted.end + timedelta(seconds=10))


def test_every_series_ever_tried_is_counted_and_none_is_forgotten(database: Database, planted: Period) -> None:
    """A6: a wording that was tried and dropped has had its chance to be lucky too."""
    with database.connection() as connection:
        assert register_variants(connection) == {"baseline seat": 6, "consensus": 1}
        connection.execute(
            "UPDATE research.seat_forecasts SET parameters = '{\"max_tokens\": 9}' WHERE forecast_id = %s",
            [planted.rows["research", "seat_forecasts"][0]["forecast_id"]],
        )
        assert register_variants(connection) == {"baseline seat": 7, "consensus": 1}
    for statement in ("DELETE FROM", "UPDATE", "TRUNCATE"):
        query = f"{statement} research.forecast_variants" + (" SET model = 'x'" if statement == "UPDATE" else "")
        query += " CASCADE" if statement == "TRUNCATE" else ""
        with database.connection() as connection, pytest.raises(psycopg.errors.RaiseException, match="keeps its rows"):
            connection.execute(query.encode())


def test_the_shadow_pools_stand_on_the_board(database: Database, planted: Period, tmp_path: Path) -> None:
    """Notes 6.3: pools that are logged and never scored could not show that another one is better."""
    with database.connection() as connection:
        connection.execute(
            """INSERT INTO research.shadow_inputs (decision_id, code_version, voters, p_up, features_version,
                   features, unanimous,
                   agreement, disagreement, settled, effective_voters, error_correlation, words)
               SELECT decision_id, 'shadows-1', '{}', '{}', 'f', '{}', false, 0.5, 0.1, 0, NULL, '{}', ''
               FROM research.consensus_decisions"""
        )
        connection.execute(
            """INSERT INTO research.shadow_pools (decision_id, method, p_up, log_odds, action)
               SELECT decision_id, method, 0.6, 0.4, 'BUY' FROM research.consensus_decisions,
                      unnest(ARRAY['HEDGE', 'MEDIAN']) AS method"""
        )
    board = made(database, tmp_path, planted.end)
    shadows = {row.name: row for row in board.rows if row.variant.kind is ForecasterKind.SHADOW}
    assert set(shadows) == {"pool: hedge", "pool: median"}
    assert shadows["pool: hedge"].quality is not None
    assert shadows["pool: hedge"].rank is None
    assert board.trials == 6 + 1 + 2


def test_no_decisions_are_an_error_and_no_empty_board(database: Database, planted: Period, tmp_path: Path) -> None:
    """I5: an empty board would look as if nobody had been any good."""
    with pytest.raises(InputError, match="the seats decided nothing for demo"):
        make_leaderboard(database, session(tmp_path, planted.end), START - 9 * HOUR, START - HOUR)
    with pytest.raises(InputError, match="accounts with decisions are: demo"):
        session_of(database, session(tmp_path, planted.end).settings, "nobody")


def test_the_asset_shows_verdict_and_board(database: Database, planted: Period, tmp_path: Path) -> None:
    """O5: what Dagster shows of the board must be what is on it, the honest sentence first."""
    window = Window(starts_at=START.isoformat(), ends_at=planted.end.isoformat())
    result = leaderboard(window, database=database, session=session(tmp_path, planted.end + HOUR))
    assert isinstance(result, dg.MaterializeResult)
    shown = result.metadata or {}
    verdict, table, page = shown["verdict"], shown["board"], shown["page"]
    assert isinstance(verdict, dg.MarkdownMetadataValue)
    assert isinstance(table, dg.TableMetadataValue)
    assert isinstance(page, dg.UrlMetadataValue)
    assert (verdict.md_str or "").startswith("Nobody is ranked: not enough data")
    assert shown["leaders"] == "nobody"
    assert {record.data["forecaster"] for record in table.records} >= {"gpt (baseline: momentum)", "always 50 %"}
    assert (page.url or "").endswith(".html")
