"""Trades told in plain words: why each was opened, how it ended, what it made (requirement A8).

What else happened to an account is told in `happenings`; `rewording` is how a seat may put both into other words.
"""

from dataclasses import dataclass

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.happenings import RowLink
from triplegain_pipelines.evaluation.wording import lasted, meaning, plain
from triplegain_pipelines.store.performance import TradeRecord

_ENDED_BY = {Leg.STOP: "stop loss", Leg.TAKE_PROFIT: "take profit", Leg.EXIT: "later decision"}
_ENDINGS = {
    Leg.STOP: "The stop loss ended it",
    Leg.TAKE_PROFIT: "The take profit ended it",
    Leg.EXIT: "A later decision closed it",
}


@dataclass(frozen=True, slots=True)
class Narrative:
    """A trade as a person tells it. `quote` is the decision's own explanation, word for word.

    `opening_fixed` and `ending_fixed` are the phrases that every other wording of the two sentences must keep.
    """

    trade: TradeRecord
    opening: str
    opening_fixed: tuple[str, ...]
    risk: str
    ending: str
    ending_fixed: tuple[str, ...]
    quote: str


def narrate(trade: TradeRecord, currency: str) -> Narrative:
    """Tell one trade. Prices and profit are in `currency`."""
    base, _ = split_symbol(trade.symbol)
    verb = "Bought" if trade.direction is Direction.LONG else "Sold"
    market = f"{trade.regime.replace('_', ' ')} market"
    answered, chance = f"{trade.answers} of 6 seats answered", f"the chance of a rise at {trade.p_up:.0%}"
    why = "the account was rebalanced" if trade.rebalancing else f"{answered} and put {chance}"
    amount, price = f"{plain(trade.quantity)} {base}", f"at {plain(trade.entry_price)}"
    length = lasted(trade.closed_at - trade.opened_at)
    way_out, made = f"at {plain(trade.exit_price)}", f"{trade.profit:+,.2f} {currency} after fees of {trade.fees:,.2f}"
    risked = [] if trade.r_multiple is None else [f"{trade.r_multiple:+.2f} times what was at risk"]
    changes = [code for code in trade.risk_reasons if code != ReasonCode.WITHIN_LIMITS]
    return Narrative(
        trade=trade,
        opening=f"{verb} {amount} {price} in a {market}: {why}.",
        opening_fixed=(amount, price, market, *(["rebalanced"] if trade.rebalancing else [answered, chance])),
        risk=" ".join(meaning(code) for code in changes),
        ending=f"{_ENDINGS[trade.exit_leg]} after {length} {way_out}: {', which is '.join([made, *risked])}.",
        ending_fixed=(_ENDED_BY[trade.exit_leg], length, way_out, made, *risked),
        quote=trade.explanation,
    )


def trade_rows(trade: TradeRecord, schema: str, account: str) -> tuple[RowLink, ...]:
    """The rows that the account of a trade rests on: the decision, which names its forecasts, and the trade."""
    return (
        RowLink("research.consensus_decisions", str(trade.decision_id)),
        RowLink(f"{schema}.trades", f"{account}/{trade.decision_id}/{trade.opened_at.isoformat()}"),
    )
