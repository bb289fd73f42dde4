"""The gate for delivered candles: what may be stored, and a finding for each row that was not."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from candle_frames import START, candle_frame
from doubt_frames import MINUTE, quiet, with_values
from hypothesis import given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import QualityCode
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.intake import Screened, is_clean, screen

pytestmark = pytest.mark.unit

LATER = START + timedelta(days=2)


def _screen(frame: pl.DataFrame, closed_before: datetime = LATER) -> Screened:
    return screen(frame, venue="kraken", symbol="BTC/USDT", source="rest", closed_before=closed_before)


def _codes(screened: Screened) -> list[str]:
    return [finding.code.value for finding in screened.findings]


def test_a_good_delivery_passes_whole_and_in_order() -> None:
    """M4: a gate that refuses good candles stops trading."""
    frame = candle_frame([0, 1, 2, 7])
    good = _screen(frame)
    assert good.frame.equals(frame)
    assert (good.findings, good.unfinished) == ([], 0)
    backwards = _screen(frame.reverse())
    assert backwards.frame.equals(frame)
    assert not backwards.findings
    assert _screen(frame.clear()).frame.equals(frame.clear())


@pytest.mark.parametrize(
    ("column", "value", "code", "as_published"),
    [
        ("high", 99.5, QualityCode.CROSSED, 99.5),
        ("low", 100.5, QualityCode.CROSSED, 100.5),
        ("low", -1.0, QualityCode.CROSSED, -1.0),
        ("volume", -3.0, QualityCode.CROSSED, -3.0),
        ("trades", -1, QualityCode.CROSSED, -1),
        ("close", float("nan"), QualityCode.NOT_FINITE, "nan"),
        ("high", float("inf"), QualityCode.NOT_FINITE, "inf"),
        ("volume", None, QualityCode.NOT_FINITE, None),
    ],
)
def test_a_malformed_candle_is_refused_and_its_values_are_kept(
    column: str, value: Any, code: QualityCode, as_published: Any
) -> None:
    """M4: a crossed or broken candle must not be stored, and must not vanish either."""
    screened = _screen(with_values(candle_frame([0, 1, 2]), 1, **{column: value}))
    assert screened.frame.equals(candle_frame([0, 2]))
    (finding,) = screened.findings
    assert (finding.code, finding.at, finding.source) == (code, START + MINUTE, "rest")
    assert finding.published is not None
    assert finding.published[column] == as_published
    assert finding.published["open"] == 100.0
    assert finding.finding_id == _screen(with_values(candle_frame([0, 1]), 1, **{column: value})).findings[0].finding_id


def test_a_time_off_the_grid_or_without_value_is_refused() -> None:
    """M4: a candle at 00:01:30 has no place among the minutes."""
    times = pl.Series("opened_at", [START, START + timedelta(seconds=90), None], pl.Datetime("us", "UTC"))
    screened = _screen(candle_frame([0, 1, 2]).with_columns(times))
    assert screened.frame.equals(candle_frame([0]))
    assert _codes(screened) == ["OFF_GRID", "OFF_GRID"]
    assert [finding.at for finding in screened.findings] == [START + timedelta(seconds=90), LATER]


def test_the_open_candle_is_left_out_quietly_and_one_from_the_future_is_not() -> None:
    """M4, trap 15: the open candle is dropped by its time; every answer holds it, so it must not flood the findings."""
    frame = candle_frame([0, 1, 2, 3, 4])
    screened = _screen(frame, START + 2 * MINUTE)
    assert screened.frame.equals(candle_frame([0, 1]))
    assert screened.unfinished == 2  # the open one, and the one before it while grace lasts
    assert [(finding.code.value, finding.at) for finding in screened.findings] == [("UNFINISHED", START + 4 * MINUTE)]
    # Within a minute: the candle of 00:01 closes at 00:02:00, and not a moment before.
    assert _screen(frame, START + 2 * MINUTE - timedelta(microseconds=1)).frame.height == 1
    assert _screen(candle_frame([0, 1]).reverse(), START + MINUTE).frame.equals(candle_frame([0]))


def test_the_same_candle_twice_is_kept_once() -> None:
    """M4: overlapping pages deliver a candle twice, which is no fault of its values."""
    counted = candle_frame([1]).with_columns(trades=pl.lit(5, pl.Int32))
    screened = _screen(pl.concat([candle_frame([1, 0, 1]), counted]))
    assert screened.frame.equals(pl.concat([candle_frame([0]), counted]))
    assert [(finding.code.value, dict(finding.detail)) for finding in screened.findings] == [
        ("DUPLICATE", {"copies": 3})
    ]


def test_two_different_candles_of_a_minute_are_both_refused() -> None:
    """M4: nobody knows which of the two is right, and the last to come is no better than the first."""
    screened = _screen(pl.concat([candle_frame([0, 1]), candle_frame([1, 1], price=101.0)]))
    assert screened.frame.equals(candle_frame([0]))
    assert _codes(screened) == ["CONFLICTING", "CONFLICTING"]
    assert sorted(finding.published["close"] for finding in screened.findings if finding.published) == [100.0, 101.0]
    assert len({finding.finding_id for finding in screened.findings}) == 2


def test_a_sound_candle_beside_a_malformed_one_of_its_minute_is_not_taken() -> None:
    """M4: of a minute that came crossed and sound in one answer the sound one is no more than a guess."""
    both = pl.concat([candle_frame([0, 1]), with_values(candle_frame([1]), 0, high=1.0)])
    screened = _screen(both)
    assert screened.frame.equals(candle_frame([0]))
    assert sorted(_codes(screened)) == ["CONFLICTING", "CROSSED"]


def test_a_malformed_candle_that_comes_twice_is_no_duplicate_to_keep() -> None:
    """M4: that a venue says a crossed candle twice does not make it sound."""
    crossed = with_values(candle_frame([1]), 0, high=1.0)
    screened = _screen(pl.concat([candle_frame([0]), crossed, crossed]))
    assert screened.frame.equals(candle_frame([0]))
    assert _codes(screened) == ["CROSSED", "CROSSED"]
    assert len({finding.finding_id for finding in screened.findings}) == 1


def test_other_columns_are_an_error() -> None:
    """M4: a frame of another kind must not pass as one without candles."""
    with pytest.raises(DataError, match="must be those of CANDLE_COLUMNS"):
        _screen(candle_frame([0]).drop("trades"))


_FAULTS = st.sampled_from(["good", "crossed", "nan", "null", "off grid", "twice", "other", "open"])


@pytest.mark.no_cover
@settings(deadline=None)
@given(st.lists(_FAULTS, max_size=25), st.randoms(use_true_random=False))
def test_every_row_is_taken_or_found(faults: list[str], shuffle: Any) -> None:
    """M4, rule 10: nothing is dropped in silence, whatever comes, and what is taken keeps the contract."""
    base, rows = quiet(max(1, len(faults))), []
    for number, fault in enumerate(faults):
        row = base.row(number, named=True)
        changed = {
            "crossed": {"high": row["low"] / 2},
            "nan": {"close": float("nan")},
            "null": {"volume": None},
            "off grid": {"opened_at": row["opened_at"] + timedelta(seconds=1)},
            "open": {"opened_at": LATER},
        }.get(fault, {})
        rows.append({**row, **changed})
        if fault == "twice":
            rows.append(row)
        if fault == "other":
            rows.append({**row, "volume": 77.0})
    shuffle.shuffle(rows)
    frame = pl.DataFrame(rows, schema=base.schema)
    screened = _screen(frame)
    validate("candles", screened.frame)
    assert screened.frame.height == sum(fault in {"good", "twice"} for fault in faults)
    named = {
        "crossed": "CROSSED",
        "nan": "NOT_FINITE",
        "null": "NOT_FINITE",
        "off grid": "OFF_GRID",
        "twice": "DUPLICATE",
    }
    expected = [named[fault] for fault in faults if fault in named] + ["CONFLICTING"] * 2 * faults.count("other")
    assert sorted(_codes(screened)) == sorted(expected)
    assert screened.unfinished == faults.count("open")
    together = frame.select(pl.lit("BTC/USDT").alias("symbol"), pl.all())
    assert is_clean(together, LATER) == (not set(faults) - {"good"})
