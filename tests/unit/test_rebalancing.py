"""What an account trades to come back to its target weights, and what such a decision asks of risk."""

from dataclasses import replace
from decimal import Decimal

import pytest
import yaml
from builders import decision
from pydantic import ValidationError
from risk_cases import LIMITS, D, codes, holding, judged, portfolio

from triplegain_pipelines.domain.decisions import Action, Decision
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import Holding, Proposal, ProposalKind, VerdictStatus
from triplegain_pipelines.portfolio.proposals import propose
from triplegain_pipelines.portfolio.rebalancing import RebalancingPlan, Stock, plan_rebalancing
from triplegain_pipelines.settings import CONFIG, Environment, load_settings
from triplegain_pipelines.settings.profile import Profile, RebalancingSettings

pytestmark = pytest.mark.unit

BTC, XRP, ETH = "BTC/USDT", "XRP/USDT", "ETH/USDT"
PRICES = {BTC: D(100), XRP: D(2), ETH: D(10)}
INSTRUMENTS = {
    BTC: Instrument(BTC, quantity_step=D("0.01"), minimum_quantity=D("0.01")),
    XRP: Instrument(XRP, quantity_step=D(1), minimum_quantity=D(1)),
}
THIRDS = RebalancingSettings(weights={BTC: D("0.33"), XRP: D("0.33")}, band=D("0.05"))


def planned(cash: str, held: dict[str, str] | None = None, settings: RebalancingSettings = THIRDS) -> RebalancingPlan:
    quantities = {symbol: D(quantity) for symbol, quantity in (held or {}).items()}
    return plan_rebalancing(Stock(D(cash), quantities, PRICES), settings, INSTRUMENTS)


def trades(plan: RebalancingPlan) -> list[tuple[str, str, Decimal, Decimal]]:
    return [(one.symbol, one.kind.value, one.quantity, one.target_quantity) for one in plan.trades]


def kept(plan: RebalancingPlan) -> dict[str, ReasonCode]:
    return {one.symbol: one.reason.code for one in plan.kept}


def test_an_account_of_cash_alone_buys_its_weights() -> None:
    """X5: a third of 1,000 of each, on the venue's grid, the rest stays cash."""
    plan = planned("1000")
    assert trades(plan) == [(BTC, "OPEN", D("3.30"), D("3.30")), (XRP, "OPEN", D(165), D(165))]
    assert plan.equity == 1000
    assert {one.reason.code for one in plan.trades} == {ReasonCode.REBALANCING}


def test_what_is_too_much_is_sold_before_anything_is_bought() -> None:
    """X5: a purchase before the sale that pays for it would be refused, or bought on credit."""
    plan = planned("100", {BTC: "9"})
    assert trades(plan) == [(BTC, "REDUCE", D("5.70"), D("3.30")), (XRP, "OPEN", D(165), D(165))]


def test_a_position_along_its_weight_is_added_to() -> None:
    """X5: what is held already counts."""
    assert trades(planned("900", {BTC: "1"}))[0] == (BTC, "INCREASE", D("2.30"), D("3.30"))


def test_nothing_is_traded_inside_the_band() -> None:
    """X5: an account that is traded for every per mille pays fees for nothing. The band's edge is inside."""
    plan = planned("340", {BTC: "3.80", XRP: "140"})
    assert trades(plan) == []
    assert kept(plan) == {BTC: ReasonCode.WEIGHT_IN_BAND, XRP: ReasonCode.WEIGHT_IN_BAND}
    assert trades(planned("339", {BTC: "3.81", XRP: "140"}))[0][:2] == (BTC, "REDUCE")


def test_a_trade_under_the_minimum_is_not_made() -> None:
    """X5: the venue would refuse it."""
    plan = planned("10")
    assert trades(plan) == []
    assert set(kept(plan).values()) == {ReasonCode.BELOW_MINIMUM_ORDER}


