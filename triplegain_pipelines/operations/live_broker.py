"""A live account's access to its venue: one broker for each process and key."""

import threading
from functools import lru_cache

from triplegain_pipelines.domain.clock import SystemClock
from triplegain_pipelines.domain.secrets import Keys
from triplegain_pipelines.execution.broker import Broker
from triplegain_pipelines.settings.profile import LiveSettings
from triplegain_pipelines.settings.venues import VenueSettings

_OPENING = threading.Lock()


def live_broker(
    venue: VenueSettings,
    name: str,
    keys: Keys,
    live: LiveSettings,
    symbols: tuple[str, ...],
) -> Broker:
    """The access of this process. Other keys get another one, so a rotation needs no restart.

    Args:
        venue: what venues.yaml says of it.
        name: of the venue in our tables.
        keys: of the account.
        live: how requests are sent.
        symbols: what the account trades.
    """
    # Two brokers with one key would each number their requests for themselves.
    with _OPENING:
        return _opened(venue, name, keys, live, symbols)


@lru_cache(maxsize=1)
def _opened(venue: VenueSettings, name: str, keys: Keys, live: LiveSettings, symbols: tuple[str, ...]) -> Broker:
    from triplegain_pipelines.execution.venues.factory import open_broker

    return open_broker(venue, name, keys, live, SystemClock(), symbols=symbols)
