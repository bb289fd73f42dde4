"""What the outcomes known at a moment say of each voter, of the voters together, and of the seat-less baseline.

Outcomes are taken up in the order in which they settled, so that a range decided in one piece, in several or after a
restart learns the same to the last bit. What costs little is learnt at once; fits over all of history are made once for
each UTC day, from what had settled when it began.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from triplegain_pipelines.agents.answer import FIRST_HORIZON_HOURS
from triplegain_pipelines.agents.baseline_forecaster import fit_coefficients
from triplegain_pipelines.agents.calibration import effective_count, fit_slope
from triplegain_pipelines.agents.consensus import to_log_odds
from triplegain_pipelines.agents.shadow_pools import HEDGE_RATE, Lessons, next_shares, shrunk_error, vote_weight
from triplegain_pipelines.agents.voters import known_correlation, known_voters
from triplegain_pipelines.domain.shadows import Panel
from triplegain_pipelines.settings.models import PoolSettings

_HORIZON = timedelta(hours=FIRST_HORIZON_HOURS)

Voters = tuple[str, ...]
Settlements = Mapping[tuple[datetime, str], tuple[datetime, bool]]
"""When a forecast of the first horizon settled, and whether the price rose, by `as_of` and symbol."""


@dataclass(frozen=True, slots=True)
class Independence:
    """How alike the voters err, and how many independent ones they are worth; None where that cannot be told yet."""

    correlation: NDArray[np.float64]
    effective: float | None


@dataclass(slots=True)
class _Tally:
    """The settled answers of one voter, in order of settling."""

    right: float = 0.0
    sided: int = 0
    error: float = 0.0
    settled_at: list[datetime] = field(default_factory=list)
    log_odds: list[float] = field(default_factory=list)
    went_up: list[bool] = field(default_factory=list)


@dataclass(slots=True)
class _Bench:
    """The settled panels of the same six voters: another voter in one seat begins another bench."""

    shares: tuple[float, ...]
    settled_at: list[datetime] = field(default_factory=list)
    p_up: list[tuple[float | None, ...]] = field(default_factory=list)
    went_up: list[bool] = field(default_factory=list)


@dataclass(slots=True)
class _Examples:
    """Settled panels with the features that are used today."""

    settled_at: list[datetime] = field(default_factory=list)
    features: list[tuple[float, ...]] = field(default_factory=list)
    went_up: list[bool] = field(default_factory=list)


class TrackRecord:
    """The panels so far, and what those that have settled teach.

    Args:
        history: panels from before the first that is asked about.
        settlements: of all panels that have settled by now, whatever was known when.
        interval: between two forecasts about one symbol.
        pool: clip, prior slope and the count of settled forecasts from which a slope is learnt.
        features_version: panels with other features do not teach the baseline.
    """

    def __init__(
        self,
        history: Iterable[Panel],
        settlements: Settlements,
        interval: timedelta,
        pool: PoolSettings,
        features_version: str,
    ) -> None:
        self._settlements = settlements
        self._interval = interval
        self._pool = pool
        self._features_version = features_version
        self._overlap = min(1.0, interval / _HORIZON)
        self._waiting: list[Panel] = list(history)
        self._tallies: dict[str, _Tally] = {}
        self._benches: dict[Voters, _Bench] = {}
        self._examples = _Examples()
        self._today: datetime | None = None
        self._slopes: dict[str, float] = {}
        self._independence: dict[Voters, Independence] = {}
        self._coefficients: tuple[float, ...] | None = None

    def add(self, panel: Panel) -> None:
        """Take up a panel; it teaches once it has settled."""
        self._waiting.append(panel)

    def settle(self, at: datetime) -> None:
        """Take up the outcomes that had settled at `at`, which must not go back."""
        known: list[tuple[datetime, datetime, str, Panel, bool]] = []
        waiting, self._waiting = self._waiting, []
        for panel in waiting:
            settled_at, went_up = self._settlements.get((panel.as_of, panel.symbol), (None, False))
            if settled_at is None or settled_at > at:
                self._waiting.append(panel)
            else:
                known.append((settled_at, panel.as_of, panel.symbol, panel, went_up))
        for settled_at, _, _, panel, went_up in sorted(known, key=lambda one: one[:3]):
            self._learn(panel, settled_at, went_up=went_up)
        day = datetime.combine(at.astimezone(UTC).date(), time.min, UTC)
        if day != self._today:
            self._today = day
            self._slopes, self._independence, self._coefficients = {}, {}, None

    def settled(self, voters: Voters) -> int:
        """How many panels of these voters have settled."""
        bench = self._benches.get(voters)
        return len(bench.went_up) if bench else 0

    def lessons(self, voters: Voters, slope: float) -> Lessons:
        """What is known of `voters`; `slope` is the consensus' own."""
        prior = float(self._pool.settled_needed)
        tallies = {voter: self._tallies.get(voter, _Tally()) for voter in voters}
        bench = self._benches.get(voters)
        return Lessons(
            slope=slope,
            slopes={voter: self._slope(voter) for voter in voters},
            votes={
                voter: vote_weight(one.right * self._overlap, one.sided * self._overlap, prior)
                for voter, one in tallies.items()
            },
            shares=dict(zip(voters, bench.shares if bench else _even(voters), strict=True)),
            errors={
                voter: shrunk_error(one.error * self._overlap, len(one.went_up) * self._overlap, prior)
                for voter, one in tallies.items()
            },
        )

    def independence(self, voters: Voters) -> Independence:
        """How alike `voters` had erred when the day began."""
        if voters not in self._independence:
            bench = self._benches.get(voters, _Bench(_even(voters)))
            count = self._known_this_morning(bench.settled_at)
            correlation = known_correlation(
                np.array(bench.p_up[:count], dtype=np.float64).reshape(count, len(voters)),
                np.array(bench.went_up[:count], dtype=np.bool_),
                self._overlap,
            )
            self._independence[voters] = Independence(correlation, known_voters(correlation))
        return self._independence[voters]

    def coefficients(self, features: int) -> tuple[float, ...]:
        """The baseline's coefficients for so many features, fitted to what had settled when the day began."""
        if self._coefficients is None:
            count = self._known_this_morning(self._examples.settled_at)
            found = fit_coefficients(
                np.array(self._examples.features[:count], dtype=np.float64).reshape(count, features),
                np.array(self._examples.went_up[:count], dtype=np.bool_),
                self._overlap,
            )
            self._coefficients = tuple(found.tolist())
        return self._coefficients

    def _slope(self, voter: str) -> float:
        if voter not in self._slopes:
            tally = self._tallies.get(voter, _Tally())
            count = self._known_this_morning(tally.settled_at)
            self._slopes[voter] = fit_slope(
                np.array(tally.log_odds[:count], dtype=np.float64),
                np.array(tally.went_up[:count], dtype=np.bool_),
                effective_count(count, self._interval, _HORIZON),
                self._pool,
            ).value
        return self._slopes[voter]

    def _known_this_morning(self, settled_at: Sequence[datetime]) -> int:
        return bisect_right(settled_at, self._today) if self._today else 0

    def _learn(self, panel: Panel, settled_at: datetime, *, went_up: bool) -> None:
        losses: list[float | None] = []
        for voter, p_up in zip(panel.voters, panel.p_up, strict=True):
            if p_up is None:
                losses.append(None)
                continue
            losses.append((p_up - went_up) ** 2)
            self._count(voter, p_up, settled_at, went_up=went_up)
        bench = self._benches.setdefault(panel.voters, _Bench(_even(panel.voters)))
        bench.shares = next_shares(bench.shares, losses, HEDGE_RATE * self._overlap)
        bench.settled_at.append(settled_at)
        bench.p_up.append(panel.p_up)
        bench.went_up.append(went_up)
        if panel.features_version == self._features_version:
            self._examples.settled_at.append(settled_at)
            self._examples.features.append(panel.features)
            self._examples.went_up.append(went_up)

    def _count(self, voter: str, p_up: float, settled_at: datetime, *, went_up: bool) -> None:
        tally = self._tallies.setdefault(voter, _Tally())
        sided = p_up != 0.5  # noqa: PLR2004 - one half is on no side, so it is neither right nor wrong
        tally.sided += sided
        tally.right += sided and (p_up > 0.5) == went_up  # noqa: PLR2004
        tally.error += (p_up - went_up) ** 2
        tally.settled_at.append(settled_at)
        tally.log_odds.append(to_log_odds(p_up, self._pool.clip))
        tally.went_up.append(went_up)


def _even(voters: Voters) -> tuple[float, ...]:
    return (1 / len(voters),) * len(voters)
