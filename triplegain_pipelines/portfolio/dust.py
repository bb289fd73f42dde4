"""What is left of a position and is too small to be traded: it cannot be sold, so the position ends without it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Dust:
    """What was left of the position of `decision_id`, in base currency, with the price of its last trade."""

    account: str
    symbol: str
    decision_id: UUID
    quantity: Decimal
    price: Decimal
    written_off_at: datetime
