"""Studies and their trials: what was asked, what each set of parameters showed, and how many were ever tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked: everything that decides the result, and nothing else.

    `folds` are bar numbers: train start and stop, test start and stop. `starts_at` and `ends_at` are the period of the
    data, `trials_per_fold` how many sets of parameters each fold tries.
    """

    strategy: str
    venue: str
    symbol: str
    timeframe: str
    data_hash: str
    starts_at: datetime
    ends_at: datetime
    terms: Document
    method: str
    seed: int
    trials_per_fold: int
    folds: Sequence[Sequence[int]]
    code_version: str

    @property
    def study_id(self) -> UUID:
        """The same for the same question."""
        asked = {
            "terms": dict(self.terms),
            "folds": [list(fold) for fold in self.folds],
            "method": self.method,
            "seed": self.seed,
            "trials": self.trials_per_fold,
        }
        return deterministic_id(
            "study",
            self.strategy,
            self.venue,
            self.symbol,
            self.timeframe,
            self.data_hash,
            content_hash(asked),
            self.code_version,
        )


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """A study and how far it is."""

    study: Study
    study_id: UUID
    state: str
    verdict: str | None
    conclusion: dict[str, Any] | None
    created_at: datetime
    concluded_at: datetime | None


@dataclass(frozen=True, slots=True)
class BegunTrial:
    """A trial that is about to be evaluated, the `attempt`-th time."""

    trial_id: UUID
    study_id: UUID
    fold: int
    place: int
    parameters: Document
    attempt: int
    fork_id: UUID
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class DoneTrial:
    """What came of a trial. `test` is None in a fold without test bars."""

    trial_id: UUID
    attempt: int
    train: Document
    train_trades_hash: str
    test: Document | None
    test_trades_hash: str | None
    done_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A trial of a study with its figures. `train` and `test` are None while it is not done."""

    fold: int
    place: int
    parameters: dict[str, Any]
    attempt: int
    fork_id: UUID
    state: str
    train: dict[str, Any] | None
    test: dict[str, Any] | None
    train_trades_hash: str | None
    test_trades_hash: str | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What was ever tried of a strategy on a market.

    Attributes:
        trials: how many different ones: parameters, terms, timeframe and cut of the data.
        scores: the Sharpe ratio of each study's trial over its test bars, in standard errors of one without skill.
    """

    trials: int
    scores: tuple[float, ...]


def trial_id_of(study_id: UUID, fold: int, place: int) -> UUID:
    """The id of a trial."""
    return deterministic_id("trial", study_id, fold, place)


