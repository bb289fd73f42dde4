"""Checks on what an asset made: its contracts, whether all of it was delivered, whether forecasts were settled.

A broken contract stops the assets below. A failed delivery or settlement does not, and none stops an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from assets.metadata import table
from triplegain_pipelines.domain.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from triplegain_pipelines.operations.settlement import Settlement

_MOST_SHOWN = 20


def contract_spec(asset: str) -> dg.AssetCheckSpec:
    """The blocking check that an asset's stored frames keep their contract."""
    return dg.AssetCheckSpec("contract", asset=asset, blocking=True, description="The stored rows keep their contract.")


def contract_result(contract: str, frames: Mapping[str, pl.DataFrame]) -> dg.AssetCheckResult:
    """Whether each frame of the asset `contract` keeps the contract of its name, and which rows do not."""
    from triplegain_pipelines.market.contracts import validate

    broken = {}
    for name, frame in frames.items():
        try:
            validate(contract, frame)
        except DataError as error:
            broken[name] = str(error)
    rows = sum(frame.height for frame in frames.values())
    return dg.AssetCheckResult(
        passed=not broken, asset_key=contract, check_name="contract", metadata={"rows": rows, **broken}
    )


def delivered_spec(asset: str) -> dg.AssetCheckSpec:
    """The check that every symbol was delivered. It stops nothing: the age of the data is judged where it is used."""
    return dg.AssetCheckSpec("delivered", asset=asset, blocking=False, description="Every symbol was delivered.")


def delivered_result(failures: Mapping[str, str]) -> dg.AssetCheckResult:
    """Whether there was no failure; by symbol why it was not delivered."""
    return dg.AssetCheckResult(
        passed=not failures, check_name="delivered", severity=dg.AssetCheckSeverity.WARN, metadata={**failures}
    )


def settled_spec(asset: str) -> dg.AssetCheckSpec:
    """The check that every horizon that is over has its outcome. It stops nothing: decisions count what has settled."""
    return dg.AssetCheckSpec(
        "settled", asset=asset, blocking=False, description="Every horizon that is over has its outcome."
    )


def settled_result(settlement: Settlement) -> dg.AssetCheckResult:
    """Whether every horizon that is over has its outcome; an error where prices were there, else a warning."""
    missing = [(one, "its prices are stored") for one in settlement.overdue]
    missing += [(one, "no price within the wait of the rule") for one in settlement.without_price]
    rows = [
        {"symbol": one.symbol, "as of": one.as_of, "horizon in hours": one.horizon_hours, "why": why}
        for one, why in missing[:_MOST_SHOWN]
    ]
    return dg.AssetCheckResult(
        passed=settlement.complete,
        check_name="settled",
        severity=dg.AssetCheckSeverity.ERROR if settlement.overdue else dg.AssetCheckSeverity.WARN,
        description="Materialise forecast_outcomes of the days on which these horizons ended." if rows else None,
        metadata={
            "overdue": len(settlement.overdue),
            "without a price": len(settlement.without_price),
            "first of them": table(rows),
        },
    )
