"""The plan of a parity run on the simulated market: decisions that are drawn, and nothing that could be a forecast."""

from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.market.simulator import SimulatedMarket
from triplegain_pipelines.rehearsal.floor import calm_market, scripted_decision
from triplegain_pipelines.rehearsal.parity_run import ACCOUNT, ParityPlan
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.risk import RiskLimits

VENUE = "kraken"
SYMBOLS = ("BTC/USDT", "ETH/USDT")
_STARTS = datetime.fromisoformat("2026-01-05T00:00:00+00:00")
_EVERY = timedelta(hours=1)
_ACTIONS, _ODDS = (Action.BUY, Action.CLOSE, Action.HOLD), (0.5, 0.2, 0.3)
_ATR_SHARES = (0.003, 0.006)  # stops that a day's path reaches now and then
_HALF_SPREAD = Decimal("0.0001")
_STEPS = {"BTC/USDT": "0.1", "ETH/USDT": "0.01"}
_MINIMUM_COST = Decimal(5)
_DAILY_VOLUME = Decimal(1_000_000)
_PER_BASIS_POINT = Decimal("0.0001")


def simulated_plan(settings: Settings, duration: timedelta, seed: int) -> ParityPlan:
    """`duration` of the simulated market with an hourly decision for each symbol.

    Args:
        settings: of a profile with a section 'live', whose fee, limits and paper costs are traded with.
        duration: whole hours, two at least.
        seed: of market and decisions.

    Raises:
        InputError: the profile has no section 'live'.
    """
    live = settings.profile.live
    if live is None:
        msg = (
            "parity compares paper with live trading: choose a profile with a section 'live', such as config/live.yaml"
        )
        raise InputError(msg)
    ends_at = _STARTS + duration
    market = SimulatedMarket(seed, _STARTS.date(), SYMBOLS)
    frames = {symbol: market.candles(symbol, _STARTS, ends_at) for symbol in SYMBOLS}
    hours = [_STARTS + number * _EVERY for number in range(1, (ends_at - _STARTS) // _EVERY)]
    return ParityPlan(
        settings=settings,
        venue=VENUE,
        frames=frames,
        decisions=[made for at in hours for made in _decided(market, at, seed)],
        states=[calm_market(SYMBOLS, at) for at in hours],
        starts_at=_STARTS,
        ends_at=ends_at,
        paper=settings.profile.paper,
        limits=_roomy(settings.risk),
        instruments={
            symbol: Instrument(symbol, price_step=Decimal(step), minimum_cost=_MINIMUM_COST)
            for symbol, step in _STEPS.items()
        },
        venue_fee=live.fee_bps * _PER_BASIS_POINT,
        half_spread=_HALF_SPREAD,
    )


def _roomy(limits: RiskLimits) -> RiskLimits:
    """The limits, but for the day's volume, which a decision an hour uses up before noon."""
    money = limits.money.model_copy(update={"max_daily_volume": _DAILY_VOLUME})
    return limits.model_copy(update={"money": money})


def _decided(market: SimulatedMarket, at: datetime, seed: int) -> list[Decision]:
    """The decisions of one hour."""
    made = []
    for symbol in market.symbols:
        draw = np.random.default_rng(deterministic_id("parity", seed, symbol, at).int)
        action = _ACTIONS[int(draw.choice(len(_ACTIONS), p=_ODDS))]
        price = float(market.quote(symbol, at).price)
        made.append(scripted_decision(ACCOUNT, VENUE, symbol, at, action, price, float(draw.uniform(*_ATR_SHARES))))
    return made
