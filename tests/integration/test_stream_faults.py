"""What goes wrong with a stream is noticed: silence, refusals, garbage, values that cannot be."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_following import BTC, CLOCK, ETH, KINDS, Following, run, stream_of, trade
from venues.websockets import Sockets
from venues.websockets_binance import BinanceSockets
from venues.websockets_coinbase import CoinbaseSockets

from triplegain_pipelines.domain.errors import DataError, InputError, PermanentError, TransientError
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.market.streams import adapter
from triplegain_pipelines.market.streams.adapter import Channel, VenueStream
from triplegain_pipelines.market.streams.events import (
    CandleSeen,
    Connected,
    Disconnected,
    Event,
    StreamReader,
    TradesSeen,
)
from triplegain_pipelines.market.streams.frames import Frames
from triplegain_pipelines.market.trades import (
    MinuteCandle,
    minute_of,
)
from triplegain_pipelines.settings.venues import BookStream, StreamKind

pytestmark = pytest.mark.integration

PATIENCE = 15.0
venues = pytest.mark.parametrize("name", list(KINDS))


@venues
def test_a_silent_venue_is_noticed(name: str) -> None:
    """A connection that stands open and brings nothing looks like a quiet market (M2, trap 21)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        server.answers_pings = False
        error = await following.error()
        assert isinstance(error, TransientError)
        assert "nothing came" in str(error)
        assert isinstance(following.events[-1], Disconnected)
        findings = [event for event in following.events if isinstance(event, Finding)]
        assert [(one.code, one.venue) for one in findings] == [(QualityCode.SILENT_FEED, name)]

    run(name, body, silent=timedelta(seconds=0.4))


@venues
def test_an_empty_list_of_markets_is_a_passing_fault(name: str) -> None:
    """Rule 4: kept, it would make every symbol seem unknown until somebody restarts the service."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        listed, server.tape.trades = server.tape.trades, {}
        error = await Following(stream, Channel.PRICES).error()
        assert isinstance(error, TransientError)
        assert "lists no market" in str(error)
        server.tape.trades = listed
        await Following(stream, Channel.PRICES).until_connected()

    run(name, body)


def test_a_venue_that_confirms_nothing_counts_as_connected_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any exchange of ccxt by configuration: of most nothing is known about confirmations, and they must work (M1)."""
    monkeypatch.setattr(adapter, "frames_of", lambda _, symbols: Frames(symbols))

    async def body(server: Sockets, stream: VenueStream) -> None:
        server.confirms = False
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        await stream.close()

    run("binance", body)


def test_a_time_in_another_unit_is_refused() -> None:
    """Trap: a trade of 1970 is passed over as an old one, and every minute would seem to be without trades (M2)."""
    reader = StreamReader("kraken", [BTC], CLOCK.now)
    now = int(CLOCK.now().timestamp())
    assert reader.moment(now * 1000) <= CLOCK.now()
    for wrong in (now, now * 10**6, 0, -1, None, str(now)):
        with pytest.raises((DataError, ValueError, OverflowError)):
            reader.moment(wrong)


