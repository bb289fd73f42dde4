"""How numbers, times and reason codes are spelt for people. No value at all is a dash, never a zero."""

from datetime import datetime, timedelta
from decimal import Decimal

from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.performance import Interval

NOTHING = "\N{EN DASH}"
_MEANINGS = {code.value: code.meaning for code in ReasonCode}
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_SECOND_MS = 1000


def meaning(code: str) -> str:
    """What a reason code means; a code of an older version that is not known any more stands for itself."""
    return _MEANINGS.get(code, code)


def plain(number: Decimal) -> str:
    """A number with six significant digits, or all of its digits before the point.

    >>> plain(Decimal("64210.500")), plain(Decimal("0.000123456789")), plain(Decimal("1200"))
    ('64,210.5', '0.000123457', '1,200')
    """
    if not number:
        return "0"
    places = max(0, 5 - number.adjusted())
    text = f"{number:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def lasted(duration: timedelta) -> str:
    """A duration in its two largest units.

    >>> lasted(timedelta(hours=3, minutes=20, seconds=5)), lasted(timedelta(seconds=30))
    ('3 h 20 min', 'less than a minute')
    """
    days, hours, minutes = duration // _DAY, duration % _DAY // _HOUR, duration % _HOUR // _MINUTE
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join([part for part in parts if part][:2]) or "less than a minute"


def moment(at: datetime) -> str:
    """A time as the report prints it.

    >>> from datetime import UTC
    >>> moment(datetime(2024, 8, 5, 14, 1, tzinfo=UTC))
    '5 Aug 2024 14:01'
    """
    return f"{at.day} {at:%b %Y %H:%M}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """A fraction as a percentage; a dash for no value."""
    return NOTHING if value is None else f"{value:+.2%}" if signed else f"{value:.1%}"


def number(value: float | None, *, places: int = 2, signed: bool = False) -> str:
    """A ratio; a dash for no value."""
    return NOTHING if value is None else f"{value:{'+' if signed else ''},.{places}f}"


def money(value: float | None, *, signed: bool = False) -> str:
    """An amount with two decimals; a dash for no value."""
    return number(value, signed=signed)


def basis_points(value: float | None) -> str:
    """A cost in basis points; a dash for no value."""
    return NOTHING if value is None else f"{value:+.1f} bps"


def milliseconds(value: float) -> str:
    """A latency."""
    return f"{value / _SECOND_MS:,.1f} s" if value >= _SECOND_MS else f"{value:,.0f} ms"


def bracket(interval: Interval, form: str) -> str:
    """An interval as `low to high`."""
    return f"{interval.low:{form}} to {interval.high:{form}}"


def between(interval: Interval | None, form: str) -> str:
    """An interval, or nothing."""
    return "" if interval is None else bracket(interval, form)


def plus_minus(error: float | None, unit: str) -> str:
    """A standard error with its unit; the unit alone where there is none."""
    return unit if error is None else f"± {error:,.2f} {unit} (standard error)"


def tone(value: float | None) -> str:
    """The class that colours a gain or a loss."""
    return "" if not value else "gain" if value > 0 else "loss"
