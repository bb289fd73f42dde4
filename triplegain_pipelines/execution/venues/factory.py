"""Open the broker of a venue."""

from collections.abc import Iterable
from datetime import timedelta

from triplegain_pipelines.domain.clock import Clock
from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.execution.venues.binance import BinanceAdapter
from triplegain_pipelines.execution.venues.client import PrivateClient
from triplegain_pipelines.execution.venues.coinbase import CoinbaseAdapter
from triplegain_pipelines.execution.venues.kraken import KrakenAdapter
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.venues import VenueSettings

_LONGEST_PATIENCE = timedelta(seconds=10)
_AFTER_EXPIRY = timedelta(seconds=1)


def open_broker(
    venue: VenueSettings,
    name: str,
    keys: Keys,
    live: LiveSettings,
    clock: Clock,
    *,
    symbols: Iterable[str] = (),
    base_url: str | None = None,
    patience: timedelta | None = None,
) -> Broker:
    """The broker of the account that `keys` belong to. Nothing is asked of the venue yet.

    Args:
        venue: with the section `trading`.
        name: of the venue in our tables.
        keys: of the account; one process uses them at a time, for their requests are numbered.
        live: how long a request lasts, how far a limit lies beyond its price.
        clock: gives the times in the requests.
        symbols: of the profile. Binance tells trades by symbol only, so it needs them.
        base_url: address to use in place of the venue's own.
        patience: how long an answer is waited for; None: a little longer than a request lasts.

    Raises:
        SettingsError: there is no adapter for the venue, or venues.yaml does not describe it as one to trade at.
    """
    # An answer that comes later than the request expires tells nothing that a look-up would not.
    timeout = min(_LONGEST_PATIENCE, timedelta(seconds=live.expiry_seconds) + _AFTER_EXPIRY)
    client = PrivateClient(venue, keys, clock, patience or timeout, base_url)
    match venue.ccxt:
        case "kraken":
            return KrakenAdapter(name, client, live, clock)
        case "binance":
            return BinanceAdapter(name, client, live, clock, symbols)
        case "coinbase":
            return CoinbaseAdapter(name, client, live, clock)
    msg = f"there is no adapter that trades at {venue.ccxt!r}; take 'trading' out of its section in venues.yaml"
    raise SettingsError(msg)