def begin(connection: psycopg.Connection, study: Study, at: datetime) -> UUID:
    """Write a study and return its id; one that is there already stays as it is."""
    connection.execute(
        """INSERT INTO research.studies (study_id, strategy, venue, symbol, timeframe, data_hash, starts_at, ends_at,
               terms, method, seed, trials_per_fold, folds, code_version, created_at)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        [
            study.study_id,
            study.strategy,
            study.venue,
            study.symbol,
            study.timeframe,
            study.data_hash,
            study.starts_at,
            study.ends_at,
            Jsonb(dict(study.terms)),
            study.method,
            study.seed,
            study.trials_per_fold,
            Jsonb([list(fold) for fold in study.folds]),
            study.code_version,
            at,
        ],
    )
    return study.study_id


def read(connection: psycopg.Connection, study_id: UUID) -> StoredStudy:
    """A study.

    Raises:
        InputError: there is none with this id.
    """
    found = _studies(connection, "study_id = %s", [study_id])
    if not found:
        msg = f"there is no study {study_id}; 'triplegain optimise' begins one"
        raise InputError(msg)
    return found[0]


def read_all(connection: psycopg.Connection, strategy: str | None = None) -> list[StoredStudy]:
    """All studies, of one strategy if it is named, newest first."""
    return _studies(connection, "(%s::text IS NULL OR strategy = %s)", [strategy, strategy])


def _studies(connection: psycopg.Connection, where: str, parameters: Sequence[object]) -> list[StoredStudy]:
    rows = connection.execute(
        f"""SELECT strategy, venue, symbol, timeframe, data_hash, starts_at, ends_at, terms, method, seed,
                   trials_per_fold, folds, code_version, study_id, state, verdict, conclusion, created_at, concluded_at
            FROM research.studies WHERE {where} ORDER BY created_at DESC, study_id""".encode(),  # noqa: S608 - ours
        parameters,
    ).fetchall()
    return [StoredStudy(Study(*row[:13]), *row[13:]) for row in rows]


def conclude(connection: psycopg.Connection, study_id: UUID, verdict: str, conclusion: Document, at: datetime) -> None:
    """Write what a study found; one that is concluded stays as it is."""
    connection.execute(
        """UPDATE research.studies SET state = 'CONCLUDED', verdict = %s, conclusion = %s, concluded_at = %s
           WHERE study_id = %s AND state = 'RUNNING'""",
        [verdict, Jsonb(dict(conclusion)), at, study_id],
    )


def begin_trials(connection: psycopg.Connection, trials: Sequence[BegunTrial]) -> None:
    """Write trials that are about to be evaluated, or begin those again that were left half done."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO research.trials (trial_id, study_id, fold, place, parameters, attempt, fork_id, begun_at)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
               ON CONFLICT (trial_id) DO UPDATE
                   SET attempt = excluded.attempt, fork_id = excluded.fork_id, begun_at = excluded.begun_at""",
            [
                (
                    one.trial_id,
                    one.study_id,
                    one.fold,
                    one.place,
                    Jsonb(dict(one.parameters)),
                    one.attempt,
                    one.fork_id,
                    one.begun_at,
                )
                for one in trials
            ],
        )


def finish_trials(connection: psycopg.Connection, trials: Sequence[DoneTrial]) -> None:
    """Write what came of trials. One that another worker has begun again since belongs to that one."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """UPDATE research.trials SET state = 'DONE', train = %s, train_trades_hash = %s, test = %s,
                      test_trades_hash = %s, done_at = %s
               WHERE trial_id = %s AND attempt = %s AND state = 'RUNNING'""",
            [
                (
                    Jsonb(dict(one.train)),
                    one.train_trades_hash,
                    None if one.test is None else Jsonb(dict(one.test)),
                    one.test_trades_hash,
                    one.done_at,
                    one.trial_id,
                    one.attempt,
                )
                for one in trials
            ],
        )


def trials_of(
    connection: psycopg.Connection, study_id: UUID, fold: int | None = None, places: range | None = None
) -> list[StoredTrial]:
    """The trials of a study, of one fold and of a range of places if they are given, by fold and place."""
    with connection.cursor(row_factory=class_row(StoredTrial)) as cursor:
        return cursor.execute(
            """SELECT fold, place, parameters, attempt, fork_id, state, train, test, train_trades_hash, test_trades_hash
               FROM research.trials
               WHERE study_id = %(study)s AND (%(fold)s::int IS NULL OR fold = %(fold)s)
                 AND (%(first)s::int IS NULL OR (place >= %(first)s AND place < %(stop)s)) ORDER BY fold, place""",
            {"study": study_id, "fold": fold, "first": places and places.start, "stop": places and places.stop},
        ).fetchall()


def done_places(connection: psycopg.Connection, study_id: UUID) -> dict[int, set[int]]:
    """The places that are done, by fold."""
    rows = connection.execute(
        "SELECT fold, array_agg(place) FROM research.trials WHERE study_id = %s AND state = 'DONE' GROUP BY fold",
        [study_id],
    ).fetchall()
    return {fold: set(places) for fold, places in rows}


def done_count(connection: psycopg.Connection, study_id: UUID) -> int:
    """How many trials of a study are done."""
    row = connection.execute(
        "SELECT count(*) FROM research.trials WHERE study_id = %s AND state = 'DONE'", [study_id]
    ).fetchone()
    return int(row[0]) if row else 0


def ever_tried(connection: psycopg.Connection, study: Study) -> Tried:
    """Everything that was ever tried of this strategy on this market in a time that overlaps the study's.

    Counted is every trial that was begun, of every study, whatever its method, seed, terms, timeframe and splits, and
    every backtest that was run by hand: whoever saw it may have been led by it. A day more of data is no new beginning,
    so the periods need only overlap.

    The score of a study's trial is its daily Sharpe ratio over all test bars of its study that it was run on, times the
    root of their days: about one unit is what luck makes of it. The ratio over several folds is the mean weighted by
    days.
    """
    key = {
        "strategy": study.strategy,
        "venue": study.venue,
        "symbol": study.symbol,
        "start": study.starts_at,
        "end": study.ends_at,
    }
    counted = connection.execute(
        """SELECT count(*) FROM (
               SELECT s.timeframe, t.parameters, s.terms, s.folds::text AS cut
               FROM research.trials t JOIN research.studies s USING (study_id)
               WHERE s.strategy = %(strategy)s AND s.venue = %(venue)s AND s.symbol = %(symbol)s
                 AND s.starts_at < %(end)s AND s.ends_at > %(start)s
               UNION
               SELECT timeframe, parameters, terms, starts_at || ' ' || ends_at FROM research.backtests
               WHERE strategy = %(strategy)s AND venue = %(venue)s AND %(symbol)s = ANY(symbols)
                 AND starts_at < %(end)s AND ends_at > %(start)s) tried""",
        key,
    ).fetchone()
    scores = connection.execute(
        """SELECT sum((t.test ->> 'daily_sharpe')::float8 * (t.test ->> 'days')::float8 ORDER BY t.fold)
                  / sqrt(sum((t.test ->> 'days')::float8))
           FROM research.trials t JOIN research.studies s USING (study_id)
           WHERE s.strategy = %(strategy)s AND s.venue = %(venue)s AND s.symbol = %(symbol)s
             AND s.starts_at < %(end)s AND s.ends_at > %(start)s
             AND t.state = 'DONE' AND t.test ->> 'daily_sharpe' IS NOT NULL
           GROUP BY s.timeframe, t.parameters, s.terms, s.folds
           ORDER BY s.timeframe, t.parameters, s.terms, s.folds""",
        key,
    ).fetchall()
    return Tried(int(counted[0]) if counted else 0, tuple(row[0] for row in scores))
