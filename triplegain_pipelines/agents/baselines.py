"""Six plain forecasters that sit in the seats while no model does, and that every model has to beat.

Each is a pure function from the evidence in a prompt to an answer. They know what the seats are shown and
nothing else, and they are textbook rules, not tuned ones: their forecasts say little about the future, and
every output calls them baselines. How they are called is in `offline`.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.decisions import Action

Evidence = Mapping[str, Any]

BASELINES_VERSION = "baselines-2"

LARGEST_TILT = 0.35
"""How far from 0.5 a forecast can go: 0.15 to 0.85."""

CLEAR_EDGE = 0.05
"""How far from 0.5 the 4-hour forecast must be for an action other than HOLD."""

FADING = 0.5
"""How much of a 4-hour edge is left after 24 hours, for the rules that look at short moves only."""

STEEPNESS = 2.0
"""A trend's score is full at a distance or move of half its unit."""

STOP_ATRS = 2.0
TARGET_ATRS = 4.0
RISK_TARGET = 0.01
"""Hourly true range, as a share of the price, at which `volatility_scaled_trend` asks for leverage 1."""


def momentum(evidence: Evidence) -> SeatAnswer:
    """Moves go on: distance of EMA 12 over EMA 26 in ATRs on 1h and 4h, and the 1h MACD histogram.

    For 24 hours the distance on 4h and 1d counts.
    """
    hourly = _trend(evidence, "1h")
    four_hourly = _trend(evidence, "4h")
    daily = _trend(evidence, "1d")
    swing = _ratio(_reading(evidence, "1h", "macd_histogram"), _reading(evidence, "1h", "atr_14"))
    score = _mean((hourly, 0.5), (four_hourly, 0.25), (None if swing is None else _clip(2 * swing), 0.25))
    slow = _mean((four_hourly, 0.6), (daily, 0.4))
    return _answer(evidence, score, slow, f"Momentum: EMA trend 1h {_signed(hourly)}, 4h {_signed(four_hourly)}.")


def mean_reversion(evidence: Evidence) -> SeatAnswer:
    """Extremes come back: place in the 1h Bollinger band and RSI, both turned round.

    Silent to the degree that ADX says trend: full voice at 15 and under, none from Wilder's threshold of 25 on.
    """
    middle, upper = _reading(evidence, "1h", "bollinger_middle"), _reading(evidence, "1h", "bollinger_upper")
    strength, adx = _reading(evidence, "1h", "rsi_14"), _reading(evidence, "1h", "adx_14")
    place = _ratio(_minus(_price(evidence), middle), _minus(upper, middle))
    if place is None or strength is None or adx is None:
        return _answer(evidence, None, None, "Mean reversion: the 1h bands, RSI or ADX are not known.")
    voice = 1 - min(1.0, max(0.0, (adx - 15) / 10))
    score = -voice * (_clip(place) + _clip((strength - 50) / 25)) / 2
    return _answer(
        evidence,
        score,
        FADING * score,
        f"Mean reversion: {place:+.2f} of the 1h Bollinger band, RSI {strength:.1f}, ADX {adx:.1f}.",
    )


def breakout(evidence: Evidence) -> SeatAnswer:
    """New highs and lows go on: place in the Donchian channels of 1h and 4h, of which the middle quarter is silent."""
    hourly, four_hourly = _channel(evidence, "1h"), _channel(evidence, "4h")
    score = _mean((hourly, 0.6), (four_hourly, 0.4))
    slow = _mean((four_hourly, 1.0))
    return _answer(evidence, score, slow, f"Breakout: Donchian edge 1h {_signed(hourly)}, 4h {_signed(four_hourly)}.")


def volatility_scaled_trend(evidence: Evidence) -> SeatAnswer:
    """The move over the recent bars against what chance would do, ATR x root of time; leverage falls with ATR."""
    hourly, four_hourly, daily = (_drift(evidence, timeframe) for timeframe in ("1h", "4h", "1d"))
    score = _mean((hourly, 0.5), (four_hourly, 0.5))
    slow = _mean((four_hourly, 0.5), (daily, 0.5))
    volatility = _ratio(_reading(evidence, "1h", "atr_14"), _price(evidence))
    leverage = 1.0 if not volatility else min(3.0, max(1.0, RISK_TARGET / volatility))
    return _answer(
        evidence,
        score,
        slow,
        f"Trend by volatility: move 1h {_signed(hourly)}, 4h {_signed(four_hourly)}.",
        leverage=round(leverage, 2),
    )


def base_rate(evidence: Evidence) -> SeatAnswer:
    """How often the recent 4h (1d) closes rose, with four bars of a fair coin added."""
    shares = [_share_of_rises(evidence, timeframe) for timeframe in ("4h", "1d")]
    scores = [(share - 0.5) / LARGEST_TILT for share in shares]
    return _answer(evidence, scores[0], scores[1], f"Base rate: {shares[0]:.0%} of recent 4h closes, shrunk, rose.")