def test_a_weight_of_nothing_sells_all_of_it() -> None:
    """X5: what is left of it off the grid cannot be sold."""
    plan = planned("500", {BTC: "5.005"}, RebalancingSettings(weights={BTC: D(0)}, band=D(0)))
    assert trades(plan) == [(BTC, "CLOSE", D("5.00"), D(0))]
    assert plan.trades[0].reason.code is ReasonCode.REBALANCING


def test_a_rest_that_could_not_be_sold_later_is_sold_with_the_others() -> None:
    """X5: left alone, it would be written off as dust, and money with it."""
    plan = planned("500", {BTC: "5"}, RebalancingSettings(weights={BTC: D("0.004")}, band=D(0)))
    assert trades(plan) == [(BTC, "CLOSE", D(5), D(0))]
    assert plan.trades[0].reason.code is ReasonCode.REST_TOO_SMALL


def test_what_has_no_weight_is_left_alone_and_counts() -> None:
    """X5: the seats' position in another symbol is not the rebalancing's to sell; what it binds cannot be spent."""
    plan = planned("400", {ETH: "60"})
    assert trades(plan) == [(BTC, "OPEN", D(2), D(2)), (XRP, "OPEN", D(100), D(100))]
    # 97 + 96 are wanted
    assert [one.quantity for one in planned("190", {ETH: "10.4"}).trades] == [D("0.95"), D(47)]
    assert {one.reason.code for one in plan.trades} == {ReasonCode.CASH_SHORT}


def test_a_short_position_and_an_account_without_equity_are_left_alone() -> None:
    """X5: buying back a short is closing a trade of the seats; an account without equity has no shares."""
    assert kept(planned("1000", {BTC: "-1"}))[BTC] is ReasonCode.SHORT_KEPT
    assert set(kept(planned("0")).values()) == {ReasonCode.EQUITY_NOT_POSITIVE}


@pytest.mark.parametrize("weights", [{BTC: "0.6", XRP: "0.41"}, {BTC: "-0.1"}, {BTC: "1.1"}, {}])
def test_weights_beyond_the_whole_are_refused(weights: dict[str, str]) -> None:
    """X5: more than there is would be bought on credit."""
    with pytest.raises(ValidationError):
        RebalancingSettings(weights=weights, band=D("0.05"))


@pytest.mark.parametrize("profile", ["demo", "paper", "live"])
def test_every_profile_has_the_thirds(profile: str) -> None:
    """X5: 33/33/33 of BTC, XRP and USDT by default."""
    found = Profile.model_validate(yaml.safe_load((CONFIG / f"{profile}.yaml").read_text())).rebalancing
    assert found is not None
    assert found.weights == {BTC: D("0.33"), XRP: D("0.33")}


def test_a_weight_of_what_is_not_traded_is_refused() -> None:
    """X5: it would be asked for week after week, and never traded."""
    document = load_settings(Environment(profile="paper"), CONFIG).profile.model_dump()
    document["rebalancing"] = {"weights": {"DOGE/USDT": "0.5"}, "band": "0.05"}
    with pytest.raises(ValidationError, match="DOGE/USDT, which the profile does not trade"):
        Profile.model_validate(document)


# From a trade of the plan to a proposal, and what risk makes of it


def asked(action: Action, target: str, held: Holding | None = None, **changes: object) -> Proposal | Reason:
    """What a decision to bring the position to `target` asks for, at a price of 100."""
    return propose(rebalanced(action, target, **changes), held, D(100), LIMITS, D("0.01"))


def rebalanced(action: Action, target: str, **changes: object) -> Decision:
    made = decision(action=action, atr=2.5, price=100.0, target_quantity=D(target), p_up=0.5, confidence=0.5)
    return replace(made, **changes)


LONG = Holding(BTC, D(2), D(95), D(100), D(90), D(130))


