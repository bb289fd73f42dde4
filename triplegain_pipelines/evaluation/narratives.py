"""Trades told in plain words: why each was opened, how it ended, what it made (requirement A8).

What else happened to an account is told in `happenings`.
"""

from dataclasses import dataclass

from triplegain_pipelines.domain.decisions import Direction
from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.orders import Leg
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.happenings import RowLink
from triplegain_pipelines.evaluation.wording import lasted, meaning, plain
from triplegain_pipelines.store.performance import TradeRecord

_ENDINGS = {
    Leg.STOP: "The stop loss ended it",
    Leg.TAKE_PROFIT: "The take profit ended it",
    Leg.EXIT: "A later decision closed it",
}


@dataclass(frozen=True, slots=True)
class Narrative:
    """A trade as a person tells it. `quote` is the decision's own explanation, word for word."""

    trade: TradeRecord
    opening: str
    risk: str
    ending: str
    quote: str


def narrate(trade: TradeRecord, currency: str) -> Narrative:
    """Tell one trade. Prices and profit are in `currency`."""
    base, _ = split_symbol(trade.symbol)
    verb = "Bought" if trade.direction is Direction.LONG else "Sold"
    why = f"{trade.answers} of 6 seats answered and put the chance of a rise at {trade.p_up:.0%}"
    opening = (
        f"{verb} {plain(trade.quantity)} {base} at {plain(trade.entry_price)} in a {trade.regime.replace('_', ' ')} "
        f"market: {'the account was rebalanced' if trade.rebalancing else why}."
    )
    ending = (
        f"{_ENDINGS[trade.exit_leg]} after {lasted(trade.closed_at - trade.opened_at)} at {plain(trade.exit_price)}: "
        f"{trade.profit:+,.2f} {currency} after fees of {trade.fees:,.2f}"
    )
    if trade.r_multiple is not None:
        ending += f", which is {trade.r_multiple:+.2f} times what was at risk"
    changes = [code for code in trade.risk_reasons if code != ReasonCode.WITHIN_LIMITS]
    return Narrative(
        trade=trade,
        opening=opening,
        risk=" ".join(meaning(code) for code in changes),
        ending=ending + ".",
        quote=trade.explanation,
    )


def trade_rows(trade: TradeRecord, schema: str, account: str) -> tuple[RowLink, ...]:
    """The rows that the account of a trade rests on: the decision, which names its forecasts, and the trade."""
    return (
        RowLink("research.consensus_decisions", str(trade.decision_id)),
        RowLink(f"{schema}.trades", f"{account}/{trade.decision_id}/{trade.opened_at.isoformat()}"),
    )
