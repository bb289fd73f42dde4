"""Made-up markets and forecasters for tests of the leaderboard, from a seed."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from triplegain_pipelines.evaluation.leaderboard import Leaderboard, LeaderboardRow
from triplegain_pipelines.evaluation.leaderboard_board import BoardInputs, build_leaderboard
from triplegain_pipelines.evaluation.leaderboard_evidence import label_evidence

START = datetime(2024, 1, 1, tzinfo=UTC)
BTC, ETH = "BTC/USDT", "ETH/USDT"
HORIZON = timedelta(hours=4)
GRACE = timedelta(seconds=10)
UTC_TIME = pl.Datetime("us", "UTC")


class Market:
    """Events of one symbol every `interval`, with outcomes whose share of rises is about `drift`."""

    def __init__(
        self, count: int, *, interval: timedelta = HORIZON, drift: float = 0.5, seed: int = 5, symbol: str = BTC
    ) -> None:
        self.interval, self.symbol = interval, symbol
        self.generator = np.random.default_rng(seed)
        self.at = [START + number * interval + GRACE for number in range(count)]
        steps = np.where(self.generator.random(count + 4) < drift, 1.0, -1.0) * self.generator.gamma(
            2, 0.004, count + 4
        )
        prices = 100 * np.exp(np.concatenate([[0.0], np.cumsum(steps)]))
        ahead = max(1, HORIZON // interval)
        self.entry, self.exit = prices[:count], prices[ahead : count + ahead]
        self.went_up: NDArray[np.bool_] = self.exit > self.entry

    def outcomes(self) -> pl.DataFrame:
        """In the columns of store/outcomes."""
        return pl.DataFrame(
            {
                "symbol": [self.symbol] * len(self.at),
                "as_of": self.at,
                "horizon_hours": [4] * len(self.at),
                "settled_at": [at + HORIZON + timedelta(minutes=1) for at in self.at],
                "entry_price": self.entry,
                "exit_price": self.exit,
                "return": self.exit / self.entry - 1,
                "went_up": self.went_up,
            },
            schema_overrides={"as_of": UTC_TIME, "settled_at": UTC_TIME, "horizon_hours": pl.Int32},
        )

    def skilled(self, hits: float, sure: float = 0.05) -> NDArray[np.float64]:
        """Forecasts on the right side with the chance `hits`, always `sure` away from one half."""
        right = self.generator.random(len(self.at)) < hits
        return np.where(right == self.went_up, 0.5 + sure, 0.5 - sure)

    def constant(self, p_up: float) -> NDArray[np.float64]:
        """Always the same."""
        return np.full(len(self.at), p_up)


def series(
    market: Market,
    name: str,
    p_up: NDArray[np.float64],
    *,
    kind: str = "seat",
    model: str | None = None,
    template: str = "t1",
    late: timedelta = timedelta(days=400),
    slope: float | None = None,
    where: slice = slice(None),
) -> pl.DataFrame:
    """A forecaster's rows, NaN where it abstained, written down `late` after the decision."""
    return pl.DataFrame(
        {
            "kind": kind,
            "forecaster": name,
            "model": model or f"vendor/{name}",
            "template_hash": template,
            "parameters_hash": "p",
            "symbol": market.symbol,
            "as_of": market.at[where],
            "p_up": [None if np.isnan(value) else float(value) for value in p_up[where]],
            "recorded_at": [at + late for at in market.at[where]],
            "slope": slope,
        },
        schema_overrides={
            "as_of": UTC_TIME,
            "recorded_at": UTC_TIME,
            "p_up": pl.Float64,
            "slope": pl.Float64,
        },
    )


def board(
    market: Market, *frames: pl.DataFrame, cutoffs: Mapping[tuple[str, str], date | None] | None = None, **changes: Any
) -> Leaderboard:
    """The board of these forecasters; unless said otherwise every model's cutoff lies before the market began."""
    forecasts = pl.concat(frames)
    known = forecasts.select("forecaster", "model").unique().rows()
    stated = dict.fromkeys(known, date(2023, 6, 30)) if cutoffs is None else cutoffs
    inputs: dict[str, Any] = {
        "account": "demo",
        "start": START,
        "end": market.at[-1] + timedelta(days=1),
        "interval": market.interval,
        "horizon_hours": 4,
        "longer_hours": 24,
        "currency": "USDT",
        "simulated": False,
        "symbols": (market.symbol,),
        "series": label_evidence(forecasts, stated, HORIZON),
        "outcomes": market.outcomes(),
        "calls": (),
        "trials": len(frames),
        "clip": 0.02,
        "books": {},
        "holdings": (),
    }
    return build_leaderboard(BoardInputs(**{**inputs, **changes}))


def row_of(found: Leaderboard, name: str) -> LeaderboardRow:
    """The row of the forecaster `name`; it must be the only one."""
    (row,) = [row for row in found.rows if row.variant.forecaster == name]
    return row
