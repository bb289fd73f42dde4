"""The verdict, rule by rule. The laws over all inputs are in tests/properties/test_risk_laws.py.

Limits that concern all positions together, and what makes positions smaller or larger, are in test_risk_portfolio.py.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from risk_cases import BREAKERS, HOUSE, INSTRUMENT, D, codes, holding, judged, limits, market, portfolio, proposal

from triplegain_pipelines.domain.decisions import Direction, Regime
from triplegain_pipelines.domain.risk import BreakerName, BreakerState, Holding, ProposalKind, VerdictStatus
from triplegain_pipelines.risk.breakers import opened_by_hand

pytestmark = pytest.mark.unit

AT = BREAKERS[BreakerName.DRAWDOWN].changed_at
SHORT = {"direction": Direction.SHORT, "stop_loss": D(110), "take_profit": D(80)}
HALF_OPEN = {
    **BREAKERS,
    BreakerName.RAPID_LOSS: replace(BREAKERS[BreakerName.RAPID_LOSS], state=BreakerState.HALF_OPEN, trials_left=3),
}


def test_a_plain_proposal_is_sized_by_its_stop() -> None:
    """R2: 1 % of 10,000 is 100, and 10 a piece are at risk: 10 pieces, or one stop costs more than the limit."""
    verdict = judged(proposal())
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.APPROVED, D(10))
    assert codes(verdict) == {"WITHIN_LIMITS"}
    assert verdict.proposal == replace(proposal(), quantity=D(10), engine_sized=True)


@pytest.mark.parametrize(
    ("asked", "account", "code"),
    [
        ({}, {"cash": D(0), "peak_equity": D(0), "day_start_equity": D(0)}, "EQUITY_NOT_POSITIVE"),
        ({}, {"unresolved_symbols": frozenset({"BTC/USDT"})}, "UNRESOLVED_ORDER"),
        (SHORT, {}, "SHORT_SELLING_DISABLED"),
        ({}, {"holdings": (holding("BTC/USDT"),)}, "ALREADY_POSITIONED"),
        ({}, {"holdings": (holding("BTC/USDT", "-1"),)}, "ALREADY_POSITIONED"),
        ({}, {"holdings": (holding("BTC/USDT", mark="99"),)}, "AVERAGING_DOWN"),
        ({"confidence": 0.5499}, {}, "CONFIDENCE_BELOW_MINIMUM"),
        ({"confidence": 0.5799, "regime": Regime.CHOPPY}, {}, "CONFIDENCE_BELOW_MINIMUM"),
        ({"confidence": float("nan")}, {}, "CONFIDENCE_BELOW_MINIMUM"),
        ({"stop_loss": None}, {}, "STOP_LOSS_MISSING"),
        ({"stop_loss": D(100)}, {}, "STOP_LOSS_MISSING"),
        ({"stop_loss": D(101)}, {}, "STOP_LOSS_MISSING"),
        ({"stop_loss": D(0)}, {}, "STOP_LOSS_MISSING"),
        ({"stop_loss": D("NaN")}, {}, "STOP_LOSS_MISSING"),
        ({**SHORT, "stop_loss": D(99)}, {}, "STOP_LOSS_MISSING"),
        ({"take_profit": None}, {}, "TAKE_PROFIT_MISPLACED"),
        ({"take_profit": D(100)}, {}, "TAKE_PROFIT_MISPLACED"),
        ({**SHORT, "take_profit": D(-1)}, {}, "TAKE_PROFIT_MISPLACED"),
        ({"take_profit": D("114.99")}, {}, "REWARD_TO_RISK_TOO_LOW"),
        ({}, {"day_start_equity": D("10526.32")}, "DAILY_LOSS_HALTED"),
        ({}, {"cash": D(9500)}, "DAILY_LOSS_HALTED"),
        ({}, {"peak_equity": D(11800)}, "DRAWDOWN_PAUSED"),
        ({}, {"peak_equity": D(12501)}, "DRAWDOWN_LOCKED"),
        ({}, {"drawdown_locked": True}, "DRAWDOWN_LOCKED"),
        ({}, {"cash": D(5000), "holdings": (holding(quantity="50"),)}, "NO_EXPOSURE_LEFT"),
        ({"quantity": D("0.0499")}, {}, "BELOW_MINIMUM_ORDER"),
        ({"quantity": D(0)}, {}, "BELOW_MINIMUM_ORDER"),
        ({"quantity": D(-3)}, {}, "BELOW_MINIMUM_ORDER"),
        ({}, {"day_volume": D(10**12)}, "DAILY_VOLUME_USED_UP"),
        ({}, {"day_opened_equity": D(10**9 + 10**4)}, "DAILY_LOSS_MONEY"),
        ({}, {"day_opened_equity": D(10000), "day_flow": D(10**9)}, "DAILY_LOSS_MONEY"),
        ({"entry_price": D(0)}, {}, "PRICE_UNAVAILABLE"),
        ({"entry_price": D("NaN")}, {}, "PRICE_UNAVAILABLE"),
    ],
)
def test_a_broken_rule_refuses(asked: dict[str, Any], account: dict[str, Any], code: str) -> None:
    """R1, R2, R3, R5: each of these must never become an order, and its reason must be told."""
    verdict = judged(proposal(**asked), portfolio(**account))
    assert (verdict.status, verdict.allows) == (VerdictStatus.REJECTED, False)
    assert code in codes(verdict)
    assert verdict.proposal == proposal(**asked) or asked.keys() & {"stop_loss", "entry_price"}  # NaN is not itself


@pytest.mark.parametrize(
    "asked", [{"confidence": 0.55}, {"take_profit": D(115)}, {"quantity": D("0.05")}, {"confidence": 1.0}]
)
def test_a_limit_that_is_met_is_kept(asked: dict[str, Any]) -> None:
    """R2, R3: a limit read as 'more than' instead of 'at least' refuses what is allowed."""
    assert judged(proposal(**asked)).status is VerdictStatus.APPROVED


def test_every_reason_is_told() -> None:
    """R1: a verdict that stops at the first reason hides the others from the person who mends it."""
    asked = proposal(**{**SHORT, "take_profit": D(99)}, confidence=0.1, leverage=D(10))
    account = portfolio(
        holdings=(holding("BTC/USDT"),),
        day_start_equity=D(20000),
        peak_equity=D(20000),
        unresolved_symbols=frozenset({"BTC/USDT"}),
    )
    breakers = {BreakerName.DRAWDOWN: opened_by_hand(BREAKERS[BreakerName.DRAWDOWN], "ada", "why", AT).after}
    assert codes(judged(asked, account, breakers=breakers)) == {
        "SHORT_SELLING_DISABLED",
        "CONFIDENCE_BELOW_MINIMUM",
        "LEVERAGE_REDUCED",
        "REWARD_TO_RISK_TOO_LOW",
        "ALREADY_POSITIONED",
        "DRAWDOWN_LOCKED",
        "DAILY_LOSS_HALTED",
        "BREAKER_OPEN",
        "BREAKER_MISSING",
        "UNRESOLVED_ORDER",
    }


@pytest.mark.parametrize("name", list(BreakerName))
def test_an_open_breaker_refuses_new_risk_and_lets_risk_out(name: BreakerName) -> None:
    """R6: an open breaker that also stops closing orders locks the loss in."""
    breakers = {**BREAKERS, name: opened_by_hand(BREAKERS[name], "ada", "why", AT).after}
    verdict = judged(proposal(), breakers=breakers)
    assert (verdict.status, codes(verdict)) == (VerdictStatus.REJECTED, {"BREAKER_OPEN"})
    assert verdict.reasons[0].context == {"breakers": name.value}
    closing = judged(proposal(kind=ProposalKind.CLOSE), portfolio(holdings=(holding("BTC/USDT"),)), breakers=breakers)
    assert closing.allows


def test_a_missing_breaker_refuses() -> None:
    """R6: breakers without a state are no reason to trade without breakers."""
    assert codes(judged(proposal(), breakers={})) == {"BREAKER_MISSING"}


@pytest.mark.parametrize(
    ("regime", "live", "leverage"),
    [
        (Regime.TRENDING_BULL, False, 5),
        (Regime.TRENDING_BULL, True, 2),
        (Regime.TRENDING_BEAR, False, 3),
        (Regime.CHOPPY, True, 1),
    ],
)
def test_leverage_is_lowered_to_the_limit(regime: Regime, live: bool, leverage: int) -> None:  # noqa: FBT001
    """R1, R2, R3: leverage 10 comes back as the limit of the regime, and of real money."""
    verdict = judged(proposal(leverage=D(10), regime=regime), live=live)
    assert (verdict.status, verdict.proposal.leverage) == (VerdictStatus.MODIFIED, D(leverage))
    assert verdict.reasons[0].context == {"from": "10", "to": str(leverage), "limit": str(leverage)}


@pytest.mark.parametrize(
    ("asked", "account", "quantity", "code", "numbers"),
    [
        # 100 at risk over 10 a piece
        ({"quantity": D(11)}, {}, "10", "RISK_PER_TRADE_REDUCED", ("11", "10.0000", "0.01")),
        # 30 % of 10,000 over 100, where the risk would allow 100 pieces
        ({"stop_loss": D(99)}, {}, "30", "SYMBOL_EXPOSURE_REDUCED", ("100.0000", "30.0000", "0.30")),
        # 50 % of 10,000 less the 4,000 held
        (
            {"stop_loss": D(99)},
            {"cash": D(6000), "holdings": (holding(quantity="40"),)},
            "10",
            "TOTAL_EXPOSURE_REDUCED",
            ("100.0000", "10.0000", "0.50"),
        ),
        # a short counts by its size
        (
            {"stop_loss": D(99)},
            {"cash": D(14000), "holdings": (holding(quantity="-40"),)},
            "10",
            "TOTAL_EXPOSURE_REDUCED",
            ("100.0000", "10.0000", "0.50"),
        ),
        # a loss risked 55: no more than that is risked by a quantity somebody asks for
        ({"quantity": D(9)}, {"last_loss_risk": D(55)}, "5.5", "MARTINGALE", ("9", "5.5000", "55")),
        ({"quantity": D("1.00009")}, {}, "1", "QUANTITY_ROUNDED", ("1.00009", "1.0000", "0.0001")),
    ],
)
def test_a_quantity_over_a_limit_is_lowered_to_it(
    asked: dict[str, Any], account: dict[str, Any], quantity: str, code: str, numbers: tuple[str, ...]
) -> None:
    """R1, R2: hand-worked quantities; a person must be able to follow what was cut from what to what."""
    verdict = judged(proposal(**asked), portfolio(**account))
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.MODIFIED, D(quantity))
    reason = next(reason for reason in verdict.reasons if reason.code.value == code)
    assert tuple(reason.context[name] for name in ("from", "to", "limit")) == numbers


@pytest.mark.parametrize(
    ("held", "cash", "leverage", "quantity"),
    [
        ((), 1000, 1, "1"),  # 1,000 / (100 + 900)
        ((), 1000, 5, "1.0869"),  # 1,000 / (100 / 5 + 900), rounded down
        ((holding(quantity="-1"),), 1100, 1, "1"),  # 100 of the cash buy the short back
    ],
)
def test_free_cash_pays_for_margin_and_fee(held: tuple[Holding, ...], cash: int, leverage: int, quantity: str) -> None:
    """R2: an order for all the cash, fee forgotten, leaves the account in debt. The fee is 900 % so that cash binds."""
    account = portfolio(cash=D(cash), holdings=held, peak_equity=D(1000), day_start_equity=D(1000))
    verdict = judged(proposal(stop_loss=D("99.9"), leverage=D(leverage)), account, fee_rate=D(9))
    assert verdict.proposal.quantity == D(quantity)
    assert "FREE_CASH_REDUCED" in codes(verdict)


@pytest.mark.parametrize(
    ("changes", "rest", "code"),
    [
        ({"peak_equity": D(11200)}, {}, "DRAWDOWN_HALF_SIZE"),
        ({}, {"breakers": HALF_OPEN}, "BREAKER_HALF_OPEN"),
    ],
)
@pytest.mark.parametrize(("stop", "full"), [(D(90), "10"), (D(99), "30")])
def test_half_size_is_half_of_what_could_have_been_traded(
    changes: dict[str, Any], rest: dict[str, Any], code: str, stop: Decimal, full: str
) -> None:
    """R5, R6: where the exposure limit binds, halving the risk alone would leave the size as it was."""
    assert judged(proposal(stop_loss=stop)).proposal.quantity == D(full)
    verdict = judged(proposal(stop_loss=stop), portfolio(**changes), **rest)
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.MODIFIED, D(full) / 2)
    assert code in codes(verdict)


def test_disagreement_lowers_the_size_and_is_told() -> None:
    """R1: the size factor is part of what is asked, so keeping to it is no modification."""
    verdict = judged(proposal(size_factor=D("0.7")))
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.APPROVED, D(7))
    assert codes(verdict) == {"DISAGREEMENT_REDUCED"}


def test_no_size_factor_raises_the_size() -> None:
    """R2: a seat that says 300 % must not pass the risk per trade."""
    assert judged(proposal(size_factor=D(3))).proposal.quantity == D(10)


def test_a_warning_lets_through() -> None:
    """R5: 3 % of loss in a day warns."""
    verdict = judged(proposal(), portfolio(day_start_equity=D("10309.3")))
    assert (verdict.status, codes(verdict)) == (VerdictStatus.APPROVED, {"DAILY_LOSS_WARNING"})


def test_the_engines_own_size_is_no_martingale() -> None:
    """R2: a lost trade of a few coins must not keep the account at a few coins for ever."""
    account = portfolio(last_loss_risk=D("0.01"), losses_in_a_row=1)
    verdict = judged(proposal(), account)
    assert verdict.proposal.quantity == D(10)
    assert judged(verdict.proposal, account).proposal == verdict.proposal


def test_a_short_is_sized_like_a_long() -> None:
    """R2: a sign lost in the stop distance turns a short's size negative."""
    verdict = judged(proposal(**SHORT), limits=limits(short_selling=True))
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.APPROVED, D(10))


