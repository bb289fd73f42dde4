"""How often Kraken lets an account of the tier 'Starter' call: docs.kraken.com, REST rate limits and trading limits."""

from datetime import datetime

_CALLS = 15.0
_CALLS_A_SECOND = 0.33
_ORDERS = 60.0
_ORDERS_A_SECOND = 1.0
_HISTORY = frozenset({"TradesHistory", "ClosedOrders", "Ledgers", "QueryLedgers"})
_WITHOUT_COST = frozenset({"AddOrder", "CancelOrder"})
# What a cancel costs by the seconds that the order has rested: the younger, the more.
_CANCEL_COST = ((5, 8.0), (10, 6.0), (15, 5.0), (45, 4.0), (90, 2.0), (300, 1.0))


class Counter:
    """A count that every call adds to and that time takes from."""

    def __init__(self, most: float, a_second: float) -> None:
        self._most, self._a_second = most, a_second
        self._count = 0.0
        self._at: datetime | None = None

    def add(self, cost: float, now: datetime, *, refusable: bool = True) -> bool:
        """Count a call; False, and nothing is counted, where that would be too many."""
        passed = (now - self._at).total_seconds() if self._at is not None else 0.0
        self._count, self._at = max(0.0, self._count - passed * self._a_second), now
        if refusable and self._count + cost > self._most:
            return False
        self._count += cost
        return True


class KrakenLimits:
    """The call-rate counter of a key, and the counter of orders of each pair."""

    def __init__(self) -> None:
        self._calls = Counter(_CALLS, _CALLS_A_SECOND)
        self._pairs: dict[str, Counter] = {}

    def call(self, name: str, now: datetime) -> bool:
        """Whether a private call may be made now. Placing and canceling orders is not counted here."""
        return name in _WITHOUT_COST or self._calls.add(2.0 if name in _HISTORY else 1.0, now)

    def place(self, symbol: str, now: datetime) -> bool:
        """Whether an order may be placed now."""
        return self._of(symbol).add(1.0, now)

    def cancel(self, symbol: str, opened_at: datetime, now: datetime) -> None:
        """Count a cancel, which is never refused."""
        self._of(symbol).add(_cost(_CANCEL_COST, opened_at, now), now, refusable=False)

    def _of(self, symbol: str) -> Counter:
        return self._pairs.setdefault(symbol, Counter(_ORDERS, _ORDERS_A_SECOND))


def _cost(costs: tuple[tuple[int, float], ...], opened_at: datetime, now: datetime) -> float:
    age = (now - opened_at).total_seconds()
    return next((cost for seconds, cost in costs if age < seconds), 0.0)
