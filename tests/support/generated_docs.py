"""Pages of documentation whose tables are made from the code, between markers."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def assert_made_of(name: str, parts: Mapping[str, str]) -> None:
    """The page holds exactly `parts` between its markers; where TRIPLEGAIN_WRITE_DOCS is set it is written anew."""
    path = DOCS / name
    page = path.read_text()
    for part, text in parts.items():
        pattern = rf"(<!-- {part}: [^>]*-->\n).*?(<!-- end of {part} -->)"
        page, found = re.subn(pattern, lambda place, made=text: f"{place[1]}{made}\n{place[2]}", page, flags=re.DOTALL)
        assert found == 1, f"{name} has no place for the part {part}"
    if os.environ.get("TRIPLEGAIN_WRITE_DOCS"):
        path.write_text(page)
    assert path.read_text() == page