def test_what_is_left_below_the_minimum_is_refused_with_both_reasons() -> None:
    """R1, R7: an order cut below the venue's minimum would be refused by the venue, or leave dust."""
    account = portfolio(cash=D(5100), holdings=(holding(quantity="49.99"),))
    verdict = judged(
        proposal(), replace(account, day_start_equity=D(10099)), instrument=replace(INSTRUMENT, minimum_quantity=D(1))
    )
    assert codes(verdict) == {"TOTAL_EXPOSURE_REDUCED", "BELOW_MINIMUM_ORDER"}


@pytest.mark.parametrize("quantity", ["2.5", "-2.5"])
def test_closing_is_approved_for_the_whole_position(quantity: str) -> None:
    """R6, X4: with everything forbidden, getting out stays possible, and all of it."""
    account = portfolio(
        cash=D(-1),
        holdings=(holding("BTC/USDT", quantity),),
        drawdown_locked=True,
        unresolved_symbols=frozenset({"BTC/USDT"}),
    )
    verdict = judged(proposal(kind=ProposalKind.CLOSE, stop_loss=None, confidence=0.0), account, breakers={})
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.APPROVED, D("2.5"))
    assert codes(verdict) == {"REDUCES_RISK"}


def test_closing_nothing_is_refused() -> None:
    """X4: a closing order without a position would open one the other way."""
    verdict = judged(proposal(kind=ProposalKind.CLOSE), portfolio(holdings=(holding("ETH/USDT"),)))
    assert (verdict.status, codes(verdict)) == (VerdictStatus.REJECTED, {"NOTHING_TO_CLOSE"})


