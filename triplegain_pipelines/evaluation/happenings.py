"""What happened to an account, told in one sentence each, from facts by template (requirement A8).

Nothing here is guessed or asked of a model: each sentence says what its rows say, and names them. How a whole trade is
told is in `narratives`, how a seat may put a sentence into other words in `rewording`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import psycopg

from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.wording import meaning, moment, plain
from triplegain_pipelines.store import happenings

HAPPENINGS_VERSION = "happenings-1"

SIZE_CODES = frozenset(
    {
        *(code.value for code in ReasonCode if code.value.endswith("_REDUCED") and code != ReasonCode.LEVERAGE_REDUCED),
        *(ReasonCode.DRAWDOWN_HALF_SIZE.value, ReasonCode.BREAKER_HALF_OPEN.value),
    }
)
"""The reasons of a verdict that make a position smaller."""

_BENCHED, _BUDGET = ReasonCode.SEAT_BENCHED.value, ReasonCode.SEAT_BUDGET.value
_DECISIONS, _FORECASTS, _BREAKERS = "research.consensus_decisions", "research.seat_forecasts", "ops.breaker_changes"


class HappeningKind(StrEnum):
    """What a sentence tells of."""

    REVERSAL = "reversal"
    REFUSED = "refused"
    SIZE_CUT = "size cut"
    BREAKER_OPENED = "breaker opened"
    SEAT_BENCHED = "seat benched"
    SEAT_OUT_OF_BUDGET = "seat out of budget"
    STOP_TAKEN = "stop taken"


@dataclass(frozen=True, slots=True)
class RowLink:
    """A row that a sentence rests on: its table, and its key as the table spells it."""

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One sentence, the moment it is about, and the rows that say so. Any other wording must keep what is `fixed`."""

    at: datetime
    kind: HappeningKind
    sentence: str
    rows: tuple[RowLink, ...]
    fixed: tuple[str, ...] = ()


def tell_happenings(
    connection: psycopg.Connection, schema: str, account: str, currency: str, start: datetime, end: datetime
) -> list[Happening]:
    """Everything of note that happened to the account in the period, oldest first. Profits are in `currency`.

    Raises:
        psycopg.Error: a question failed; a part of what happened is never told as the whole.
    """
    period = (account, start, end)
    told = [
        *tell_reversals(happenings.decided_regimes(connection, *period)),
        *(tell_refusal(one, schema) for one in happenings.refusals(connection, schema, *period)),
        *tell_size_cuts(happenings.changed_proposals(connection, schema, *period), schema),
        *(tell_breaker(one, account) for one in happenings.opened_breakers(connection, *period)),
        *(tell_seat(one) for one in happenings.silent_seats(connection, *period, [_BENCHED, _BUDGET])),
        *(tell_stop(one, schema, account, currency) for one in happenings.taken_stops(connection, schema, *period)),
    ]
    return sorted((one for one in told if one.at >= start), key=lambda one: (one.at, one.kind, one.sentence))


def tell_reversals(regimes: Iterable[happenings.DecidedRegime]) -> Iterator[Happening]:
    """Each change from a bull's regime to a bear's or back, whatever went nowhere in between."""
    sided: dict[str, happenings.DecidedRegime] = {}
    for one in regimes:
        side = one.regime.rpartition("_")[2]
        if side not in {"bull", "bear"}:
            continue
        before = sided.get(one.symbol)
        sided[one.symbol] = one
        if before is not None and before.regime.rpartition("_")[2] != side:
            was, is_now = f"{_words(before.regime)} at {moment(before.as_of)}", f"{_words(one.regime)} now"
            sentence = f"{one.symbol} turned {'up' if side == 'bull' else 'down'}: {was}, {is_now}."
            rows = tuple(RowLink(_DECISIONS, str(each.decision_id)) for each in (before, one))
            yield Happening(one.as_of, HappeningKind.REVERSAL, sentence, rows, (one.symbol, was, is_now))


