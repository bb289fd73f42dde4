"""docs/data.md: its tables are made from the code and the configuration, so they cannot say something else."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from triplegain_pipelines.domain.quality import GapKind, QualityCode
from triplegain_pipelines.settings import load_settings

pytestmark = pytest.mark.unit

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


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
    return _table(head, rows)


def documentation() -> str:
    """The page with its tables made anew."""
    tables = {
        "venues": _venues(),
        "gaps": _table(("kind", "meaning"), [(f"`{kind}`", kind.meaning) for kind in GapKind]),
        "codes": _table(
            ("code", "effect", "meaning"), [(f"`{code}`", code.effect.value, code.meaning) for code in QualityCode]
        ),
    }
    page = DOCS.read_text()
    for name, table in tables.items():
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)"
        page, found = re.subn(pattern, lambda part, made=table: f"{part[1]}{made}\n{part[2]}", page, flags=re.DOTALL)
        assert found == 1, f"{DOCS.name} has no place for the table {name}"
    return page


def test_the_tables_are_the_code() -> None:
    """M4: a finding whose code the documentation does not explain, or a limit that it states wrongly."""
    if os.environ.get("TRIPLEGAIN_WRITE_DOCS"):
        DOCS.write_text(documentation())
    assert DOCS.read_text() == documentation()


def test_every_code_is_its_own_value_and_has_a_sentence() -> None:
    """A typing error in a code would be stored as a finding nobody can look up."""
    assert all(code.value == code.name and code.meaning.endswith(".") for code in QualityCode)
    assert all(kind.meaning.endswith(".") for kind in GapKind)
