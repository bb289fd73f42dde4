"""The streaming adapter against loopback venues: real WebSockets, the real ccxt, every venue alike."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from recorded_books import binance_stream
from stream_following import BTC, CLOCK, ETH, KINDS, Following, run, trade
from venues.websockets import Sockets
from venues.websockets_binance import BinanceSockets

from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.market.streams.adapter import Channel, VenueStream
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.market.streams.events import (
    CandleSeen,
    Connected,
    Disconnected,
    TradesSeen,
)
from triplegain_pipelines.market.trades import (
    MinuteBuilder,
    MinuteCandle,
    Trade,
    candles_frame,
    candles_of_trades,
    minute_of,
    trades_frame,
)
from triplegain_pipelines.settings.venues import StreamKind

pytestmark = pytest.mark.integration

venues = pytest.mark.parametrize("name", list(KINDS))


@venues
def test_trades_arrive_as_they_were_sent(name: str) -> None:
    """Every venue's trades come through ccxt with their ids, times, prices and quantities unchanged (M2)."""
    sent = [trade(number, 5 - number / 10, 60_000.1 + number, 0.00000001 * (number + 1)) for number in range(20)]

    async def body(server: Sockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        server.publish_trades(BTC, sent)
        await following.until(lambda: following.counts[Trade] >= len(sent))
        assert sorted(following.trades(), key=lambda one: int(one.trade_id)) == sent
        assert following.events[0] == Connected(f"{name}/prices", following.events[0].at)  # type: ignore[union-attr]

    run(name, body)


@venues
def test_no_trade_is_lost_in_a_burst_over_many_symbols(name: str) -> None:
    """Of several symbols ccxt answers one at a time; what came in between must not be lost or late (M2)."""
    symbols = [f"C{number}/USDT" for number in range(50)]
    draw = np.random.default_rng(7)
    plan = [symbols[index] for index in draw.integers(len(symbols), size=600)]

    async def body(server: Sockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        sent: dict[str, list[str]] = {}

        def burst() -> None:
            for number, symbol in enumerate(plan):
                server.publish_trades(symbol, [trade(number)])
                sent.setdefault(symbol, []).append(str(number))

        await asyncio.to_thread(burst)
        await following.until(lambda: following.counts[Trade] >= len(plan))
        came: dict[str, list[str]] = {}
        for event in following.of(TradesSeen):
            came.setdefault(event.symbol, []).extend(one.trade_id for one in event.trades)
        assert came == sent

    run(name, body, *symbols)


@pytest.mark.parametrize("way", ["cut", "say_goodbye"])
@venues
def test_a_broken_connection_is_told_and_the_next_one_gives_the_same_candle(name: str, way: str) -> None:
    """Left alone, ccxt connects again in silence; a minute with a hole would look whole (M2, M4)."""
    trades = [trade(number, 50 - number / 4, 100.0 + number % 7) for number in range(60)]

    async def body(server: Sockets, stream: VenueStream) -> None:
        first = Following(stream, Channel.PRICES)
        await first.until_connected()
        server.publish_trades(BTC, trades[:40])
        await first.until(lambda: first.counts[Trade] >= 40)
        getattr(server, way)()
        assert isinstance(await first.error(), TransientError)
        assert isinstance(first.events[-1], Disconnected)
        assert first.events[-1].reason
        second = Following(stream, Channel.PRICES)
        await second.until_connected()
        server.publish_trades(BTC, trades[35:])
        await second.until(lambda: trades[-1] in second.trades())
        builder = MinuteBuilder(minute_of(trades[0].traded_at))
        late = builder.add([*first.trades(), *reversed(second.trades())])
        assert late == frozenset()
        built = [builder.close(builder.oldest_open) for _ in range(2)]
        whole = candles_of_trades(trades_frame(trades))
        assert_frame_equal(candles_frame(one for one in built if one), whole, check_exact=True)
        assert server.calls.count("exchangeInfo") + server.calls.count("AssetPairs") <= 1

    run(name, body)


def test_binance_candles_arrive_as_they_form() -> None:
    """The forming candle changes many times; each state comes, and a new minute after the last of the old (M2)."""
    opened = minute_of(CLOCK.now()) - timedelta(minutes=1)
    states = [MinuteCandle(opened, 1.5, 2.0 + step, 1.25, 2.0, 0.1 * step, None) for step in range(1, 5)]
    after = MinuteCandle(opened + timedelta(minutes=1), 2.0, 2.0, 2.0, 2.0, 0.5, None)

    async def body(server: BinanceSockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        for state in [*states, after]:
            server.publish_candle(BTC, state, closed=state is states[-1])
        server.publish_candle(ETH, after)
        await following.until(lambda: following.counts[CandleSeen] >= 6)
        assert following.of(CandleSeen) == [
            *(CandleSeen(BTC, state) for state in [*states, after]),
            CandleSeen(ETH, after),
        ]

    run("binance", body, kind=StreamKind.CANDLES)


def test_recorded_binance_frames_come_through(recorded_data: Path) -> None:
    """Frames as Binance really sent them, through the real ccxt (M2)."""
    recorded = list(binance_stream(recorded_data / "raw/binance/binance_ws_2021-10-12.txt.gz"))
    symbols = {"NKNUSDT": "NKN/USDT", "BLZETH": "BLZ/ETH", "LRCBTC": "LRC/BTC", "RUNEEUR": "RUNE/EUR"}
    tops = [data for _, stream, data in recorded if stream.endswith("@bookTicker")]
    candles = [data for _, stream, data in recorded if stream.endswith("@kline_1m")]

    async def body(server: BinanceSockets, stream: VenueStream) -> None:
        book, prices = Following(stream, Channel.BOOK), Following(stream, Channel.PRICES)
        await book.until_connected()
        await prices.until_connected()
        for data in tops:
            server.publish("book", symbols[data["s"]], json.dumps(data))
        for data in candles:
            server.publish("candles", symbols[data["s"]], json.dumps(data))
        await book.until(lambda: book.counts[TopOfBook] == len(tops))
        await prices.until(lambda: prices.counts[CandleSeen] == len(candles))
        for top, data in zip(book.of(TopOfBook), tops, strict=True):
            assert (top.symbol, top.bid, top.ask) == (symbols[data["s"]], float(data["b"]), float(data["a"]))
        for seen, data in zip(prices.of(CandleSeen), candles, strict=True):
            assert (seen.symbol, seen.candle.close) == (symbols[data["s"]], float(data["k"]["c"]))
            assert seen.candle.volume == float(data["k"]["v"])

    assert tops
    run("binance", body, *symbols.values(), kind=StreamKind.CANDLES)


@venues
def test_closing_ends_every_channel_without_an_error(name: str) -> None:
    """A service that stops must leave no connection and no task behind (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        followings = [Following(stream, channel) for channel in stream.channels]
        for following in followings:
            await following.until_connected()
        await stream.close()
        server.wait_until_left()
        for following in followings:
            await following.task
            assert isinstance(following.events[-1], Disconnected)

    run(name, body)


def test_a_cancelled_channel_is_told_and_closed() -> None:
    """A task that is cancelled from outside must close its connection as well (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        following.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following.task
        assert isinstance(following.events[-1], Disconnected)
        server.wait_until_left()

    run("kraken", body)