def tell_refusal(refusal: happenings.Refusal, schema: str) -> Happening:
    """A decision that made no order, with every reason."""
    ended = "expired before it was traded" if refusal.status == "EXPIRED" else "was refused"
    decision = f"decision to {refusal.action} {refusal.symbol}"
    why = " ".join(meaning(code) for code in refusal.codes)
    rows = [RowLink(_DECISIONS, str(refusal.decision_id))]
    if refusal.outbox_id is not None:
        rows.append(RowLink(f"{schema}.outbox", str(refusal.outbox_id)))
    if refusal.proposal_id is not None:
        rows.append(RowLink(f"{schema}.verdicts", str(refusal.proposal_id)))
    sentence = f"The {decision} {ended}{f': {why}' if why else '.'}"
    return Happening(refusal.at, HappeningKind.REFUSED, sentence, tuple(rows), (decision, ended))


def tell_size_cuts(changed: Iterable[happenings.ChangedProposal], schema: str) -> Iterator[Happening]:
    """Proposals that risk made smaller; what it changed otherwise is no news."""
    for one in changed:
        cuts = [code for code in one.codes if code in SIZE_CODES]
        if not cuts:
            continue
        base, _ = split_symbol(one.symbol)
        sizes = [("from", one.asked), ("to", one.allowed)]
        change = " ".join(f"{way} {plain(size)} {base}" for way, size in sizes if size is not None)
        position = f"{one.direction.lower()} position in {one.symbol}"
        why = " ".join(meaning(code) for code in cuts)
        sentence = f"Risk cut the {position}{f' {change}' if change else ''}: {why}"
        fixed = (position, *filter(None, [change]))
        rows = (RowLink(f"{schema}.verdicts", str(one.proposal_id)), RowLink(_DECISIONS, str(one.decision_id)))
        yield Happening(one.at, HappeningKind.SIZE_CUT, sentence, rows, fixed)


def tell_breaker(opened: happenings.OpenedBreaker, account: str) -> Happening:
    """A circuit breaker that opened, who opened it, and the numbers that tripped it."""
    measured = [f"{_words(name)} {value}" for name, value in sorted(opened.context.items())]
    event = f"breaker {_words(opened.name)} opened ({opened.changed_by})"
    numbers = f" Measured: {', '.join(measured)}." if measured else ""
    sentence = f"The {event}: {meaning(opened.reason)}{numbers}"
    rows = (RowLink(_BREAKERS, f"{account}/{opened.name}/{opened.sequence}"),)
    return Happening(opened.at, HappeningKind.BREAKER_OPENED, sentence, rows, (event, *measured))


def tell_seat(silent: happenings.SilentSeat) -> Happening:
    """A seat that was not asked on a day."""
    times = len(silent.forecast_ids)
    who = f"{silent.seat} ({silent.model}{', a baseline' if silent.baseline else ''})"
    until = f", the last time at {moment(silent.last_at)}" if times > 1 else ""
    count = "once" if times == 1 else f"{times} times"
    sentence = f"The seat {who} was passed over {count} this day{until}: {meaning(silent.code)}"
    kind = HappeningKind.SEAT_BENCHED if silent.code == _BENCHED else HappeningKind.SEAT_OUT_OF_BUDGET
    rows = tuple(RowLink(_FORECASTS, str(one)) for one in silent.forecast_ids)
    return Happening(silent.first_at, kind, sentence, rows, (who, f"passed over {count}"))


def tell_stop(taken: happenings.TakenStop, schema: str, account: str, currency: str) -> Happening:
    """A trade that its stop ended."""
    multiple = [] if taken.r_multiple is None else [f"{taken.r_multiple:+.2f} times what was at risk"]
    position = f"{taken.direction.lower()} position in {taken.symbol}"
    way_out, way_in = f"taken at {plain(taken.exit_price)}", f"entry at {plain(taken.entry_price)}"
    made = f"{taken.profit:+,.2f} {currency} after fees"
    sentence = f"The stop of the {position} was {way_out}, after an {way_in}: {', '.join([made, *multiple])}."
    fixed = (position, way_out, way_in, made, *multiple)
    trade = RowLink(f"{schema}.trades", f"{account}/{taken.decision_id}/{taken.opened_at.isoformat()}")
    orders = tuple(RowLink(f"{schema}.orders", str(order)) for order in taken.orders)
    return Happening(taken.closed_at, HappeningKind.STOP_TAKEN, sentence, (trade, *orders), fixed)


def _words(name: str) -> str:
    return name.replace("_", " ")