@pytest.mark.parametrize(
    ("action", "target", "held", "kind", "quantity"),
    [
        (Action.BUY, "3", None, ProposalKind.OPEN, D(3)),
        (Action.BUY, "3", LONG, ProposalKind.INCREASE, D(1)),
        (Action.SELL, "0.5", LONG, ProposalKind.REDUCE, D("1.5")),
        (Action.CLOSE, "0", LONG, ProposalKind.CLOSE, None),
    ],
)
def test_a_decision_asks_for_what_is_missing(
    action: Action, target: str, held: Holding | None, kind: ProposalKind, quantity: Decimal | None
) -> None:
    """X5: the target is a size of the position, so what was traded since counts."""
    made = asked(action, target, held)
    assert isinstance(made, Proposal)
    assert (made.kind, made.quantity, made.confidence) == (kind, quantity, None)


@pytest.mark.parametrize(
    ("action", "target", "held", "code"),
    [
        (Action.BUY, "2", LONG, ReasonCode.WEIGHT_REACHED),
        (Action.BUY, "1", LONG, ReasonCode.WEIGHT_REACHED),
        (Action.SELL, "2", LONG, ReasonCode.WEIGHT_REACHED),
        (Action.SELL, "3", LONG, ReasonCode.WEIGHT_REACHED),
        (Action.SELL, "1", None, ReasonCode.NOTHING_TO_CLOSE),
        (Action.CLOSE, "0", None, ReasonCode.NOTHING_TO_CLOSE),
        (Action.BUY, "1", holding(BTC, "-2"), ReasonCode.SHORT_KEPT),
        (Action.CLOSE, "0", holding(BTC, "-2"), ReasonCode.SHORT_KEPT),
    ],
)
def test_a_sale_never_becomes_a_purchase(action: Action, target: str, held: Holding | None, code: ReasonCode) -> None:
    """X5: a stop that was reached since the plan leaves less than the target, which a sale must not buy back."""
    made = asked(action, target, held)
    assert isinstance(made, Reason)
    assert made.code is code


def test_what_is_added_is_stopped_where_the_position_is() -> None:
    """R2: stop and target of what is added are those that will rest, not some of its own that nobody places."""
    made = asked(Action.BUY, "3", LONG)
    assert isinstance(made, Proposal)
    assert (made.stop_loss, made.take_profit) == (D(90), D(130))
    opened = asked(Action.BUY, "3")
    assert isinstance(opened, Proposal)
    assert (opened.stop_loss, opened.take_profit) == (D(95), D(110))


def test_no_confidence_is_made_up_and_every_other_limit_holds() -> None:
    """R1, X5: nobody forecast anything, so no forecast is too unsure; what risk allows is no more for it."""
    made = asked(Action.BUY, "1000")
    assert isinstance(made, Proposal)
    verdict = judged(made)
    assert verdict.status is VerdictStatus.MODIFIED
    assert "CONFIDENCE_BELOW_MINIMUM" not in codes(verdict)
    assert verdict.proposal.quantity == judged(replace(made, confidence=1.0)).proposal.quantity
    assert "STOP_LOSS_MISSING" in codes(judged(replace(made, stop_loss=None)))
    assert "CONFIDENCE_BELOW_MINIMUM" in codes(judged(replace(made, confidence=float("nan"))))


def test_a_losing_position_is_not_added_to() -> None:
    """R3: no averaging down, whatever the weight says."""
    losing = replace(LONG, average_entry=D(105))
    made = asked(Action.BUY, "3", losing)
    assert isinstance(made, Proposal)
    assert ReasonCode.AVERAGING_DOWN in {one.code for one in judged(made, portfolio(holdings=(losing,))).reasons}


def test_a_decision_of_the_seats_asks_as_before() -> None:
    """X5: only a target quantity makes a rebalancing."""
    made = propose(decision(atr=2.5, price=100.0), None, D(100), LIMITS, D("0.01"))
    assert isinstance(made, Proposal)
    assert (made.kind, made.quantity, made.confidence) == (ProposalKind.OPEN, None, 0.7)
    again = propose(decision(atr=2.5, price=100.0), LONG, D(100), LIMITS, D("0.01"))
    assert isinstance(again, Reason)
    assert again.code is ReasonCode.ALREADY_POSITIONED
