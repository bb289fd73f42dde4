"""Order books from real recordings: checksums, depth, and a top that never crosses."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from recorded_books import binance_change, binance_snapshots, binance_stream, coinbase_pro, kraken_v1

from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.quality import QualityCode
from triplegain_pipelines.market.streams.books import BookChange, Level, OrderBook, TopOfBook, crossed_book
from triplegain_pipelines.market.streams.checksums import kraken_changes, kraken_checksum

pytestmark = pytest.mark.unit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
V1 = "raw/kraken/kraken_ws_v1_book1000_2021-04-17.txt.gz"
V2 = "raw/kraken/kraken_ws_v2_book10_BTCUSD_2026-07-19.jsonl"


def test_every_checksum_of_the_version_1_recording_is_reproduced(recorded_data: Path) -> None:
    """A book that drifts from the venue's gives wrong prices without any sign (M2, hold point 1 of issue 3)."""
    books: dict[str, OrderBook] = {}
    right = 0
    for change in kraken_v1(recorded_data / V1):
        book = books.setdefault(change.symbol, OrderBook(1000))
        book.apply(change)
        top = book.top("kraken", change.symbol, NOON)
        assert top is not None
        assert not top.crossed
        if change.checksum is not None:
            assert kraken_checksum(book) == change.checksum
            right += 1
    assert (right, len(books)) == (4269, 10)


def test_every_checksum_of_the_version_2_recording_is_reproduced(recorded_data: Path) -> None:
    """Numbers that pass through a float lose their last zeros, and the checksum with them (M2)."""
    book = OrderBook(10)
    lines = (recorded_data / V2).read_text().splitlines()
    for line in lines:
        (change,) = kraken_changes(line)
        book.apply(change)
        assert kraken_checksum(book) == change.checksum
    assert len(lines) == 41
    top = book.top("kraken", "BTC/USD", NOON)
    assert top is not None
    assert not top.crossed


@pytest.mark.parametrize("line", [0, 7, 20, 40])
def test_one_flipped_digit_is_found(recorded_data: Path, line: int) -> None:
    """A single wrong digit in a level that counts must not pass as a right book (M2)."""
    book = OrderBook(10)
    lines = (recorded_data / V2).read_text().splitlines()
    for text in lines[:line]:
        book.apply(kraken_changes(text)[0])
    (change,) = kraken_changes(lines[line])
    side = "bids" if change.bids else "asks"
    levels = [level for level in getattr(change, side) if float(level.quantity)]
    price = levels[0].price
    flipped = price[:-1] + str((int(price[-1]) + 1) % 10)
    (wrong,) = kraken_changes(lines[line].replace(price, flipped))
    book.apply(wrong)
    assert kraken_checksum(book) != change.checksum


def test_a_lost_update_is_found_at_the_next_checksum(recorded_data: Path) -> None:
    """A message that never came must not go unnoticed (M2)."""
    lines = (recorded_data / V2).read_text().splitlines()
    book = OrderBook(10)
    book.apply(kraken_changes(lines[0])[0])
    (second,) = kraken_changes(lines[4])
    book.apply(second)
    assert kraken_checksum(book) != second.checksum


def test_levels_beyond_the_depth_are_forgotten() -> None:
    """Kraken says nothing of a level that fell out of the depth; kept, it would come back as a ghost (M2)."""
    book = OrderBook(2)
    book.apply(_change(bids=[("5", "1"), ("4", "1")], asks=[("6", "1"), ("7", "1")], snapshot=True))
    book.apply(_change(bids=[("5.5", "1")]))
    book.apply(_change(bids=[("5.5", "0")]))
    assert [level.price for level in book.bids.best(9)] == ["5"]


def test_a_snapshot_replaces_what_was_there() -> None:
    """After a reconnection the old levels are of the past (M2)."""
    book = OrderBook(10)
    book.apply(_change(bids=[("5", "1")], asks=[("6", "1")], snapshot=True))
    book.apply(_change(bids=[("3", "1")], asks=[("4", "2")], snapshot=True))
    assert book.top("kraken", "A/B", NOON) == TopOfBook("kraken", "A/B", NOON, 3.0, 1.0, 4.0, 2.0)


def test_an_empty_side_has_no_top() -> None:
    """An unknown price is no price, least of all zero (M2)."""
    book = OrderBook(10)
    book.apply(_change(bids=[("5", "1")], snapshot=True))
    assert book.top("kraken", "A/B", NOON) is None


def test_a_crossed_top_is_a_finding() -> None:
    """A best bid that is not below the best ask is refused and seen (M5)."""
    top = TopOfBook("kraken", "BTC/USDT", NOON, 101.0, 1.0, 101.0, 2.0)
    found = crossed_book(top, "stream")
    assert top.crossed
    assert (found.code, found.at, found.detail["bid"]) == (QualityCode.CROSSED_BOOK, NOON, 101.0)


@pytest.mark.parametrize("number", ["-1", "nan", "1e5", "", " 1", "1,5", "\u0661", "9" * 50, "0x1"])
def test_what_is_no_plain_number_is_refused(number: str) -> None:
    """Untrusted text must not become a price (M2)."""
    book = OrderBook(10)
    with pytest.raises(DataError, match="not a plain number"):
        book.apply(_change(bids=[(number, "1")]))
    with pytest.raises(DataError, match="not a plain number"):
        book.apply(_change(asks=[("1", number)]))


