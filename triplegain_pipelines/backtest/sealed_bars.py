"""Bars on disk that nobody can change: written once, named by their content, checked when they are opened.

A folder holds one `.npy` file for each array and `seal.json`. Files and folder are read-only, and the arrays are opened
as read-only maps of memory: a trial that writes to one gets an error, several processes share the same pages, and one
more fork of the data costs nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import DataError, UnavailableError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.series import CandleSeries

_ARRAYS = ("opened_at", "open", "high", "low", "close", "volume")
_SEAL = "seal.json"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def data_hash(series: CandleSeries) -> str:
    """SHA-256 of everything in a series, in hex."""
    return content_hash(_seal_of(series))


def seal_bars(folder: Path, series: CandleSeries) -> Path:
    """Write the bars under `folder` in a folder named by their hash, all of them or nothing; bars that are there stay.

    Returns:
        The folder of these bars.

    Raises:
        UnavailableError: there is no room for them, or the folder cannot be written.
        DataError: the folder is there and holds something else.
    """
    seal = _seal_of(series)
    place = folder / content_hash(seal)
    if place.exists():
        open_bars(place)
        return place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(dir=folder, prefix=".half_"))
        try:
            _write(half, series, seal)
            _publish(half, place)
        finally:
            remove_bars(half)
    except OSError as error:
        advice = "free some space there" if error.errno in _NO_ROOM else "see that it can be written"
        msg = (
            f"the bars of {series.symbol} {series.timeframe} cannot be sealed in {folder} ({error.strerror}); {advice}"
        )
        raise UnavailableError(msg) from error
    return place


def open_bars(place: Path) -> CandleSeries:
    """The sealed bars, as read-only maps of their files.

    Raises:
        DataError: a file is missing or is not what was sealed.
    """
    try:
        seal = json.loads((place / _SEAL).read_text())
        arrays = [np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS]
        # Plain arrays over the map, for compiled code knows no other kind; they cannot be written to either.
        plain = [np.asarray(one) for one in arrays]
        series = CandleSeries(seal["symbol"], Timeframe(seal["timeframe"]), *plain)
    except (OSError, ValueError, KeyError) as error:
        msg = f"the sealed bars in {place} are damaged ({type(error).__name__}); remove the folder and seal them again"
        raise DataError(msg) from error
    if content_hash(_seal_of(series)) != place.name:
        msg = f"the sealed bars in {place} are not what was sealed; remove the folder and seal them again"
        raise DataError(msg)
    return series


def remove_bars(place: Path) -> None:
    """Remove a folder of sealed bars; nothing where there is none. Who has them open keeps them until then."""
    if place.exists():
        place.chmod(0o755)
        shutil.rmtree(place)


def size_of(place: Path) -> int:
    """Bytes that the sealed bars take."""
    return sum(file.stat().st_size for file in place.iterdir())


def _seal_of(series: CandleSeries) -> dict[str, object]:
    hashes = {
        name: hashlib.sha256(np.ascontiguousarray(getattr(series, name)).data).hexdigest()
        if len(series)
        else hashlib.sha256(b"").hexdigest()
        for name in _ARRAYS
    }
    return {"symbol": series.symbol, "timeframe": series.timeframe.value, "bars": len(series), "arrays": hashes}


def _write(half: Path, series: CandleSeries, seal: dict[str, object]) -> None:
    for name in _ARRAYS:
        with (half / f"{name}.npy").open("wb") as file:
            values = np.ascontiguousarray(getattr(series, name))
            # Not by np.save: of a full disk it says how many items it wrote, and not that the disk is full.
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
            file.write(values.data)
            _keep(file.fileno())
    with (half / _SEAL).open("w") as text:
        text.write(json.dumps(seal, indent=2, sort_keys=True))
        text.flush()
        _keep(text.fileno())


def _keep(descriptor: int) -> None:
    os.fchmod(descriptor, 0o444)
    os.fsync(descriptor)


def _publish(half: Path, place: Path) -> None:
    """Give the folder its name. Where another process was first, its folder stays."""
    half.chmod(0o555)
    try:
        half.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
