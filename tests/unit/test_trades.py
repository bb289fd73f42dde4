"""Trades into candles: real recordings of two venues, and the laws that hold for any trades."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.timeframes import Timeframe
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS, validate
from triplegain_pipelines.market.rollups import roll_up
from triplegain_pipelines.market.trades import (
    TRADE_COLUMNS,
    MinuteBuilder,
    Trade,
    candles_frame,
    candles_of_trades,
    exact_sum,
    minute_of,
    trades_frame,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PRICES = ("open", "high", "low", "close")

trade_lists = st.lists(
    st.builds(
        Trade,
        trade_id=st.integers(1, 40).map(str),
        traded_at=st.integers(0, 240_000).map(lambda milliseconds: NOON + timedelta(milliseconds=milliseconds)),
        price=st.integers(1, 10**9).map(lambda number: number / 10**4),
        quantity=st.integers(1, 10**12).map(lambda number: number / 10**8),
        side=st.sampled_from(["buy", "sell"]),
    ),
    max_size=60,
    unique_by=lambda trade: trade.trade_id,
)


@given(trades=trade_lists, seed=st.randoms(use_true_random=False), repeats=st.integers(0, 20))
@settings(deadline=None)
def test_the_builder_gives_the_bits_of_the_batch(trades: list[Trade], seed: object, repeats: int) -> None:
    """A candle must not depend on the way its trades came: order, pieces and repetitions (M2, M4)."""
    fed = [*trades, *trades[:repeats]]
    seed.shuffle(fed)  # type: ignore[attr-defined]
    builder = MinuteBuilder(NOON)
    while fed:
        size = seed.randint(1, 7)  # type: ignore[attr-defined]
        assert builder.add(fed[:size]) == frozenset()
        fed = fed[size:]
    built = [candle for number in range(5) if (candle := builder.close(NOON + number * MINUTE))]
    assert_frame_equal(candles_frame(built), candles_of_trades(trades_frame(trades)), check_exact=True)


@pytest.mark.no_cover
@given(trades=trade_lists, seed=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_rows_does_not_matter(trades: list[Trade], seed: object) -> None:
    """Pages of history may come in any order; the candle is the same (M1)."""
    shuffled = list(trades)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    candles = candles_of_trades(trades_frame(trades))
    assert_frame_equal(candles_of_trades(trades_frame(shuffled)), candles, check_exact=True)
    validate("candles", candles)
    assert candles["trades"].sum() == len(trades)


@given(st.lists(st.floats(min_value=1e-12, max_value=1e12), max_size=50))
def test_a_sum_is_the_double_nearest_to_the_decimal_sum(quantities: list[float]) -> None:
    """A volume that is rounded on the way differs from the venue's in its last digit (M1)."""
    exact = sum((Fraction(repr(quantity)) for quantity in quantities), Fraction())
    assert exact_sum(quantities) == float(exact)


def test_the_numbers_of_trades_order_those_of_the_same_time() -> None:
    """As text, trade 10 comes before trade 9, and the close would be the wrong price (M2)."""
    trades = [Trade("10", NOON, 2.0, 1.0, "buy"), Trade("9", NOON, 1.0, 1.0, "buy")]
    assert candles_of_trades(trades_frame(trades)).select("open", "close").row(0) == (1.0, 2.0)


def test_no_trades_give_no_candles() -> None:
    """A minute without trades is not a candle; nothing is made up (M3)."""
    empty = candles_of_trades(pl.DataFrame(schema=dict(TRADE_COLUMNS)))
    assert empty.schema == pl.Schema(CANDLE_COLUMNS)
    assert empty.is_empty()
    assert MinuteBuilder(NOON).close(NOON) is None


def test_a_late_trade_names_the_minute_that_is_wrong_now() -> None:
    """A trade that comes after its minute was closed must lead to the minute being fetched again (M4)."""
    builder = MinuteBuilder(NOON)
    builder.add([_trade(1, 0)])
    builder.close(NOON)
    assert builder.add([_trade(2, 30), _trade(3, 70)]) == {NOON}
    assert builder.close(NOON + MINUTE) == candles_of(_trade(3, 70))


