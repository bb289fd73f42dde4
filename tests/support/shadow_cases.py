"""Decisions with their evidence, made up hour by hour, for the tests of the shadow pools."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from seats_data import AS_OF, DECISIONS, POOL, QUORUM, RANGING, SEATS, abstained, answered, make_snapshot

from triplegain_pipelines.agents.calibration import Slope
from triplegain_pipelines.agents.consensus import decide
from triplegain_pipelines.agents.shadow_council import Case, shadow_decisions
from triplegain_pipelines.domain.decisions import Bias
from triplegain_pipelines.domain.evidence import SentimentSignal, Signals, TechnicalSignal
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.shadows import Panel, ShadowRecord

HOUR = timedelta(hours=1)
WAIT = timedelta(hours=4, minutes=2, seconds=10)
QUICK = POOL.model_copy(update={"settled_needed": 5})

Settled = dict[tuple[datetime, str], tuple[datetime, bool]]


def said(hour: int, chances: Sequence[float | None], *, symbol: str = "BTC/USDT") -> tuple[SeatForecast, ...]:
    """The seats' forecasts at an hour; None abstains."""
    snapshot = make_snapshot(as_of=AS_OF + hour * HOUR, symbol=symbol)
    return tuple(
        replace(
            abstained(seat) if p_up is None else answered(seat, p_up),
            snapshot_id=snapshot.snapshot_id,
            forecast_id=deterministic_id("forecast", seat, hour, symbol, p_up),
        )
        for seat, p_up in zip(SEATS, chances, strict=True)
    )


def case(
    hour: int,
    chances: Sequence[float | None],
    *,
    technical: float = 0.0,
    symbol: str = "BTC/USDT",
    account: str = "demo",
) -> Case:
    """A decision of an hour; `technical` is the signed confidence of the technical agent."""
    snapshot = make_snapshot(as_of=AS_OF + hour * HOUR, symbol=symbol)
    forecasts = said(hour, chances, symbol=symbol)
    bias = Bias.LONG if technical > 0 else Bias.SHORT if technical < 0 else Bias.NEUTRAL
    decision = decide(
        account="demo",
        snapshot=snapshot,
        regime=RANGING,
        forecasts=forecasts,
        slope=Slope(0.3, 0.0, learnt=False),
        quorum=QUORUM,
        pool=QUICK,
        decisions=DECISIONS,
    )
    signals = Signals(TechnicalSignal(bias, abs(technical), ()), RANGING, SentimentSignal(0.0, 0, ()))
    return Case(decision, snapshot, signals, forecasts)


def random_cases(hours: int, *, seed: int = 3) -> tuple[list[Case], Settled]:
    """Cases of two symbols with a seat that is often right, some abstentions, and their outcomes."""
    rng = np.random.default_rng(seed)
    cases, settled = [], {}
    for hour in range(hours):
        for symbol in ("BTC/USDT", "ETH/USDT"):
            rose = bool(rng.random() < 0.5)
            noise = rng.uniform(0.2, 0.8, size=6).round(3).tolist()
            chances: list[float | None] = [float(one) for one in noise]
            chances[0] = 0.7 if (rng.random() < 0.8) == rose else 0.3
            if rng.random() < 0.2:
                chances[5] = None
            technical = 0.5 if rose == (rng.random() < 0.9) else -0.5
            cases.append(case(hour, chances, technical=technical, symbol=symbol))
            settled[(AS_OF + hour * HOUR, symbol)] = (AS_OF + hour * HOUR + WAIT, rose)
    return cases, settled


def shadowed(cases: Sequence[Case], settled: Settled, history: Sequence[Panel] = ()) -> list[ShadowRecord]:
    """The shadows of the cases."""
    return shadow_decisions(cases=cases, history=history, settlements=settled, pool=QUICK, interval=HOUR)


def at_hour(hour: float) -> datetime:
    """The moment `hour` hours after the first decision."""
    return AS_OF + hour * HOUR
