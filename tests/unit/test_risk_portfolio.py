"""Limits over all positions together, modes, and proposals that make positions larger or smaller."""

import math
from contextlib import suppress
from dataclasses import replace
from decimal import InvalidOperation, getcontext, localcontext
from typing import Any

import pytest
from risk_cases import D, codes, holding, judged, limits, market, portfolio, proposal

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.risk import ProposalKind, TradingMode, VerdictStatus

pytestmark = pytest.mark.unit

INCREASE = {"kind": ProposalKind.INCREASE}
REDUCE = {"kind": ProposalKind.REDUCE, "stop_loss": None, "take_profit": None}


@pytest.mark.parametrize(
    ("held", "quantity"),
    [
        ((), "10"),  # 100 over 10 a piece: 1 % at risk
        ((holding(quantity="10", stop="80"),), "10"),  # 200 of the 300 are at risk already
        ((holding(quantity="10", stop="75"),), "5"),
        ((holding(quantity="10", stop="110"),), "10"),  # its stop locks a profit in, which pays for nothing else
        ((holding(quantity="-10", stop="125"),), "5"),  # a short loses upwards
        ((holding(quantity="2.5", stop=None),), "5"),  # without a stop all of it is at risk
    ],
)
def test_all_stops_together_cost_no_more_than_the_limit(held: Any, quantity: str) -> None:
    """R2: three positions of 1 % each and a fourth of 1 % are 4 % on the day when all stops are reached."""
    account = portfolio(cash=D(10000) - sum(one.value for one in held), holdings=held)
    verdict = judged(proposal(), account, limits=limits(portfolio={"maximum_heat": D("0.03")}))
    assert verdict.proposal.quantity == D(quantity)
    assert ("HEAT_REDUCED" in codes(verdict)) is (quantity != "10")


@pytest.mark.parametrize(
    ("held_quantity", "correlation", "together", "allowed"),
    [
        ("20", 0.79, False, "30"),
        ("20", 0.8, True, "10"),  # 30 % of 10,000 less the 2,000 held of what moves along
        ("-20", 0.8, True, "10"),
        ("-20", -0.8, True, "10"),  # short of what moves the other way is the same bet
        ("20", -0.8, False, "30"),
    ],
)
def test_what_moves_together_counts_as_one_asset(
    held_quantity: str,
    correlation: float,
    together: bool,  # noqa: FBT001
    allowed: str,
) -> None:
    """R2: 30 % in each of two coins that move as one are 60 % in one asset."""
    held = holding(quantity=held_quantity)
    account = portfolio(cash=D(10000) - held.value, holdings=(held,))
    verdict = judged(proposal(stop_loss=D(99)), account, market=market(correlation))
    assert verdict.proposal.quantity == D(allowed)
    assert ("CORRELATION_REDUCED" in codes(verdict)) is together


def test_no_room_beside_what_moves_together_refuses() -> None:
    """R2: the limit of one asset is used up by another one that moves along."""
    account = portfolio(cash=D(7000), holdings=(holding(quantity="30"),))
    verdict = judged(proposal(), account, market=market(correlation=0.9))
    assert (verdict.status, codes(verdict)) == (VerdictStatus.REJECTED, {"NO_EXPOSURE_LEFT"})
    assert verdict.reasons[0].context == {"taken": "3000", "limit": "3000.00"}


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.5, 0.79])
def test_the_volatility_of_all_positions_stays_under_its_limit(correlation: float) -> None:
    """R4: two calm coins that move together are one wild one; the quadratic is solved on the safe side of the grid."""
    account = portfolio(cash=D(8000), holdings=(holding(quantity="20"),))
    capped = limits(money={"max_portfolio_volatility": 0.15})
    verdict = judged(proposal(stop_loss=D(99)), account, market=market(correlation, volatility=0.6), limits=capped)
    first, volatility = 0.2 * 0.6, float(verdict.proposal.quantity or 0) / 100 * 0.6

    def of_all(second: float) -> float:
        return math.sqrt(first**2 + second**2 + 2 * first * second * correlation)

    assert "PORTFOLIO_VOLATILITY_REDUCED" in codes(verdict) or correlation < 0
    assert of_all(volatility) <= 0.15
    if correlation >= 0:
        assert of_all(volatility + 0.0002 / 100 * 0.6) > 0.15 - 1e-6


@pytest.mark.parametrize(("correlation", "allowed"), [(0.0, True), (0.79, False)])
def test_what_is_held_pulls_along_with_what_is_bought(correlation: float, allowed: bool) -> None:  # noqa: FBT001
    """R4: 12 % and 8.4 % a year are 14.6 % where nothing is in common, and 19.3 % where they move nearly as one."""
    account = portfolio(cash=D(8000), holdings=(holding(quantity="20"),))
    capped = limits(money={"max_portfolio_volatility": 0.15})
    verdict = judged(
        proposal(quantity=D(14), stop_loss=D(99)), account, market=market(correlation, volatility=0.6), limits=capped
    )
    assert (verdict.status is VerdictStatus.APPROVED) is allowed
    assert ("PORTFOLIO_VOLATILITY_REDUCED" in codes(verdict)) is not allowed


