"""Changes that need no answer at once are gathered, and written in one statement before anything else is asked.

What a transaction reads is therefore never older than what it has written, and what it wrote is all there when it is
committed; only the way to the server is gone once instead of for each change.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg

_REMEMBERED = 100  # as many statements as psycopg keeps prepared


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the database, as the named parts of a `WITH`.

    Attributes:
        parts: `name AS (…)`, with a comma between two of them.
        values: of the placeholders.
        rows: what two changes must not have in common in one statement, whose parts do not see what each other does:
            the names of its parts, and the rows that it writes.
        answer: an expression over the parts, which gives `check` what it looks at.
        check: raises where the change did not happen as it was meant to.
    """

    parts: bytes
    values: Sequence[object]
    rows: frozenset[Hashable]
    answer: bytes = b""
    check: Callable[[Any], None] | None = None


class GatheringConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that keeps changes until something is asked, or the transaction ends."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as psycopg has it
        super().__init__(*arguments, **named)
        self._gathered: tuple[Change, ...] = ()
        self._writers: dict[bytes, psycopg.RawCursor] = {}

    def gather(self, change: Change) -> None:
        """Write `change` with the next question, or now where no transaction is open."""
        if any(not change.rows.isdisjoint(other.rows) for other in self._gathered):
            self.write_gathered()
        self._gathered = (*self._gathered, change)
        if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self.write_gathered()

    def ask_apart(self, query: bytes, values: Mapping[str, object], of: frozenset[str]) -> psycopg.Cursor:
        """Ask what no gathered change touches, unless it has a part named in `of`: then it is written before."""
        if any(not of.isdisjoint(change.rows) for change in self._gathered):
            self.write_gathered()
        return psycopg.Cursor(self).execute(query, values)

    def write_gathered(self) -> None:
        """Write what was gathered by now."""
        changes, self._gathered = self._gathered, ()
        if changes:
            query = _composed(tuple((one.parts, one.answer) for one in changes))
            writer = self._writers.get(query)
            if writer is None:
                if len(self._writers) == _REMEMBERED:
                    self._writers.clear()
                writer = self._writers[query] = psycopg.RawCursor(self)
            _write(writer, query, changes)

    def cursor(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as psycopg has it
        """As psycopg's; everything that is asked goes through one."""
        self.write_gathered()
        return super().cursor(*arguments, **named)

    @contextmanager
    def transaction(self, *arguments: Any, **named: Any) -> Iterator[psycopg.Transaction]:  # noqa: ANN401
        """As psycopg's; what was gathered inside is written inside, or given up with it."""
        self.write_gathered()
        with super().transaction(*arguments, **named) as transaction:
            try:
                yield transaction
                self.write_gathered()
            finally:
                self._gathered = ()


def write(connection: psycopg.Connection, change: Change) -> None:
    """Write `change` before anything else is asked of the `connection`, and before its transaction is committed.

    What its check raises is raised when it is written.
    """
    if isinstance(connection, GatheringConnection):
        connection.gather(change)
    else:
        _write(psycopg.RawCursor(connection), _composed(((change.parts, change.answer),)), [change])


def ask_apart(
    connection: psycopg.Connection, query: bytes, values: Mapping[str, object], of: frozenset[str]
) -> psycopg.Cursor:
    """Ask what gathered changes do not touch, and leave them gathered, unless one has a part named in `of`."""
    if isinstance(connection, GatheringConnection):
        return connection.ask_apart(query, values, of)
    return connection.execute(query, values)


def _write(cursor: psycopg.RawCursor, query: bytes, changes: Sequence[Change]) -> None:
    cursor.execute(query, [value for one in changes for value in one.values])
    answers = iter(cursor.fetchone() or ())
    for change in changes:
        if change.check is not None:
            change.check(next(answers))


@lru_cache(maxsize=_REMEMBERED)
def _composed(changes: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """One statement of the parts and answers, with its placeholders numbered: psycopg would count them every time."""
    parts = b", ".join(parts for parts, _ in changes)
    answers = b", ".join(answer for _, answer in changes if answer)
    text, *rest = (b"WITH " + parts + b" SELECT " + answers).split(b"%s")
    numbers = count(1)
    return text + b"".join(b"$%d" % next(numbers) + piece for piece in rest)
