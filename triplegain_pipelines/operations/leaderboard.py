"""Makes the leaderboard of a session's account: reads the evidence, walks the shadow books, writes the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import polars as pl
import psycopg

from triplegain_pipelines.agents.answer import FIRST_HORIZON_HOURS, SECOND_HORIZON_HOURS
from triplegain_pipelines.backtest.walk import WalkPlan, walk_history
from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.decisions import Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.timeframes import floor_to
from triplegain_pipelines.evaluation.benchmarks import benchmarks
from triplegain_pipelines.evaluation.files import write_atomically
from triplegain_pipelines.evaluation.leaderboard import ForecasterKind, Holding, Leaderboard
from triplegain_pipelines.evaluation.leaderboard_board import BoardInputs, build_leaderboard
from triplegain_pipelines.evaluation.leaderboard_document import board_document
from triplegain_pipelines.evaluation.leaderboard_evidence import label_evidence
from triplegain_pipelines.evaluation.leaderboard_page import render_board
from triplegain_pipelines.evaluation.report_page import place_plotly
from triplegain_pipelines.evaluation.shadow_books import BookRows, shadow_books, shadow_decisions
from triplegain_pipelines.execution.desk import PAPER
from triplegain_pipelines.operations.session import Session
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.store import accounts, evidence, performance, replays
from triplegain_pipelines.store.database import Database
from triplegain_pipelines.store.decisions import read_decisions, save_decisions
from triplegain_pipelines.store.leaderboards import (
    SeriesKey,
    decided_accounts,
    open_shadow_book,
    read_bill,
    read_calls,
    read_series,
    read_votes,
    register_variants,
    save_leaderboard,
)
from triplegain_pipelines.store.outcomes import read_outcomes
from triplegain_pipelines.store.replays import Replay
from triplegain_pipelines.store.series import decision_candles

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SEATS = (ForecasterKind.SEAT.value, ForecasterKind.BASELINE_SEAT.value)
_SERIES = ("kind", "forecaster", "model", "template_hash", "parameters_hash")


@dataclass(frozen=True, slots=True)
class WrittenLeaderboard:
    """A board and where its page and its JSON are."""

    path_html: Path
    path_json: Path
    board: Leaderboard


def session_of(database: Database, settings: Settings, account: str | None) -> tuple[Session, datetime, datetime]:
    """The session of an account and the period of its decisions; of the one decided last if None.

    Raises:
        InputError: the seats decided nothing for it.
    """
    with database.connection() as connection:
        found = decided_accounts(connection, account)
        known = found or decided_accounts(connection, None)
    if not found:
        names = ", ".join(one.account for one in known) or "none; run 'triplegain demo' or 'triplegain replay'"
        msg = f"the seats decided nothing for {account or 'any account'}; accounts with decisions are: {names}"
        raise InputError(msg)
    one = found[0]
    session = Session(one.account, one.venue, tuple(one.symbols), one.replay, settings, SystemClock())
    return session, floor_to(one.first_at, _HOUR), one.last_at + settings.profile.decisions.interval


def write_leaderboard(database: Database, session: Session, start: datetime, end: datetime) -> WrittenLeaderboard:
    """Make the leaderboard of the account's decisions in `[start, end)`, and keep it.

    Raises:
        InputError: the seats decided nothing in that time.
    """
    board = make_leaderboard(database, session, start, end)
    now = session.clock.now()
    folder = session.settings.home / "reports" / session.account
    name = f"leaderboard-{session.account}-{board.start:%Y%m%dT%H%M}-{board.end:%Y%m%dT%H%M}"
    written = WrittenLeaderboard(folder / f"{name}.html", folder / f"{name}.json", board)
    document = board_document(board)
    page = render_board(board, now)
    place_plotly(folder)
    write_atomically(written.path_html, page)
    write_atomically(written.path_json, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    with database.connection() as connection:
        save_leaderboard(
            connection,
            account=board.account,
            start=board.start,
            end=board.end,
            trials=board.trials,
            leaders=board.leaders,
            document=document,
            path=written.path_html.name,
            created_at=now,
        )
    return written


def make_leaderboard(database: Database, session: Session, start: datetime, end: datetime) -> Leaderboard:
    """The leaderboard of the account's decisions in `[start, end)`, with its shadow books walked as far as that.

    Raises:
        InputError: the seats decided nothing in that time.
    """
    now = session.clock.now()
    end = min(end, now)
    with database.connection() as connection:
        trials = sum(register_variants(connection).values())
        series = read_series(connection, session.account, start, end)
        calls = read_calls(connection, session.account, start, end)
        outcomes = read_outcomes(connection, session.venue, session.symbols, now)
    if series.is_empty():
        msg = (
            f"the seats decided nothing for {session.account} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; "
            "choose another time or account ('triplegain status' shows which there are)"
        )
        raise InputError(msg)
    books = walk_shadow_books(database, session, current_seats(series), start, end)
    with database.connection() as connection:
        holdings = _holdings(connection, session, start, end)
        if accounts.is_open(connection, session.schema, session.account):
            books[_newest(series, (ForecasterKind.CONSENSUS.value,))[0].variant_id] = _rows(
                connection, session, None, session.schema, session.account, start, end
            )
    models = session.settings.models
    return build_leaderboard(
        BoardInputs(
            account=session.account,
            start=start,
            end=end,
            interval=session.settings.profile.decisions.interval,
            horizon_hours=FIRST_HORIZON_HOURS,
            longer_hours=SECOND_HORIZON_HOURS,
            currency=session.currency,
            simulated=session.simulated,
            symbols=session.symbols,
            series=label_evidence(series, _cutoffs(session), timedelta(hours=FIRST_HORIZON_HOURS)),
            outcomes=outcomes,
            calls=calls,
            trials=trials,
            clip=models.pool.clip,
            books=shadow_books(books, start, end, trials),
            holdings=holdings,
        )
    )


def current_seats(series: pl.DataFrame) -> list[SeriesKey]:
    """The series that was asked last in each seat."""
    return _newest(series, _SEATS)


def _newest(series: pl.DataFrame, kinds: Sequence[str]) -> list[SeriesKey]:
    chosen = series.filter(pl.col("kind").is_in(kinds)).sort("as_of", maintain_order=True)
    newest = chosen.group_by("forecaster", maintain_order=True).last().sort("forecaster")
    return [SeriesKey(*row) for row in newest.select(_SERIES).iter_rows()]


def walk_shadow_books(
    database: Database, session: Session, seats: Sequence[SeriesKey], start: datetime, end: datetime
) -> dict[UUID, BookRows]:
    """Walk each seat's shadow book to the last full hour before `end`, from where it was left, and read its figures.

    A book begins with the account's first decision and goes on from one board to the next, as an account would.
    """
    until = floor_to(min(end, session.clock.now() - _HOUR), _HOUR)
    with database.connection() as connection:
        begin = floor_to(decided_accounts(connection, session.account)[0].first_at, _HOUR)
        if until <= begin:
            return {}
        candles = {
            symbol: decision_candles(connection, session.venue, symbol, begin, until) for symbol in session.symbols
        }
    found: dict[UUID, BookRows] = {}
    decided: dict[datetime, list[Decision]] = {}
    for seat in seats:
        with database.connection() as connection:
            account, begins = open_shadow_book(connection, session.account, seat, begin)
            replay = Replay(account, session.symbols, session.venue, begins, until, session.settings.config_hash)
            replays.insert(connection, replay)
            # The newest decision before a resumed walk tells it how things stood.
            since = max(begins, (replays.read(connection, account).walked_until or begins) - _DAY)
            if since not in decided:
                decided[since] = read_decisions(connection, session.account, since, until)
            votes = read_votes(connection, session.account, seat, since, until)
            alone = shadow_decisions(account, decided[since], votes)
            save_decisions(connection, alone)
        _walk(database, session, replay, candles, alone)
        with database.connection() as connection:
            found[seat.variant_id] = _rows(connection, session, seat, PAPER, account, start, end)
    return found


def _walk(
    database: Database,
    session: Session,
    replay: Replay,
    candles: Mapping[str, pl.DataFrame],
    decisions: Sequence[Decision],
) -> None:
    settings = session.settings
    walk_history(
        database,
        WalkPlan(
            replay=replay,
            currency=session.currency,
            simulated=session.simulated,
            candles=candles,
            decisions=decisions,
            paper=settings.profile.paper,
            limits=settings.risk,
            instruments={symbol: Instrument(symbol) for symbol in session.symbols},
            validity=settings.profile.decisions.validity,
        ),
    )


def _rows(
    connection: psycopg.Connection,
    session: Session,
    seat: SeriesKey | None,
    schema: str,
    account: str,
    start: datetime,
    end: datetime,
) -> BookRows:
    """The rows of an account, with the bill of the seat, or of all seats."""
    opened = performance.read_account(connection, schema, account)
    return BookRows(
        account=account,
        starting_equity=performance.starting_equity(connection, schema, opened, start),
        equity=performance.equity_curve(connection, schema, account, start, end),
        bill=read_bill(connection, session.account, seat, start, end),
        trades=len(performance.trade_records(connection, schema, account, start, end)),
    )


def _holdings(connection: psycopg.Connection, session: Session, start: datetime, end: datetime) -> tuple[Holding, ...]:
    prices = evidence.prices(connection, session.venue, session.symbols, start=start, end=end, step=_HOUR)
    held = benchmarks(prices, session.symbols, start, end, float(session.starting_cash))
    return tuple(Holding(one.name, one.total_return, one.max_drawdown) for one in held)


def _cutoffs(session: Session) -> dict[tuple[str, str], date | None]:
    """The last day that the model in each seat may know of."""
    return {(name, seat.model): seat.knowledge_cutoff for name, seat in session.settings.models.seats.items()}