def test_the_limits_of_the_house_are_under_their_ceilings() -> None:
    """R2: the file that ships must say what the requirement says."""
    assert (HOUSE.risk_per_trade, HOUSE.exposure_per_asset, HOUSE.total_exposure) == (D("0.01"), D("0.3"), D("0.5"))


def test_the_limits_of_money_are_those_of_the_requirement() -> None:
    """R4: under the names that people look for, with the numbers they expect."""
    assert HOUSE.money.model_dump(by_alias=True) == {
        "MAX_ORDER_SIZE_USD": D(100),
        "MAX_DAILY_VOLUME_USD": D(500),
        "MAX_OPEN_POSITIONS": 3,
        "MAX_DAILY_LOSS_USD": D(100),
        "MAX_POSITION_SIZE": D("0.20"),
        "MAX_PORTFOLIO_VOLATILITY": 0.25,
    }


def test_a_row_of_losses_refuses_before_its_breaker_was_evaluated() -> None:
    """R6: two decisions of one minute lie between two marks; the second must not pass on a breaker not yet tripped."""
    losing = replace(portfolio(), losses_in_a_row=HOUSE.breakers.consecutive_losses.threshold + 1)
    verdict = judged(proposal(), losing)
    assert verdict.status is VerdictStatus.REJECTED
    assert "BREAKER_OPEN" in codes(verdict)


