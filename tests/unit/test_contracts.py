"""The contracts of frames, and the rules they share with the importer."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from candle_frames import START, candle_frame

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import (
    CANDLE_RULES,
    CONTRACTS,
    TIME,
    contract,
    first_broken_row,
    validate,
)
from triplegain_pipelines.market.gaps import find_gaps
from triplegain_pipelines.market.rollups import roll_up

pytestmark = pytest.mark.unit


def _with(column: str, row: int, value: Any) -> pl.DataFrame:
    frame = candle_frame(list(range(5)))
    changed = pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column))
    return frame.with_columns(changed.cast(frame.schema[column]).alias(column))


def test_good_frames_pass_unchanged() -> None:
    """M4: a contract that refuses good data stops every run."""
    frame = candle_frame([0, 1, 2, 7])
    assert validate("candles", frame).equals(frame)
    validate("rollups", roll_up(frame, Timeframe.M5))
    validate("gaps", find_gaps(frame["opened_at"], Timeframe.M1))
    validate("candles", frame.clear())


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("high", 99.5, "high is below open or close"),
        ("low", 100.5, "low is above open or close"),
        ("low", 0.0, "low is not above zero"),
        ("volume", -1.0, "volume is negative"),
        ("volume", float("nan"), "not finite"),
        ("high", float("inf"), "not finite"),
        ("trades", -1, "trades is negative"),
        ("close", None, "close: not_nullable"),
        ("opened_at", candle_frame([1])["opened_at"][0], "not after the row before"),
    ],
)
def test_each_broken_rule_is_named_with_its_row(column: str, value: object, sentence: str) -> None:
    """M4: crossed prices, duplicates and missing values must not reach an indicator."""
    row = 2
    with pytest.raises(DataError, match=sentence) as caught:
        validate("candles", _with(column, row, value))
    assert f"rows {row}" in str(caught.value)
    if value is not None:
        assert first_broken_row(_with(column, row, value), CANDLE_RULES) is not None


def test_wrong_columns_are_named_alone() -> None:
    """M4: a missing column must not be hidden behind the rules that fail because of it."""
    frame = candle_frame([0, 1])
    with pytest.raises(DataError, match="the column low is missing") as caught:
        validate("candles", frame.drop("low"))
    assert "not finite" not in str(caught.value)
    with pytest.raises(DataError, match="open: dtype"):
        validate("candles", frame.with_columns(pl.col("open").cast(pl.Float32)))
    with pytest.raises(DataError, match="column_in_schema"):
        validate("candles", frame.with_columns(extra=1))


def test_the_first_broken_row_is_found_with_its_first_reason() -> None:
    """M2: a person has to find the broken line in his file."""
    assert first_broken_row(candle_frame([0, 1]), CANDLE_RULES) is None
    assert first_broken_row(candle_frame([]), CANDLE_RULES) is None
    assert first_broken_row(_with("high", 3, 1.0), CANDLE_RULES) == (3, "high is below open or close")


def test_an_unknown_contract_is_an_error() -> None:
    """A misspelt contract must not read as one that holds."""
    with pytest.raises(KeyError):
        contract("candels")
    assert contract("candles") is contract("candles")


@pytest.mark.parametrize(
    ("name", "broken", "rule"),
    [
        ("candle_gaps", {"kind": "vanished"}, "kind is not a known one"),
        ("data_findings", {"code": "ODD"}, "code is not a known one"),
        ("data_findings", {"held": False}, "held is not what its code leads to"),
        ("data_findings", {"settlement": "forgotten"}, "settlement is not a known one"),
        ("indicators", {"opened_at": START + timedelta(hours=1)}, "the bar had not closed when it was seen"),
        ("headlines", {"title": ""}, "title is empty"),
        ("fear_greed", {"score": 101}, "score is not between 0 and 100"),
    ],
)
def test_every_edge_has_a_contract_that_can_break(name: str, broken: dict[str, object], rule: str) -> None:
    """M4: a contract that holds for anything would let an asset hand on what the next one cannot bear."""
    texts = {"kind": "missing", "code": "OUTLIER", "settlement": "confirmed", "timeframe": "1h"}
    one: dict[str, object] = {}
    for column, kind in CONTRACTS[name].columns.items():
        of_kind = {pl.String: "x", pl.Boolean: True, TIME: START, pl.Int32: 1, pl.Int64: 1, pl.Float64: 1.0}
        one[column] = texts.get(column, next(value for known, value in of_kind.items() if kind == known))
    one |= {"as_of": START + timedelta(minutes=1)} if "as_of" in one else {}
    sound = pl.DataFrame([one], schema=dict(CONTRACTS[name].columns))
    assert validate(name, sound).equals(sound)
    with pytest.raises(DataError, match=rule):
        validate(name, pl.DataFrame([one | broken], schema=sound.schema))
