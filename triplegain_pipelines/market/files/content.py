"""The bytes of a file that a person has on disk: unpacked in memory, never to disk, and never without a limit."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile, ZipFile

from triplegain_pipelines.domain.errors import InputError

# What a laptop takes at once: ten years of 1-minute candles as CSV are some 400 MB in 5 million rows.
LARGEST_BYTES = 512 * 1024 * 1024
MOST_ROWS = 20_000_000
_CHUNK = 1024 * 1024
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the byte order marks of UTF-16 and UTF-32


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Layout(StrEnum):
    """How the content is laid out, told by its first bytes."""

    PARQUET = "parquet"
    ARROW = "arrow"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Content:
    """The unpacked content of a file.

    `digest` is the SHA-256 of the file as it lies on disk, `packed` whether it was compressed. `inner_name` is the name
    inside a zip, else empty; it is only read for what it says and never used as a path.
    """

    data: bytes
    layout: Layout
    digest: str
    packed: bool = False
    inner_name: str = ""


def read_content(path: Path) -> Content:
    """Read a file, bare, gzipped or alone in a zip.

    Raises:
        InputError: it is no file, is empty, damaged, too large, or holds several files.
    """
    packed = _read(path)
    data, inner_name = _unpack(packed)
    if not data:
        msg = "it is empty"
        raise InputError(msg)
    if data.startswith(b"FEA1"):
        msg = "it is a Feather file of version 1; write it again with version 2, or as Parquet"
        raise InputError(msg)
    layout = Layout.TEXT
    if data.startswith(b"PAR1"):
        layout = Layout.PARQUET
    elif data.startswith(b"ARROW1"):
        layout = Layout.ARROW
    return Content(data, layout, hashlib.sha256(packed).hexdigest(), data is not packed, inner_name)


def text_of(content: Content) -> str:
    """The content as text.

    Raises:
        InputError: it is not UTF-8 text; the message names the line.
    """
    if content.data.startswith(_WIDE):
        msg = "it is UTF-16 text; save it as UTF-8"
        raise InputError(msg)
    try:
        text = content.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.data[: error.start].count(b"\n") + 1
        msg = f"line {line} is not text; importable are Parquet, Feather, CSV and JSON"
        raise InputError(msg) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        msg = f"line {line} is not text: it holds a zero byte; the file is damaged, so fetch it again"
        raise InputError(msg)
    return text


def require_rows(count: int) -> None:
    """See that a file has no more rows than can be taken at once.

    Raises:
        InputError: it has more.
    """
    if count > MOST_ROWS:
        msg = (
            f"it holds {count:,} rows, more than the {MOST_ROWS:,} that are read at once; split it, for example by year"
        )
        raise InputError(msg)


def _read(path: Path) -> bytes:
    try:
        # A device or a pipe has no end.
        if path.exists() and not path.is_file():
            msg = "it is not a file; give the path of a file"
            raise InputError(msg)
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(_too_large(f"{size / 1e6:,.0f} MB"))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"it cannot be read: {reason}; give the path of a file"
        raise InputError(msg) from error


def _unpack(packed: bytes) -> tuple[bytes, str]:
    try:
        if packed.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=BytesIO(packed)) as stream:
                return _read_within_limit(stream), ""
        if packed.startswith(b"PK"):
            return _unzip(packed)
    except (OSError, EOFError, BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError) as error:
        msg = f"the compressed file is damaged or cut off ({error}); fetch it again"
        raise InputError(msg) from error
    return packed, ""


def _unzip(packed: bytes) -> tuple[bytes, str]:
    with ZipFile(BytesIO(packed)) as archive:
        names = [entry for entry in archive.namelist() if not entry.endswith("/")]
        if len(names) != 1:
            msg = f"the zip holds {len(names)} files; it must hold one, so unpack it and import each"
            raise InputError(msg)
        with archive.open(names[0]) as stream:
            return _read_within_limit(stream), names[0]


def _read_within_limit(stream: _Stream) -> bytes:
    """All of a decompressing stream; the size that an archive states is not believed."""
    chunks, total = [], 0
    while chunk := stream.read(_CHUNK):
        total += len(chunk)
        if total > LARGEST_BYTES:
            raise InputError(_too_large(f"more than {LARGEST_BYTES / 1e6:,.0f} MB when unpacked"))
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(size: str) -> str:
    return f"it is too large ({size}; {LARGEST_BYTES / 1e6:,.0f} MB are read at once); split it, for example by year"
