"""The leaderboard as data: who forecast how well on the same events, on what evidence, and what may be said of it.

No calculation here. How a board is made of forecasts is in leaderboard_board.py, what it says in words in
leaderboard_words.py, and how to read it in `docs/models.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from triplegain_pipelines.evaluation.performance import Interval


class ForecasterKind(StrEnum):
    """What a forecaster is. A baseline that sits in a seat is never shown as a model."""

    SEAT = "seat"
    BASELINE_SEAT = "baseline seat"
    CONSENSUS = "consensus"
    SHADOW = "shadow"
    BASELINE = "baseline"


class Evidence(StrEnum):
    """How a forecast relates to what its maker may have known: only what could not be remembered is ranked."""

    LIVE = "live"
    POST_CUTOFF = "after the cutoff"
    NO_MEMORY = "code, no memory"
    PRE_CUTOFF = "before the cutoff"
    UNKNOWN_CUTOFF = "cutoff not known"

    @property
    def ranked(self) -> bool:
        """Whether forecasts of this kind are evidence."""
        return self in {Evidence.LIVE, Evidence.POST_CUTOFF, Evidence.NO_MEMORY}


@dataclass(frozen=True, slots=True)
class Variant:
    """One series of forecasts: who, with which model, which wording and which parameters. Another wording is another.

    `template_hash` and `parameters_hash` are empty where the forecaster has neither.
    """

    variant_id: str
    forecaster: str
    kind: ForecasterKind
    model: str
    template_hash: str
    parameters_hash: str


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Forecasts of similar probability: their count, their mean, and how often the price rose after them."""

    count: int
    mean_p_up: float
    share_up: float


@dataclass(frozen=True, slots=True)
class ForecastQuality:
    """Scores of settled forecasts. `hits` is the share right of those on one side of one half, None without any.

    `independent` is how many forecasts without overlap and without correlation of symbols they are worth; the
    intervals rest on it. `mean_p_up` over the share of rises is a long bias.
    """

    settled: int
    independent: float
    brier: float
    brier_interval: Interval
    log_loss: float
    calibration_error: float
    calibration: tuple[CalibrationBin, ...]
    hits: float | None
    hits_interval: Interval | None
    mean_p_up: float
    share_up: float


@dataclass(frozen=True, slots=True)
class Calls:
    """How the calls behind a row went. `reasons` counts abstentions by reason code. Latencies in milliseconds."""

    asked: int
    answered: int
    reasons: Mapping[str, int]
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    tokens: int
    cost_usd: Decimal

    @property
    def coverage(self) -> float:
        """Share of the events asked about that brought an answer."""
        return self.answered / self.asked if self.asked else 0.0

    @property
    def abstention_rate(self) -> float:
        """Share of the events asked about that brought none."""
        return 1 - self.coverage if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class ShadowBook:
    """An account that acts on one forecaster alone, through the same risk engine and fills, and pays its own bill.

    Money in the account's currency. Returns and drawdown are fractions; `net_return` has `bill_usd` deducted,
    `gross_return` has not. `curve` is the net worth at the start and at the end of each UTC day.
    """

    account: str
    starting_equity: Decimal
    final_equity: Decimal
    bill_usd: Decimal
    gross_return: float
    net_return: float
    max_drawdown: float
    sharpe: float | None
    deflated_sharpe: float | None
    trades: int
    curve: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, slots=True)
class Holding:
    """What holding instead of forecasting made over the same time, without fees: a symbol, equal weights, cash."""

    name: str
    total_return: float
    max_drawdown: float


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One forecaster on the board.

    Attributes:
        variant: which series it is.
        seat: of a seat, else None. Where one has changed its model or wording there are several rows.
        calls: of the whole window, whatever their evidence.
        evidence: number of its settled forecasts by kind of evidence.
        quality: on settled forecasts that are evidence; None without any.
        unranked_quality: on settled forecasts that are not: shown, labelled, never ranked.
        gate: the sentence that says there is not enough data, None where there is.
        rank: by Brier score with abstentions as one half, among those better than any constant; None without a rank.
        compared_brier: that score, on the events of the comparison; None where the row is not compared.
        in_confidence_set: whether the Model Confidence Set keeps it; None where it is not compared.
        beats_baselines_p: that it beats each plain baseline, the largest of their p values, times the number of
            variants ever tried; None of baselines and where not compared.
        spa_p: of a baseline: p value of "no forecaster beats it" (Hansen's SPA); None of others.
        shapley: share of the gain in Brier score of the equally weighted pool over one half; None of others than seats.
        leak: what makes it too good to be true, None where nothing does.
        shadow_book: None where none was walked.
    """

    variant: Variant
    seat: str | None
    calls: Calls
    evidence: Mapping[Evidence, int]
    quality: ForecastQuality | None
    unranked_quality: ForecastQuality | None
    gate: str | None
    rank: int | None
    compared_brier: float | None
    in_confidence_set: bool | None
    beats_baselines_p: float | None
    spa_p: float | None
    shapley: float | None
    leak: str | None
    shadow_book: ShadowBook | None

    @property
    def name(self) -> str:
        """As people read it: a baseline that sits in a seat says so, and so does a pool that nobody acts on."""
        if self.variant.kind is ForecasterKind.BASELINE_SEAT:
            return f"{self.variant.forecaster} (baseline: {self.variant.model.rpartition('/')[2]})"
        if self.variant.kind is ForecasterKind.SHADOW:
            return f"pool: {self.variant.forecaster.lower().replace('_', ' ')}"
        return self.variant.forecaster


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All forecasters of an account over [start, end) on the events that have settled.

    `rows` are in the order of the page: the ranked by rank, then the others by kind and name. `events` are settled
    events, `compared` those on which all that are compared were asked. `trials` counts every variant ever tried,
    `needed` the independent forecasts for a rank. `leaders` are those that beat every baseline and that the
    confidence set keeps: none, one, or several of which none is the winner. `verdict` is that in plain words.
    `effective_voters` is how many independent opinions the seats are worth, None where it cannot be told.
    """

    account: str
    start: datetime
    end: datetime
    horizon_hours: int
    currency: str
    simulated: bool
    symbols: tuple[str, ...]
    events: int
    compared: int
    trials: int
    needed: int
    rows: tuple[LeaderboardRow, ...]
    holdings: tuple[Holding, ...]
    leaders: tuple[str, ...]
    effective_voters: float | None
    verdict: tuple[str, ...]
