"""Files that nobody should open without care: bombs, devices, other encodings, numbers that are none."""

import gzip
import json
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from candle_frames import candle_frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.files import content as file_content
from triplegain_pipelines.market.files.archives import read_archive
from triplegain_pipelines.market.files.content import read_content
from triplegain_pipelines.market.files.shapes import shape_of
from triplegain_pipelines.market.files.trade_files import read_trade_file

pytestmark = pytest.mark.unit

HEADER = "time,open,high,low,close,volume"
ROW = "2024-08-05T00:00:00Z,10,12,9,11,1.5"
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def test_a_bomb_is_stopped_while_it_unfolds(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I2: a few kilobytes that unfold into gigabytes would take the machine down, trading with it."""
    monkeypatch.setattr(file_content, "LARGEST_BYTES", 3_000_000)
    zeros = b"0" * 4_000_000
    packed = gzip.compress(zeros)
    assert len(packed) < 10_000
    with pytest.raises(InputError, match=r"too large \(more than 3 MB when unpacked"):
        read_archive(write("btcusdt_1m_kraken.csv.gz", packed))
    place = tmp_path / "btcusdt_1m_kraken.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", zeros)
    # The size that the zip states is not believed.
    size = len(zeros).to_bytes(4, "little")
    place.write_bytes(place.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"too large|damaged"):
        read_archive(place)
    with pytest.raises(InputError, match=r"too large \(4 MB"):
        read_archive(write("btcusdt_1m_kraken.csv", zeros))


def test_absurd_numbers_of_rows(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """I2: rows that are all the same take no room in a file and all of the memory."""
    place = tmp_path / "btcusdt_1m_kraken.parquet"
    candle_frame(list(range(11))).write_parquet(place)
    monkeypatch.setattr(file_content, "MOST_ROWS", 10)
    with pytest.raises(InputError, match="it holds 11 rows, more than the 10 that are read"):
        read_archive(place)
    with pytest.raises(InputError, match="it holds 11 rows, more than the 10 that are read"):
        read_archive(write("btcusdt_1m_kraken.csv", "\n".join([HEADER, *[ROW] * 11])))


def test_a_name_in_a_zip_is_never_a_path(tmp_path: Path) -> None:
    """I2: nothing is unpacked to disk, so no name can reach out of a folder."""
    place = tmp_path / "deep" / "btcusdt_1m_kraken.zip"
    place.parent.mkdir()
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("../../escaped.csv", f"{HEADER}\n{ROW}\n2024-08-05T00:01:00Z,10,12,9,11,1.5")
    assert read_archive(place).frame.height == 2
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["btcusdt_1m_kraken.zip"]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """I2: a pipe or a device never ends."""
    pipe = tmp_path / "btcusdt_1m_kraken.csv"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match="it is not a file"):
            read_archive(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_archive(tmp_path / "no\0name.csv")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{HEADER}\n{ROW}".encode("utf-16"), "UTF-16"),
        (f"{HEADER}\n{ROW}\n{ROW}ö".encode("latin-1"), "line 3 is not text"),
        (f"{HEADER}\n{ROW}\0".encode(), "line 2 is not text: it holds a zero byte"),
        (f"{HEADER}\n{ROW[:-3]}1e999".encode(), "line 2: a price or the volume is not finite"),
        (f"{HEADER}\n{ROW.replace('12', '9' * 400)}".encode(), "line 2: a price or the volume is not finite"),
        (f"{HEADER}\n{ROW[:-3]}0x10".encode(), "line 2: volume is '0x10', which is not a number"),
        (f"{HEADER}\n{ROW[:-3]}{'x' * 10_000}".encode(), "line 2: volume is 'x{59}…, which is not a number"),
        (f'{HEADER}\n"{ROW}\n{ROW}'.encode(), "quotation mark|not a CSV|fields|missing"),
        (b"FEA1" + b"\0" * 100, "Feather file of version 1"),
        (b"ARROW1\0\0" + b"\xff" * 100, "the Feather file cannot be read"),
        (b"PAR1" + b"\xff" * 100 + b"PAR1", "the Parquet file cannot be read"),
        (b"PK\x03\x04" + b"\xff" * 100, "damaged or cut off"),
        (b"\x1f\x8b" + b"\xff" * 100, "damaged or cut off"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"error": [], "result": {"XBTUSD": [[NaN]], "last": 1}}', "NaN, which is not a number of JSON"),
        (b'{"error": ["EGeneral:Too many requests"], "result": {}}', "an error that Kraken answered.*Too many"),
        (b'[{"a": 1}]', "it is JSON with a"),
        (b"[]", "neither candles nor trades"),
        (b"[[]]", "a list of lists of 0 values"),
        (b'{"a": 1', "line 1 is not JSON"),
        (b'{"channel":"book","data":[]}\n{"channel":"book"}', "order book messages, one a line"),
        (b'{"a":1,"b":2}\n{"a":1}', r"one JSON object a line \(a, b\)"),
        (b'1618678132.9: {"event":"x"}\n', "a recording of messages"),
    ],
)
def test_each_is_refused_with_its_true_reason(write: Write, content: bytes, reason: str) -> None:
    """M2: 'cannot parse file' leaves a person alone; a crash leaves the import half done."""
    with pytest.raises(InputError, match=rf"^btcusdt_1m_kraken\.csv: .*(?:{reason})") as refusal:
        read_archive(write("btcusdt_1m_kraken.csv", content))
    assert "\n" not in str(refusal.value)


def test_columns_of_odd_types(tmp_path: Path) -> None:
    """M2: a list or a struct is no price."""
    place = tmp_path / "btcusdt_1m_kraken.parquet"
    frame = candle_frame([0, 1])
    frame.with_columns(close=pl.Series([[1.0], [2.0]])).write_parquet(place)
    with pytest.raises(InputError, match=r"the column close is of type List"):
        read_archive(place)
    frame.with_columns(opened_at=pl.Series([[1], [2]])).write_parquet(place)
    with pytest.raises(InputError, match=r"the column opened_at is of type List"):
        read_archive(place)
    frame.with_columns(Open=pl.col("open")).write_parquet(place)
    with pytest.raises(InputError, match="a column stands there twice"):
        read_archive(place)
    trades = pl.DataFrame(
        {"time": frame["opened_at"], "price": [1.0, 2.0], "amount": [1.0, 1.0], "trade_id": [1.5, 2.5]}
    )
    trades.write_parquet(place)
    with pytest.raises(InputError, match="the column trade_id is of type Float64"):
        read_trade_file(place)


@pytest.mark.parametrize(
    ("count", "unit"), [(-(10**18), "us"), (2**63 - 1, "us"), (-(10**16), "ms"), (2**63 - 1, "ms"), (-(2**62), "ns")]
)
def test_times_that_no_calendar_has(tmp_path: Path, count: int, unit: Literal["ms", "us", "ns"]) -> None:
    """M2: a damaged time must be refused by its row; as a number it fits, as a date nothing can show it."""
    place = tmp_path / "btcusdt_1m_kraken.parquet"
    times = pl.Series([count], dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))
    candle_frame([0]).with_columns(opened_at=times).write_parquet(place)
    with pytest.raises(InputError, match=r"row 1: time is .*, which is not a time"):
        read_archive(place)
    candle_frame([0]).with_columns(opened_at=pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date)).write_parquet(place)
    with pytest.raises(InputError, match=r"row 1: time is .*, which is not a time"):
        read_archive(place)


def _whole(kind: str) -> bytes:
    frame = candle_frame(list(range(50)))
    if kind == "csv":
        return frame.write_csv().encode()
    if kind == "json":
        rows = [[1722816000 + 60 * n, "10", "12", "9", "11", "0.0", "0.0", 0] for n in range(50)]
        return json.dumps({"error": [], "result": {"XBTUSD": rows, "last": rows[-1][0]}}).encode()
    buffer = BytesIO()
    if kind == "parquet":
        frame.write_parquet(buffer)
    else:
        frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


WHOLE = {kind: _whole(kind) for kind in ("csv", "json", "parquet", "feather")}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_a_damaged_file_is_refused_or_read_and_nothing_else(write: Write, kind: str, data: st.DataObject) -> None:
    """Law: whatever is damaged in a file, the answer is candles that keep their contract, or a refusal in one line."""
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(len(content) // 2, len(content))) :]
    path = write("btcusdt_1m_kraken.csv", bytes(content))
    try:
        archive = read_archive(path)
    except InputError as error:
        assert str(error).startswith("btcusdt_1m_kraken.csv: ")  # noqa: PT017 - a refusal is one of the two answers
        return
    assert archive.frame.height >= 1
    assert archive.frame.select(pl.col("high") >= pl.col("low")).to_series().all()


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_damage_behind_an_intact_summary(write: Write, kind: str) -> None:
    """M2: the columns are named at the end of such a file, so damage in its rows is met only when they are read."""
    whole = WHOLE[kind]
    reasons = set()
    for first in range(8, len(whole) // 3, 16):
        damaged = whole[:first] + b"\xff" * 16 + whole[first + 16 :]
        try:
            read_archive(write("btcusdt_1m_kraken.csv", damaged))
        except InputError as error:
            reasons.add("cannot be read" in str(error))
    assert True in reasons


def test_a_shape_is_told_without_reading_the_rows(tmp_path: Path) -> None:
    """M2: what a file is must be known before anything of it is believed."""
    place = tmp_path / "a.parquet"
    pl.DataFrame({"time": [1], "headline": ["x"]}).write_parquet(place)
    assert shape_of(read_content(place)).kind == "headlines"
    pl.DataFrame({"date": ["2024-01-01"], "value": [5]}).write_csv(place)
    assert shape_of(read_content(place)).kind == "fear_greed"
