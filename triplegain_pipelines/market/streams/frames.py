"""What ccxt does not tell of a venue's WebSocket messages: confirmed subscriptions, lost messages, refusals."""

from collections.abc import Mapping, Sequence
from typing import Any

from triplegain_pipelines.domain.errors import TransientError


class Frames:
    """The messages of a venue of which nothing is known: a subscription counts as confirmed when it was sent.

    Args:
        symbols: those that were asked for.
    """

    confirms = False

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = frozenset(symbols)

    def confirmed(self, message: Mapping[str, Any]) -> frozenset[str]:
        """The symbols whose subscription this message confirms.

        Raises:
            TransientError: the message refuses a subscription, or one before it was lost.
        """
        del message
        return frozenset()

    async def keep_alive(self, exchange: Any) -> None:  # noqa: ANN401 - ccxt has no types
        """Subscribe to what keeps a quiet connection open, where ccxt does not."""
        del exchange


class KrakenFrames(Frames):
    """Kraken, WebSocket version 2: one confirmation a symbol."""

    confirms = True

    def confirmed(self, message: Mapping[str, Any]) -> frozenset[str]:
        """See `Frames`; further, ccxt files all trades of a message under the first one's symbol."""
        if message.get("success") is False:
            msg = f"Kraken refused a request: {str(message.get('error'))[:200]}"
            raise TransientError(msg)
        if message.get("channel") == "trade" and len({row["symbol"] for row in message["data"]}) != 1:
            msg = "Kraken sent trades of more than one symbol, or of none, in one message"
            raise TransientError(msg)
        if message.get("method") == "subscribe":
            return frozenset({message["result"]["symbol"]})
        return frozenset()


class BinanceFrames(Frames):
    """Binance: one confirmation for all symbols, which answers the request by its number."""

    confirms = True

    def confirmed(self, message: Mapping[str, Any]) -> frozenset[str]:
        """See `Frames`."""
        if "id" in message and message.get("result", message) is None:
            return self._symbols
        return frozenset()


class CoinbaseFrames(Frames):
    """Coinbase Advanced Trade: one confirmation for all symbols; messages are numbered without a hole."""

    confirms = True

    def __init__(self, symbols: Sequence[str]) -> None:
        super().__init__(symbols)
        self._next: int | None = None

    def confirmed(self, message: Mapping[str, Any]) -> frozenset[str]:
        """See `Frames`. ccxt does not look at the numbers."""
        number = message.get("sequence_num")
        if number is not None:
            if self._next not in {None, number}:
                msg = f"Coinbase sent message {number} where {self._next} was due; some were lost on the way"
                raise TransientError(msg)
            self._next = number + 1
        if message.get("channel") != "subscriptions":
            return frozenset()
        subscribed = [event["subscriptions"] for event in message["events"]]
        products = {one for channels in subscribed for listed in channels.values() for one in listed}
        return frozenset(symbol for symbol in self._symbols if symbol.replace("/", "-") in products)

    async def keep_alive(self, exchange: Any) -> None:  # noqa: ANN401 - ccxt has no types
        """Coinbase closes a connection over which nothing came for a minute or so; its heartbeats prevent that."""
        client = exchange.client(exchange.urls["api"]["ws"])
        await client.connected
        await client.send({"type": "subscribe", "channel": "heartbeats"})


def frames_of(venue: str, symbols: Sequence[str]) -> Frames:
    """How to read the messages of the venue with this id in ccxt."""
    kinds = {"kraken": KrakenFrames, "binance": BinanceFrames, "binanceusdm": BinanceFrames, "coinbase": CoinbaseFrames}
    return kinds.get(venue, Frames)(symbols)
