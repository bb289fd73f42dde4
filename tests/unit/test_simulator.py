"""The simulated market: determinism, and the traits it promises."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.market.contracts import validate
from triplegain_pipelines.market.simulator import _SEASON, SimulatedMarket

pytestmark = pytest.mark.unit

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
START = datetime(2025, 12, 4, tzinfo=UTC)
DAYS = 28


def _market(seed: int = 20260101, symbols: tuple[str, ...] = SYMBOLS) -> SimulatedMarket:
    return SimulatedMarket(seed, date(2025, 12, 4), symbols)


@pytest.fixture(scope="module")
def month() -> dict[str, pl.DataFrame]:
    market = _market()
    return {symbol: market.candles(symbol, START, START + timedelta(days=DAYS)) for symbol in SYMBOLS}


def _returns(frame: pl.DataFrame) -> np.ndarray:
    return np.diff(np.log(frame["close"].to_numpy()))


def test_every_minute_keeps_the_contract(month: dict[str, pl.DataFrame]) -> None:
    """M4: simulated candles go the same way as real ones, so they must keep the same contract."""
    for frame in month.values():
        assert frame.height == DAYS * 1440
        validate("candles", frame)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, DAYS * 1440), min_size=2, max_size=6, unique=True))
@example([2880, 28102])  # a walk that was begun later rounded its levels differently
def test_any_pieces_give_the_same_rows(month: dict[str, pl.DataFrame], cuts: list[int]) -> None:
    """Replay: a run over one day and a run over a month must see the same market."""
    market = _market()
    edges = [START + timedelta(minutes=cut) for cut in sorted(cuts)]
    pieces = pl.concat([market.candles("ETH/USDT", first, last) for first, last in pairwise(edges)])
    whole = month["ETH/USDT"].filter(pl.col("opened_at").is_between(edges[0], edges[-1], closed="left"))
    assert pieces.equals(whole)


def test_a_day_does_not_depend_on_what_was_asked_before() -> None:
    """Replay: a late day asked first, by another process and with other symbols, must be the same day."""
    late = START + timedelta(days=20)
    late_first = _market(symbols=("ETH/USDT",)).candles("ETH/USDT", late, late + timedelta(days=1))
    market = _market()
    market.candles("BTC/USDT", START, START + timedelta(days=3))
    assert market.candles("ETH/USDT", late, late + timedelta(days=1)).equals(late_first)


def test_another_seed_is_another_market(month: dict[str, pl.DataFrame]) -> None:
    """The seed must matter, or a test over many seeds tests one market many times."""
    other = _market(seed=2).candles("BTC/USDT", START, START + timedelta(days=1))
    assert not other["close"].equals(month["BTC/USDT"]["close"][:1440])


def test_volatility_clusters(month: dict[str, pl.DataFrame]) -> None:
    """Issue 2: after a wild minute comes another wild one, while the direction stays open."""
    for frame in month.values():
        size = np.abs(np.log(frame["close"].to_numpy() / frame["open"].to_numpy())).reshape(DAYS, 1440)
        # Within each day and with its pattern taken out, so that neither regime nor hour of day makes the effect.
        size = size / size.mean(axis=1, keepdims=True) / _SEASON
        assert np.mean([np.corrcoef(day[:-5], day[5:])[0, 1] for day in size]) > 0.1
        assert abs(np.corrcoef(_returns(frame)[:-1], _returns(frame)[1:])[0, 1]) < 0.1


def test_days_join_without_a_seam(month: dict[str, pl.DataFrame]) -> None:
    """A jump at every midnight would be a pattern that no market has, and agents would find it."""
    for frame in month.values():
        midnights = frame.filter(pl.col("opened_at").dt.time() == time(0))["open"][1:]
        last_closes = frame.filter(pl.col("opened_at").dt.time() == time(23, 59))["close"][:-1]
        assert (midnights != last_closes).sum() <= 1


def test_jumps_open_away_from_the_last_close(month: dict[str, pl.DataFrame]) -> None:
    """E5: without gaps at the open, the rule that a stop is filled at the open is never used."""
    for frame in month.values():
        gap = np.abs(np.log(frame["open"].to_numpy()[1:] / frame["close"].to_numpy()[:-1]))
        assert 2 <= (gap > 0.01).sum() <= 60
        assert (gap > 0).mean() < 0.01


def test_symbols_move_together(month: dict[str, pl.DataFrame]) -> None:
    """R4: a correlation limit is never reached in a market of strangers."""
    correlation = np.corrcoef([_returns(frame) for frame in month.values()])
    assert correlation[np.triu_indices(4, 1)].min() > 0.4
    assert correlation[np.triu_indices(4, 1)].max() < 0.95


def test_levels_are_those_of_the_real_market(month: dict[str, pl.DataFrame]) -> None:
    """A demonstration with BTC at 3 dollars convinces nobody."""
    firsts = [frame["open"][0] for frame in month.values()]
    assert firsts == pytest.approx([90_000, 3_000, 150, 2.2])
    daily = [_returns(frame).std() * 1440**0.5 for frame in month.values()]
    assert min(daily) > 0.01
    assert max(daily) < 0.08


def test_regimes_differ() -> None:
    """Issue 2: quiet and wild days must both occur, or regime rules are never tried."""
    market = _market()
    frame = market.candles("BTC/USDT", START, START + timedelta(days=100))
    daily = frame.group_by_dynamic("opened_at", every="1d").agg(pl.col("close").log().diff().std())["close"]
    assert daily.quantile(0.9) > 2.5 * daily.quantile(0.1)


def test_a_quote_lies_in_its_minute() -> None:
    """A fill at a price outside the candle could not have happened."""
    market = _market()
    at = datetime(2025, 12, 10, 7, 31, 12, tzinfo=UTC)
    candle = market.candles("XRP/USDT", at.replace(second=0), at).row(0, named=True)
    quote = market.quote("XRP/USDT", at)
    assert candle["low"] <= float(quote.price) <= candle["high"]
    assert quote == market.quote("XRP/USDT", at)
    assert market.quote("XRP/USDT", at.replace(second=0)).price == Decimal(repr(candle["open"]))
    assert quote.price == quote.price.quantize(Decimal("0.00001"))


def test_nothing_before_the_first_day_and_nothing_unknown() -> None:
    """DESIGN rule 4: no price is not a price of zero."""
    market = _market()
    assert market.candles("BTC/USDT", START - timedelta(days=9), START).is_empty()
    assert market.candles("BTC/USDT", START - timedelta(days=9), START + timedelta(minutes=2)).height == 2
    with pytest.raises(UnavailableError, match="starts at 2025-12-04"):
        market.quote("BTC/USDT", START - timedelta(seconds=1))
    with pytest.raises(InputError, match="BTC/USDT, ETH/USDT"):
        market.candles("LTC/USDT", START, START + timedelta(days=1))


def test_headlines_say_what_they_are_and_do_not_change() -> None:
    """DESIGN rule 8: nobody may take a made-up headline for news; and replay sees the same ones."""
    market = _market()
    whole = market.headlines(START, START + timedelta(days=10))
    assert 20 <= len(whole) <= 40
    assert all(headline.title.startswith("Simulated: ") and headline.source == "simulated" for headline in whole)
    assert [item.first_seen_at for item in whole] == sorted(item.first_seen_at for item in whole)
    assert len({headline.headline_id for headline in whole}) == len(whole)
    cut = whole[7].first_seen_at
    assert market.headlines(START, cut) + market.headlines(cut, START + timedelta(days=10)) == whole