MONEY = "money"


@pytest.mark.parametrize(
    ("lowered", "account", "quantity", "code", "numbers"),
    [
        # 100 in money at 100 a piece, where the risk allows 10
        ({MONEY: {"max_order_size": D(100)}}, {}, "1", "ORDER_SIZE_REDUCED", ("10.0000", "1.0000", "100")),
        # 500 a day, of which 350 were ordered
        (
            {MONEY: {"max_daily_volume": D(500)}},
            {"day_volume": D(350)},
            "1.5",
            "DAILY_VOLUME_REDUCED",
            ("10.0000", "1.5000", "500"),
        ),
        # 5 % of 10,000
        ({MONEY: {"max_position_size": D("0.05")}}, {}, "5", "POSITION_SIZE_REDUCED", ("10.0000", "5.0000", "0.05")),
        # 0.5 % of 10,000 at risk in all, over 10 a piece
        ({"portfolio": {"maximum_heat": D("0.005")}}, {}, "5", "HEAT_REDUCED", ("10.0000", "5.0000", "0.005")),
    ],
)
def test_a_limit_of_money_lowers_the_quantity(
    lowered: dict[str, Any], account: dict[str, Any], quantity: str, code: str, numbers: tuple[str, ...]
) -> None:
    """R1, R4: each of the limits a person sets in money must bind by itself, and say so."""
    verdict = judged(proposal(), portfolio(**account), limits=limits(**lowered))
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.MODIFIED, D(quantity))
    reason = next(reason for reason in verdict.reasons if reason.code.value == code)
    assert tuple(reason.context[name] for name in ("from", "to", "limit")) == numbers


