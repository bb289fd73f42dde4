"""How far each back-fill has come. Every function but `hold` works in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from triplegain_pipelines.domain.errors import TransientError

# The server needs a moment to notice that a killed process is gone, and to free what it held.
_WAIT = "4s"


@dataclass(frozen=True, slots=True)
class BackfillRange:
    """What was asked for: the 1-minute candles of a venue and symbol opened in [starts_at, ends_at)."""

    venue: str
    symbol: str
    starts_at: datetime
    ends_at: datetime

    def key(self) -> dict[str, object]:
        """As parameters of a query."""
        return {"venue": self.venue, "symbol": self.symbol, "starts_at": self.starts_at, "ends_at": self.ends_at}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything before `reached` has been answered for, and is stored: so many candles."""

    reached: datetime
    candles: int


def hold(connection: psycopg.Connection, venue: str) -> None:
    """Keep other back-fills of the venue away for as long as the session of `connection`, on autocommit, lives.

    Two at once would share one rate limit without knowing of each other.

    Raises:
        TransientError: another one runs.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [_WAIT])
    try:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('triplegain.backfill.' || %s, 0))", [venue])
    except psycopg.errors.LockNotAvailable as error:
        msg = f"another back-fill of {venue} is running; wait until it is done, or stop it: nothing of it gets lost"
        raise TransientError(msg) from error


def read_cursor(connection: psycopg.Connection, asked: BackfillRange) -> Cursor:
    """How far the back-fill of this range has come, by whatever method; its start where it has not begun."""
    row = connection.execute(
        """SELECT max(reached), sum(candles) FROM market.backfills
           WHERE venue = %(venue)s AND symbol = %(symbol)s AND starts_at = %(starts_at)s AND ends_at = %(ends_at)s""",
        asked.key(),
    ).fetchone()
    return Cursor(row[0], int(row[1])) if row and row[0] is not None else Cursor(asked.starts_at, 0)


def advance(
    connection: psycopg.Connection, asked: BackfillRange, method: str, reached: datetime, candles: int, at: datetime
) -> None:
    """Note that everything before `reached` is stored, `candles` more by this `method`; to be committed with them."""
    connection.execute(
        """INSERT INTO market.backfills AS b
               (venue, symbol, starts_at, ends_at, method, reached, candles, updated_at)
           VALUES (%(venue)s, %(symbol)s, %(starts_at)s, %(ends_at)s, %(method)s, %(reached)s, %(candles)s, %(at)s)
           ON CONFLICT (venue, symbol, starts_at, ends_at, method) DO UPDATE SET
               reached = greatest(b.reached, excluded.reached), candles = b.candles + excluded.candles,
               updated_at = excluded.updated_at""",
        {**asked.key(), "method": method, "reached": reached, "candles": candles, "at": at},
    )