def random(evidence: Evidence) -> SeatAnswer:
    """No skill at all: uniform within 0.4 to 0.6, seeded by the hash of the market's part of the evidence.

    The headlines have no part in it: who writes one would throw the dice again.
    """
    market = [evidence["snapshot"].get(name) for name in ("venue", "symbol", "as_of", "timeframes")]
    draws = np.random.default_rng(int(content_hash(market)[:16], 16)).uniform(-1, 1, size=2)
    scores = 0.1 / LARGEST_TILT * draws
    return _answer(
        evidence, float(scores[0]), float(scores[1]), "Random: drawn from the hash of the market's readings."
    )


BASELINES: Mapping[str, Callable[[Evidence], SeatAnswer]] = MappingProxyType(
    {one.__name__: one for one in (momentum, mean_reversion, breakout, volatility_scaled_trend, base_rate, random)}
)
"""The baselines by the name that `config/models.yaml` gives them."""


def _answer(
    evidence: Evidence, score: float | None, slow: float | None, reasoning: str, leverage: float = 1.0
) -> SeatAnswer:
    """Turn scores from -1 (down) to 1 (up), None for not known, into a complete answer."""
    p_up_4h, p_up_24h = _probability(score), _probability(slow)
    edge = p_up_4h - 0.5
    action = Action.HOLD if abs(edge) < CLEAR_EDGE else Action.BUY if edge > 0 else Action.SELL
    confidence = 1 - 2 * abs(edge) if action is Action.HOLD else 0.5 + abs(edge)
    entry, stop_loss, take_profit = _levels(evidence, action)
    return SeatAnswer(
        action=action,
        confidence=round(confidence, 4),
        p_up_4h=p_up_4h,
        p_up_24h=p_up_24h,
        entry=entry,
        stop_loss=stop_loss,
        take_profit=take_profit,
        leverage=leverage,
        reasoning=reasoning,
    )


def _probability(score: float | None) -> float:
    return round(0.5 + LARGEST_TILT * _clip(score or 0.0), 4)


def _levels(evidence: Evidence, action: Action) -> tuple[float | None, float | None, float | None]:
    price, atr = _price(evidence), evidence["snapshot"]["atr"]
    if action is Action.HOLD or price is None or atr is None:
        return None, None, None
    side = 1 if action is Action.BUY else -1
    stop_loss, take_profit = price - side * STOP_ATRS * atr, price + side * TARGET_ATRS * atr
    return price, _positive(stop_loss), _positive(take_profit)


def _price(evidence: Evidence) -> float | None:
    price: float | None = evidence["snapshot"]["reference_price"]
    return price


def _section(evidence: Evidence, timeframe: str) -> Mapping[str, Any]:
    section: Mapping[str, Any] = evidence["snapshot"]["timeframes"].get(timeframe, {})
    return section


def _reading(evidence: Evidence, timeframe: str, name: str) -> float | None:
    value: float | None = _section(evidence, timeframe).get("indicators", {}).get(name)
    return value


def _trend(evidence: Evidence, timeframe: str) -> float | None:
    fast, slow, atr = (_reading(evidence, timeframe, name) for name in ("ema_12", "ema_26", "atr_14"))
    distance = _ratio(_minus(fast, slow), atr)
    return None if distance is None else _clip(STEEPNESS * distance)


def _channel(evidence: Evidence, timeframe: str) -> float | None:
    """0 in the channel's middle quarter, from there up to 1 at the upper and -1 at the lower edge."""
    upper, lower = _reading(evidence, timeframe, "donchian_upper"), _reading(evidence, timeframe, "donchian_lower")
    share = _ratio(_minus(_price(evidence), lower), _minus(upper, lower))
    if share is None:
        return None
    place = _clip(2 * share - 1)
    return math.copysign(max(0.0, (abs(place) - 0.25) / 0.75), place)


def _drift(evidence: Evidence, timeframe: str) -> float | None:
    closes = _section(evidence, timeframe).get("closes", [])
    atr = _reading(evidence, timeframe, "atr_14")
    if len(closes) < 2 or not atr:  # noqa: PLR2004 - a move needs two ends
        return None
    return _clip(STEEPNESS * (closes[-1] - closes[0]) / (atr * math.sqrt(len(closes) - 1)))


def _share_of_rises(evidence: Evidence, timeframe: str) -> float:
    closes = _section(evidence, timeframe).get("closes", [])
    rises: int = sum(later > earlier for earlier, later in pairwise(closes))
    return (rises + 2) / (max(0, len(closes) - 1) + 4)


def _mean(*parts: tuple[float | None, float]) -> float | None:
    """Weighted mean of the parts that are known; None where none is."""
    known = [(value, weight) for value, weight in parts if value is not None]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _clip(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _positive(price: float) -> float | None:
    return price if price > 0 else None


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"