def test_trades_repeated_after_a_reconnection_are_not_late() -> None:
    """A venue repeats its newest trades when a stream opens; counted again they would double the volume (M2)."""
    builder = MinuteBuilder(NOON)
    builder.add([_trade(1, 0), _trade(2, 70)])
    builder.close(NOON)
    assert builder.add([_trade(1, 0), _trade(2, 70), _trade(0, -5)]) == frozenset()
    assert builder.close(NOON + MINUTE) == candles_of(_trade(2, 70))


def test_the_memory_of_closed_minutes_is_bounded() -> None:
    """A stream runs for months; what it remembers must not grow (M2)."""
    builder = MinuteBuilder(NOON)
    for number in range(30):
        builder.add([_trade(number * 1000 + one, number * 60 + one / 100) for one in range(1000)])
        builder.close(NOON + number * MINUTE)
    assert len(builder._closed_ids) == 2000
    assert not builder._open_ids
    assert builder.add([_trade(29_999, 29 * 60 + 9.99)]) == frozenset()
    assert builder.add([_trade(5, 0.05)]) == {NOON}


def test_minutes_are_closed_in_their_turn() -> None:
    """A minute that is skipped would be lost with its trades (M4)."""
    builder = MinuteBuilder(NOON)
    with pytest.raises(InputError, match="next in turn is 2026-01-01T12:00"):
        builder.close(NOON + MINUTE)
    builder.close(NOON)
    with pytest.raises(InputError, match="cannot be closed"):
        builder.close(NOON)
    assert builder.oldest_open == NOON + MINUTE


def test_kraken_trades_rebuild_the_minutes_that_kraken_published(recorded_data: Path) -> None:
    """Hold point 1 of issue 3: candles built of trades are the venue's own, to the bit (M1)."""
    folder = recorded_data / "raw/kraken"
    rows = json.loads((folder / "kraken_rest_trades.json").read_text())["result"]["XBTUSDT"]
    trades = trades_frame(Trade(str(row[6]), _moment(row[2]), float(row[0]), float(row[1]), "") for row in rows)
    ours = candles_of_trades(trades)
    published = pl.DataFrame(
        [
            (_moment(row[0]), *map(float, row[1:5]), float(row[6]), row[7])
            for row in json.loads((folder / "kraken_rest_ohlc.json").read_text())["result"]["XBTUSDT"]
        ],
        schema=dict(CANDLE_COLUMNS),
        orient="row",
    )
    # Fact: the answer begins in the middle of 17:23 (one of its two trades) and ends in the middle of 00:13.
    first, last = datetime(2025, 11, 10, 17, 24, tzinfo=UTC), datetime(2025, 11, 11, 0, 12, tzinfo=UTC)
    inside = pl.col("opened_at").is_between(first, last)
    traded = published.filter(inside & (pl.col("trades") > 0))
    assert traded.height == 272
    assert_frame_equal(ours.filter(inside), traded, check_exact=True)
    # Fact: the other minutes are Kraken's candles of zero volume, at the price of the close before.
    assert published.filter(inside & (pl.col("trades") == 0))["volume"].to_list() == [0.0] * 137
    edge = ours.filter(pl.col("opened_at") == first - MINUTE).join(published, on="opened_at")
    assert edge.select("trades", "trades_right").row(0) == (1, 2)


