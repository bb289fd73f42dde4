"""Findings in PostgreSQL: stored once, settled once, and what they keep from decisions."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import psycopg
import pytest
from candle_frames import START, candle_frame
from doubt_frames import MINUTE

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import Effect, Finding, QualityCode, Settlement
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.intake import screen
from triplegain_pipelines.store.candles import upsert_candles
from triplegain_pipelines.store.findings import (
    clock_trusted,
    known_ids,
    open_findings,
    read_findings,
    record_findings,
    settle,
    settle_all,
)
from triplegain_pipelines.store.series import read_usable_candles
from triplegain_pipelines.store.tails import read_revised, read_tails

pytestmark = pytest.mark.integration

VENUE, SYMBOL = "kraken", "BTC/USDT"
NOW = START + timedelta(days=1)
DAY = (START, NOW)


def _finding(code: QualityCode, minute: int = 1, symbol: str = SYMBOL, **published: float) -> Finding:
    return Finding(VENUE, symbol, START + minute * MINUTE, code, "rest", {"copies": 2}, published or None)


def test_the_same_finding_is_one_row_and_reads_back_as_it_was(connection: psycopg.Connection) -> None:
    """M4: a venue that sends the same broken candle with every answer must not flood the findings."""
    frame = candle_frame([0, 1]).with_columns(close=pl.Series([float("nan"), 1e-7]))
    found = screen(frame, venue=VENUE, symbol=SYMBOL, source="rest", closed_before=NOW).findings
    assert [one.code for one in found] == [QualityCode.NOT_FINITE, QualityCode.CROSSED]
    assert record_findings(connection, [*found, found[0]], NOW) == 2
    assert record_findings(connection, found, NOW + MINUTE) == 0
    assert record_findings(connection, [], NOW) == 0
    stored = read_findings(connection, VENUE, SYMBOL, *DAY)
    assert [one.finding for one in stored] == found
    assert [one.finding_id for one in stored] == [one.finding_id for one in found]
    assert {(one.held, one.detected_at, one.settlement) for one in stored} == {(False, NOW, None)}


def test_reading_is_by_venue_symbol_and_time(connection: psycopg.Connection) -> None:
    """M4: a finding about one series must not be read as one about another."""
    findings = [_finding(QualityCode.CROSSED, minute, symbol) for minute in (1, 2) for symbol in (SYMBOL, "ETH/USDT")]
    record_findings(connection, [*findings, replace(findings[0], venue="binance")], NOW)
    assert len(read_findings(connection, VENUE, None, *DAY)) == 4
    assert len(read_findings(connection, VENUE, SYMBOL, *DAY)) == 2
    assert len(read_findings(connection, VENUE, SYMBOL, START, START + 2 * MINUTE)) == 1
    assert len(open_findings(connection, VENUE, [SYMBOL], *DAY, [QualityCode.CROSSED])) == 2
    assert not open_findings(connection, VENUE, [SYMBOL], *DAY, [QualityCode.OUTLIER])


def test_a_code_from_newer_code_is_an_error(connection: psycopg.Connection) -> None:
    """Rule 4: a finding that cannot be read must not pass for no finding."""
    record_findings(connection, [_finding(QualityCode.CROSSED)], NOW)
    connection.execute("UPDATE market.data_findings SET code = 'STRANGE'")
    assert len(known_ids(connection, VENUE, SYMBOL, *DAY)) == 1
    with pytest.raises(DataError, match="unknown code 'STRANGE'"):
        read_findings(connection, VENUE, SYMBOL, *DAY)


def test_a_count_may_grow_and_a_settled_finding_stays_as_it_was(connection: psycopg.Connection) -> None:
    """M4: how a doubt ended is evidence; a second ending must not replace the first."""
    finding = _finding(QualityCode.ZERO_VOLUME)
    record_findings(connection, [finding], NOW)
    record_findings(connection, [replace(finding, detail={"minutes": 2})], NOW)
    assert settle(connection, finding.finding_id, Settlement.OVER, NOW)
    assert not settle(connection, finding.finding_id, Settlement.CONFIRMED, NOW + MINUTE)
    assert settle_all(connection, [], Settlement.OVER, NOW) == 0
    record_findings(connection, [replace(finding, detail={"minutes": 3})], NOW)
    (stored,) = read_findings(connection, VENUE, SYMBOL, *DAY)
    assert (stored.finding.detail, stored.settlement, stored.settled_at) == ({"minutes": 2}, Settlement.OVER, NOW)


@pytest.mark.parametrize("code", list(QualityCode), ids=lambda code: code.value)
def test_a_held_candle_is_hidden_from_decisions_until_it_is_settled(
    connection: psycopg.Connection, code: QualityCode
) -> None:
    """M4: a doubtful candle must reach no decision, and a candle that is only noted must not be lost to them."""
    upsert_candles(connection, VENUE, SYMBOL, Timeframe.M1, candle_frame([0, 1, 2]), "rest")
    finding = _finding(code, 1, close=100.0)
    record_findings(connection, [finding], NOW)
    held = code.effect is Effect.HELD
    usable = candle_frame([0, 2]) if held else candle_frame([0, 1, 2])
    assert read_usable_candles(connection, VENUE, SYMBOL, *DAY).equals(usable)
    settle(connection, finding.finding_id, Settlement.CONFIRMED, NOW)
    assert read_usable_candles(connection, VENUE, SYMBOL, *DAY).equals(candle_frame([0, 1, 2]))


def test_bad_values_that_come_back_are_doubted_again(connection: psycopg.Connection) -> None:
    """M4: a venue that corrects a candle and then takes the correction back must not slip the bad one through."""
    upsert_candles(connection, VENUE, SYMBOL, Timeframe.M1, candle_frame([1]), "rest")
    finding = _finding(QualityCode.OUTLIER, 1, close=100.0)
    record_findings(connection, [finding], NOW)
    settle(connection, finding.finding_id, Settlement.CORRECTED, NOW)
    record_findings(connection, [finding], NOW)
    assert read_usable_candles(connection, VENUE, SYMBOL, *DAY).is_empty()
    # What the venue stands by stays confirmed, however often it is found again.
    settle(connection, finding.finding_id, Settlement.CONFIRMED, NOW)
    record_findings(connection, [finding], NOW)
    assert read_usable_candles(connection, VENUE, SYMBOL, *DAY).height == 1


def _skew(connection: psycopg.Connection, minute: int, refuses: int | None) -> Finding:
    detail = {} if refuses is None else {"refuses": refuses, "offset_seconds": 1.5}
    finding = Finding(VENUE, "*", START + minute * MINUTE, QualityCode.CLOCK_SKEW, "clock", detail)
    record_findings(connection, [finding], NOW)
    return finding


def test_the_clock_is_not_trusted_while_it_is_far_off(connection: psycopg.Connection) -> None:
    """Rule 3: a clock a second off makes every age and every expiry wrong, so nothing new may be decided."""
    assert clock_trusted(connection, VENUE, NOW)
    _skew(connection, 1, refuses=0)
    assert clock_trusted(connection, VENUE, NOW)
    far = _skew(connection, 2, refuses=1)
    assert not clock_trusted(connection, VENUE, NOW)
    assert clock_trusted(connection, "binance", NOW)
    assert clock_trusted(connection, VENUE, START + MINUTE)
    settle(connection, far.finding_id, Settlement.OVER, NOW)
    assert clock_trusted(connection, VENUE, NOW)
    _skew(connection, 3, refuses=None)
    assert not clock_trusted(connection, VENUE, NOW)


def test_tails_are_the_newest_candles_before_each_symbols_time(connection: psycopg.Connection) -> None:
    """M4: a candle judged by one that came after it would be look-ahead."""
    for symbol in ("ETH/USDT", SYMBOL):
        upsert_candles(connection, VENUE, symbol, Timeframe.M1, candle_frame([0, 1, 2, 5, 6]), "rest")
    before = {SYMBOL: START + 5 * MINUTE, "ETH/USDT": START + 7 * MINUTE, "XRP/USDT": NOW}
    tails = read_tails(connection, VENUE, before, 2, timedelta(days=1))
    assert [(symbol, (at - START) // MINUTE) for symbol, at in tails.select("symbol", "opened_at").rows()] == [
        (SYMBOL, 1),
        (SYMBOL, 2),
        ("ETH/USDT", 5),
        ("ETH/USDT", 6),
    ]
    near = read_tails(connection, VENUE, before, 5, 2 * MINUTE)
    assert near["symbol"].to_list() == ["ETH/USDT", "ETH/USDT"]


def test_only_what_this_transaction_revised_is_read(connection: psycopg.Connection) -> None:
    """M4: a revision of last week must not be found anew with each delivery."""
    upsert_candles(connection, VENUE, SYMBOL, Timeframe.M1, candle_frame([0, 1]), "stream")
    changed = candle_frame([1]).with_columns(volume=pl.lit(7.0))
    upsert_candles(connection, VENUE, SYMBOL, Timeframe.M1, changed, "rest")
    span = ([SYMBOL], START, START + MINUTE, "rest")
    (row,) = read_revised(connection, VENUE, *span).iter_rows(named=True)
    assert (row["opened_at"], row["old_volume"], row["volume"]) == (START + MINUTE, 1.0, 7.0)
    assert row["old_source"] == "stream"
    connection.execute("UPDATE market.candle_revisions SET superseded_at = superseded_at - interval '1 hour'")
    assert read_revised(connection, VENUE, *span).is_empty()
