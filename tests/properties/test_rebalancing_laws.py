"""What no account and no weights may make a rebalancing do."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_cases import D

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.domain.risk import ProposalKind
from triplegain_pipelines.portfolio.rebalancing import RebalancingPlan, Stock, plan_rebalancing
from triplegain_pipelines.settings.profile import RebalancingSettings

pytestmark = pytest.mark.unit

BTC, XRP, ETH = "BTC/USDT", "XRP/USDT", "ETH/USDT"
INSTRUMENTS = {
    BTC: Instrument(BTC, quantity_step=D("0.01"), minimum_quantity=D("0.01")),
    XRP: Instrument(XRP, quantity_step=D(1), minimum_quantity=D(1)),
}


def decimals(low: int, high: int, places: int) -> st.SearchStrategy[Decimal]:
    """Decimals of a range, in steps of its last place; of integers, because hypothesis likes decimals small."""
    scale = 10**places
    return st.integers(low * scale, high * scale).map(lambda number: Decimal(number).scaleb(-places))


@st.composite
def stocks(draw: st.DrawFn, *, poor: bool = False) -> tuple[Stock, RebalancingSettings]:
    """Any account with any weights that leave something, in three symbols of which one has none.

    A `poor` one has more bound in that one than its weights leave.
    """
    held = {symbol: draw(decimals(0, 50, 3)) for symbol in (BTC, XRP) if draw(st.booleans())}
    held[ETH] = draw(decimals(200, 400, 3) if poor else decimals(0, 50, 3))
    prices = {BTC: draw(decimals(1, 900, 2)), XRP: draw(decimals(1, 9, 4)), ETH: draw(decimals(1, 90, 2))}
    cash = draw(decimals(1, 2000, 2) if poor else decimals(-50, 5000, 2))
    weights = {symbol: Decimal(draw(st.integers(0, 500))).scaleb(-3) for symbol in (BTC, XRP)}
    settings = RebalancingSettings(weights=weights, band=Decimal(draw(st.integers(0, 200))).scaleb(-3))
    return Stock(cash, held, prices), settings


def after(stock: Stock, plan: RebalancingPlan) -> Stock:
    """The account once every trade was filled at the plan's prices without a fee."""
    held, cash = dict(stock.held), stock.cash
    for trade in plan.trades:
        sign = 1 if trade.kind.adds_risk else -1
        held[trade.symbol] = held.get(trade.symbol, D(0)) + sign * trade.quantity
        cash -= sign * trade.value
    return Stock(cash, held, stock.prices)


_CLOSE_ENOUGH = D("1e-20")


@given(stocks() | stocks(poor=True))
def test_every_symbol_comes_to_its_weight_or_the_plan_says_why_not(case: tuple[Stock, RebalancingSettings]) -> None:
    """X5: a plan that misses its weights without a word is not a rebalancing."""
    stock, settings = case
    plan = plan_rebalancing(stock, settings, INSTRUMENTS)
    traded = {one.symbol: one for one in plan.trades}
    reasons = {one.symbol: one.reason.code for one in plan.kept}
    assert set(traded) | set(reasons) == set(settings.weights)
    assert not set(traded) & set(reasons)
    then = after(stock, plan)
    for symbol, weight in settings.weights.items():
        distance = abs(then.held.get(symbol, D(0)) * stock.prices[symbol] - weight * stock.equity)
        if reasons.get(symbol) is ReasonCode.WEIGHT_IN_BAND:
            assert distance <= settings.band * stock.equity + _CLOSE_ENOUGH
        elif symbol in traded and traded[symbol].reason.code is ReasonCode.REBALANCING:
            assert distance <= INSTRUMENTS[symbol].quantity_step * stock.prices[symbol] + _CLOSE_ENOUGH
        else:
            told = reasons.get(symbol) or traded[symbol].reason.code
            assert told in {
                ReasonCode.BELOW_MINIMUM_ORDER,
                ReasonCode.EQUITY_NOT_POSITIVE,
                ReasonCode.REST_TOO_SMALL,
                ReasonCode.CASH_SHORT,
            }


@given(stocks() | stocks(poor=True))
def test_nothing_is_sold_that_is_not_held_and_nothing_bought_that_is_not_paid(
    case: tuple[Stock, RebalancingSettings],
) -> None:
    """X5: at no moment of the plan, which is traded in its order, does the account owe anything."""
    stock, settings = case
    plan = plan_rebalancing(stock, settings, INSTRUMENTS)
    cash, bought = stock.cash, False
    for trade in plan.trades:
        held, instrument = stock.held.get(trade.symbol, D(0)), INSTRUMENTS[trade.symbol]
        assert not trade.quantity % instrument.quantity_step
        assert trade.quantity >= instrument.minimum_quantity
        assert trade.value >= instrument.minimum_cost
        if trade.kind.adds_risk:
            bought = True
            cash -= trade.value
            assert cash >= 0
            assert trade.target_quantity == held + trade.quantity
            assert (trade.kind is ProposalKind.INCREASE) == (held > 0)
        else:
            assert not bought
            assert trade.quantity <= held
            cash += trade.value
            assert trade.target_quantity in {held - trade.quantity, D(0)}


@given(stocks() | stocks(poor=True))
def test_an_account_that_was_rebalanced_plans_nothing_again(case: tuple[Stock, RebalancingSettings]) -> None:
    """X5: a plan that never comes to rest pays fees for ever. The band has to be wider than a step."""
    stock, settings = case
    plan = plan_rebalancing(stock, settings, INSTRUMENTS)
    if {one.reason.code for one in (*plan.trades, *plan.kept)} - {ReasonCode.REBALANCING, ReasonCode.WEIGHT_IN_BAND}:
        return
    steps = [instrument.quantity_step * stock.prices[symbol] for symbol, instrument in INSTRUMENTS.items()]
    if max(steps) > settings.band * stock.equity:
        return
    assert plan_rebalancing(after(stock, plan), settings, INSTRUMENTS).trades == ()
