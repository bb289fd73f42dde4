"""What a venue is asked before an account's books are taken: nobody waits for the books while a venue thinks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.domain.errors import UnavailableError
from triplegain_pipelines.domain.market import Quote
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.execution.desk import Desk
from triplegain_pipelines.store import positions
from triplegain_pipelines.store.decisions import read_decision

VenueBalances = Mapping[str, Decimal] | Reason | None
"""What the venue holds by currency; None where it keeps no balances, a reason where it could not be asked."""


@dataclass(frozen=True, slots=True)
class AskedPrices:
    """Prices as they were asked for, and what was said where there was none."""

    quotes: Mapping[str, Quote]
    silences: Mapping[str, str]

    def quote(self, symbol: str, at: datetime) -> Quote:  # noqa: ARG002 - how old it may be is the fence's
        """The price that was asked for.

        Raises:
            UnavailableError: there was none, or nobody asked for it.
        """
        if symbol in self.quotes:
            return self.quotes[symbol]
        silence = self.silences.get(symbol, f"{symbol} came into the books while prices were asked for; try again")
        raise UnavailableError(silence)


def with_asked_prices(desk: Desk, decision_id: UUID) -> Desk:
    """A desk for real money, with the prices of now of the decision's symbol and of all that is held.

    A paper desk stays as it is: to wait for its prices costs nobody's money.
    """
    if not desk.live:
        return desk
    with desk.database.connection() as connection:
        decision = read_decision(connection, decision_id)
        held = positions.read_all(connection, desk.schema, desk.account)
    symbols = {position.symbol for position in held} | ({decision.symbol} if decision else set())
    quotes: dict[str, Quote] = {}
    silences: dict[str, str] = {}
    for symbol in sorted(symbols):
        try:
            quotes[symbol] = desk.prices.quote(symbol, desk.clock.now())
        except UnavailableError as error:
            silences[symbol] = str(error)
    return replace(desk, prices=AskedPrices(quotes, silences))


def venue_balances(desk: Desk) -> VenueBalances:
    """What the venue holds."""
    if not desk.live:
        return None
    try:
        return desk.broker.balances()
    except UnavailableError as error:
        return Reason(ReasonCode.BALANCE_UNKNOWN, {"error": str(error)})
