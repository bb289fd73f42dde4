"""Gaps with their reasons: found, explained, repaired, whatever the pieces in which that happens."""

from datetime import datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from candle_frames import START, candle_frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.quality import GapKind
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.store.candles import opening_times, upsert_candles
from triplegain_pipelines.store.gaps import record_gaps, settle_gaps

pytestmark = pytest.mark.integration

SERIES = ("kraken", "BTC/USDT", Timeframe.M1)
ASKED = START + timedelta(days=1)


def _minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def _store(connection: psycopg.Connection, minutes: list[int], start: int, end: int) -> None:
    """Store candles and record the gaps of a window, as a day's asset does."""
    if minutes:
        upsert_candles(connection, *SERIES, candle_frame(sorted(minutes)), "test")
    times = opening_times(connection, *SERIES, _minute(start), _minute(end - 1))
    window = (_minute(start), _minute(end))
    record_gaps(connection, *SERIES, *window, find_gaps(times, Timeframe.M1, *window))


def _settle(connection: psycopg.Connection, start: int, end: int, kind: GapKind) -> int:
    return settle_gaps(connection, *SERIES, _minute(start), _minute(end), kind, ASKED)


def _rows(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """First and last minute, number, kind, and whether the venue was asked."""
    rows = connection.execute(
        "SELECT starts_at, ends_at, missing, kind, checked_at FROM market.candle_gaps ORDER BY starts_at"
    ).fetchall()
    minute = timedelta(minutes=1)
    return [((row[0] - START) // minute, (row[1] - START) // minute, *row[2:4], row[4] is not None) for row in rows]


def test_a_gap_gets_its_reason(connection: psycopg.Connection) -> None:
    """M4: a venue that was asked and had nothing must not be asked for ever."""
    _store(connection, [0, 3, 5], 0, 6)
    assert _settle(connection, 0, 6, GapKind.NO_TRADES) == 3
    assert _rows(connection) == [(1, 2, 2, "no_trades", True), (4, 4, 1, "no_trades", True)]
    assert _settle(connection, 0, 6, GapKind.OUTAGE) == 0


def test_a_gap_is_joined_with_the_one_that_ends_where_it_begins(connection: psycopg.Connection) -> None:
    """M4: asked about piece by piece, a quiet hour of a thin market must stay one row and not become sixty."""
    _store(connection, [0, 9], 0, 10)
    for minute in range(1, 9):
        _settle(connection, minute, minute + 1, GapKind.NO_TRADES)
    assert _rows(connection) == [(1, 8, 8, "no_trades", True)]


def test_a_gap_that_reaches_out_of_the_window_is_split(connection: psycopg.Connection) -> None:
    """M4: what was not asked for is not known to be empty."""
    _store(connection, [0, 9], 0, 10)
    assert _settle(connection, 3, 6, GapKind.OUTAGE) == 3
    assert _rows(connection) == [
        (1, 2, 2, "missing", False),
        (3, 5, 3, "outage", True),
        (6, 8, 3, "missing", False),
    ]
    detected = connection.execute("SELECT count(DISTINCT detected_at) FROM market.candle_gaps").fetchone()
    assert detected == (1,)


def test_minutes_that_are_stored_are_not_explained_away(connection: psycopg.Connection) -> None:
    """M4: the candle came between the finding of the gap and the venue's answer."""
    _store(connection, [0, 5], 0, 6)
    upsert_candles(connection, *SERIES, candle_frame([2, 3]), "stream")
    assert _settle(connection, 0, 6, GapKind.NO_TRADES) == 2
    assert _rows(connection) == [
        (1, 1, 1, "no_trades", True),
        (2, 3, 2, "repaired", False),
        (4, 4, 1, "no_trades", True),
    ]


def test_an_unexplained_gap_beside_an_explained_one_stays_unexplained(connection: psycopg.Connection) -> None:
    """M4: three minutes without trades, then a broken stream: the second must be asked for."""
    _store(connection, [0], 0, 4)
    _settle(connection, 0, 4, GapKind.NO_TRADES)
    _store(connection, [8], 0, 9)
    assert _rows(connection) == [(1, 3, 3, "no_trades", True), (4, 7, 4, "missing", False)]


def test_a_candle_that_comes_after_all_ends_the_explanation_for_its_minute(connection: psycopg.Connection) -> None:
    """M4: venues do publish late; the minutes around it keep their reason."""
    _store(connection, [0, 5], 0, 6)
    _settle(connection, 0, 6, GapKind.OUTAGE)
    _store(connection, [3], 0, 6)
    assert _rows(connection) == [(1, 2, 2, "outage", True), (3, 3, 1, "repaired", True), (4, 4, 1, "outage", True)]


def test_having_asked_in_vain_is_noted(connection: psycopg.Connection) -> None:
    """M4: the repair job must be able to come to the next gap; a gap that was asked for in part is not done."""
    _store(connection, [0, 3, 9], 0, 10)
    assert _settle(connection, 0, 6, GapKind.MISSING) == 2
    assert _rows(connection) == [(1, 2, 2, "missing", True), (4, 8, 5, "missing", False)]
    _store(connection, [], 0, 10)
    assert _rows(connection)[0] == (1, 2, 2, "missing", True)


def test_looking_again_writes_nothing(connection: psycopg.Connection) -> None:
    """M4: a rerun that changes nothing must write nothing."""
    _store(connection, [0, 3, 5], 0, 8)
    _settle(connection, 0, 4, GapKind.NO_TRADES)
    before = connection.execute("SELECT xmin, ctid FROM market.candle_gaps ORDER BY starts_at").fetchall()
    _store(connection, [], 0, 8)
    _settle(connection, 0, 4, GapKind.NO_TRADES)
    assert connection.execute("SELECT xmin, ctid FROM market.candle_gaps ORDER BY starts_at").fetchall() == before


def test_a_gap_cannot_be_declared_repaired(connection: psycopg.Connection) -> None:
    """M4: only stored candles repair a gap."""
    with pytest.raises(ValueError, match="repaired when its candles are stored"):
        _settle(connection, 0, 1, GapKind.REPAIRED)


def test_other_series_are_left_alone(connection: psycopg.Connection) -> None:
    """M4: one venue's answer says nothing about another's."""
    _store(connection, [0, 5], 0, 6)
    window = (_minute(0), _minute(6))
    assert settle_gaps(connection, "binance", "BTC/USDT", Timeframe.M1, *window, GapKind.OUTAGE, ASKED) == 0
    assert settle_gaps(connection, "kraken", "ETH/USDT", Timeframe.M1, *window, GapKind.OUTAGE, ASKED) == 0
    assert _rows(connection) == [(1, 4, 4, "missing", False)]


_LAST = 24
windows = st.tuples(st.integers(0, _LAST), st.integers(0, _LAST)).filter(lambda pair: pair[0] != pair[1]).map(sorted)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), windows, st.sets(st.integers(0, _LAST - 1), max_size=6)),
        st.tuples(st.sampled_from(["no_trades", "outage"]), windows, st.just(set())),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_the_rows_say_of_each_minute_what_happened_to_it(connection: psycopg.Connection, steps: list) -> None:
    """M4: in any order of finding, explaining and filling, a minute has one kind, the true one, in maximal rows."""
    connection.execute("TRUNCATE market.candles, market.candle_gaps")
    stored: set[int] = set()
    kinds: dict[int, str] = {}
    for action, (start, end), minutes in steps:
        within = {minute for minute in minutes if start <= minute < end}
        if action == "store":
            _store(connection, sorted(within), start, end)
            stored |= within
            for minute in range(start, end):
                if minute in stored and minute in kinds:
                    kinds[minute] = "repaired"
                elif minute not in stored:
                    kinds.setdefault(minute, "missing")
        else:
            _settle(connection, start, end, GapKind(action))
            for minute in range(start, end):
                if kinds.get(minute) == "missing":
                    kinds[minute] = action
    rows = _rows(connection)
    told = {minute: row[3] for row in rows for minute in range(row[0], row[1] + 1)}
    assert told == kinds
    assert sum(row[2] for row in rows) == len(told)
    for one, other in pairwise(rows):
        assert one[1] + 1 < other[0] or one[3] != other[3], "two rows that touch and are of one kind"