def test_the_first_order_of_the_house_is_cut_to_its_order_size() -> None:
    """R4: with the file as it ships, 1,000 of 10,000 become 100, and every limit that was passed is told."""
    verdict = judged(proposal(), limits=HOUSE)
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.MODIFIED, D(1))
    assert codes(verdict) == {"ORDER_SIZE_REDUCED", "DAILY_VOLUME_REDUCED"}


@pytest.mark.parametrize(
    ("account", "allowed"),
    [
        ({"day_opened_equity": D("10099.99")}, True),
        ({"day_opened_equity": D("10100")}, False),
        ({"day_opened_equity": D(5000), "day_flow": D(5100)}, False),  # 5,100 paid in, and 100 lost
        ({"day_opened_equity": D(15000), "day_flow": D(-4950)}, True),  # 4,950 paid out, and 50 lost
    ],
)
def test_the_days_loss_in_money_leaves_payments_out(account: dict[str, Any], allowed: bool) -> None:  # noqa: FBT001
    """R4: a deposit that hides a loss, or a withdrawal that looks like one, makes the limit worthless."""
    verdict = judged(proposal(), portfolio(**account), limits=limits(money={"max_daily_loss": D(100)}))
    assert verdict.allows is allowed
    assert ("DAILY_LOSS_MONEY" in codes(verdict)) is not allowed


