"""Well-formed candles that are not to be believed yet: jumps, feeds that stand still, minutes without a trade."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from candle_frames import START
from doubt_frames import MINUTE, RULES, quiet, same_as, scaled, with_values
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.quality import Finding
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.doubts import (
    TAIL_ROWS,
    doubtful,
    glance_rows,
    moved_far,
    needs_a_day,
    suspicious_symbols,
)
from triplegain_pipelines.settings.market import QualitySettings

pytestmark = pytest.mark.unit

QUIET = quiet(600)


def _doubts(frame: pl.DataFrame, since: int | None = None, rules: QualitySettings = RULES) -> list[Finding]:
    start = None if since is None else START + since * MINUTE
    return doubtful(frame, venue="kraken", symbol="BTC/USDT", source="rest", rules=rules, since=start)


def _places(findings: list[Finding]) -> list[tuple[str, int]]:
    return [(finding.code.value, (finding.at - START) // MINUTE) for finding in findings]


def test_a_quiet_market_is_not_doubted() -> None:
    """M4: each false alarm holds a candle that a decision would need."""
    assert _doubts(QUIET) == []
    assert _doubts(QUIET.clear()) == []
    assert not moved_far(QUIET, RULES)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_wrong_tick_is_doubted_and_the_return_from_it_is_not(factor: float) -> None:
    """M4: a wrong tick must be held alone; holding the good candles after it would stop trading for nothing."""
    found = _doubts(scaled(QUIET, 400, factor))
    assert _places(found) == [("OUTLIER", 400)]
    assert found[0].detail["reference"] == QUIET["close"][399]
    assert found[0].detail["reference_at"] == (START + 399 * MINUTE).isoformat()
    assert abs(float(found[0].detail["move"])) == pytest.approx(1.1 - 1 if factor > 1 else 1 / 0.9 - 1, abs=0.005)
    assert (float(found[0].detail["move"]) > 0) == (factor > 1)
    assert found[0].published is not None
    assert found[0].published["close"] == scaled(QUIET, 400, factor)["close"][400]


def test_a_wick_alone_is_doubted() -> None:
    """M4: a stop is touched by the low of a candle, so a wrong low is as bad as a wrong close."""
    assert _places(_doubts(with_values(QUIET, 400, low=80.0))) == [("OUTLIER", 400)]


def test_a_new_level_is_believed_after_three_candles() -> None:
    """M4: a crash that is real must not hold an hour of candles; nor may its first minutes pass unseen."""
    assert _places(_doubts(scaled(QUIET, 400, 0.9, to_the_end=True))) == [
        ("OUTLIER", 400),
        ("OUTLIER", 401),
        ("OUTLIER", 402),
    ]


@pytest.mark.parametrize("quiet_minutes", [1, 3, 70])
def test_minutes_without_a_trade_make_no_new_level(quiet_minutes: int) -> None:
    """M4: a candle without volume repeats the price before it, so three of them would make a wrong tick believed."""
    wrong = scaled(QUIET, 400, 1.2)
    price = wrong["close"][400]
    for row in range(401, 401 + quiet_minutes):
        wrong = with_values(wrong, row, open=price, high=price, low=price, close=price, volume=0.0)
    held = [minute for code, minute in _places(_doubts(wrong)) if code == "OUTLIER"]
    assert held == list(range(400, 401 + quiet_minutes))
    # After a real jump it is the trades that make the level.
    level = scaled(wrong, 401 + quiet_minutes, 1.2, to_the_end=True)
    held = [minute for code, minute in _places(_doubts(level)) if code == "OUTLIER"]
    assert held == list(range(400, 403 + quiet_minutes))
    # Who delivers minute by minute knows when the last hour is not enough.
    rows = wrong.slice(400 + quiet_minutes - TAIL_ROWS, TAIL_ROWS)
    assert needs_a_day(rows, wrong.slice(400 + quiet_minutes, 1), RULES)


def test_both_conditions_must_hold() -> None:
    """M4: five per cent in a minute is a jump in a quiet market and none in a wild one."""
    wild = (
        quiet(600)
        .with_columns(
            (pl.col("close") * (1 + 0.004 * (pl.int_range(pl.len()) % 2))).alias("close"),
        )
        .with_columns(high=pl.max_horizontal("high", "close"))
    )
    jump = scaled(wild, 400, 0.93)
    assert moved_far(jump, RULES)
    assert _doubts(jump) == []
    # A thirtieth of a day is too little to know what is usual: then the first condition decides.
    assert _places(_doubts(scaled(wild, 10, 0.9))) == [("OUTLIER", 10)]
    assert _doubts(scaled(QUIET, 400, 0.96)) == []


def test_what_is_usual_is_taken_from_the_day_before_the_jump() -> None:
    """M4: a month read at once must not judge its first day by its last."""
    swings = 1 + 0.004 * (pl.int_range(pl.len()) % 2)
    wild = quiet(3000).with_columns(close=pl.col("close") * swings)
    wild = wild.with_columns(high=pl.max_horizontal("high", "close"))
    assert _doubts(scaled(wild, 250, 0.93)) == []
    calm_later = pl.concat([wild.head(1000), scaled(quiet(3000), 2900, 0.93).slice(1000)])
    assert _places(_doubts(calm_later)) == [("OUTLIER", 2900)]


def test_after_an_outage_a_larger_move_is_usual() -> None:
    """M4: over five hours a market moves more than in a minute; an outage must not end in alarms."""
    before, after = QUIET.head(250), scaled(QUIET, 550, 0.94, to_the_end=True).slice(550)
    assert moved_far(pl.concat([before, after]), RULES)
    assert _doubts(pl.concat([before, after])) == []


def test_a_feed_that_stands_still_is_doubted_from_the_first_repeat() -> None:
    """M4, trap 21: a stuck feed looks like a calm market; the first equal candle is held until it is confirmed."""
    assert _places(_doubts(same_as(QUIET, 300, 1))) == [("STUCK_FEED", 301)]
    found = _doubts(same_as(QUIET, 300, 4))
    assert _places(found) == [("STUCK_FEED", minute) for minute in (301, 302, 303, 304)]
    assert _doubts(same_as(QUIET, 300, 4), since=305) == []


def test_where_more_equal_candles_are_usual_the_last_one_tells_of_all() -> None:
    """M4: in a thin market two equal candles may be nothing; with a limit of five nobody could know it before."""
    patient = RULES.model_copy(update={"stuck_candles": 5})
    assert _doubts(same_as(QUIET, 300, 3), rules=patient) == []
    found = _doubts(same_as(QUIET, 300, 4), rules=patient)
    assert _places(found) == [("STUCK_FEED", minute) for minute in (301, 302, 303, 304)]
    assert _places(_doubts(same_as(QUIET, 300, 4).head(305), since=304, rules=patient)) == _places(found)


def test_minutes_without_a_trade_are_one_finding_an_hour() -> None:
    """M4: a thin market must be noted and must not flood the findings."""
    frame = QUIET
    for minute in (*range(100, 130), 200):
        frame = with_values(frame, minute, volume=0.0)
    found = _doubts(frame)
    assert _places(found) == [("ZERO_VOLUME", 100), ("ZERO_VOLUME", 120), ("ZERO_VOLUME", 200)]
    assert [finding.detail["minutes"] for finding in found] == [20, 10, 1]
    # Minute by minute it stays the same finding, whose number grows.
    growing = [_doubts(frame.slice(minute - TAIL_ROWS, TAIL_ROWS + 1), since=minute) for minute in (120, 121, 129)]
    assert {one.finding_id for (one,) in growing} == {found[1].finding_id}
    assert [one.detail["minutes"] for (one,) in growing] == [1, 2, 10]


_FAULTS = st.lists(
    st.tuples(st.sampled_from(["tick", "level", "wick", "stuck", "empty"]), st.integers(60, 590)), max_size=4
)


@settings(deadline=None, max_examples=40)
@given(_FAULTS, st.integers(61, 599))
def test_a_candle_is_judged_by_those_before_it_alone(faults: list[tuple[str, int]], cut: int) -> None:
    """M4: a replay in one piece and a live day minute by minute must hold the same candles; no look-ahead."""
    frame = QUIET
    for kind, row in faults:
        frame = {
            "tick": lambda frame=frame, row=row: scaled(frame, row, 1.2),
            "level": lambda frame=frame, row=row: scaled(frame, row, 0.85, to_the_end=True),
            "wick": lambda frame=frame, row=row: with_values(frame, row, low=frame["low"][row] * 0.8),
            "stuck": lambda frame=frame, row=row: same_as(frame, row, 6),
            "empty": lambda frame=frame, row=row: with_values(frame, row, volume=0.0),
        }[kind]()
    whole = {finding.finding_id for finding in _doubts(frame) if finding.at < START + cut * MINUTE}
    first = {finding.finding_id for finding in _doubts(frame.head(cut))}
    # A run of equal candles over the cut comes to light with its fifth.
    late = {
        f.finding_id for f in _doubts(frame, since=cut) if f.at < START + cut * MINUTE and f.code.value == "STUCK_FEED"
    }
    assert whole - late == first - late
    second = {finding.finding_id for finding in _doubts(frame, since=cut) if finding.at >= START + cut * MINUTE}
    assert second == {f.finding_id for f in _doubts(frame) if f.at >= START + cut * MINUTE}
    # Who looks at the tail alone to see whether there is anything to look at misses nothing.
    tail = frame.slice(cut - glance_rows(RULES), glance_rows(RULES) + 1)
    if _doubts(frame.head(cut + 1), since=cut):
        assert suspicious_symbols(tail.select(pl.lit("BTC/USDT").alias("symbol"), pl.all()), RULES) == ["BTC/USDT"]
        if any(finding.code.value == "OUTLIER" for finding in _doubts(frame.head(cut + 1), since=cut)):
            assert needs_a_day(tail.head(-1), tail.tail(1), RULES)


def test_only_the_symbols_with_something_to_look_at_are_named() -> None:
    """M4: with fifty symbols a minute there is no time to look at each closely."""
    frames = {"A/USDT": QUIET, "B/USDT": scaled(QUIET, 50, 1.2), "C/USDT": same_as(QUIET, 40, 4)}
    frames["D/USDT"] = with_values(QUIET, 59, volume=0.0)
    together = pl.concat(
        [frame.head(60).select(pl.lit(name).alias("symbol"), pl.all()) for name, frame in frames.items()]
    )
    assert suspicious_symbols(together, RULES) == ["B/USDT", "C/USDT", "D/USDT"]


@pytest.mark.parametrize(
    ("file", "outliers", "stuck"),
    [
        ("btcusdt_1m_binance_2024-07_2024-08", 0, 0),
        ("ethusdt_1m_binance_2024-07_2024-08", 5, 0),
        ("btcusdt_1m_binance_2024-12", 1, 0),
        ("btcusdt_1m_binance_2021-03_2021-04", 0, 0),
        ("xrpusdt_1m_binanceusdm_2025-05_2025-06", 0, 0),
        ("btcusd_1m_bitfinex_2019", 1, 177),  # of 512,727: a thin market repeats single trades
        ("xrpusd_1m_bitfinex_2019", 8, 877),  # of 444,874
    ],
)
def test_a_real_crash_is_no_flood_of_alarms(recorded_data: Path, file: str, outliers: int, stuck: int) -> None:
    """M4: on 2024-08-05 the market really fell; each alarm there holds a true candle until it is confirmed."""
    frame = pl.read_parquet(recorded_data / "candles" / f"{file}.parquet").rename({"time": "opened_at"})
    counted = frame if "trades" in frame.columns else frame.with_columns(trades=pl.lit(None, pl.Int32))
    candles = counted.select(pl.col(name).cast(kind) for name, kind in CANDLE_COLUMNS.items())
    codes = Counter(finding.code.value for finding in _doubts(candles))
    assert (codes["OUTLIER"], codes["STUCK_FEED"]) == (outliers, stuck)
