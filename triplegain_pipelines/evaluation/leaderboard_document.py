"""The leaderboard as JSON values: for the file beside the page, for the row in the database and for `--json`."""

import json
from dataclasses import asdict
from typing import Any

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.evaluation.leaderboard import Leaderboard, LeaderboardRow, ShadowBook

_CURVES = frozenset({"curve"})


def board_document(board: Leaderboard) -> dict[str, Any]:
    """All of the board but the curves of shadow books. No time of writing: equal rows give an equal document."""
    document = asdict(board) | {"rows": [_row(row) for row in board.rows]}
    values: dict[str, Any] = json.loads(canonical_json(document))
    return values


def _row(row: LeaderboardRow) -> dict[str, Any]:
    return asdict(row) | {
        "name": row.name,
        "evidence": {kind.value: count for kind, count in row.evidence.items()},
        "calls": asdict(row.calls) | {"coverage": row.calls.coverage, "abstention_rate": row.calls.abstention_rate},
        "shadow_book": row.shadow_book and _book(row.shadow_book),
    }


def _book(book: ShadowBook) -> dict[str, Any]:
    return {name: value for name, value in asdict(book).items() if name not in _CURVES}