def test_kraken_trades_rebuild_the_candles_of_another_download(recorded_data: Path) -> None:
    """Hold point 1 of issue 3: where two recordings differ, the cause is a lost trade, never our arithmetic (M1)."""
    recorded = pl.read_parquet(recorded_data / "trades/btcusdt_trades_kraken_2023-11-17_2023-11-22.parquet")
    ours = roll_up(candles_of_trades(_recorded_trades(recorded)), Timeframe.M15)
    published = _published(recorded_data / "candles/btcusdt_15m_kraken_2023-03_2024-03.parquet", "time")
    both = ours.join(published, on="opened_at", how="left", suffix="_published")
    assert both["close_published"].null_count() == 0
    # Fact: the download of the trades lost the first trade of every page but the first: each 1,000th, 26 in all.
    seams = recorded.filter(pl.col("trade_id").diff() != 1)
    assert seams["trade_id"].to_list() == list(range(5_505_897, 5_531_000, 1000))
    lost = seams["time"].dt.truncate("15m").to_list()
    # Fact: two of the lost trades belong to the quarter before the trade that follows them.
    for after, before in [("2023-11-19 06:45", "2023-11-19 06:30"), ("2023-11-20 10:00", "2023-11-20 09:45")]:
        lost[lost.index(_quarter(after))] = _quarter(before)
    # Fact: the recording ends in the middle of the quarter of 2023-11-22 08:30.
    assert both["opened_at"][-1] == _quarter("2023-11-22 08:30")
    whole = both.filter(~pl.col("opened_at").is_in([*lost, _quarter("2023-11-22 08:30")]))
    assert (both.height, whole.height) == (515, 488)
    for name in PRICES:
        assert whole[name].to_list() == whole[f"{name}_published"].to_list()
    assert _eight_decimals(whole["volume"]) == _eight_decimals(whole["volume_published"])
    # Fact: that file's volumes are sums of doubles with Kahan's correction, whose last bit is not always the nearest.
    quarters = recorded.group_by(opened_at=pl.col("time").dt.truncate("15m")).agg(pl.col("amount"))
    sums = whole.join(quarters, on="opened_at").select("amount", "volume_published").rows()
    assert [_kahan_sum(amounts) for amounts, _ in sums] == [volume for _, volume in sums]
    short = both.filter(pl.col("opened_at").is_in(lost))
    assert short.height == 26
    assert short.filter(pl.col("volume") >= pl.col("volume_published")).is_empty()


def test_binance_trades_rebuild_the_candles_of_another_download(recorded_data: Path) -> None:
    """Hold point 1 of issue 3, a second venue: all 706 candles are equal to the bit, no exception (M1)."""
    recorded = pl.read_parquet(recorded_data / "trades/xrpeth_trades_binance_2019-10-11_2019-10-13.parquet")
    ours = roll_up(candles_of_trades(_recorded_trades(recorded)), Timeframe.M5).drop("minutes")
    published = _published(recorded_data / "raw/freqtrade/XRP_ETH-5m.feather", "date")
    assert ours.height == 706
    assert_frame_equal(ours, published.select(ours.columns), check_exact=True)


def test_the_builder_gives_the_batch_on_recorded_trades(recorded_data: Path) -> None:
    """What holds for made-up trades holds for 26,921 real ones (M2)."""
    recorded = pl.read_parquet(recorded_data / "trades/btcusdt_trades_kraken_2023-11-17_2023-11-22.parquet")
    frame = _recorded_trades(recorded)
    trades = [Trade(*row) for row in frame.iter_rows()]
    builder = MinuteBuilder(trades[0].traded_at)
    built = []
    for trade in trades:
        while builder.oldest_open < minute_of(trade.traded_at):
            built.append(builder.close(builder.oldest_open))
        assert builder.add([trade]) == frozenset()
    built.append(builder.close(builder.oldest_open))
    candles = candles_frame(candle for candle in built if candle)
    assert_frame_equal(candles, candles_of_trades(frame), check_exact=True)


def candles_of(*trades: Trade) -> object:
    builder = MinuteBuilder(trades[0].traded_at)
    builder.add(trades)
    return builder.close(minute_of(trades[0].traded_at))


def _trade(number: int, seconds: float) -> Trade:
    return Trade(str(number), NOON + timedelta(seconds=seconds), 100.0 + number, 0.1, "buy")


def _recorded_trades(recorded: pl.DataFrame) -> pl.DataFrame:
    return recorded.select(
        trade_id=pl.col("trade_id").cast(pl.String), traded_at="time", price="price", quantity="amount", side="side"
    )


def _published(path: Path, time: str) -> pl.DataFrame:
    frame = pl.read_ipc(path) if path.suffix == ".feather" else pl.read_parquet(path)
    return frame.select(pl.col(time).dt.cast_time_unit("us").alias("opened_at"), *PRICES, "volume")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _quarter(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _eight_decimals(volumes: pl.Series) -> list[str]:
    return [f"{volume:.8f}" for volume in volumes]


def _kahan_sum(values: Sequence[float]) -> float:
    total = correction = 0.0
    for value in values:
        term = value - correction
        raised = total + term
        correction = (raised - total) - term
        total = raised
    return total
