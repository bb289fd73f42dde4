"""The parameters of strategies: proposed by a study with its evidence, used once somebody approved them, then retired.

Nothing is deleted, and each change says who made it and why. For one strategy, venue, symbol and timeframe one set is
approved at most. One whose study does not call it significant is approved only by who says that it is known. The
database itself sees to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.errors import InputError
from triplegain_pipelines.domain.ids import deterministic_id

_SIGNIFICANT = "significant"


@dataclass(frozen=True, slots=True)
class StoredParameters:
    """A set of parameters with its evidence and its life."""

    parameters_id: UUID
    strategy: str
    venue: str
    symbol: str
    timeframe: str
    parameters: dict[str, Any]
    study_id: UUID
    evidence: dict[str, Any]
    state: str
    proposed_at: datetime
    approved_at: datetime | None
    approved_by: str | None
    approved_reason: str | None
    approved_although: str | None
    """The verdict that was set aside with the approval; None where it was 'significant'."""
    retired_at: datetime | None
    retired_by: str | None
    retired_reason: str | None

    @property
    def verdict(self) -> str:
        """What the study says of them."""
        return str(self.evidence.get("verdict", "no verdict"))


def propose(
    connection: psycopg.Connection,
    study_id: UUID,
    parameters: Mapping[str, Any],
    evidence: Mapping[str, Any],
    at: datetime,
) -> UUID:
    """Propose what a study found, and return its id. A study proposes once.

    Args:
        connection: in the caller's transaction.
        study_id: of the study, whose strategy and market are taken.
        parameters: all of the strategy's.
        evidence: the study's conclusion.
        at: when.
    """
    identity = deterministic_id("strategy-parameters", study_id)
    connection.execute(
        """INSERT INTO research.strategy_parameters (parameters_id, strategy, venue, symbol, timeframe, parameters,
               study_id, evidence, proposed_at)
           SELECT %s, strategy, venue, symbol, timeframe, %s, study_id, %s, %s
           FROM research.studies WHERE study_id = %s ON CONFLICT DO NOTHING""",
        [identity, Jsonb(dict(parameters)), Jsonb(dict(evidence)), at, study_id],
    )
    return identity


def approve(
    connection: psycopg.Connection,
    parameters_id: UUID,
    *,
    by: str,
    reason: str,
    although_not_significant: bool,
    at: datetime,
) -> None:
    """Let a proposed set be used from now on. The one that was used before it is retired in the same transaction.

    Args:
        connection: in the caller's transaction.
        parameters_id: of the set.
        by: who approves it.
        reason: why.
        although_not_significant: whether the verdict of its study is known to be another than 'significant'.
        at: when.

    Raises:
        InputError: there is no such set, it is not proposed, nobody or no reason is named, or it is not significant and
            that is not said, or the other way round.
    """
    _require_words(by, reason)
    found = read(connection, parameters_id)
    # Two approvals at once would both find nothing approved before them: the second waits here for the first.
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('triplegain.parameters.' || %s, 0))",
        [f"{found.strategy} {found.venue} {found.symbol} {found.timeframe}"],
    )
    found = read(connection, parameters_id)
    if found.state != "PROPOSED":
        msg = f"the parameters {parameters_id} are {found.state}; only PROPOSED ones can be approved"
        raise InputError(msg)
    _require_known(found, although_not_significant=although_not_significant)
    before = approved(connection, found.strategy, found.venue, found.symbol, found.timeframe)
    if before is not None:
        retire(connection, before.parameters_id, by=by, reason=f"replaced by {parameters_id}: {reason}", at=at)
    connection.execute(
        """UPDATE research.strategy_parameters
           SET state = 'APPROVED', approved_at = %s, approved_by = %s, approved_reason = %s, approved_although = %s
           WHERE parameters_id = %s""",
        [at, by, reason, None if found.verdict == _SIGNIFICANT else found.verdict, parameters_id],
    )


def retire(connection: psycopg.Connection, parameters_id: UUID, *, by: str, reason: str, at: datetime) -> None:
    """Let a set be used no more, or a proposal never.

    Raises:
        InputError: there is no such set, or it is retired, or nobody or no reason is named.
    """
    _require_words(by, reason)
    changed = connection.execute(
        """UPDATE research.strategy_parameters SET state = 'RETIRED', retired_at = %s, retired_by = %s,
                  retired_reason = %s
           WHERE parameters_id = %s AND state <> 'RETIRED'""",
        [at, by, reason, parameters_id],
    ).rowcount
    if not changed:
        read(connection, parameters_id)
        msg = f"the parameters {parameters_id} are retired already"
        raise InputError(msg)


def read(connection: psycopg.Connection, parameters_id: UUID) -> StoredParameters:
    """A set of parameters.

    Raises:
        InputError: there is none with this id.
    """
    with connection.cursor(row_factory=class_row(StoredParameters)) as cursor:
        found = cursor.execute(
            "SELECT * FROM research.strategy_parameters WHERE parameters_id = %s", [parameters_id]
        ).fetchone()
    if found is None:
        msg = f"there are no parameters {parameters_id}"
        raise InputError(msg)
    return found


def approved(
    connection: psycopg.Connection, strategy: str, venue: str, symbol: str, timeframe: str
) -> StoredParameters | None:
    """The set that is to be used with the venue's candles, or None: then the strategy's defaults are."""
    with connection.cursor(row_factory=class_row(StoredParameters)) as cursor:
        return cursor.execute(
            """SELECT * FROM research.strategy_parameters
               WHERE (strategy, venue, symbol, timeframe) = (%s, %s, %s, %s) AND state = 'APPROVED'""",
            [strategy, venue, symbol, timeframe],
        ).fetchone()


def history(connection: psycopg.Connection, strategy: str | None = None) -> list[StoredParameters]:
    """Every set ever proposed, of one strategy if it is named, newest first."""
    with connection.cursor(row_factory=class_row(StoredParameters)) as cursor:
        return cursor.execute(
            """SELECT * FROM research.strategy_parameters WHERE %(strategy)s::text IS NULL OR strategy = %(strategy)s
               ORDER BY proposed_at DESC, parameters_id""",
            {"strategy": strategy},
        ).fetchall()


def _require_words(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        msg = "say who approves or retires parameters, and why"
        raise InputError(msg)


def _require_known(found: StoredParameters, *, although_not_significant: bool) -> None:
    if (found.verdict == _SIGNIFICANT) is not although_not_significant:
        return
    if although_not_significant:
        msg = f"the parameters {found.parameters_id} are significant; approve them without saying that they are not"
    else:
        msg = (
            f"the verdict on the parameters {found.parameters_id} is '{found.verdict}': what they showed may be luck; "
            "'triplegain parameters approve --although-not-significant' lets them be used all the same, and keeps that"
        )
    raise InputError(msg)