@pytest.mark.parametrize(("more", "allowed"), [(1e-6, True), (-1e-6, False)])
def test_what_is_held_moves_together_too(more: float, allowed: bool) -> None:  # noqa: FBT001
    """R4: 9 %, 9 % and 6 % a year, each pair correlated by a half, are 19.67 % together, worked by hand."""
    held = (holding("ETH/USDT", "15"), holding("SOL/USDT", "15"))
    together = math.sqrt(0.0081 + 0.0081 + 0.0036 + 0.0081 + 0.0054 + 0.0054)
    capped = limits(money={"max_portfolio_volatility": together + more})
    asked = proposal(quantity=D(10), stop_loss=D(99))
    verdict = judged(asked, portfolio(cash=D(7000), holdings=held), market=market(0.5, volatility=0.6), limits=capped)
    assert ("PORTFOLIO_VOLATILITY_REDUCED" in codes(verdict)) is not allowed


@pytest.mark.parametrize(
    ("lowered", "full"),
    [
        ({"portfolio": {"maximum_heat": D("0.002")}}, "20"),
        ({"money": {"max_portfolio_volatility": 0.1}}, "16.6666"),
        ({"money": {"max_order_size": D(1000)}}, "10"),
        ({"money": {"max_daily_volume": D(1000)}}, "10"),
        ({"money": {"max_position_size": D("0.1")}}, "10"),
        ({"total_exposure": D("0.1")}, "10"),
    ],
)
def test_half_size_is_half_under_every_limit(lowered: dict[str, Any], full: str) -> None:
    """R5: on the ladder's first step the limit that binds is halved too, whichever it is."""
    asked, wild = proposal(stop_loss=D(99)), market(volatility=0.6)
    whole = judged(asked, limits=limits(**lowered), market=wild)
    assert whole.proposal.quantity == D(full)
    half = judged(asked, portfolio(peak_equity=D(11200)), limits=limits(**lowered), market=wild)
    assert half.proposal.quantity == D(full) / 2
    assert "DRAWDOWN_HALF_SIZE" in codes(half)


def test_a_portfolio_over_its_volatility_takes_nothing_more() -> None:
    """R4: not even what would lower it: nobody counts on a correlation to come out of a limit."""
    account = portfolio(cash=D(8000), holdings=(holding(quantity="20"),))
    capped = limits(money={"max_portfolio_volatility": 0.1})
    verdict = judged(proposal(), account, market=market(-0.9, volatility=0.6), limits=capped)
    assert (verdict.status, codes(verdict)) == (
        VerdictStatus.REJECTED,
        {"PORTFOLIO_VOLATILITY_REDUCED", "BELOW_MINIMUM_ORDER"},
    )


def test_a_position_too_many_is_refused_and_a_larger_one_is_not() -> None:
    """R4: MAX_OPEN_POSITIONS counts positions and not orders."""
    held = (holding("ETH/USDT"), holding("SOL/USDT", stop="90"))
    full = limits(money={"max_open_positions": 2})
    verdict = judged(proposal(), portfolio(holdings=held), limits=full)
    assert (verdict.status, codes(verdict)) == (VerdictStatus.REJECTED, {"TOO_MANY_POSITIONS"})
    assert judged(proposal(symbol="SOL/USDT", **INCREASE), portfolio(holdings=held), limits=full).allows


@pytest.mark.parametrize(
    ("mode", "opens", "closes", "code"),
    [
        (TradingMode.ACTIVE, True, True, "WITHIN_LIMITS"),
        (TradingMode.REDUCING, False, True, "MODE_REDUCING"),
        (TradingMode.HALTED, False, False, "MODE_HALTED"),
    ],
)
def test_the_mode_stands_over_everything(mode: TradingMode, opens: bool, closes: bool, code: str) -> None:  # noqa: FBT001
    """R6: REDUCING lets risk out only, HALTED lets a decision do nothing."""
    account = portfolio(holdings=(holding("BTC/USDT"),))
    verdict = judged(proposal(), mode=mode)
    assert (verdict.allows, codes(verdict)) == (opens, {code})
    for kind in (ProposalKind.CLOSE, ProposalKind.REDUCE):
        assert judged(proposal(kind=kind), account, mode=mode).allows is closes


