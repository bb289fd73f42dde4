"""docs/data.md: its tables are made from the code and the configuration, so they cannot say something else."""

import pytest
from generated_docs import assert_made_of, table

from triplegain_pipelines.domain.quality import GapKind, QualityCode
from triplegain_pipelines.settings import load_settings

pytestmark = pytest.mark.unit


def _venues() -> str:
    rows = [
        (
            f"`{name}`",
            f"{venue.candles.per_call:,} a call"
            + (f", the newest {venue.candles.reach}" if venue.candles.reach else ""),
            f"{venue.trades.per_call:,} a call" if venue.trades else "",
            {"zero_volume": "a candle without volume", "absent": "nothing", "never": "does not happen"}[
                venue.empty_minute
            ],
            venue.stream or "",
            f"{venue.calls_per_second:g}, {venue.history_share:.0%} of them for history",
        )
        for name, venue in load_settings().venues.venues.items()
    ]
    head = ("venue", "candles by REST", "trades by REST", "a minute without a trade", "followed by", "calls a second")
    return table(head, rows)


def test_the_tables_are_the_code() -> None:
    """M4: a finding whose code the documentation does not explain, or a limit that it states wrongly."""
    codes = [(f"`{code}`", code.effect.value, code.meaning) for code in QualityCode]
    parts = {
        "venues": _venues(),
        "gaps": table(("kind", "meaning"), [(f"`{kind}`", kind.meaning) for kind in GapKind]),
        "codes": table(("code", "effect", "meaning"), codes),
    }
    assert_made_of("data.md", parts)


def test_every_code_is_its_own_value_and_has_a_sentence() -> None:
    """A typing error in a code would be stored as a finding nobody can look up."""
    assert all(code.value == code.name and code.meaning.endswith(".") for code in QualityCode)
    assert all(kind.meaning.endswith(".") for kind in GapKind)
