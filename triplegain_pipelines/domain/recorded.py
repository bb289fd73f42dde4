"""Records of other people's models: what a model bought or sold, and what score it gave a headline.

They come from files that strangers published. They are judged, never acted on, and kept apart from our own forecasts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class RecordedAction(StrEnum):
    """What a step of a recorded portfolio did. `START` is what it began with, `NONE` a day without a trade."""

    START = "START"
    BUY = "BUY"
    SELL = "SELL"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step of a recorded portfolio. No step states a price, a time of day, a probability or a horizon.

    Attributes:
        line: of the file, from 1.
        model: as the file names it.
        day: as the file says; the time of day is not known.
        step: its number in the portfolio, from 0.
        action: what was done.
        symbol: such as BTC/USDT; None where nothing was traded.
        amount: in the base currency, as stated; 0 where nothing was traded.
        price: cash paid or received over the amount; None where nothing was traded.
        cash: after the step, in the quote currency.
        holdings: after the step, in base currency by symbol.
        overwritten: whether a later line of the file went on from before this step. The model did decide so, but the
            portfolio that came of it was lost.
    """

    line: int
    model: str
    day: date
    step: int
    action: RecordedAction
    symbol: str | None
    amount: Decimal
    price: Decimal | None
    cash: Decimal
    holdings: Mapping[str, Decimal]
    overwritten: bool


@dataclass(frozen=True, slots=True)
class RecordedScore:
    """A headline with the score from -1 (bad) to 1 (good) that a model gave it, and why. Which model is not known."""

    line: int
    published_at: datetime
    headline: str
    score: float
    reason: str
