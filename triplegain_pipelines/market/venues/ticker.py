"""The price that can be traded at now, from a venue's ticker."""

from datetime import datetime, timedelta
from decimal import Decimal
from math import inf
from typing import Any

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import PermanentError, TransientError, UnavailableError
from triplegain_pipelines.domain.market import Quote, exact_price
from triplegain_pipelines.domain.timeframes import EPOCH
from triplegain_pipelines.market.venues.budget import call_budget
from triplegain_pipelines.market.venues.exchange import call, open_exchange
from triplegain_pipelines.settings.venues import VenueSettings

_MAXIMUM_AGE = timedelta(seconds=10)
_LATEST = 10**14  # milliseconds since 1970: beyond the year 5000
# The time in Coinbase's ticker is that of the last trade, which says nothing about how old bid and ask are.
_TIMED_BY_TRADE = frozenset({"coinbase"})


class TickerPrices:
    """Prices from a venue's ticker: the middle between the best bid and the best ask. It is a `PriceSource`.

    Args:
        venue: whose ticker.
        clock: tells how long an answer took.
        base_url: address to use in place of the venue's own.
    """

    def __init__(self, venue: VenueSettings, clock: Clock, base_url: str | None = None) -> None:
        self._venue, self._clock, self._base_url = venue, clock, base_url

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price at the moment of the answer, which must not be before `at`.

        A ticker that carries no time of its own (Kraken, Coinbase) is taken to be as old as the question; the last
        trade is not used, because in a thin market it may be hours old.

        Raises:
            UnavailableError: the call failed, the ticker has no bid or ask, they cross, or it is more than 10 s off.
        """
        asked = self._clock.now()
        try:
            # A price for an order goes before any call for history.
            with call_budget(self._venue).trading():
                ticker = call(open_exchange(self._venue, self._base_url), "fetch_ticker", symbol)
        except (TransientError, PermanentError) as error:
            msg = f"{self._venue.ccxt} gives no price of {symbol}: {error}"
            raise UnavailableError(msg) from error
        answered = self._clock.now()
        stamp = None if self._venue.ccxt in _TIMED_BY_TRADE else ticker.get("timestamp")
        valid = asked if stamp is None else self._time(symbol, stamp)
        if answered - valid > _MAXIMUM_AGE or answered < at:
            msg = (
                f"{self._venue.ccxt}'s price of {symbol} is from {valid.isoformat()}: too old at {answered.isoformat()}"
            )
            raise UnavailableError(msg)
        if valid - answered > _MAXIMUM_AGE:
            msg = (
                f"{self._venue.ccxt}'s price of {symbol} is from {valid.isoformat()}, which is still to come at "
                f"{answered.isoformat()}: how old it is is not known; compare the clocks with `triplegain doctor`"
            )
            raise UnavailableError(msg)
        return Quote(symbol, self._middle(symbol, ticker), answered)

    def _time(self, symbol: str, stamp: object) -> datetime:
        if not isinstance(stamp, int) or not 0 < stamp < _LATEST:
            msg = f"{self._venue.ccxt}'s ticker of {symbol} has the time {str(stamp)[:40]}: that is no time"
            raise UnavailableError(msg)
        return EPOCH + timedelta(milliseconds=stamp)

    def _middle(self, symbol: str, ticker: dict[str, Any]) -> Decimal:
        bid, ask = ticker.get("bid"), ticker.get("ask")
        if not bid or not ask or not 0 < bid <= ask < inf:
            msg = f"{self._venue.ccxt}'s ticker of {symbol} has bid {bid} and ask {ask}: that is no price"
            raise UnavailableError(msg)
        return (exact_price(bid) + exact_price(ask)) / 2
