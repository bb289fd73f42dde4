"""What a venue answered, taken apart without trust: a field of another shape is an error and never a default."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.orders import OrderState, Side
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.execution.venues.numbers import exact

_LATEST = Decimal(10) ** 11  # seconds since 1970: beyond the year 5000
_MICROSECONDS = 1_000_000


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """`value` as a JSON object.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, dict):
        return value
    msg = f"{what} is no JSON object but {str(value)[:80]!r}"
    raise DataError(msg)


def rows(value: object, what: str) -> list[Mapping[str, Any]]:
    """`value` as a list of JSON objects.

    Raises:
        DataError: it is something else. An empty list is an answer, a missing one is none.
    """
    if isinstance(value, list):
        return [mapping(row, what) for row in value]
    msg = f"{what} is no list but {str(value)[:80]!r}"
    raise DataError(msg)


def text(row: Mapping[str, Any], field: str) -> str:
    """A field that holds words or an id, not empty.

    Raises:
        DataError: it is missing, empty, or no text.
    """
    value = row.get(field)
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return str(value)
    msg = f"the field {field} is {str(value)[:40]!r}, which is no text"
    raise DataError(msg)


def text_if_any(row: Mapping[str, Any], field: str) -> str | None:
    """A field that may be missing, null or empty: what somebody else calls an order.

    Raises:
        DataError: it is there, but no text.
    """
    value = row.get(field)
    return None if value is None or value == "" else text(row, field)


def number(row: Mapping[str, Any], field: str) -> Decimal:
    """A field that holds a number of zero or more.

    Raises:
        DataError: it is missing, no number, or negative.
    """
    value = exact(row.get(field), f"the field {field}")
    if value < 0:
        msg = f"the field {field} is {value}, which is less than zero"
        raise DataError(msg)
    return value


def side(value: str) -> Side:
    """Buy or sell, however it is written.

    Raises:
        DataError: it is neither.
    """
    try:
        return Side(value.upper())
    except ValueError:
        msg = f"the side is {value[:40]!r}, neither buy nor sell"
        raise DataError(msg) from None


def moment_of_seconds(seconds: Decimal) -> datetime:
    """A time given in seconds since 1970, with what it has of decimals.

    Raises:
        DataError: it is no time of ours.
    """
    if not 0 < seconds < _LATEST:
        msg = f"{seconds} seconds since 1970 is no time of an order"
        raise DataError(msg)
    return EPOCH + timedelta(microseconds=int(seconds * _MICROSECONDS))


def moment_of_text(words: str) -> datetime:
    """A time given as RFC 3339.

    Raises:
        DataError: it is no time, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{words[:40]!r} is no time with a zone"
        raise DataError(msg)
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """`moment` as venues read it, to the millisecond, rounded down.

    >>> rfc3339(datetime(2024, 8, 5, 12, 0, 0, 123999, tzinfo=UTC))
    '2024-08-05T12:00:00.123Z'
    """
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds from 1970 to `moment`."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def state_of(*, working: bool, filled: Decimal, quantity: Decimal) -> OrderState:
    """The state of an order that the venue still works on, or is done with."""
    if working:
        return OrderState.PARTIALLY_FILLED if filled else OrderState.OPEN
    return OrderState.FILLED if filled == quantity else OrderState.CANCELED
