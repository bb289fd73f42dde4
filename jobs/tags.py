"""The tags that every run carries, so that runs can be found and limited by account and kind."""

from collections.abc import Mapping

ACCOUNT = "triplegain/account"
KIND = "triplegain/kind"
MODE = "triplegain/mode"
DECISION = "triplegain/decision_id"
EXECUTES_FOR = "triplegain/executes_for"


def run_tags(kind: str, account: str, mode: str = "paper") -> Mapping[str, str]:
    """Tags of a run: `kind` is what sort of work it is, `mode` paper or replay."""
    return {KIND: kind, ACCOUNT: account, MODE: mode}
