"""From six forecasts to one decision: quorum, pool, slope, dead band. Pure; nothing here asks or stores.

Direction comes from here; size, stop, target and veto belong to `risk`. The method: equal weights, no
bonus for agreement, no extremising, and disagreement can only make a position smaller (docs/how_it_works.md).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from statistics import median

from triplegain_pipelines.agents.calibration import CALIBRATION_VERSION, Slope
from triplegain_pipelines.agents.prompt import template_hash
from triplegain_pipelines.agents.regime import REGIME_VERSION
from triplegain_pipelines.agents.sentiment import SENTIMENT_VERSION
from triplegain_pipelines.agents.technical import TECHNICAL_VERSION
from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.decisions import Action, Decision, ForecastStatus
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.evidence import RegimeSignal, Snapshot
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.indicators.registry import INDICATORS_VERSION
from triplegain_pipelines.settings.models import PoolSettings, Quorum
from triplegain_pipelines.settings.profile import DecisionSettings

CONSENSUS_VERSION = "consensus-2"

SETTINGS = "settings"
"""Beside the code versions stands what the code was told: quorum and pool, so that it can be computed again."""

SEATS = 6
"""The denominator of quorum, agreement and unanimity, however many answered."""

SMALLEST_SIZE_FACTOR = Decimal("0.5")
"""What is left of the size when the seats disagree as much as they can."""

_SIZE_STEP = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Pool:
    """The answers taken together. `log_odds` is their mean before the slope, `disagreement` their standard deviation.

    `agreement` is the number of answers with the most frequent action over six; HOLD and CLOSE count as
    different actions, an abstention as none.
    """

    answers: int
    vendors: int
    log_odds: float
    disagreement: float
    agreement: float
    close_votes: int


def pool_forecasts(forecasts: Iterable[SeatForecast], clip: float) -> Pool:
    """Equal-weight mean of the log-odds of `p_up_4h`, clipped to [clip, 1 - clip], over the seats that answered.

    The sums are exact, so the order of the seats changes nothing.
    """
    answered = [one for one in forecasts if one.status is ForecastStatus.ANSWERED]
    log_odds = [to_log_odds(one.p_up_4h, clip) for one in answered if one.p_up_4h is not None]
    count = len(log_odds)
    mean = math.fsum(log_odds) / count if count else 0.0
    variance = math.fsum((value - mean) ** 2 for value in log_odds) / count if count else 0.0
    votes = [sum(one.action is action for one in answered) for action in Action]
    return Pool(
        answers=len(answered),
        vendors=len({one.vendor for one in answered}),
        log_odds=mean,
        disagreement=math.sqrt(variance),
        agreement=max(votes) / SEATS,
        close_votes=sum(one.action is Action.CLOSE for one in answered),
    )


def to_log_odds(p_up: float, clip: float) -> float:
    """The log-odds of a chance clipped to [clip, 1 - clip]."""
    clipped = min(1 - clip, max(clip, p_up))
    return math.log(clipped / (1 - clipped))


def to_chance(log_odds: float) -> float:
    """The chance that has these log-odds."""
    return 1 / (1 + math.exp(-log_odds))


def side_of(p_up: float, dead_band: float) -> Action:
    """BUY or SELL at or beyond the dead band around one half, HOLD within it and at one half itself."""
    edge = p_up - 0.5
    if edge == 0 or abs(edge) < dead_band:
        return Action.HOLD
    return Action.BUY if edge > 0 else Action.SELL


def size_factor(disagreement: float, clip: float) -> Decimal:
    """1 where the seats are of one mind, falling in a straight line to 0.5 where they disagree as much as they can.

    That is three seats at `clip` and three at `1 - clip`, a standard deviation of log((1 - clip) / clip). Rounded
    down to hundredths.
    """
    share = min(1.0, disagreement / to_log_odds(1 - clip, clip))
    factor = 1 - (1 - SMALLEST_SIZE_FACTOR) * Decimal(repr(share))
    return factor.quantize(_SIZE_STEP, rounding=ROUND_DOWN)


def decide(
    *,
    account: str,
    snapshot: Snapshot,
    regime: RegimeSignal,
    forecasts: Sequence[SeatForecast],
    slope: Slope,
    quorum: Quorum,
    pool: PoolSettings,
    decisions: DecisionSettings,
    sentiment: str = SENTIMENT_VERSION,
) -> Decision:
    """What the seats' forecasts about `snapshot` come to for `account`.

    Without a complete snapshot or a quorum the decision is to HOLD: no new risk, while stops, targets and a person
    still end positions. A majority of the answers for CLOSE closes; below the quorum it takes a majority of all six
    seats, of however few vendors. Else the pooled probability decides: BUY or SELL at or beyond the dead band around
    0.5, HOLD within it. `sentiment` is the version of the sentiment signal that the seats were shown.

    Raises:
        DataError: there is not exactly one forecast, answered or abstained, for each of six seats.
    """
    seats = sorted(forecasts, key=lambda one: one.seat)
    if len(seats) != SEATS or len({one.seat for one in seats}) != SEATS:
        given = ", ".join(one.seat for one in seats) or "none"
        msg = f"a decision about {snapshot.symbol} needs one forecast of each of {SEATS} seats, and has: {given}"
        raise DataError(msg)
    pooled = pool_forecasts(seats, pool.clip)
    quorum_met = pooled.answers >= quorum.answers and pooled.vendors >= quorum.vendors
    p_up = to_chance(slope.value * pooled.log_odds)
    action, reason = _outcome(snapshot, pooled, p_up, pool.dead_band, quorum_met=quorum_met)
    return Decision(
        decision_id=deterministic_id(
            "decision", account, snapshot.symbol, snapshot.as_of.isoformat(), snapshot.snapshot_id
        ),
        account=account,
        venue=snapshot.venue,
        symbol=snapshot.symbol,
        as_of=snapshot.as_of,
        valid_until=snapshot.as_of + decisions.validity,
        snapshot_id=snapshot.snapshot_id,
        forecast_ids=tuple(one.forecast_id for one in seats),
        regime=regime.regime,
        action=action,
        reason_code=reason,
        p_up=p_up,
        confidence=max(p_up, 1 - p_up),
        pooled_log_odds=pooled.log_odds,
        slope=slope.value,
        settled_count=slope.settled_count,
        answers=pooled.answers,
        vendors=pooled.vendors,
        quorum_met=quorum_met,
        unanimous=pooled.agreement == 1,
        agreement=pooled.agreement,
        disagreement=pooled.disagreement,
        size_factor=size_factor(pooled.disagreement, pool.clip),
        leverage=_leverage(seats, action),
        reference_price=snapshot.reference_price,
        atr=snapshot.atr,
        explanation=_explain(seats, pooled, slope, p_up, (action, reason), pool.clip),
        code_version=CONSENSUS_VERSION,
        code_versions={**_code_versions(snapshot, sentiment, seats), SETTINGS: settings_text(quorum, pool)},
    )


def settings_text(quorum: Quorum, pool: PoolSettings) -> str:
    """The settings of a decision as they are stored with it."""
    return canonical_json({"quorum": quorum.model_dump(), "pool": pool.model_dump()})


def settings_of(text: str) -> tuple[Quorum, PoolSettings]:
    """The settings of a decision, of what is stored with it.

    Raises:
        ValueError: they are not what `settings_text` writes.
    """
    document = json.loads(text)
    return Quorum.model_validate(document["quorum"]), PoolSettings.model_validate(document["pool"])


def _outcome(
    snapshot: Snapshot, pooled: Pool, p_up: float, dead_band: float, *, quorum_met: bool
) -> tuple[Action, ReasonCode]:
    if not snapshot.complete:
        return Action.HOLD, ReasonCode.SNAPSHOT_INCOMPLETE
    # What more than half of all six want closed is closed below the quorum too: it takes no new risk.
    if 2 * pooled.close_votes > (pooled.answers if quorum_met else SEATS):
        return Action.CLOSE, ReasonCode.CLOSE_AGREED
    if not quorum_met:
        return Action.HOLD, ReasonCode.QUORUM_NOT_MET
    side = side_of(p_up, dead_band)
    return side, ReasonCode.CONSENSUS_UNDECIDED if side is Action.HOLD else ReasonCode.CONSENSUS_REACHED


def _leverage(seats: Sequence[SeatForecast], action: Action) -> Decimal:
    """Median leverage of the seats that want what was decided; 1 where none does."""
    wanted = [one.leverage for one in seats if one.action is action and one.leverage is not None]
    return Decimal(repr(float(median(wanted)))) if wanted else Decimal(1)


def _explain(
    seats: Sequence[SeatForecast],
    pooled: Pool,
    slope: Slope,
    p_up: float,
    outcome: tuple[Action, ReasonCode],
    clip: float,
) -> str:
    action, reason = outcome
    source = f"learnt from {slope.settled_count:.0f} settled forecasts" if slope.learnt else "the prior one"
    share = size_factor(pooled.disagreement, clip)
    calibrated = f"{p_up:.1%} after a slope of {slope.value:.2f} ({source})"
    return "\n".join(
        [
            f"{action.value}. {reason.meaning}",
            f"{pooled.answers} of {SEATS} seats of {pooled.vendors} vendors answered. {_agreement(seats, pooled)}",
            f"Chance of a higher price in 4 hours: {to_chance(pooled.log_odds):.1%} as said, {calibrated}.",
            f"The answers differ by {pooled.disagreement:.2f} in log-odds, which leaves {share:.0%} of the size.",
            *(_said(one) for one in seats),
        ]
    )


def _agreement(seats: Sequence[SeatForecast], pooled: Pool) -> str:
    """Who is of one mind and who is not, by the actions that were named."""
    if not pooled.answers:
        return "Nobody said anything."
    if pooled.agreement == 1:
        return f"All {SEATS} say {next(one.action for one in seats)}: unanimous, which makes nothing larger."
    sides = {action: [one.seat for one in seats if one.action is action] for action in Action}
    named = sorted((one for one in sides.items() if one[1]), key=lambda one: -len(one[1]))
    most = [action for action, voices in named if len(voices) == len(named[0][1])]
    if len(most) > 1:
        camps = "; ".join(f"{action.value}: {', '.join(voices)}" for action, voices in named)
        return f"No action has the most voices: {camps}."
    dissent = "; ".join(f"{', '.join(voices)} ({action.value})" for action, voices in named[1:])
    agree = f"{len(named[0][1])} of {SEATS} say {most[0].value}"
    return f"{agree}; against it: {dissent}." if dissent else f"{agree}, and nobody who answered says otherwise."


def _said(one: SeatForecast) -> str:
    name = f"{one.seat} (baseline {one.model.partition('/')[2]})" if one.baseline else f"{one.seat} ({one.model})"
    if one.action is None or one.p_up_4h is None:
        why = one.reason_code.meaning if one.reason_code else "no reason is known"
        return f"- {name} abstained: {why}"
    return f"- {name} says {one.action.value}, {one.p_up_4h:.0%} up in 4 hours: {one.reasoning}"


def _code_versions(snapshot: Snapshot, sentiment: str, seats: Sequence[SeatForecast]) -> Mapping[str, str]:
    return {
        "indicators": INDICATORS_VERSION,
        "snapshot": snapshot.code_version,
        "technical": TECHNICAL_VERSION,
        "regime": REGIME_VERSION,
        "sentiment": sentiment,
        "template": template_hash(),
        "seats": ", ".join(sorted({one.code_version for one in seats})),
        "calibration": CALIBRATION_VERSION,
        "consensus": CONSENSUS_VERSION,
    }
