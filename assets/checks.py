"""Checks on what an asset made: the contracts of its frames, and whether all of it was delivered.

A broken contract stops the assets below. A failed delivery does not, and neither stops an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from triplegain_pipelines.domain.errors import DataError

if TYPE_CHECKING:
    import polars as pl


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
