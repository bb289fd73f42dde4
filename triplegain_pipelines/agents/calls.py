"""Where calls of models are written down: before they leave, with what they can cost, and when they have ended."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

import psycopg

from triplegain_pipelines.agents.conversation import NoAnswer
from triplegain_pipelines.domain.clock import Clock, SystemClock
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import BenchSettings, BudgetSettings
from triplegain_pipelines.store import budgets, model_calls
from triplegain_pipelines.store.database import Database


class CallBook(Protocol):
    """What must be told of every call, before it leaves and when it has ended."""

    def now(self) -> datetime:
        """The time at which money is spent, UTC."""
        ...

    async def open(self, call: ModelCall) -> NoAnswer | None:
        """Write down a call that is about to leave. Where it may not leave, say why: it is written down as withheld."""
        ...

    async def close(self, call: ModelCall, *, last: bool) -> None:
        """Write down how a call ended; `last` where the conversation is over with it."""
        ...


@dataclass(slots=True)
class Notebook:
    """Keeps ended calls in memory, and lets everything leave: for baselines, which cost nothing."""

    clock: Clock = field(default_factory=SystemClock)
    calls: list[ModelCall] = field(default_factory=list)

    def now(self) -> datetime:
        """The time, UTC."""
        return self.clock.now()

    async def open(self, call: ModelCall) -> NoAnswer | None:
        """Let it leave; one that is withheld is kept."""
        if call.status is CallStatus.WITHHELD:
            self.calls.append(call)
        return None

    async def close(self, call: ModelCall, *, last: bool) -> None:  # noqa: ARG002 - what others need
        """Keep it."""
        self.calls.append(call)


@dataclass(frozen=True, slots=True)
class StoredBook:
    """Writes calls into the database, holds them to the budget, and benches a seat that keeps failing.

    A call leaves only after its row and the reservation of its worst case are committed. The clock is the machine's
    also in a replay of the market: money is spent today.
    """

    database: Database
    budget: BudgetSettings
    bench: BenchSettings
    clock: Clock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        """The time, UTC."""
        return self.clock.now()

    async def open(self, call: ModelCall) -> NoAnswer | None:
        """Reserve the worst case and write the call down, unless its seat is benched or the budget refuses.

        Raises:
            UnavailableError: the database cannot be reached. The call must not leave.
            SeatBusyError: another process is asking the same.
        """
        return await asyncio.to_thread(self._open, call)

    async def close(self, call: ModelCall, *, last: bool) -> None:
        """Complete the row, settle the reservation, and count for the bench where the conversation is over.

        Raises:
            UnavailableError: the database cannot be reached. The worst case stays reserved.
        """
        await asyncio.to_thread(self._close, call, last=last)

    def _open(self, call: ModelCall) -> NoAnswer | None:
        with self.database.connection() as connection:
            # First of all: who asks the same at the same time waits here, and finds that it is being asked.
            model_calls.insert_call(connection, call)
            if call.status is CallStatus.WITHHELD:
                return None
            refusal = self._benched(connection, call) or self._over_budget(connection, call)
            if refusal is not None:
                model_calls.finish_call(connection, withheld(call, refusal))
            return refusal

    def _benched(self, connection: psycopg.Connection, call: ModelCall) -> NoAnswer | None:
        if (call.turn, call.attempt) != (1, 1):
            return None
        patience = timedelta(seconds=float(str(call.parameters["deadline_seconds"])))
        until = model_calls.claim_seat(connection, call.seat, call.model, self.bench.failures, call.asked_at, patience)
        if until is None:
            return None
        words = f"it failed {self.bench.failures} times in a row or more, and is asked again after {until:%H:%M:%S} UTC"
        return NoAnswer(ReasonCode.SEAT_BENCHED, words)

    def _over_budget(self, connection: psycopg.Connection, call: ModelCall) -> NoAnswer | None:
        over = budgets.reserve(connection, call.call_id, call.seat, call.worst_case_usd, call.asked_at, self.budget)
        return None if over is None else NoAnswer(ReasonCode.SEAT_BUDGET, str(over))

    def _close(self, call: ModelCall, *, last: bool) -> None:
        at = self.clock.now()
        with self.database.connection() as connection:
            model_calls.finish_call(connection, call)
            # The bench before the budget, as when a call is opened: otherwise two of them could wait for each other.
            if last and call.reason_code is None:
                model_calls.note_success(connection, call.seat, call.model, at)
            elif last:
                model_calls.note_failure(connection, call.seat, call.model, self.bench.failures, at, self.bench.rest)
            budgets.settle(connection, call.call_id, call.cost_usd, at)


def withheld(call: ModelCall, why: NoAnswer) -> ModelCall:
    """The call as one that never left."""
    return replace(
        call, status=CallStatus.WITHHELD, reason_code=why.reason, error=why.words, cost_usd=Decimal(0), latency_ms=0.0
    )
