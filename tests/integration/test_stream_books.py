"""Best prices over a stream: from books that were checked, with recorded frames through the real ccxt."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from recorded_books import coinbase_pro
from stream_following import BTC, ETH, KINDS, Following, StandingClock, run, trade
from venues.websockets import Sockets
from venues.websockets_coinbase import CoinbaseSockets
from venues.websockets_kraken import KrakenSockets

from triplegain_pipelines.domain.errors import TransientError
from triplegain_pipelines.domain.quality import Finding, QualityCode
from triplegain_pipelines.market.streams.adapter import Channel, VenueStream
from triplegain_pipelines.market.streams.books import TopOfBook
from triplegain_pipelines.market.streams.events import (
    Disconnected,
)

pytestmark = pytest.mark.integration

V2 = "raw/kraken/kraken_ws_v2_book10_BTCUSD_2026-07-19.jsonl"
venues = pytest.mark.parametrize("name", list(KINDS))


@venues
def test_the_best_prices_arrive(name: str) -> None:
    """Best bid and ask of every venue in the same form (M2)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.BOOK)
        await following.until_connected()
        server.publish_top(BTC, "100.10", "100.20")
        server.publish_top(ETH, "10.5", "11")
        await following.until(lambda: following.counts[TopOfBook] == 2)
        tops = {top.symbol: (top.bid, top.bid_quantity, top.ask, top.ask_quantity) for top in following.of(TopOfBook)}
        assert tops == {BTC: (100.1, 1.5, 100.2, 2.5), ETH: (10.5, 1.5, 11.0, 2.5)}

    run(name, body)


@venues
def test_a_crossed_book_is_a_finding_and_is_opened_anew(name: str) -> None:
    """A crossed book means that ours is wrong: no price of it is used, and only a new snapshot rights it (M5)."""

    async def body(server: Sockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.BOOK)
        await following.until_connected()
        server.publish_top(BTC, "100.30", "100.20")
        assert isinstance(await following.error(), TransientError)
        (found,) = following.of(Finding)
        assert (found.venue, found.symbol, found.code) == (name, BTC, QualityCode.CROSSED_BOOK)
        assert not following.of(TopOfBook)

    run(name, body)


def test_recorded_coinbase_books_come_through_and_never_cross(recorded_data: Path) -> None:
    """A recorded level2 sequence, in the new spelling, through ccxt's own book (M2)."""
    changes = [
        change
        for change in coinbase_pro(recorded_data / "raw/coinbase/coinbase_ws_2021-04-17.txt.gz")
        if change.symbol == "SKL-GBP"
    ]

    async def body(server: CoinbaseSockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.BOOK)
        await following.until_connected()
        frames = [server.book_frame("SKL/GBP", change) for change in changes]
        await asyncio.to_thread(server.publish, "book", "SKL/GBP", *frames)
        await following.until(lambda: following.counts[TopOfBook] == len(changes))
        assert not any(top.crossed for top in following.of(TopOfBook))

    assert len(changes) > 100
    run("coinbase", body, "SKL/GBP")


def test_the_recorded_kraken_book_is_validated_through_ccxt(recorded_data: Path) -> None:
    """All 41 recorded checksums hold over a real WebSocket and the real ccxt (M2, hold point 1)."""
    first, *rest = (recorded_data / V2).read_text().splitlines()

    async def body(server: KrakenSockets, stream: VenueStream) -> None:
        server.first_books["BTC/USD"] = first
        following = Following(stream, Channel.BOOK)
        await following.until_connected()
        server.publish("book", "BTC/USD", *rest)
        await following.until(lambda: following.counts[TopOfBook] == 41)
        last = following.of(TopOfBook)[-1]
        assert last.at == datetime.fromisoformat(json.loads(rest[-1])["data"][0]["timestamp"])
        assert not following.of(Finding)

    run("kraken", body, "BTC/USD", clock=StandingClock(datetime(2026, 7, 19, 17, 54, 42, tzinfo=UTC)))


def test_a_wrong_checksum_is_a_finding_and_leaves_the_trades_alone(recorded_data: Path) -> None:
    """A flipped digit in the book is found; the trades' minutes are not broken off because of it (M2, M5)."""
    first, second, third, *_ = (recorded_data / V2).read_text().splitlines()

    async def body(server: KrakenSockets, stream: VenueStream) -> None:
        server.first_books["BTC/USD"] = first
        book, prices = Following(stream, Channel.BOOK), Following(stream, Channel.PRICES)
        await book.until_connected()
        await prices.until_connected()
        server.publish("book", "BTC/USD", second.replace("0.00309336", "0.00309337"), third)
        assert isinstance(await book.error(), TransientError)
        (found,) = book.of(Finding)
        assert (found.code, found.symbol) == (QualityCode.BOOK_CHECKSUM, "BTC/USD")
        assert found.detail["theirs"] == 1848203113
        assert isinstance(book.events[-1], Disconnected)
        assert len(book.of(TopOfBook)) == 1
        server.publish_trades("BTC/USD", [trade(1, 3 * 365 * 86_400)])
        await prices.until(prices.trades)
        again = Following(stream, Channel.BOOK)
        await again.until(lambda: again.of(TopOfBook))

    run("kraken", body, "BTC/USD", clock=StandingClock(datetime(2026, 7, 19, 17, 54, 42, tzinfo=UTC)))


def test_a_change_before_its_book_ends_the_connection(recorded_data: Path) -> None:
    """Without a snapshot a change has nothing to change; taken anyway it would be the whole book (M2)."""
    second = (recorded_data / V2).read_text().splitlines()[1]

    async def body(server: KrakenSockets, stream: VenueStream) -> None:
        following = Following(stream, Channel.BOOK)
        await following.until_connected()
        server.publish("book", "BTC/USD", second)
        assert "before the book itself" in str(await following.error())

    run("kraken", body, "BTC/USD", clock=StandingClock(datetime(2026, 7, 19, 17, 54, 42, tzinfo=UTC)))


def test_the_own_check_of_ccxt_fails_on_right_books(recorded_data: Path) -> None:
    """Why the checksum is ours: should a new ccxt do it right, this test says so (M2)."""
    import ccxt.pro

    first = (recorded_data / V2).read_text().splitlines()[0]

    async def body() -> None:
        exchange = ccxt.pro.kraken({"options": {"watchOrderBook": {"checksum": True}}})
        try:
            with pytest.raises(AttributeError, match="split"):
                exchange.handle_message(exchange.client("ws://127.0.0.1/v2"), json.loads(first))
        finally:
            await exchange.close()

    asyncio.run(body())
