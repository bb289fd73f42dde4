"""What a person is told of the budget for calls of models: it is nearly or all taken, calls were lost, cost too much.

One alert of a kind is open about each budget. A refusal's ends when the budget is under the warning again, a warning's
when it is well under it: a new day or month brings both about, or a higher limit. That of a lost call, or of one that
was too dear, ends with the day on which it was noticed.
"""

from collections.abc import Container, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import psycopg

from triplegain_pipelines.domain.model_budget import BudgetPeriod, BudgetRefusal, BudgetStanding
from triplegain_pipelines.store.alerts import Alert, AlertLevel, end_alert, open_alerts, raise_alert

NEARLY_TAKEN = "model_budget_nearly_taken"
REFUSED = "model_budget_refused"
LOST = "model_call_lost"
OVERRUN = "model_call_overrun"
_OF_THE_DAY = frozenset({LOST, OVERRUN})
_KINDS = frozenset({NEARLY_TAKEN, REFUSED}) | _OF_THE_DAY

# Calls under way reserve several times what they will cost. Where what they give back ended the warning, the next ones
# would raise it again, every hour until the day is over.
_WARNING_ENDS_BELOW = Decimal("0.5")  # of the share at which is warned


def open_budget_alerts(connection: psycopg.Connection) -> list[Alert]:
    """The open alerts about the budget, the oldest first."""
    return [one for one in open_alerts(connection) if one.kind in _KINDS]


def tell_standings(
    connection: psycopg.Connection,
    standings: Sequence[BudgetStanding],
    refused: BudgetRefusal | None,
    warn_at: float,
    at: datetime,
) -> None:
    """Raise and end alerts for budgets that stand like this: all there are. `refused` is a refusal of this moment."""
    warning = Decimal(str(warn_at))
    for one in standings:
        if one.share >= warning:
            raise_alert(connection, NEARLY_TAKEN, one.name, AlertLevel.WARNING, _nearly_taken(one), at)
    if refused is not None:
        text = f"a call was not made: {refused}"
        raise_alert(connection, REFUSED, refused.standing.name, AlertLevel.CRITICAL, text, at)
    kept = {(NEARLY_TAKEN, one.name) for one in standings if one.share >= warning * _WARNING_ENDS_BELOW}
    kept |= {(REFUSED, one.name) for one in standings if one.share >= warning}
    kept |= set() if refused is None else {(REFUSED, refused.standing.name)}
    for alert in open_budget_alerts(connection):
        if not _stays_open(alert, kept, at):
            end_alert(connection, alert.kind, alert.subject, at)


def tell_lost(connection: psycopg.Connection, seat: str, call_id: UUID, reserved_usd: Decimal, at: datetime) -> None:
    """Tell that a call was never settled, and counts as spent at its worst case."""
    text = (
        f"the call {call_id} of {seat} was never settled, as when its process dies; it counts as spent at its worst "
        f"case of {reserved_usd:f} USD, until somebody says what it cost"
    )
    raise_alert(connection, LOST, seat, AlertLevel.WARNING, text, at)


def tell_overrun(
    connection: psycopg.Connection, seat: str, call_id: UUID, reserved_usd: Decimal, cost_usd: Decimal, at: datetime
) -> None:
    """Tell that a call cost more than was reserved for it: what its seat's calls cost at most is worked out wrongly."""
    text = (
        f"the call {call_id} of {seat} cost {cost_usd:f} USD, and its worst case was said to be {reserved_usd:f}; "
        "check the seat's price and token limit in config/models.yaml: until then its calls can pass the budget"
    )
    raise_alert(connection, OVERRUN, seat, AlertLevel.WARNING, text, at)


def _stays_open(alert: Alert, kept: Container[tuple[str, str]], at: datetime) -> bool:
    if alert.kind in _OF_THE_DAY:
        return alert.raised_at >= BudgetPeriod.DAY.start(at)
    return (alert.kind, alert.subject) in kept


def _nearly_taken(standing: BudgetStanding) -> str:
    return (
        f"{standing.taken_usd:f} of the {standing.period}'s {standing.limit_usd:f} USD for models' calls of "
        f"{standing.whose} are spent or reserved, {standing.share:.0%}; a call that could cost more than is left "
        "is not made"
    )
