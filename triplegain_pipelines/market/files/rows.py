"""The rows of a file as a frame: first as they stand, then each field as its column's type, or refused by its line."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from io import BytesIO

import polars as pl
from polars.exceptions import PanicException, PolarsError

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.market.contracts import TIME
from triplegain_pipelines.market.files.content import Content, Layout, require_rows, text_of
from triplegain_pipelines.market.files.kinds import Shape
from triplegain_pipelines.market.files.shapes import unreadable
from triplegain_pipelines.market.files.times import as_time, is_time_type, newest_first

_LONGEST_SHOWN = 60
_SIMPLE = pl.String | pl.Boolean | pl.Null


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a file and where they stand in it.

    Attributes:
        frame: one row for each of the file.
        unit: what a person counts by: `line` of a text, `row` of a table, `entry` of a list.
        first: number of the first row in that unit.
        reverse: whether the rows stand in the file in the opposite order.
    """

    frame: pl.DataFrame
    unit: str
    first: int
    reverse: bool = False

    def place(self, row: int) -> str:
        """Where `row` (from 0) stands in the file: `line 17`."""
        return f"{self.unit} {self.first + (self.frame.height - 1 - row if self.reverse else row)}"


def read_rows(content: Content, shape: Shape, wanted: Callable[[str], bool]) -> Rows:
    """The columns of a file whose names (in lower case) are wanted, untyped where the file does not type them.

    Raises:
        InputError: there is no row, there are too many, or they are not a table.
    """
    if shape.rows is not None:
        schema = dict.fromkeys(shape.names, pl.String())
        rows = Rows(pl.DataFrame(shape.rows, schema=schema, orient="row"), "entry", 1)
    elif content.layout is Layout.TEXT:
        rows = Rows(_split(text_of(content), shape), "line", shape.skip + 1)
    else:
        rows = Rows(_collect(content, wanted), "row", 1)
    if not rows.frame.height:
        msg = "it holds no row"
        raise InputError(msg)
    return replace(rows, frame=rows.frame.select(name for name in rows.frame.columns if wanted(name)))


def typed(rows: Rows, columns: Mapping[str, pl.DataType], optional: Collection[str] = ()) -> Rows:
    """Each column cast to its type.

    Args:
        rows: has these columns; those that are optional may also be null or absent.
        columns: the types by name, of times, numbers, whole numbers, texts and truths.
        optional: the names of columns that may be absent.

    Raises:
        InputError: a field cannot be cast, or is missing; the message names the line.
    """
    frame = rows.frame.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in columns.items() if name not in rows.frame.columns
    )
    cast = frame.select(_cast(name, frame.schema[name], kind) for name, kind in columns.items())
    broken = cast.select(
        pl.col(name).is_null() & (frame[name].is_not_null() if name in optional else True) for name in columns
    )
    bad_rows = broken.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    if bad_rows.len():
        row = int(bad_rows[0])
        column = next(name for name, bad in broken.row(row, named=True).items() if bad)
        raise InputError(_broken_field(rows.place(row), column, _value(frame, column, row), columns[column]))
    return replace(rows, frame=cast)


def oldest_first(rows: Rows, time: str) -> Rows:
    """The rows with the oldest first, where the file begins with the newest; else unchanged. They are not sorted."""
    if not newest_first(rows.frame[time]):
        return rows
    return replace(rows, frame=rows.frame.reverse(), reverse=True)


def _cast(name: str, found: pl.DataType, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(found, pl.Null):
        return column.cast(kind)
    if kind == TIME:
        if not is_time_type(found):
            raise InputError(_wrong_type(name, found))
        return as_time(name, found).alias(name)
    if found == kind:
        return column
    if not (found.is_numeric() or isinstance(found, _SIMPLE)):
        raise InputError(_wrong_type(name, found))
    if isinstance(kind, pl.Boolean) and isinstance(found, pl.String):
        return column.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)
    if isinstance(kind, pl.String) and found.is_float():
        # 17.0 is not how anybody numbers a trade, and beyond 2^53 numbers fall together.
        raise InputError(_wrong_type(name, found))
    return column.cast(kind, strict=False)


def _wrong_type(name: str, found: pl.DataType) -> str:
    return f"the column {name} is of type {found}, which cannot be read; write it as numbers, times or text"


def _value(frame: pl.DataFrame, column: str, row: int) -> object:
    """The field as it stands; a time that is broken as its count, for no calendar may have it."""
    series = frame[column]
    return (series.to_physical() if series.dtype.is_temporal() else series)[row]


def _broken_field(place: str, name: str, value: object, kind: pl.DataType) -> str:
    shown = "time" if kind == TIME else name
    if value is None:
        return f"{place}: {shown} is missing"
    text = repr(value)
    cut = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    word = "time" if kind == TIME else "text" if isinstance(kind, pl.String) else "number"
    word = "true or false" if isinstance(kind, pl.Boolean) else f"a {word}"
    return f"{place}: {shown} is {cut}, which is not {word}"


def _collect(content: Content, wanted: Callable[[str], bool]) -> pl.DataFrame:
    scan = pl.scan_parquet if content.layout is Layout.PARQUET else pl.scan_ipc
    try:
        table = scan(BytesIO(content.data))
        names = [name for name in table.collect_schema() if wanted(name.lower())]
        if len({name.lower() for name in names}) != len(names):
            msg = f"a column stands there twice ({', '.join(names)}); remove one"
            raise InputError(msg)
        # The count stands in the file's own summary, so an absurd one is refused before memory is taken for it.
        require_rows(table.select(pl.len()).collect().item())
        return table.select(pl.col(name).alias(name.lower()) for name in names).collect()
    except (PolarsError, PanicException, OSError, ValueError) as error:
        raise unreadable(content.layout, error) from error


def _split(text: str, shape: Shape) -> pl.DataFrame:
    """The lines of a CSV as a frame of text, one row a line: an empty line becomes a row of nulls."""
    lines = text.rstrip("\r\n").encode()
    count = lines.count(b"\n") + 1 - shape.skip
    if count < 1:
        msg = "it holds a header and no row"
        raise InputError(msg)
    require_rows(count)
    try:
        frame = pl.read_csv(
            lines, has_header=False, skip_lines=shape.skip, schema=dict.fromkeys(shape.names, pl.String())
        )
    except (PolarsError, PanicException) as error:
        raise InputError(_broken_csv(lines, len(shape.names), error)) from error
    if frame.height != count:
        msg = f"its {count:,} lines give {frame.height:,} rows; a quotation mark is not closed, or a field spans lines"
        raise InputError(msg)
    return frame


def _broken_csv(lines: bytes, width: int, error: BaseException) -> str:
    numbered = enumerate(lines.split(b"\n"), start=1)
    line, found = next(((line, row.count(b",") + 1) for line, row in numbered if row.count(b",") >= width), (0, 0))
    return f"line {line} has {found} fields instead of {width}" if line else f"it is not a CSV ({str(error)[:200]})"
