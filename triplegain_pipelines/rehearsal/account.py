"""Balances of an account at a venue on loopback: what is free and what its orders hold. None is ever negative."""

from collections.abc import Mapping
from decimal import Decimal


class Account:
    """Balances by currency. The exchange that owns it sees to it that one thread at a time changes them."""

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self._free: dict[str, Decimal] = dict(balances)
        self._held: dict[str, Decimal] = dict.fromkeys(balances, Decimal(0))

    def free(self, currency: str) -> Decimal:
        """What can be spent."""
        return self._free.get(currency, Decimal(0))

    @property
    def held(self) -> dict[str, Decimal]:
        """What open orders keep from being spent."""
        return dict(self._held)

    @property
    def totals(self) -> dict[str, Decimal]:
        """What is owned, free or held."""
        return {currency: self._free[currency] + self._held[currency] for currency in self._free}

    def hold(self, currency: str, amount: Decimal) -> bool:
        """Keep `amount` from being spent; False, and nothing is done, where that much is not free."""
        if not self._can(currency, -amount):
            return False
        self._add(currency, -amount)
        self._held[currency] += amount
        return True

    def release(self, currency: str, amount: Decimal) -> None:
        """Give free what was held."""
        self._add(currency, amount)
        self._held[currency] -= amount

    def change(self, changes: Mapping[str, Decimal]) -> bool:
        """Book `changes` on what is free; False, and nothing is done, where one of them would be an overdraft."""
        if not all(self._can(currency, amount) for currency, amount in changes.items()):
            return False
        for currency, amount in changes.items():
            self._add(currency, amount)
        return True

    def _can(self, currency: str, amount: Decimal) -> bool:
        return self.free(currency) + amount >= 0

    def _add(self, currency: str, amount: Decimal) -> None:
        self._free[currency] = self.free(currency) + amount
        self._held.setdefault(currency, Decimal(0))
