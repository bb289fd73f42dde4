"""Files of past news that people have on disk, as Parquet or CSV: headlines, and the fear-and-greed index.

An archive cannot know when we would have seen a headline. Its time of publication stands in for that moment, and every
row says so (`first_seen_assumed`). A time at midnight sharp is a day without a time: such a headline counts from the
end of its day, for else it would be known up to a day too early.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from textwrap import shorten

import polars as pl
from polars.exceptions import PanicException

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.files.content import Content, Layout, read_content
from triplegain_pipelines.market.headlines import (
    LONGEST_LINK,
    LONGEST_TITLE,
    Headline,
    headline_identity,
    plain_text,
    web_link,
)
from triplegain_pipelines.market.news.fear_greed import FIRST_DAY, HIGHEST, NOT_STATED, FearGreedReading
from triplegain_pipelines.market.news.stories import join_stories
from triplegain_pipelines.settings.profile import SIMULATED_VENUE

ARCHIVE = "archive"
"""The source of what a file names no source for."""

_LONGEST_SOURCE = 60
_FIRST_NEWS = datetime(2009, 1, 3, tzinfo=UTC)
_MOST_ROWS = 1_000_000
_DAY = timedelta(days=1)


class NewsKind(StrEnum):
    """What a file of news holds, with the columns by which it is known."""

    HEADLINES = "headlines"
    FEAR_GREED = "fear_greed"


_NEEDED = {NewsKind.HEADLINES: {"time", "headline"}, NewsKind.FEAR_GREED: {"date", "value"}}
_READ = {NewsKind.HEADLINES: {"time", "headline", "source", "url"}, NewsKind.FEAR_GREED: {"date", "value"}}


@dataclass(frozen=True, slots=True)
class NewsFile:
    """What a file of news holds.

    `rows` are those of the file; `left_out` have no title, `repeated` say again what a row before them said. `digest`
    is the SHA-256 of the file; `ignored` are its columns that have no place here.
    """

    kind: NewsKind
    headlines: tuple[Headline, ...]
    readings: tuple[FearGreedReading, ...]
    rows: int
    left_out: int
    repeated: int
    digest: str
    ignored: tuple[str, ...]


def read_news_file(path: Path) -> NewsFile:
    """Read a file of headlines or of the fear-and-greed index.

    Raises:
        InputError: there is no such file, it is too large, holds no news, or a line of it is broken.
    """
    try:
        content = read_content(path)
        kind = _kind(_columns(content))
        frame = _table(content)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error
    digest = content.digest
    ignored = tuple(column for column in frame.columns if column not in _READ[kind])
    try:
        if kind is NewsKind.FEAR_GREED:
            readings = _readings(frame)
            return NewsFile(kind, (), readings, frame.height, 0, 0, digest, ignored)
        headlines, left_out = _headlines(frame)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error
    once = {one.headline_id: one for one in reversed(headlines)}
    repeated = len(headlines) - len(once)
    return NewsFile(kind, tuple(join_stories(once.values())), (), frame.height, left_out, repeated, digest, ignored)


def _columns(content: Content) -> set[str]:
    try:
        if content.layout is Layout.PARQUET:
            return set(pl.read_parquet_schema(BytesIO(content.data)))
        header = content.data[:10_000].decode("utf-8-sig", "replace").partition("\n")[0]
    except (pl.exceptions.PolarsError, PanicException) as error:
        raise _unreadable(error) from error
    return {name.strip().strip('"') for name in header.split(",")}


def _table(content: Content) -> pl.DataFrame:
    try:
        if content.layout is Layout.PARQUET:
            # The count stands in the file's own summary: an absurd one is refused before memory is taken for it.
            rows = pl.scan_parquet(BytesIO(content.data))
            _require_few(rows.select(pl.len()).collect().item())
            return rows.collect()
        _require_few(content.data.count(b"\n"))
        return pl.read_csv(BytesIO(content.data), infer_schema=False)
    except (pl.exceptions.PolarsError, PanicException, UnicodeDecodeError) as error:
        raise _unreadable(error) from error


def _unreadable(error: BaseException) -> InputError:
    return InputError(f"it cannot be read ({shorten(str(error), width=200, placeholder=' …')}); get it again")


def _require_few(rows: int) -> None:
    if rows > _MOST_ROWS:
        msg = (
            f"it holds {rows:,} rows, more than the {_MOST_ROWS:,} that are read at once; split it, for example by year"
        )
        raise InputError(msg)


def _kind(columns: set[str]) -> NewsKind:
    kind = next((kind for kind, needed in _NEEDED.items() if needed <= columns), None)
    if kind is None:
        msg = "it holds no news: it needs columns time and headline, or date and value"
        raise InputError(msg)
    return kind


def _headlines(frame: pl.DataFrame) -> tuple[list[Headline], int]:
    """The headlines in order of first sight, and how many rows have no title."""
    found = []
    left_out = 0
    columns = [_times(frame["time"]), *(_texts(frame, name) for name in ("headline", "source", "url"))]
    for line, (moment, raw_title, raw_source, raw_link) in enumerate(zip(*columns, strict=True), start=1):
        title = plain_text(raw_title or "", LONGEST_TITLE)
        published_at = _checked(moment, line)
        source = plain_text(raw_source or "", _LONGEST_SOURCE) or ARCHIVE
        if source.lower().startswith(SIMULATED_VENUE):
            msg = f"row {line}: the source {source!r} is a name for simulated news; rename it"
            raise InputError(msg)
        if not title:
            left_out += 1
            continue
        link = web_link(raw_link)
        found.append(
            Headline(
                headline_id=headline_identity(source, link, title),
                source=source,
                title=title,
                published_at=published_at,
                first_seen_at=published_at + _DAY if published_at.time() == time(0) else published_at,
                link=link,
                first_seen_assumed=True,
            )
        )
    return sorted(found, key=lambda one: (one.first_seen_at, one.headline_id)), left_out


def _readings(frame: pl.DataFrame) -> tuple[FearGreedReading, ...]:
    found: dict[datetime, FearGreedReading] = {}
    for line, (day, text) in enumerate(zip(_times(frame["date"]), _texts(frame, "value"), strict=True), start=1):
        published_at = _checked(day, line)
        if not (text and text.isascii() and text.isdigit() and int(text) <= HIGHEST):
            msg = f"row {line}: the index cannot be {text!r}; it is a whole number from 0 to {HIGHEST}"
            raise InputError(msg)
        if published_at < FIRST_DAY or published_at.time() != time(0) or published_at in found:
            msg = f"row {line}: {published_at.isoformat()} is no day of the index, or stands twice; remove the row"
            raise InputError(msg)
        found[published_at] = FearGreedReading(
            ARCHIVE, published_at, int(text), NOT_STATED, published_at, first_seen_assumed=True
        )
    return tuple(found[day] for day in sorted(found))


def _times(column: pl.Series) -> Iterable[datetime | None]:
    """Times as UTC; text that is no time becomes None."""
    if column.dtype == pl.String():
        return column.str.to_datetime(strict=False, time_unit="us", time_zone="UTC").to_list()
    if not isinstance(column.dtype, pl.Datetime | pl.Date):
        msg = f"the column {column.name} holds {column.dtype} and no times; convert it"
        raise InputError(msg)
    times = column.cast(pl.Datetime("us", column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None))
    known = times.dt.replace_time_zone("UTC") if times.dtype == pl.Datetime("us") else times.dt.convert_time_zone("UTC")
    return [moment and moment.replace(tzinfo=UTC) for moment in known.to_list()]


def _texts(frame: pl.DataFrame, name: str) -> Iterable[str | None]:
    if name not in frame.columns:
        return [None] * frame.height
    # No longer than the longest link and one more: a small Parquet file can hold the same megabyte a million times.
    return frame[name].cast(pl.String()).str.slice(0, LONGEST_LINK + 1).to_list()


def _checked(moment: datetime | None, line: int) -> datetime:
    if moment is None or moment < _FIRST_NEWS:
        shown = "no time" if moment is None else moment.isoformat()
        msg = f"row {line}: {shown} cannot be when it was published; correct or remove the row"
        raise InputError(msg)
    return moment.replace(tzinfo=UTC)
