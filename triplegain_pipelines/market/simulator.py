"""A simulated market with regimes, volatility clustering, a common factor and jumps. It is never evidence.

Every price is a pure function of (seed, symbol, minute). A day's level comes from a walk over days, which is short;
the minutes of a day are then drawn as a bridge from that level to the next, so any range can be made without the
minutes before it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from math import floor, log10

import numpy as np
import numpy.typing as npt
import polars as pl

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import InputError, UnavailableError
from triplegain_pipelines.domain.market import Quote, exact_price, split_symbol
from triplegain_pipelines.domain.timeframes import Timeframe, floor_to
from triplegain_pipelines.market.contracts import CANDLE_COLUMNS
from triplegain_pipelines.market.headlines import Headline

_Floats = npt.NDArray[np.float64]
_MINUTES = 1440
_DAY = timedelta(days=1)
_LEVELS = {"BTC": 90_000.0, "ETH": 3_000.0, "SOL": 150.0, "XRP": 2.2}
_SIGNIFICANT_DIGITS = 6

# Regimes of the whole market: drift and volatility of the common factor a day.
_REGIMES = ((0.0, 0.010), (0.008, 0.018), (-0.009, 0.022), (0.0, 0.040))  # ranging, rising, falling, volatile
_STAY = 0.8  # a regime lasts five days on average
_REGIME_BLOCK = 512
_OWN_DAILY = 0.012  # volatility a day that a symbol has for itself
_COMMON_SHARE = 0.8  # correlation of a symbol's minute shocks with the common ones
# Log-volatility within the day: an AR(1) with a half-life of about an hour, its standard deviation, and noise.
_PERSISTENCE = 0.988
_LOG_VOLATILITY = 0.55
_OWN_LOG_VOLATILITY = 0.3
_JUMP_CHANCE = 0.35  # of a common jump on a day; a quarter of that for a symbol's own
_JUMP_SIZE = 0.012


@dataclass(frozen=True, slots=True)
class _Day:
    """The minutes of one symbol's day, each array of 1440: prices in quote currency, volume in base currency."""

    open: _Floats
    high: _Floats
    low: _Floats
    close: _Floats
    volume: _Floats
    trades: npt.NDArray[np.int32]


class SimulatedMarket:
    """A market that starts at 00:00 UTC of `starts_on` and never ends. It is also a `PriceSource`.

    It answers for the future as readily as for the past: the caller asks only for what his clock has reached.

    Args:
        seed: another seed is another market.
        starts_on: the first day.
        symbols: what is traded.
    """

    def __init__(self, seed: int, starts_on: date, symbols: Iterable[str]) -> None:
        self.seed = seed
        self.starts_at = datetime(starts_on.year, starts_on.month, starts_on.day, tzinfo=UTC)
        self.symbols = tuple(symbols)
        self._walks = {symbol: _Walk(seed, symbol) for symbol in self.symbols}

    def candles(self, symbol: str, start: datetime, end: datetime) -> pl.DataFrame:
        """1-minute candles opened in [start, end), none before the market's first day.

        Raises:
            InputError: the symbol is not traded here.
        """
        walk = self._walk(symbol)
        start = max(start, self.starts_at)
        if end <= start:
            return pl.DataFrame(schema=dict(CANDLE_COLUMNS))
        first, last = self._day_number(start), self._day_number(end - timedelta(microseconds=1))
        days = [walk.day(number) for number in range(first, last + 1)]
        opened = self.starts_at + first * _DAY
        frame = pl.DataFrame(
            {
                "opened_at": pl.datetime_range(
                    opened, opened + len(days) * _DAY, "1m", closed="left", time_unit="us", eager=True
                ),
                **{
                    name: np.concatenate([getattr(day, name) for day in days])
                    for name in CANDLE_COLUMNS
                    if name != "opened_at"
                },
            },
            schema=dict(CANDLE_COLUMNS),
        )
        return frame.filter(pl.col("opened_at").is_between(start, end, closed="left"))

    def quote(self, symbol: str, at: datetime) -> Quote:
        """The price at `at`, on the straight line from open to close of its minute.

        Raises:
            InputError: the symbol is not traded here.
            UnavailableError: the market has not started at `at`.
        """
        walk = self._walk(symbol)
        if at < self.starts_at:
            msg = f"the simulated market starts at {self.starts_at.isoformat()}; there is no price at {at.isoformat()}"
            raise UnavailableError(msg)
        day = walk.day(self._day_number(at))
        opened = floor_to(at, Timeframe.M1.duration)
        minute = opened.hour * 60 + opened.minute
        fraction = (at - opened) / Timeframe.M1.duration
        price = float(day.open[minute] + fraction * (day.close[minute] - day.open[minute]))
        return Quote(symbol, exact_price(round(price, walk.decimals)), at)

    def headlines(self, start: datetime, end: datetime) -> list[Headline]:
        """Simulated headlines first seen in [start, end), oldest first: two to four a day, about the day before."""
        start = max(start, self.starts_at)
        if end <= start:
            return []
        days = range(self._day_number(start), self._day_number(end) + 1)
        made = (headline for number in days for headline in self._day_headlines(number))
        return [headline for headline in made if start <= headline.first_seen_at < end]

    def _day_headlines(self, number: int) -> list[Headline]:
        draw = _generator(self.seed, "headlines", number)
        midnight = self.starts_at + number * _DAY
        made = []
        for minute in sorted(draw.integers(0, _MINUTES - 5, size=int(draw.integers(2, 5))).tolist()):
            symbol = self.symbols[int(draw.integers(len(self.symbols)))]
            walk = self._walks[symbol]
            change = walk.level(number) - walk.level(number - 1) if number else 0.0
            tone = "rises" if change > _OWN_DAILY else "falls" if change < -_OWN_DAILY else "quiet"
            phrases = _PHRASES[tone]
            name = split_symbol(symbol)[0]
            title = f"Simulated: {name} {phrases[int(draw.integers(len(phrases)))]}"
            published = midnight + timedelta(minutes=minute)
            identity = content_hash(["simulated", self.seed, published, title])[:32]
            made.append(Headline(identity, "simulated", title, published, published + timedelta(minutes=2)))
        return made

    def _day_number(self, moment: datetime) -> int:
        return (moment - self.starts_at) // _DAY

    def _walk(self, symbol: str) -> "_Walk":
        try:
            return self._walks[symbol]
        except KeyError:
            msg = f"the simulated market has no {symbol}; it trades {', '.join(self.symbols)}"
            raise InputError(msg) from None


