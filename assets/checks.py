"""Checks on what an asset made: the contracts of its frames. They stop the assets below, never an order."""

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
    """Whether each of `frames` keeps the contract of this name, and which rows do not."""
    from triplegain_pipelines.market.contracts import validate

    broken = {}
    for name, frame in frames.items():
        try:
            validate(contract, frame)
        except DataError as error:
            broken[name] = str(error)
    rows = sum(frame.height for frame in frames.values())
    return dg.AssetCheckResult(passed=not broken, check_name="contract", metadata={"rows": rows, **broken})
