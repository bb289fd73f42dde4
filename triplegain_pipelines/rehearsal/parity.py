"""Compares two ways of trading the same decisions: intents one by one, and every difference in money by its cause.

What a position brought is followed from one way to the other in steps: its quantity, the moment of its first fill, the
parts it came in, spread and slippage, and the fee. Each step has a cause and an amount, so that the amounts of all rows
together are the difference of the final equities, to the last digit. What no step explains would be a row too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from uuid import UUID

from triplegain_pipelines.domain.money import EXACT
from triplegain_pipelines.domain.orders import Intent, Leg
from triplegain_pipelines.rehearsal.parity_causes import Both
from triplegain_pipelines.rehearsal.parity_money import money_rows
from triplegain_pipelines.rehearsal.parity_report import Cause, IntentRow, ParityReport, Row
from triplegain_pipelines.rehearsal.parity_run import Run

_FOLLOWS = frozenset({Cause.QUANTITY, Cause.REFUSED})
_Key = tuple[UUID, Leg, int]


def compare_runs(first: Run, second: Run) -> ParityReport:
    """Compare two ways that the same plan went through.

    Args:
        first: the one that is compared with.
        second: the one whose differences are told.
    """
    with localcontext(EXACT):
        both = Both.of(first, second)
        ones, twos = _by_key(first), _by_key(second)
        rows = _with_sources(sorted(money_rows(both), key=lambda row: (row.at, row.symbol, row.side)))
        unexplained = second.equity - first.equity - sum((row.amount for row in rows), Decimal(0))
        if unexplained:
            at = max(one.fill.filled_at for one in (*first.dealt, *second.dealt))
            what = "the ledgers against what was traded"
            rows.append(Row(at, None, "", "end", Cause.UNEXPLAINED, unexplained, what))
        return ParityReport(
            first=first.way,
            second=second.way,
            currency=first.currency,
            compared=len({*ones, *twos}),
            intents=(*_intent_rows(both, ones, twos), *_level_rows(both)),
            rows=tuple(rows),
            first_equity=first.equity,
            second_equity=second.equity,
        )


def _by_key(run: Run) -> dict[_Key, Intent]:
    return {(one.decision_id, one.leg, one.attempt): one for one in run.intents}


def _intent_rows(both: Both, ones: dict[_Key, Intent], twos: dict[_Key, Intent]) -> Iterator[IntentRow]:
    for key in dict.fromkeys([*ones, *twos]):
        first, second = ones.get(key), twos.get(key)
        intent = first or second
        if intent is None:
            continue
        about = (intent.decision_id, intent.symbol, intent.leg, intent.attempt)
        if first is None or second is None:
            yield IntentRow(*about, "intent", _spelt(first), _spelt(second), both.missing(intent))
            continue
        for what, cause in _differing(both, first, second):
            yield IntentRow(*about, what, str(getattr(first, what)), str(getattr(second, what)), cause)


def _differing(both: Both, first: Intent, second: Intent) -> Iterator[tuple[str, Cause]]:
    """The fields in which an intent is not the same, each with its cause."""
    decision_id = first.decision_id
    for what in ("symbol", "side", "order_type"):
        if getattr(first, what) != getattr(second, what):
            yield what, Cause.UNEXPLAINED
    if first.quantity != second.quantity:
        yield "quantity", _resized(both, first)
    if first.trigger_price != second.trigger_price:
        yield "trigger_price", both.placed(decision_id) or Cause.UNEXPLAINED
    if first.leg is Leg.ENTRY and first.decided_price != second.decided_price:
        yield "decided_price", Cause.MOMENT


def _resized(both: Both, intent: Intent) -> Cause:
    """Why the intent has another quantity: because the position has. A stop of a part is placed before the rest."""
    closed = [
        position.decision_id
        for position in both.ones.values()
        if any(one.intent.decision_id == intent.decision_id for one in position.exits)
    ]
    opened = intent.decision_id if intent.decision_id in both.ones or not closed else closed[0]
    return both.resized(opened)


def _level_rows(both: Both) -> Iterator[IntentRow]:
    """Stops and targets as risk let them through: a way that holds its targets has no intent for them."""
    for decision_id in both.opened:
        first, second = both.one.levels.get(decision_id), both.two.levels.get(decision_id)
        cause = both.placed(decision_id)
        if first is None or second is None or cause is None:
            continue
        symbol = both.one.decisions[decision_id].symbol
        for what in ("stop", "target"):
            if getattr(first, what) != getattr(second, what):
                texts = str(getattr(first, what)), str(getattr(second, what))
                yield IntentRow(decision_id, symbol, Leg.ENTRY, 1, what, *texts, cause)


def _spelt(intent: Intent | None) -> str:
    return "none" if intent is None else f"{intent.side} {intent.quantity:f}"


def _with_sources(rows: Sequence[Row]) -> list[Row]:
    """Each row that follows from an earlier one with the largest that it can follow from."""
    named = []
    for row in rows:
        earlier = [one for one in rows if one.at < row.at and one.position != row.position]
        if row.cause is Cause.REFUSED:  # a position that the other way did not have, or had still
            earlier = [one for one in earlier if one.symbol == row.symbol] or earlier
        source = max(earlier, key=lambda one: abs(one.amount), default=None)
        follows = f"{source.cause} of {source.symbol} at {source.at:%Y-%m-%d %H:%M}" if source else ""
        named.append(replace(row, follows=follows) if row.cause in _FOLLOWS else row)
    return named