_PHRASES = {
    "rises": (
        "extends gains as buyers return",
        "rallies on strong inflows",
        "climbs, traders optimistic after a good day",
    ),
    "falls": ("slides as sellers dominate", "drops on fears of weak demand", "under pressure after heavy losses"),
    "quiet": ("trades sideways in thin volume", "little changed as traders wait", "steady ahead of the week's data"),
}


class _Walk:
    """One symbol's path: log-levels by day, and the minutes of each day."""

    def __init__(self, seed: int, symbol: str) -> None:
        self._seed, self._symbol = seed, symbol
        base = split_symbol(symbol)[0]
        character = _generator(0, "character", base)  # of the symbol, not of the seed
        self._first = _LEVELS.get(base, float(10 ** character.uniform(-1.0, 3.0)))
        self._beta = 1.0 if base == "BTC" else float(character.uniform(1.0, 1.4))
        self._turnover = float(10 ** character.uniform(4.8, 5.6))  # quote currency a minute
        self.decimals = _SIGNIFICANT_DIGITS - 1 - floor(log10(self._first))
        self.day = lru_cache(maxsize=64)(self._draw_day)
        self._levels = np.array([np.log(self._first)])

    def level(self, number: int) -> float:
        """Log price at the start of day `number`."""
        if number >= self._levels.size:
            # Drawn from the first day on, so a longer walk has the shorter one as its beginning.
            days = max(2 * self._levels.size, number + 1)
            steps = [self._daily(day) for day in range(self._levels.size - 1, days)]
            # One after the other: a block's own sum would round differently with where the block begins.
            self._levels = np.append(self._levels[:-1], list(accumulate([float(self._levels[-1]), *steps])))
        return float(self._levels[number])

    def _daily(self, number: int) -> float:
        """Log return of the day, jumps included."""
        common = _common_day(self._seed, number)
        own = _generator(self._seed, self._symbol, "day", number).standard_normal()
        jumps = sum(size for _, size in self._jumps(number))
        return float(self._beta * common.daily_return + _OWN_DAILY * own + jumps)

    def _jumps(self, number: int) -> list[tuple[int, float]]:
        """Minutes of the day and log jumps at their opening: the market's, and the symbol's own."""
        common = _common_day(self._seed, number).jumps
        own = _draw_jumps(_generator(self._seed, self._symbol, "jumps", number), _JUMP_CHANCE / 4)
        return [(minute, self._beta * size) for minute, size in common] + own

    def _draw_day(self, number: int) -> _Day:
        draw = _generator(self._seed, self._symbol, "minutes", number)
        common_shocks, common_clustering = _common_minutes(self._seed, number)
        daily = np.hypot(self._beta * _common_day(self._seed, number).volatility, _OWN_DAILY)
        sigma = daily / np.sqrt(_MINUTES) * _SEASON * common_clustering * _clustering(draw, _OWN_LOG_VOLATILITY)
        shocks = _COMMON_SHARE * common_shocks + np.sqrt(1 - _COMMON_SHARE**2) * draw.standard_normal(_MINUTES)
        jumps = np.zeros(_MINUTES)
        for minute, size in self._jumps(number):
            jumps[minute] += size
        start, end = self.level(number), self.level(number + 1)
        returns = sigma * shocks
        # Given their sum, independent Gaussians move by their share of the variance: this is the exact bridge.
        returns += (end - start - jumps.sum() - returns.sum()) * sigma**2 / (sigma**2).sum()
        path = start + np.cumsum(returns + jumps)
        path[-1] = end
        opening = np.concatenate(([start], path[:-1])) + jumps
        wicks = np.abs(draw.standard_normal((2, _MINUTES))) * sigma * 0.6
        # A market trades more where it moves more.
        busy = _SEASON**2 * np.exp(0.5 * draw.standard_normal(_MINUTES)) * (0.3 + np.abs(path - opening) / sigma)
        turnover = self._turnover * busy * (1 + 20 * (jumps != 0))
        return _Day(
            open=self._price(opening),
            high=self._price(np.maximum(opening, path) + wicks[0]),
            low=self._price(np.minimum(opening, path) - wicks[1]),
            close=self._price(path),
            volume=np.round(turnover / np.exp(path), 6),
            trades=(1 + turnover / 1500).astype(np.int32),
        )

    def _price(self, log_prices: _Floats) -> _Floats:
        return np.asarray(np.round(np.exp(log_prices), self.decimals), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _CommonDay:
    """What all symbols share on a day: volatility, log return without jumps, and jumps by minute."""

    volatility: float
    daily_return: float
    jumps: list[tuple[int, float]]


@lru_cache(maxsize=4096)
def _common_day(seed: int, number: int) -> _CommonDay:
    drift, volatility = _REGIMES[_regimes(seed, number // _REGIME_BLOCK)[number]]
    draw = _generator(seed, "common day", number)
    return _CommonDay(volatility, drift + volatility * draw.standard_normal(), _draw_jumps(draw, _JUMP_CHANCE))


@lru_cache(maxsize=64)
def _common_minutes(seed: int, number: int) -> tuple[_Floats, _Floats]:
    """Shocks and clustering of each minute that all symbols share."""
    draw = _generator(seed, "common minutes", number)
    return draw.standard_normal(_MINUTES), _clustering(draw, _LOG_VOLATILITY)


@lru_cache(maxsize=16)
def _regimes(seed: int, block: int) -> list[int]:
    """The regime of each day up to the end of `block`: a Markov chain that stays with `_STAY`, else moves to another.

    Drawn from the first day on, so a longer chain has the shorter one as its beginning.
    """
    moves = _generator(seed, "regimes").random(((block + 1) * _REGIME_BLOCK, 2)).tolist()
    steps = (0 if stays < _STAY else 1 + int(where * (len(_REGIMES) - 1)) for stays, where in moves)
    return list(accumulate(steps, lambda regime, step: (regime + step) % len(_REGIMES)))


def _draw_jumps(draw: np.random.Generator, chance: float) -> list[tuple[int, float]]:
    if draw.random() >= chance:
        return []
    size = _JUMP_SIZE * (1 + draw.exponential())
    return [(int(draw.integers(_MINUTES)), float(draw.choice((-1.0, 1.0)) * size))]


def _clustering(draw: np.random.Generator, deviation: float) -> _Floats:
    """Factors on the volatility of each minute: the exponential of an AR(1), with a mean square of one."""
    noise = draw.standard_normal(_MINUTES) * deviation * np.sqrt(1 - _PERSISTENCE**2)
    noise[0] = draw.standard_normal() * deviation
    logs = np.array(list(accumulate(noise.tolist(), lambda before, shock: _PERSISTENCE * before + shock)))
    factors: _Floats = np.exp(logs - deviation**2)
    return factors


def _season() -> _Floats:
    """The day's pattern: busiest about 15:00 UTC, quietest about 03:00; its mean square is one."""
    shape = 1 + 0.35 * np.cos(2 * np.pi * (np.arange(_MINUTES) - 15 * 60) / _MINUTES)
    return np.asarray(shape / np.sqrt((shape**2).mean()))


_SEASON = _season()


def _generator(seed: int, *parts: object) -> np.random.Generator:
    return np.random.default_rng(_entropy(seed, *parts))


def _entropy(seed: int, *parts: object) -> int:
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
