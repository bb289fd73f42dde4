"""The books of an account. Orders are side effects, so these are external: the execution job says when they grew."""

import dagster as dg

from assets.partitions import DAYS

_DESCRIPTIONS = {
    "orders": "Orders of the account, each written before it was sent.",
    "fills": "Trades that the venue reported, each applied exactly once.",
    "positions": "Open positions and closed trades, exact to the last digit.",
    "equity": "Cash plus positions at the market's prices, minute by minute while something is held.",
}
_ABOVE = {"orders": "consensus_decisions", "fills": "orders", "positions": "fills", "equity": "positions"}

BOOKS = [
    dg.AssetSpec(
        name, deps=[_ABOVE[name]], description=text, group_name="portfolio", partitions_def=DAYS, kinds={"postgres"}
    )
    for name, text in _DESCRIPTIONS.items()
]
