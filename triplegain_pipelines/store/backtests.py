"""What was tried on history: a row for every backtest that was ever run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.errors import DataError
from triplegain_pipelines.domain.ids import deterministic_id


@dataclass(frozen=True, slots=True)
class StoredBacktest:
    """A backtest as it is kept. `findings` are the linter's, `figures` by name, a share as a fraction."""

    strategy: str
    parameters: Mapping[str, object]
    venue: str
    symbols: Sequence[str]
    timeframe: str
    engine: str
    starts_at: datetime
    ends_at: datetime
    bars: int
    data_hash: str
    terms: Mapping[str, object]
    code_version: str
    trades_hash: str
    figures: Mapping[str, object]
    findings: Sequence[Mapping[str, object]]
    verdict: str
    created_at: datetime

    @property
    def backtest_id(self) -> UUID:
        """The same for everything that decides the result."""
        return deterministic_id(
            "backtest",
            self.strategy,
            canonical_json(self.parameters),
            self.venue,
            canonical_json(self.symbols),
            self.timeframe,
            self.engine,
            self.starts_at,
            self.ends_at,
            self.data_hash,
            canonical_json(self.terms),
            self.code_version,
        )


def save_backtest(connection: psycopg.Connection, backtest: StoredBacktest) -> UUID:
    """Keep a backtest, and return its id. One that was run before stays as it was.

    Raises:
        DataError: it was run before on the same data with the same code, and its trades were others.
    """
    row = connection.execute(
        """INSERT INTO research.backtests (backtest_id, strategy, parameters, venue, symbols, timeframe, engine,
               starts_at, ends_at, bars, data_hash, terms, code_version, trades_hash, figures, findings, verdict,
               created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (backtest_id) DO NOTHING RETURNING trades_hash""",
        [
            backtest.backtest_id,
            backtest.strategy,
            Jsonb(dict(backtest.parameters)),
            backtest.venue,
            list(backtest.symbols),
            backtest.timeframe,
            backtest.engine,
            backtest.starts_at,
            backtest.ends_at,
            backtest.bars,
            backtest.data_hash,
            Jsonb(dict(backtest.terms)),
            backtest.code_version,
            backtest.trades_hash,
            Jsonb(dict(backtest.figures)),
            Jsonb([dict(one) for one in backtest.findings]),
            backtest.verdict,
            backtest.created_at,
        ],
    ).fetchone()
    if row is None:
        known = connection.execute(
            "SELECT trades_hash FROM research.backtests WHERE backtest_id = %s", [backtest.backtest_id]
        ).fetchone()
        if known is None or known[0] != backtest.trades_hash:
            msg = (
                f"the backtest of {backtest.strategy} on {', '.join(backtest.symbols)} gave other trades than before "
                "on the same data with the same code; its engine is not deterministic, or its code changed without its "
                "version: do not trust either result"
            )
            raise DataError(msg)
    return backtest.backtest_id


def read_backtests(connection: psycopg.Connection, strategy: str | None = None) -> list[StoredBacktest]:
    """The stored backtests, of one strategy if it is named, oldest first."""
    with connection.cursor(row_factory=class_row(StoredBacktest)) as cursor:
        return cursor.execute(
            """SELECT strategy, parameters, venue, symbols, timeframe, engine, starts_at, ends_at, bars, data_hash,
                      terms, code_version, trades_hash, figures, findings, verdict, created_at
               FROM research.backtests WHERE strategy = %(strategy)s OR %(strategy)s::text IS NULL
               ORDER BY created_at, strategy""",
            {"strategy": strategy},
        ).fetchall()