@venues
def test_a_subscription_that_is_not_confirmed_counts_as_broken(name: str) -> None:
    """Between the open socket and the confirmation trades are missed; such a stream must not be trusted (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        server.confirms = False
        following = Following(stream, Channel.PRICES)

        async def chatter() -> None:
            while True:
                await asyncio.to_thread(server.publish_raw, json.dumps({"channel": "heartbeat", "events": []}))
                await asyncio.sleep(0.05)

        talking = asyncio.create_task(chatter())
        error = await following.error()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        assert isinstance(error, TransientError)
        assert "did not confirm" in str(error)
        assert not following.of(Connected)

    run(name, body, silent=timedelta(seconds=0.5))


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("kraken", "Currency pair not supported ETH/USDT", InputError),
        ("kraken", "EGeneral:Internal error", TransientError),
        ("binance", "Invalid request: invalid stream", TransientError),
        ("coinbase", "rate limit exceeded", TransientError),
    ],
)
def test_a_refused_subscription_is_an_error(name: str, text: str, kind: type[Exception]) -> None:
    """In ccxt a refusal is filed where nobody looks; the symbol would be silent for ever (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        server.refused[ETH] = text
        error = await Following(stream, Channel.PRICES).error()
        assert type(error) is kind
        assert text in str(error)

    run(name, body)


@venues
def test_an_unknown_symbol_is_refused_before_anything_is_opened(name: str) -> None:
    """A spelling mistake needs a person, not a retry for ever (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        del stream
        wrong = stream_of(server, name, [BTC, "NOPE/USDT"])
        error = await Following(wrong, Channel.PRICES).error()
        assert isinstance(error, InputError)
        assert "NOPE/USDT" in str(error)
        assert server.opened == 0

    run(name, body)


@venues
def test_garbage_ends_the_connection(name: str) -> None:
    """Garbage ends ccxt's reading loop without a sound; the stream would stand still for ever (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        for frame in ["no json", '{"half": ', "\x00\x01", "[1,", "1e999", '"text"', "[" * 50_000]:
            following = Following(stream, Channel.PRICES)
            await following.until_connected()
            server.publish_raw(frame)
            assert isinstance(await following.error(), TransientError)
            assert [type(event) for event in following.events] == [Connected, Disconnected], frame[:20]

    run(name, body)


def spoil(name: str, frame: str, fault: str) -> str:
    """A frame of one trade with one thing wrong."""
    message = json.loads(frame)
    keys = {
        "kraken": {"price": "price", "quantity": "qty", "time": "timestamp", "id": "trade_id", "symbol": "symbol"},
        "binance": {"price": "p", "quantity": "q", "time": "T", "id": "t", "symbol": "s"},
        "coinbase": {"price": "price", "quantity": "size", "time": "time", "id": "trade_id", "symbol": "product_id"},
    }[name]
    row = {"kraken": lambda: message["data"][0], "binance": lambda: message}.get(
        name, lambda: message["events"][0]["trades"][0]
    )()
    future = CLOCK.now() + timedelta(minutes=5)
    time = int(future.timestamp() * 1000) if name == "binance" else future.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    other = {"kraken": "XRP/USDT", "binance": "XRPUSDT", "coinbase": "XRP-USDT"}[name]
    field, value = {
        "negative price": ("price", -1),
        "price of zero": ("price", 0),
        "infinite price": ("price", float("inf")),
        "no price": ("price", None),
        "text for a price": ("price", "expensive"),
        "negative quantity": ("quantity", "-0.5"),
        "future": ("time", time),
        "no time": ("time", None),
        "no id": ("id", None),
        "endless id": ("id", "9" * 1000),
        "another symbol": ("symbol", other),
        "a list for a symbol": ("symbol", [1]),
    }[fault]
    row[keys[field]] = value
    return json.dumps(message)


FAULTS = (
    "negative price",
    "price of zero",
    "infinite price",
    "no price",
    "text for a price",
    "negative quantity",
    "future",
    "no time",
    "no id",
    "endless id",
    "another symbol",
    "a list for a symbol",
)


@venues
def test_a_trade_that_cannot_be_is_never_seen(name: str) -> None:
    """What a venue sends is untrusted: an impossible trade ends the connection and reaches nobody (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        (frame,) = server.trades_frame(BTC, [trade(1)])
        getattr(server, "published", {}).clear()
        for fault in FAULTS:
            following = Following(stream, Channel.PRICES)
            await following.until_connected()
            server.publish("trades", BTC, spoil(name, frame, fault))
            assert isinstance(await following.error(), TransientError), fault
            assert not following.trades(), fault
            assert isinstance(following.events[-1], Disconnected), fault

    run(name, body)


@pytest.mark.parametrize("values", [(2.0, 1.0, 1.5, 1.0, 1.0), (1.0, 2.0, 0.0, 1.0, 1.0), (1.0, 2.0, 1.0, 1.0, -1.0)])
def test_a_candle_that_contradicts_itself_is_never_seen(values: tuple[float, ...]) -> None:
    """High below low, a price of zero or a negative volume must not become a candle (M5)."""

    async def body(server: BinanceSockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        server.publish_candle(BTC, MinuteCandle(minute_of(CLOCK.now()), *values, None))
        assert isinstance(await following.error(), TransientError)
        assert not following.of(CandleSeen)

    run("binance", body, kind=StreamKind.CANDLES)


def test_a_lost_message_is_noticed() -> None:
    """Coinbase numbers its messages; ccxt does not look, and a lost trade would go unseen (M2)."""

    async def body(server: CoinbaseSockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.PRICES)
        await following.until_connected()
        server.publish_trades(BTC, [trade(1)])
        server.lost = 1
        server.publish_trades(BTC, [trade(3)])
        error = await following.error()
        assert "lost on the way" in str(error)
        assert {one.trade_id for one in following.trades()} == {"1"}  # twice where the subscription brings it too

    run("coinbase", body)


def test_an_error_of_the_listener_ends_the_connection() -> None:
    """An error in our own code must not vanish in ccxt's reading loop (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        def see(event: Event) -> None:
            if isinstance(event, TradesSeen):
                msg = "a fault of ours"
                raise LookupError(msg)  # noqa: TRY004 - any error

        following = asyncio.create_task(stream.follow(Channel.PRICES, see))
        async with asyncio.timeout(PATIENCE):
            while not following.done():
                await asyncio.to_thread(server.publish_trades, BTC, [trade(1)])
                await asyncio.sleep(0.02)
        with pytest.raises(LookupError, match="a fault of ours"):
            await following

    run("kraken", body)


@venues
def test_a_venue_that_is_not_there_is_a_passing_fault(name: str) -> None:
    """Refused connections, of REST or of WebSocket, are tried again later by the service (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        del stream
        nowhere = "http://127.0.0.1:9"
        for more in ({"base_url": nowhere}, {"websocket_url": nowhere.replace("http", "ws")}):
            following = Following(stream_of(server, name, **more), Channel.PRICES)
            assert isinstance(await following.error(), TransientError)
            assert not following.events

    run(name, body)


def test_a_venue_without_streams_is_refused() -> None:
    """A setting that cannot work is said, not tried for ever (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        for update, channel in (({"stream": None}, Channel.PRICES), ({"book": None}, Channel.BOOK)):
            bare = stream_of(server, "coinbase", update=update)
            assert channel not in bare.channels
            assert type(await Following(bare, channel).error()) is PermanentError
        candles = stream_of(server, "coinbase", kind=StreamKind.CANDLES)
        assert type(await Following(candles, Channel.PRICES).error()) is PermanentError
        unknown = stream_of(server, "kraken", update={"ccxt": "nowhere", "book": BookStream(depth=10)})
        assert type(await Following(unknown, Channel.BOOK).error()) is InputError
        assert stream.endpoint(Channel.BOOK) == "coinbase/book"

    run("coinbase", body)


anything = st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@given(
    row=st.fixed_dictionaries(
        {
            "symbol": st.just(BTC) | anything,
            "id": st.just("1") | anything,
            "timestamp": st.just(1_700_000_000_000) | anything,
            "price": st.just(1.5) | anything,
            "amount": st.just(0.5) | anything,
            "side": st.sampled_from(["buy", "sell", None]) | anything,
        }
    )
)
def test_whatever_ccxt_makes_of_a_trade_is_checked(row: dict[str, Any]) -> None:
    """A trade is either one that can be, or an error of ours (M2)."""

    class Cache(list[Any]):
        def getLimit(self, *_: object) -> int:  # noqa: N802 - ccxt's name
            return 1

    now = datetime(2026, 1, 1, tzinfo=UTC)
    try:
        (event,) = StreamReader("kraken", [BTC], lambda: now).trades(Cache([row]))
    except (DataError, TypeError):
        return
    assert isinstance(event, TradesSeen)
    (seen,) = event.trades
    assert event.symbol == BTC
    assert seen.trade_id
    assert 0 < seen.price < float("inf")
    assert 0 < seen.quantity < float("inf")
    assert seen.traded_at <= now + timedelta(minutes=1)
