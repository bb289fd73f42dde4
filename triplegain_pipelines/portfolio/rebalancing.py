"""X5: from what an account holds to its target weights. Pure: what to sell and what to buy, and why nothing else.

The plan knows weights and prices only. Whether and how much of it is traded is risk's, as for any other decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.money import CAUTIOUS, rounded, rounded_down
from triplegain_pipelines.domain.reasons import Reason, ReasonCode
from triplegain_pipelines.domain.risk import ProposalKind
from triplegain_pipelines.settings.profile import RebalancingSettings

# Rises with every change that can change a plan.
REBALANCING_VERSION = "rebalance-1"

_NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class Stock:
    """What an account owns, with prices of now. Cash and prices in quote currency.

    `held` has the quantity of each position in base currency, negative for a short one; `prices` a price for each of
    them and for every symbol that has a weight.
    """

    cash: Decimal
    held: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]

    @property
    def equity(self) -> Decimal:
        """Cash and the value of all positions."""
        return self.cash + sum((quantity * self.prices[symbol] for symbol, quantity in self.held.items()), _NONE)


@dataclass(frozen=True, slots=True)
class PlannedTrade:
    """A trade of the plan: `quantity` on the venue's grid, and the size of the position after it, in base currency."""

    symbol: str
    kind: ProposalKind
    quantity: Decimal
    target_quantity: Decimal
    price: Decimal
    reason: Reason

    @property
    def value(self) -> Decimal:
        """What is bought or sold, in quote currency."""
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Kept:
    """A symbol that stays as it is, and why."""

    symbol: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class RebalancingPlan:
    """What is to be traded, the sales first, and what is not. `equity` is in quote currency."""

    equity: Decimal
    trades: tuple[PlannedTrade, ...]
    kept: tuple[Kept, ...]


def plan_rebalancing(
    stock: Stock, settings: RebalancingSettings, instruments: Mapping[str, Instrument]
) -> RebalancingPlan:
    """Bring every symbol that has a weight, and lies outside the band around it, to that weight.

    Symbols without a weight are left alone; what they are worth counts in the equity. Purchases cost no more than the
    cash after the sales, fees left out, which risk counts. Nothing is sold that is not held.

    Args:
        stock: what is owned, with prices.
        settings: the weights and the band.
        instruments: the steps and minimums of every symbol that has a weight.
    """
    with localcontext(CAUTIOUS):
        equity = stock.equity
        found = [_of(symbol, stock, settings, instruments[symbol], equity) for symbol in sorted(settings.weights)]
        trades = [one for one in found if isinstance(one, PlannedTrade)]
        sales = [one for one in trades if not one.kind.adds_risk]
        cash = stock.cash + sum((sale.value for sale in sales), _NONE)
        bought = _within(cash, [one for one in trades if one.kind.adds_risk], instruments)
        kept = [one for one in (*found, *bought) if isinstance(one, Kept)]
        purchases = [one for one in bought if isinstance(one, PlannedTrade)]
        return RebalancingPlan(equity, (*sales, *purchases), tuple(sorted(kept, key=lambda one: one.symbol)))


def _of(
    symbol: str, stock: Stock, settings: RebalancingSettings, instrument: Instrument, equity: Decimal
) -> PlannedTrade | Kept:
    """What one symbol needs, before anybody asks whether there is cash for it."""
    price, held, weight = stock.prices[symbol], stock.held.get(symbol, _NONE), settings.weights[symbol]
    if equity <= 0:
        return Kept(symbol, Reason(ReasonCode.EQUITY_NOT_POSITIVE, {"equity": format(equity, "f")}))
    if held < 0:
        return Kept(symbol, Reason(ReasonCode.SHORT_KEPT, {"quantity": format(held, "f")}))
    numbers = {
        "share": format(rounded(held * price / equity, 4), "f"),
        "weight": format(weight, "f"),
        "band": format(settings.band, "f"),
    }
    if abs(held * price - weight * equity) <= settings.band * equity:
        return Kept(symbol, Reason(ReasonCode.WEIGHT_IN_BAND, numbers))
    wanted, reason = weight * equity / price, Reason(ReasonCode.REBALANCING, numbers)
    quantity = rounded_down(abs(wanted - held), instrument.quantity_step)
    if wanted < held:
        return _sale(symbol, held, quantity, instrument, price, reason)
    if not _tradable(quantity, price, instrument):
        return _too_small(symbol, quantity, price)
    kind = ProposalKind.INCREASE if held else ProposalKind.OPEN
    return PlannedTrade(symbol, kind, quantity, held + quantity, price, reason)


def _sale(
    symbol: str, held: Decimal, quantity: Decimal, instrument: Instrument, price: Decimal, reason: Reason
) -> PlannedTrade | Kept:
    """A part of the position, or all of it where what is left could not be sold later."""
    if _tradable(held - quantity, price, instrument):
        if not _tradable(quantity, price, instrument):
            return _too_small(symbol, quantity, price)
        return PlannedTrade(symbol, ProposalKind.REDUCE, quantity, held - quantity, price, reason)
    whole = rounded_down(held, instrument.quantity_step)
    if not _tradable(whole, price, instrument):
        return _too_small(symbol, whole, price)
    if whole > quantity:
        reason = replace(reason, code=ReasonCode.REST_TOO_SMALL)
    return PlannedTrade(symbol, ProposalKind.CLOSE, whole, _NONE, price, reason)


def _within(
    cash: Decimal, purchases: Iterable[PlannedTrade], instruments: Mapping[str, Instrument]
) -> list[PlannedTrade | Kept]:
    """The purchases, all lowered by the same share where there is too little cash for them."""
    asked = list(purchases)
    total = sum((one.value for one in asked), _NONE)
    if total <= cash:
        return list(asked)
    return [_lowered(one, cash, total, instruments[one.symbol]) for one in asked]


def _lowered(purchase: PlannedTrade, cash: Decimal, total: Decimal, instrument: Instrument) -> PlannedTrade | Kept:
    quantity = _NONE
    if cash > 0:
        quantity = rounded_down(purchase.quantity * cash / total, instrument.quantity_step)
    numbers = {"from": format(purchase.quantity, "f"), "to": format(quantity, "f"), "cash": format(cash, "f")}
    reason = Reason(ReasonCode.CASH_SHORT, numbers)
    if not _tradable(quantity, purchase.price, instrument):
        return Kept(purchase.symbol, reason)
    target = purchase.target_quantity - purchase.quantity + quantity
    return replace(purchase, quantity=quantity, target_quantity=target, reason=reason)


def _too_small(symbol: str, quantity: Decimal, price: Decimal) -> Kept:
    numbers = {"quantity": format(quantity, "f"), "cost": format(rounded(quantity * price, 6), "f")}
    return Kept(symbol, Reason(ReasonCode.BELOW_MINIMUM_ORDER, numbers))


def _tradable(quantity: Decimal, price: Decimal, instrument: Instrument) -> bool:
    """Whether the venue takes an order of `quantity` at `price` at all."""
    enough = 0 < quantity >= instrument.minimum_quantity
    return enough and quantity * price >= instrument.minimum_cost