def test_a_volatile_market_lowers_the_size_before_it_stops_trading() -> None:
    """R6: volatility reduces exposure before it halts."""
    calm = judged(proposal(), market=market(percentile=0.8999))
    assert (calm.status, calm.proposal.quantity) == (VerdictStatus.APPROVED, D(10))
    verdict = judged(proposal(), market=market(percentile=0.9))
    assert (verdict.status, verdict.proposal.quantity) == (VerdictStatus.MODIFIED, D(5))
    assert verdict.reasons[0].context == {"percentile": "0.9", "limit": "0.9", "factor": "0.5"}


@pytest.mark.parametrize(
    "known",
    [
        None,
        market(volatilities={}),
        market(percentiles={}),
        market(percentiles={"BTC/USDT": float("nan")}),
        market(percentiles={"BTC/USDT": 1.1}),
        market(percentiles={"BTC/USDT": -0.1}),
        market(volatilities={"BTC/USDT": float("nan")}),
        market(volatilities={"BTC/USDT": float("inf")}),
        market(volatilities={"BTC/USDT": -0.1, "ETH/USDT": 0.1}),
        market(volatilities={"BTC/USDT": 0.1}),
        market(correlations={}),
        market(correlations={("BTC/USDT", "ETH/USDT"): float("nan")}),
        market(correlations={("BTC/USDT", "ETH/USDT"): -1.5}),
    ],
)
def test_what_is_not_known_of_the_market_refuses(known: Any) -> None:
    """R6, R8: a volatility that is missing, or broken, must not count as calm."""
    verdict = judged(proposal(), portfolio(cash=D(9900), holdings=(holding(),)), market=known)
    assert (verdict.status, codes(verdict)) == (VerdictStatus.REJECTED, {"VOLATILITY_UNKNOWN"})
    assert verdict.reasons[0].context["missing"]


def test_the_hard_ceilings_hold_for_limits_that_were_built_by_hand() -> None:
    """R2: no configuration passes them, and no code that leaves the configuration's checks out either."""
    boundless = LIMITS_BY_HAND
    whole = judged(proposal(), limits=boundless)
    assert whole.proposal.quantity == D(20)  # 2 % of 10,000 over 10 a piece
    assert judged(proposal(stop_loss=D("99.9")), limits=boundless).proposal.quantity == D(30)
    crowded = portfolio(cash=D(4500), holdings=(holding(quantity="55"),))
    assert judged(proposal(), crowded, limits=boundless).proposal.quantity == D(5)
    assert judged(proposal(leverage=D(50)), limits=boundless).proposal.leverage == D(5)
    assert judged(proposal(leverage=D(50)), limits=boundless, live=True).proposal.leverage == D(2)
    assert codes(judged(proposal(take_profit=D("114.99")), limits=boundless)) == {"REWARD_TO_RISK_TOO_LOW"}


def _by_hand() -> Any:
    high = D(1000)
    regimes = {name: one.model_copy(update={"maximum_leverage": high}) for name, one in limits().regimes.items()}
    return limits().model_copy(
        update={
            "risk_per_trade": high,
            "exposure_per_asset": high,
            "total_exposure": high,
            "leverage_live": high,
            "minimum_reward_to_risk": D(0),
            "regimes": regimes,
            "money": limits().money.model_copy(update={"max_position_size": high, "max_portfolio_volatility": 1000.0}),
            "portfolio": limits().portfolio.model_copy(update={"maximum_heat": high}),
        }
    )


LIMITS_BY_HAND = _by_hand()


def test_other_limits_are_not_taken_for_those_of_before() -> None:
    """R2: the engine keeps what it worked out of the newest limits; a changed copy is another set of limits."""
    loose = limits()
    assert judged(proposal(), limits=loose).proposal.quantity == D(10)
    assert judged(proposal(), limits=loose.model_copy(update={"risk_per_trade": D("0.005")})).proposal.quantity == D(5)
    assert judged(proposal(), limits=loose).proposal.quantity == D(10)
