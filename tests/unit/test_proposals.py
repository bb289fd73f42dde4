"""From a decision to a proposal, and where stop and target lie."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from risk_cases import AT, LIMITS, D, holding, judged

from triplegain_pipelines.domain.decisions import Action, Decision, Direction, Regime
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Holding, Proposal, ProposalKind
from triplegain_pipelines.portfolio.proposals import propose
from triplegain_pipelines.risk.sizing import protective_levels

pytestmark = pytest.mark.unit

STEP = D("0.01")
LONG, SHORT = holding("BTC/USDT", "2"), holding("BTC/USDT", "-2")


def decision(action: Action, atr: float | None = 2.5) -> Decision:
    """A decision of six seats, agreed."""
    return Decision(
        decision_id=UUID(int=7),
        account="test",
        venue="kraken",
        symbol="BTC/USDT",
        as_of=AT,
        valid_until=AT + timedelta(minutes=10),
        snapshot_id=UUID(int=8),
        forecast_ids=(),
        regime=Regime.RANGING,
        action=action,
        reason_code=ReasonCode.CONSENSUS_UNDECIDED,
        p_up=0.6,
        confidence=0.6,
        pooled_log_odds=0.4,
        slope=1.0,
        settled_count=0.0,
        answers=6,
        vendors=5,
        quorum_met=True,
        unanimous=True,
        agreement=1.0,
        disagreement=0.0,
        size_factor=D("0.8"),
        leverage=D(1),
        reference_price=100.0,
        atr=atr,
        explanation="",
        code_version="1",
        code_versions={},
    )


def proposed(action: Action, held: Holding | None = None, atr: float | None = 2.5) -> Proposal | Reason:
    """What the decision asks for at a price of 100."""
    return propose(decision(action, atr), held, D(100), LIMITS, STEP)


def test_a_buy_from_flat_opens_a_long() -> None:
    """R1: stop at 2 ATR, target at twice the stop's distance, the size left to risk, the id known beforehand."""
    assert proposed(Action.BUY) == Proposal(
        proposal_id=deterministic_id("proposal", UUID(int=7), "OPEN"),
        decision_id=UUID(int=7),
        account="test",
        symbol="BTC/USDT",
        kind=ProposalKind.OPEN,
        direction=Direction.LONG,
        quantity=None,
        entry_price=D(100),
        stop_loss=D(95),
        take_profit=D(110),
        leverage=D(1),
        confidence=0.6,
        regime=Regime.RANGING,
        size_factor=D("0.8"),
    )


def test_a_sell_from_flat_asks_for_a_short_and_leaves_the_refusal_to_risk() -> None:
    """R1: a sell dropped before risk is a refusal that nobody ever sees."""
    asked = proposed(Action.SELL)
    assert isinstance(asked, Proposal)
    assert (asked.direction, asked.stop_loss, asked.take_profit) == (Direction.SHORT, D(105), D(90))
    assert judged(asked).reasons[0].code is ReasonCode.SHORT_SELLING_DISABLED


@pytest.mark.parametrize(
    ("action", "held", "direction"),
    [
        (Action.SELL, LONG, Direction.LONG),
        (Action.CLOSE, LONG, Direction.LONG),
        (Action.BUY, SHORT, Direction.SHORT),
        (Action.CLOSE, SHORT, Direction.SHORT),
    ],
)
def test_a_position_against_the_decision_is_closed(action: Action, held: Holding, direction: Direction) -> None:
    """R2: turning round in one order would open a position that risk never saw."""
    asked = proposed(action, held)
    assert isinstance(asked, Proposal)
    assert (asked.kind, asked.direction, asked.stop_loss) == (ProposalKind.CLOSE, direction, None)
    assert asked.proposal_id == deterministic_id("proposal", UUID(int=7), "CLOSE")


@pytest.mark.parametrize(
    ("action", "held", "code"),
    [
        (Action.BUY, LONG, ReasonCode.ALREADY_POSITIONED),
        (Action.SELL, SHORT, ReasonCode.ALREADY_POSITIONED),
        (Action.CLOSE, None, ReasonCode.NOTHING_TO_CLOSE),
        (Action.HOLD, None, ReasonCode.CONSENSUS_UNDECIDED),
        (Action.HOLD, LONG, ReasonCode.CONSENSUS_UNDECIDED),
    ],
)
def test_what_asks_for_nothing_says_why(action: Action, held: Holding | None, code: ReasonCode) -> None:
    """Rule 10: a decision that leads to no proposal without a reason cannot be explained."""
    asked = proposed(action, held)
    assert isinstance(asked, Reason)
    assert asked.code is code


@pytest.mark.parametrize("atr", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_without_a_range_there_is_no_stop_and_no_position(atr: float | None) -> None:
    """R2: a stop made up where the range is unknown is a limit made up."""
    asked = proposed(Action.BUY, None, atr)
    assert isinstance(asked, Proposal)
    assert ReasonCode.STOP_LOSS_MISSING in {reason.code for reason in judged(asked).reasons}


@pytest.mark.parametrize(
    ("direction", "atr", "stop", "target"),
    [
        # 100 - 2 x 1.2345 = 97.531: up to 97.54, towards the entry; 2 x 2.46 above it
        (Direction.LONG, "1.2345", "97.54", "104.92"),
        # 102.469: down to 102.46; 2 x 2.46 below
        (Direction.SHORT, "1.2345", "102.46", "95.08"),
        (Direction.LONG, "2", "96", "108"),
        # a range as large as the price
        (Direction.LONG, "60", "0", "300"),
        (Direction.SHORT, "60", "220", "0"),
        # a range under the price's step
        (Direction.LONG, "0.001", "100", "100"),
    ],
)
def test_levels_lie_on_the_grid_on_the_safe_side(direction: Direction, atr: str, stop: str, target: str) -> None:
    """Trap 11: a stop rounded away from the entry risks more than was sized for."""
    assert protective_levels(direction, D(100), D(atr), LIMITS.sizing, STEP) == (D(stop), D(target))


@pytest.mark.parametrize("ratio", ["1.5", "1.7"])
def test_rounding_never_costs_the_reward_to_risk(ratio: str) -> None:
    """R2: a target rounded towards the entry would have risk refuse the house's own levels."""
    sizing = LIMITS.sizing.model_copy(update={"reward_to_risk": Decimal(ratio)})
    asked = proposed(Action.BUY)
    assert isinstance(asked, Proposal)
    for atr in ("0.0503", "0.0777", "0.1001"):
        stop, target = protective_levels(Direction.LONG, D(100), D(atr), sizing, STEP)
        verdict = judged(replace(asked, stop_loss=stop, take_profit=target))
        assert verdict.allows
