"""A live account's access to its venue: one broker for each process and key, and the venue's rules as of today."""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.venues import VenueSettings

_RULES_LAST = timedelta(days=1)
_OPENING = threading.Lock()


class LiveVenue:
    """A broker, and steps and minimums of the symbols as the venue had them a day ago at most."""

    def __init__(self, broker: Broker, symbols: tuple[str, ...]) -> None:
        self.broker = broker
        self._symbols = symbols
        self._read_at: datetime | None = None
        self._instruments: Mapping[str, Instrument] = {}
        self._reading = threading.Lock()

    def instruments(self, now: datetime) -> Mapping[str, Instrument]:
        """Steps and minimums by symbol.

        Raises:
            UnavailableError: the venue cannot be asked: rules that may have changed are not traded by.
        """
        with self._reading:
            if self._read_at is None or now - self._read_at > _RULES_LAST:
                self._instruments, self._read_at = self.broker.instruments(self._symbols), now
            return self._instruments


def live_venue(
    venue: VenueSettings,
    name: str,
    keys: Keys,
    live: LiveSettings,
    symbols: tuple[str, ...],
    base_url: str | None = None,
) -> LiveVenue:
    """The access of this process. Other keys get another one, so a rotation needs no restart.

    Args:
        venue: what venues.yaml says of it.
        name: of the venue in our tables.
        keys: of the account.
        live: how requests are sent.
        symbols: what the account trades.
        base_url: address to use in place of the venue's own.
    """
    # Two brokers with one key would each number their requests for themselves.
    with _OPENING:
        return _opened(venue, name, keys, live, symbols, base_url)


@lru_cache(maxsize=1)
def _opened(
    venue: VenueSettings, name: str, keys: Keys, live: LiveSettings, symbols: tuple[str, ...], base_url: str | None
) -> LiveVenue:
    from triplegain_pipelines.execution.venues.factory import open_broker

    broker = open_broker(venue, name, keys, live, SystemClock(), symbols=symbols, base_url=base_url)
    return LiveVenue(broker, symbols)
