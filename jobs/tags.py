"""The tags that every run carries, so that runs can be found and limited, and the logging of runs in the terminal."""

from collections.abc import Mapping
from typing import Any

ACCOUNT = "triplegain/account"
KIND = "triplegain/kind"
MODE = "triplegain/mode"
DECISION = "triplegain/decision_id"
QUIET: Mapping[str, Any] = {"console": {"config": {"log_level": "CRITICAL"}}}
"""For runs in the command's own process: the terminal belongs to the command, the log to the Dagster page."""

EXECUTES_FOR = "triplegain/executes_for"


def run_tags(kind: str, account: str, mode: str = "paper") -> Mapping[str, str]:
    """Tags of a run: `kind` is what sort of work it is, `mode` paper or replay."""
    return {KIND: kind, ACCOUNT: account, MODE: mode}
