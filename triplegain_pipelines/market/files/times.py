"""Times as files write them, to the microsecond and never rounded into the next one."""

import polars as pl

from triplegain_pipelines.market.contracts import TIME

# A count of seconds, milliseconds, microseconds or nanoseconds since 1970 is told by its size, row by row: 10^11 s and
# 10^17 us lie beyond the year 5000. Each step: counts below, and how many digits of a second they leave out.
_UNITS = ((10**11, 6), (10**14, 3), (10**17, 0))
_NANOSECONDS_BELOW = 9 * 10**18


def as_time(name: str, kind: pl.DataType) -> pl.Expr:
    """The column `name` of type `kind` as UTC times; null where it is not a time.

    Understood are times, dates, counts since 1970 (also with a fraction, as number or text), ISO 8601 text, and
    CryptoDataDownload's `2019-10-17 09-AM`. A time without a zone is UTC. What is finer than a microsecond is cut off:
    rounding could carry a trade into the next minute.
    """
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        return _utc(column.dt.convert_time_zone("UTC") if kind.time_zone else column, kind.time_unit or "us")
    if isinstance(kind, pl.Date):
        days = column.to_physical()
        return pl.when((days >= 0) & (days < 10**6)).then(days.cast(pl.Int64) * 86_400_000_000).cast(TIME)
    if kind.is_integer():
        return _from_counts(column.cast(pl.Int64, strict=False), pl.lit("", pl.String))
    if kind.is_numeric():
        number = column.cast(pl.Float64, strict=False)
        whole = number.floor()
        # A double holds some 16 digits: of seconds the microseconds, of anything finer not even those.
        fraction = ((number - whole) * 10**6).floor().cast(pl.Int64, strict=False).cast(pl.String).str.zfill(6)
        return _from_counts(whole.cast(pl.Int64, strict=False), fraction)
    return _from_text(column)


def is_time_type(kind: pl.DataType) -> bool:
    """Whether a column of this type can hold times in a form that `as_time` reads."""
    return kind.is_numeric() or isinstance(kind, pl.String | pl.Date | pl.Datetime)


def newest_first(times: pl.Series) -> bool:
    """Whether the rows stand from the newest to the oldest, by most of their steps."""
    steps = times.diff().dt.total_microseconds()
    return int((steps < 0).sum()) > int((steps > 0).sum())


def _utc(column: pl.Expr, unit: str) -> pl.Expr:
    count = column.dt.replace_time_zone(None).to_physical()
    scaled = {
        "ms": pl.when((count >= 0) & (count < 10**14)).then(count * 1000),
        "us": pl.when((count >= 0) & (count < 10**17)).then(count),
        "ns": pl.when((count >= 0) & (count < _NANOSECONDS_BELOW)).then(count // 1000),
    }[unit]
    return scaled.cast(TIME)


def _from_text(column: pl.Expr) -> pl.Expr:
    count = column.str.extract(r"^(\d{1,19})(?:\.\d*)?$").cast(pl.Int64, strict=False)
    fraction = column.str.extract(r"^\d{1,19}\.(\d*)$").fill_null("")
    text = column.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    text = pl.when(text.str.contains(" ")).then(text).otherwise(text + " 00:00:00")
    text = pl.when(text.str.contains(r" .*[+-]\d\d:?\d*$")).then(text).otherwise(text + "+00:00")
    return pl.coalesce(
        _from_counts(count, fraction),
        text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_unit="us", strict=False),
        _from_half_days(column),
    )


def _from_half_days(column: pl.Expr) -> pl.Expr:
    twelve_hours = column.str.replace(r"^(\d{4}-\d\d-\d\d \d\d)-([AP]M)$", "${1}:00 ${2}")
    return twelve_hours.str.to_datetime("%Y-%m-%d %I:%M %p", time_unit="us", strict=False).dt.replace_time_zone("UTC")


def _from_counts(count: pl.Expr, fraction: pl.Expr) -> pl.Expr:
    """Times of whole counts since 1970 and the digits behind their point."""
    microseconds: pl.Expr = pl.when((count >= 10**17) & (count < _NANOSECONDS_BELOW)).then(count // 1000)
    for below, digits in reversed(_UNITS):
        parts = fraction.str.slice(0, digits).str.pad_end(digits, "0") if digits else pl.lit("0")
        scaled = count * 10**digits + pl.when(parts == "").then(pl.lit("0")).otherwise(parts).cast(
            pl.Int64, strict=False
        )
        microseconds = pl.when((count >= 0) & (count < below)).then(scaled).otherwise(microseconds)
    return microseconds.cast(TIME)
