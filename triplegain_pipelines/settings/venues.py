"""`config/venues.yaml`: what each venue gives, publishes and allows. The one place for a venue's limits."""

from enum import StrEnum

from pydantic import Field

from triplegain_pipelines.domain.errors import SettingsError
from triplegain_pipelines.domain.quality import EmptyMinute
from triplegain_pipelines.settings.section import Section


class CandleHistory(Section):
    """Candles by REST: how many one call gives, and how many of the newest there are at all (`reach`; None: all)."""

    per_call: int = Field(ge=1)
    reach: int | None = Field(default=None, ge=1)


class TradeHistory(Section):
    """Trades by REST, all the way back: how many one call gives."""

    per_call: int = Field(ge=1)


class BookStream(Section):
    """The order book by WebSocket: levels a side, and whether the venue sends checksums that are to be validated."""

    depth: int = Field(ge=1)
    checksum: bool = False


class StreamKind(StrEnum):
    """What 1-minute candles are followed by over WebSocket."""

    TRADES = "trades"  # every trade; we build the candle
    CANDLES = "candles"  # the venue's own forming candle


class TradingAccess(Section):
    """What a key of ours may ask of the venue: `burst` calls at once, then `calls_per_second`.

    Orders and cancels are not counted: venues count those apart. `sandbox`: the venue's test system with play money.
    """

    calls_per_second: float = Field(gt=0)
    burst: int = Field(ge=1)
    sandbox: bool = False


class VenueSettings(Section):
    """One venue.

    `ccxt` is its id in ccxt. `empty_minute` says what it publishes for a minute without a trade.
    `calls_per_second` is its public rate limit, and `history_share` the part of it that back-fills and repairs may
    use: the rest is left for prices and orders. `final_after_seconds` is how long a closed candle may still be revised.
    Orders can be sent to a venue that has the section `trading`.
    """

    ccxt: str
    empty_minute: EmptyMinute
    candles: CandleHistory
    trades: TradeHistory | None = None
    stream: StreamKind | None = None
    book: BookStream | None = None
    calls_per_second: float = Field(gt=0)
    history_share: float = Field(default=0.5, gt=0, lt=1)
    final_after_seconds: int = Field(default=10, ge=0, le=60)
    trading: TradingAccess | None = None


class Venues(Section):
    """All venues by the name they have in our tables."""

    venues: dict[str, VenueSettings]

    def of(self, venue: str) -> VenueSettings:
        """The venue of this name.

        Raises:
            SettingsError: venues.yaml does not describe it.
        """
        if venue not in self.venues:
            msg = f"the venue {venue!r} is not in venues.yaml; add it there, or use one of: {', '.join(self.venues)}"
            raise SettingsError(msg)
        return self.venues[venue]