@pytest.mark.parametrize(
    ("held", "code"),
    [
        (None, "NOTHING_TO_INCREASE"),
        (holding("BTC/USDT", "-1", stop="110"), "NOTHING_TO_INCREASE"),
        (holding("BTC/USDT", "1", mark="99", stop="90"), "AVERAGING_DOWN"),
        (holding("BTC/USDT", "1", stop=None), "STOP_LOSS_MISSING"),
    ],
)
def test_only_a_winning_position_with_a_stop_is_added_to(held: Any, code: str) -> None:
    """R2: no averaging down, whoever asks; a rebalancing neither."""
    account = portfolio() if held is None else portfolio(holdings=(held,))
    verdict = judged(proposal(quantity=D(1), **INCREASE), account)
    assert (verdict.status, code in codes(verdict)) == (VerdictStatus.REJECTED, True)


@pytest.mark.parametrize(
    ("stop", "quantity"),
    [
        ("90", "10"),  # as the proposal's own
        ("80", "5"),  # what is added is stopped where the position is: 20 a piece
        ("95", "10"),  # the stop may not rest there: the wider one counts
    ],
)
def test_what_is_added_is_judged_by_the_stop_that_rests(stop: str, quantity: str) -> None:
    """R2: the position keeps its stop; sized by a nearer one, the addition risks more than it says."""
    account = portfolio(holdings=(holding("BTC/USDT", mark="100", average="95", stop=stop),))
    asked = proposal(quantity=D(10), take_profit=D(130), **INCREASE)
    verdict = judged(asked, replace(account, cash=D(9900)))
    assert verdict.proposal.quantity == D(quantity)


def test_the_whole_position_counts_where_it_is_added_to() -> None:
    """R2, R4: 20 % and 20 % more of one symbol are 40 %."""
    account = portfolio(cash=D(8000), holdings=(holding("BTC/USDT", "20"),))
    verdict = judged(proposal(quantity=D(20), stop_loss=D(99), take_profit=D(120), **INCREASE), account)
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.MODIFIED, D(10))


@pytest.mark.parametrize(
    ("asked", "held", "status", "quantity"),
    [
        ("1", "2.5", VerdictStatus.APPROVED, "1"),
        (None, "2.5", VerdictStatus.APPROVED, "2.5"),
        ("7", "2.5", VerdictStatus.MODIFIED, "2.5"),
        ("1.00019", "2.5", VerdictStatus.MODIFIED, "1.0001"),
        ("0.0499", "2.5", VerdictStatus.REJECTED, "0.0499"),
        ("0", "2.5", VerdictStatus.REJECTED, "0"),
        ("-1", "2.5", VerdictStatus.REJECTED, "-1"),
        ("1", "-2.5", VerdictStatus.REJECTED, "1"),
    ],
)
def test_a_part_of_a_position_can_be_taken_away(asked: Any, held: str, status: VerdictStatus, quantity: str) -> None:
    """X5: at most the position, on the grid, and never an order the other way; no limit stands against it."""
    account = portfolio(cash=D(-5), holdings=(holding("BTC/USDT", held),), drawdown_locked=True)
    wanted = None if asked is None else D(asked)
    verdict = judged(proposal(quantity=wanted, **REDUCE), account, breakers={}, market=None)
    assert (verdict.status, verdict.proposal.quantity) == (status, D(quantity))
    assert verdict.allows == ("REDUCES_RISK" in codes(verdict))


def test_a_short_is_reduced_like_a_long() -> None:
    """X5: with the signs turned round."""
    account = portfolio(holdings=(holding("BTC/USDT", "-2.5"),))
    verdict = judged(proposal(quantity=D(1), direction=Direction.SHORT, **REDUCE), account)
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.APPROVED, D(1))


def test_what_was_cut_is_judged_again_by_every_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: a rule that is only asked about the first quantity lets through what was made of it."""
    from triplegain_pipelines.domain.reasons import ReasonCode
    from triplegain_pipelines.risk import engine
    from triplegain_pipelines.risk.findings import refusal

    seen = []

    def refuses_less_than_five(case: Any) -> Any:
        seen.append(case.quantity)
        return refusal(ReasonCode.CONFIDENCE_BELOW_MINIMUM) if case.quantity < 5 else None

    monkeypatch.setattr(engine, "RULES", (refuses_less_than_five, *engine.RULES))
    verdict = judged(proposal(), limits=limits(money={"max_order_size": D(100)}))
    assert seen == [D(10), D(1)]
    assert codes(verdict) == {"ORDER_SIZE_REDUCED", "CONFIDENCE_BELOW_MINIMUM"}
    assert verdict.status is VerdictStatus.REJECTED


def test_a_verdict_leaves_the_threads_arithmetic_as_it_was() -> None:
    """X4: a context left behind would round somebody else's money."""
    for asked in (proposal(), proposal(kind=ProposalKind.CLOSE), proposal(leverage=D("NaN"))):
        with localcontext() as before:
            with suppress(InvalidOperation):  # nothing can be compared with a leverage that is no number
                judged(asked)
            assert getcontext() is before