def test_a_price_of_zero_is_refused() -> None:
    """A level at zero would be the best ask for ever (M2)."""
    with pytest.raises(DataError, match="a price is above zero"):
        OrderBook(10).apply(_change(asks=[("0.00", "1")]))


@pytest.mark.parametrize(
    "values", [(float("nan"), 1, 2, 1), (1, 1, float("inf"), 1), (0, 1, 2, 1), (1, -1, 2, 1), (-1, 1, 2, 1)]
)
def test_a_top_of_impossible_numbers_is_refused(values: tuple[float, float, float, float]) -> None:
    """Not-a-number compares as neither crossed nor straight and would slip through (M2)."""
    with pytest.raises(DataError, match="are no prices"):
        TopOfBook("kraken", "A/B", NOON, *values)


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"book"',
        '{"channel":"book","type":"update"}',
        '{"channel":"book","type":"update","data":[{"symbol":"A/B"}]}',
        '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[1],"asks":[],"checksum":1}]}',
        '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":null,"asks":[],"checksum":1}]}',
        '{"channel":"book","type":"update","data":["x"]}',
        '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[{"price":NaN,"qty":1}],"asks":[],"checksum":1}]}',
        '{"channel":"book","type":"update","data":[{"symbol":null,"bids":[],"asks":[],"checksum":1}]}',
        '{"channel":"book","type":"update","data":[{"symbol":"A","bids":[],"asks":[],"checksum":1,"timestamp":"2026-01-01"}]}',
        '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[],"asks":[],"checksum":"x"}]}',
    ],
)
def test_a_frame_that_cannot_be_read_is_refused(frame: str) -> None:
    """Garbage in the stream is an error, not an empty change (M2)."""
    with pytest.raises(DataError, match="cannot be read"):
        kraken_changes(frame)


@pytest.mark.parametrize("frame", ['{"channel":"trade"}', '["book"]', '{"a":"book"}', "x"])
def test_other_frames_change_no_book(frame: str) -> None:
    """Trades, acknowledgements and heartbeats come over the same connection (M2)."""
    assert kraken_changes(frame) == ()


def test_coinbase_books_never_cross(recorded_data: Path) -> None:
    """A level2 feed applied in its order keeps bid below ask; if not, our book is wrong (M2)."""
    books: dict[str, OrderBook] = {}
    tops = 0
    for change in coinbase_pro(recorded_data / "raw/coinbase/coinbase_ws_2021-04-17.txt.gz"):
        book = books.setdefault(change.symbol, OrderBook())
        book.apply(change)
        top = book.top("coinbase", change.symbol, NOON)
        assert top is None or not top.crossed
        tops += top is not None
    assert len(books) == 10
    assert tops > 5000


def test_binance_books_never_cross_and_meet_the_ticker(recorded_data: Path) -> None:
    """Depth updates that continue a REST snapshot keep bid below ask and meet the venue's own best prices (M2)."""
    folder = recorded_data / "raw/binance"
    snapshots = binance_snapshots(folder / "binance_rest_depth1000_2021-10-12.txt.gz")
    books: dict[str, OrderBook] = {}
    for symbol, (_, change) in snapshots.items():
        books[symbol] = OrderBook()
        books[symbol].apply(change)
    last = {symbol: update for symbol, (update, _) in snapshots.items()}
    states: dict[tuple[str, int], TopOfBook | None] = {}
    tickers = []
    for at, stream, data in binance_stream(folder / "binance_ws_2021-10-12.txt.gz"):
        if stream.endswith("@bookTicker"):
            tickers.append(data)
        if "@depth" in stream and data["u"] > last[data["s"]]:
            symbol = data["s"]
            assert data["U"] <= last[symbol] + 1, "the recording has a hole"
            books[symbol].apply(binance_change(at, data))
            last[symbol] = data["u"]
            top = books[symbol].top("binance", symbol, at)
            assert top is not None
            assert not top.crossed
            states[symbol, data["u"]] = top
    met = [(states[key], data) for data in tickers if (key := (data["s"], data["u"])) in states]
    assert len(met) > 5
    for top, data in met:
        assert top is not None
        assert (top.bid, top.bid_quantity) == (float(data["b"]), float(data["B"]))
        assert (top.ask, top.ask_quantity) == (float(data["a"]), float(data["A"]))


def _change(
    bids: list[tuple[str, str]] | None = None, asks: list[tuple[str, str]] | None = None, *, snapshot: bool = False
) -> BookChange:
    sides = [tuple(Level(*level) for level in side or []) for side in (bids, asks)]
    return BookChange("A/B", snapshot, sides[0], sides[1], None, NOON)


def test_the_checksum_counts_written_zeros() -> None:
    """`0.10` and `0.1` are the same number and not the same book to Kraken (M2)."""
    checksums = set()
    for quantity in ("0.1", "0.10"):
        frame = {"channel": "book", "type": "snapshot", "data": [{"symbol": "A/B", "bids": [], "checksum": 1}]}
        text = json.dumps(frame).replace('"bids": []', f'"bids": [], "asks": [{{"price": 5.0, "qty": {quantity}}}]')
        book = OrderBook(10)
        book.apply(kraken_changes(text)[0])
        checksums.add(kraken_checksum(book))
    assert len(checksums) == 2
