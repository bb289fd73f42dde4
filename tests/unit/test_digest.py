"""The content hash of a frame, on which data versions rest."""

from datetime import UTC, datetime

import polars as pl
import pytest

from triplegain_pipelines.market.digest import frame_digest

pytestmark = pytest.mark.unit

FRAME = pl.DataFrame(
    {
        "opened_at": pl.Series(
            [datetime(2024, 8, 5, tzinfo=UTC), datetime(2024, 8, 5, 0, 1, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC")
        ),
        "close": [1.5, 2.5],
        "trades": pl.Series([None, 0], dtype=pl.Int32),
        "kind": ["missing", None],
    }
)


def test_a_hash_is_the_same_for_ever() -> None:
    """D1: a hash that changed with a library's version would make every stored data version look stale."""
    assert frame_digest(FRAME) == frame_digest(FRAME.clone().rechunk())
    assert frame_digest(FRAME)[:12] == "eacc117bfe92"


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.with_columns(close=pl.lit(1.5)),
        FRAME.with_columns(trades=pl.Series([0, 0], dtype=pl.Int32)),
        FRAME.with_columns(kind=pl.Series(["missing", ""])),
        FRAME.reverse(),
        FRAME.rename({"close": "open"}),
        FRAME.head(1),
    ],
)
def test_every_change_changes_the_hash(changed: pl.DataFrame) -> None:
    """D1: a revised candle, a null or another order must never pass as the same data."""
    assert frame_digest(changed) != frame_digest(FRAME)
