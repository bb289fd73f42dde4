"""Proposals and the risk engine's verdicts on them, each with everything the engine looked at."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from triplegain_pipelines.domain.risk import Proposal, Verdict, VerdictStatus
from triplegain_pipelines.store.gathered import Change, write
from triplegain_pipelines.store.statements import statement

_GIVEN: LiteralString = """
    proposed AS (
        INSERT INTO {schema}.proposals (proposal_id, account, decision_id, symbol, kind, direction, document,
            proposed_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING proposal_id, account, proposed_at),
    given AS (
        INSERT INTO {schema}.verdicts (proposal_id, account, status, reasons, outcome, inputs, decided_at)
        SELECT proposal_id, account, %s::text, %s::jsonb, %s::text, %s::text, proposed_at FROM proposed)"""


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict as written: `document`, `inputs` and `outcome` are canonical JSON."""

    proposal_id: UUID
    status: VerdictStatus
    reasons: list[dict[str, object]]
    document: str
    inputs: str
    outcome: str
    decided_at: datetime


def insert(
    connection: psycopg.Connection,
    schema: str,
    proposal: Proposal,
    verdict: Verdict,
    *,
    document: str,
    inputs: str,
    outcome: str,
    at: datetime,
) -> None:
    """Write a proposal and its verdict. Each proposal gets one verdict, for ever."""
    given = Change(
        statement(_GIVEN, schema),
        [
            proposal.proposal_id,
            proposal.account,
            proposal.decision_id,
            proposal.symbol,
            proposal.kind,
            proposal.direction,
            document,
            at,
            verdict.status,
            Jsonb([reason.document() for reason in verdict.reasons]),
            outcome,
            inputs,
        ],
        frozenset(["given"]),
    )
    write(connection, given)


def read_outcome(connection: psycopg.Connection, schema: str, proposal_id: UUID) -> str | None:
    """The proposal as risk let it through, or None; its inputs are many times as long."""
    row = connection.execute(
        statement("SELECT outcome FROM {schema}.verdicts WHERE proposal_id = %s", schema), [proposal_id]
    ).fetchone()
    return row[0] if row else None


def read(connection: psycopg.Connection, schema: str, proposal_id: UUID) -> StoredVerdict | None:
    """The proposal with its verdict, or None."""
    row = connection.execute(
        statement(
            """SELECT proposal_id, status, reasons, document, inputs, outcome, decided_at
               FROM {schema}.verdicts JOIN {schema}.proposals USING (proposal_id) WHERE proposal_id = %s""",
            schema,
        ),
        [proposal_id],
    ).fetchone()
    return StoredVerdict(row[0], VerdictStatus(row[1]), *row[2:]) if row else None
