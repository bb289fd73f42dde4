"""What a fill costs at a venue on loopback, and in which currency."""

from dataclasses import dataclass
from decimal import Decimal

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import CAUTIOUS, rounded_up
from triplegain_pipelines.domain.orders import Side
from triplegain_pipelines.rehearsal.orders import FeeIn

_STEP = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Fee:
    """What one fill costs."""

    amount: Decimal
    currency: str


def taken_in(place: FeeIn, side: Side, instrument: Instrument) -> str:
    """The currency of a fee.

    >>> taken_in(FeeIn.RECEIVED, Side.BUY, Instrument("BTC/USDT"))
    'BTC'
    """
    in_base = place is FeeIn.BASE or (place is FeeIn.RECEIVED and side is Side.BUY)
    return instrument.base if in_base else instrument.quote


def fee_in_quote(cost: Decimal, rate: Decimal, instrument: Instrument) -> Fee:
    """A fee in quote currency, rounded up to eight decimals."""
    return Fee(rounded_up(cost * rate, _STEP), instrument.quote)


def fee_in_base(quantity: Decimal, rate: Decimal, instrument: Instrument) -> Fee:
    """A fee in base currency, rounded up to eight decimals."""
    return Fee(rounded_up(quantity * rate, _STEP), instrument.base)


def fee_in_other(quote_fee: Fee, currency: str, price: Decimal) -> Fee:
    """A fee of the same worth in a third currency that costs `price` of the quote currency."""
    return Fee(rounded_up(CAUTIOUS.divide(quote_fee.amount, price).quantize(_STEP, context=CAUTIOUS), _STEP), currency)
