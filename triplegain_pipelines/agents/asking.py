"""Asking models: many conversations at once, each within its own deadline, everything written down before and after.

No model ever answers for another, and whatever a model or provider does ends in an answer or in a reason why there is
none. What is asked, and what an answer is worth, is in `conversation`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Generic
from uuid import UUID

from triplegain_pipelines.agents import providers
from triplegain_pipelines.agents.budget import cost_usd, known_price, most_input_tokens, worst_case_usd
from triplegain_pipelines.agents.calls import CallBook, Notebook, withheld
from triplegain_pipelines.agents.conversation import NoAnswer, Question, judge, proceed
from triplegain_pipelines.agents.providers import ProviderError, Reply
from triplegain_pipelines.agents.schemas import AnswerT, schema_text
from triplegain_pipelines.agents.seat_calls import SeatCall
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.errors import BudgetError
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.model_calls import CallStatus, ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import Price

_CALLS_AT_ONCE = 96
_FIRST_WAIT_SECONDS = 0.5  # doubled with each attempt, where the provider names no time
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Conversation(Generic[AnswerT]):
    """A conversation that is over: all its calls, and the answer or why there is none."""

    calls: Sequence[ModelCall]
    end: AnswerT | NoAnswer


def converse(
    calls: Sequence[SeatCall[AnswerT]], book: CallBook | None, made: Mapping[UUID, Sequence[ModelCall]]
) -> list[Conversation[AnswerT]]:
    """Make `calls` in one event loop, up to 96 at a time, and return how each conversation ended, in their order.

    Never raises for what a model or provider does. Must not be called from inside a running event loop.

    Args:
        calls: what is asked. Those for stored answers only must not be among them.
        book: where every call is written down; None only where no model is asked.
        made: the calls of conversations that were broken off: they go on from there.

    Raises:
        ValueError: a model would be asked without a book, so without a budget, or although only stored answers count.
        UnavailableError: the book's database cannot be reached.
        SeatBusyError: another process is asking the same at this moment.
    """
    if any(call.recorded_only or (book is None and not call.baseline) for call in calls):
        msg = "a model is only asked with a book that holds it to the budget, and never where only stored answers count"
        raise ValueError(msg)
    return asyncio.run(_converse_all(calls, book or Notebook(), made))


async def _converse_all(
    calls: Sequence[SeatCall[AnswerT]], book: CallBook, made: Mapping[UUID, Sequence[ModelCall]]
) -> list[Conversation[AnswerT]]:
    providers.begin()
    gate = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def ask_in_turn(call: SeatCall[AnswerT]) -> Conversation[AnswerT]:
        async with gate:
            return await _converse(call, book, list(made.get(call.conversation_id, ())))

    try:
        return list(await asyncio.gather(*(ask_in_turn(call) for call in calls)))
    finally:
        await providers.close()


async def _converse(call: SeatCall[AnswerT], book: CallBook, made: list[ModelCall]) -> Conversation[AnswerT]:
    deadline = monotonic_seconds() + call.parameters["deadline_seconds"]
    while isinstance(step := proceed(call, made), Question):
        made.append(await _ask(call, step, book, deadline))
    return Conversation(made, step)


async def _ask(call: SeatCall[AnswerT], question: Question, book: CallBook, deadline: float) -> ModelCall:
    """Ask once, with everything written down before and after."""
    started = monotonic_seconds()
    await asyncio.sleep(question.wait_seconds)
    row = _row(call, question, book)
    try:
        price = known_price(call.model, call.price)
    except BudgetError as error:
        return await _withhold(row, NoAnswer(ReasonCode.SEAT_UNKNOWN_PRICE, str(error)), book)
    refusal = await book.open(row)
    if refusal is not None:
        return withheld(row, refusal)
    ended = await _ended(call, question, row, price, deadline)
    ended = replace(ended, latency_ms=1000 * (monotonic_seconds() - started))
    await book.close(ended, last=_is_last(call, ended))
    return ended


async def _withhold(row: ModelCall, why: NoAnswer, book: CallBook) -> ModelCall:
    kept_back = withheld(row, why)
    await book.open(kept_back)
    return kept_back


async def _ended(
    call: SeatCall[AnswerT], question: Question, row: ModelCall, price: Price, deadline: float
) -> ModelCall:
    """Let the call leave, and say how it ended. Only this is cut off at the deadline, never the writing down."""
    if monotonic_seconds() >= deadline:
        words = "the deadline had passed before the question could leave"
        unsent = replace(row, cost_usd=Decimal(0))
        return replace(unsent, status=CallStatus.TIMEOUT, reason_code=ReasonCode.SEAT_TIMEOUT, error=words)
    try:
        async with asyncio.timeout(deadline - monotonic_seconds()):
            reply = await providers.complete(call.model, question.messages, call.parameters, call.answer)
    except TimeoutError:
        words = f"no answer within {call.parameters['deadline_seconds']:g} seconds"
        return replace(row, status=CallStatus.TIMEOUT, reason_code=ReasonCode.SEAT_TIMEOUT, error=words)
    except ProviderError as error:
        return _refused(row, error, deadline)
    return _answered(call, row, reply, price)


def _answered(call: SeatCall[AnswerT], row: ModelCall, reply: Reply, price: Price) -> ModelCall:
    answer = judge(call, reply.text, reply.answered_by)
    known = reply.input_tokens is not None and reply.output_tokens is not None
    return replace(
        row,
        status=CallStatus.ANSWERED,
        reason_code=answer.reason if isinstance(answer, NoAnswer) else None,
        error=answer.words if isinstance(answer, NoAnswer) else None,
        raw_answer=reply.text,
        parsed=None if isinstance(answer, NoAnswer) else answer.model_dump(mode="json"),
        answered_by=reply.answered_by,
        input_tokens=reply.input_tokens or 0,
        output_tokens=reply.output_tokens or 0,
        cost_usd=cost_usd(price, reply.input_tokens or 0, reply.output_tokens or 0) if known else row.worst_case_usd,
    )


def _refused(row: ModelCall, error: ProviderError, deadline: float) -> ModelCall:
    """A refusal costs nothing. Where no answer came although the question left, the worst case is what is sure."""
    status = error.http_status
    limited = status == _TOO_MANY_REQUESTS
    wait: float | None = None
    if limited or (status is not None and status >= _SERVER_ERROR):
        asked_for = error.retry_after_seconds
        wait = _FIRST_WAIT_SECONDS * 2 ** (row.attempt - 1) if asked_for is None else asked_for
    return replace(
        row,
        status=CallStatus.BROKEN if status is None else CallStatus.REFUSED,
        reason_code=ReasonCode.SEAT_RATE_LIMITED if limited else ReasonCode.SEAT_PROVIDER_ERROR,
        retry_in_seconds=wait if wait is not None and monotonic_seconds() + wait < deadline else None,
        http_status=status,
        error=str(error),
        cost_usd=row.worst_case_usd if status is None and error.left else Decimal(0),
    )


def _is_last(call: SeatCall[AnswerT], ended: ModelCall) -> bool:
    return not isinstance(proceed(call, [ended]), Question)


def _row(call: SeatCall[AnswerT], question: Question, book: CallBook) -> ModelCall:
    texts = [*(message["content"] for message in question.messages), schema_text(call.answer)]
    worst = Decimal(0)
    if call.price is not None and not call.baseline:
        worst = worst_case_usd(call.price, most_input_tokens(texts), call.parameters["max_tokens"])
    return ModelCall(
        call_id=deterministic_id("call", call.conversation_id, question.turn, question.attempt),
        purpose=call.purpose,
        conversation_id=call.conversation_id,
        snapshot_id=call.snapshot_id,
        prompt_hash=call.prompt.prompt_hash,
        template_hash=call.prompt.template_hash,
        seat=call.seat,
        vendor=call.vendor,
        model=call.model,
        baseline=call.baseline,
        code_version=call.code_version,
        parameters=call.parameters,
        turn=question.turn,
        attempt=question.attempt,
        asked_at=book.now(),
        status=CallStatus.SENT,
        reason_code=None,
        retry_in_seconds=None,
        raw_answer=None,
        parsed=None,
        answered_by=None,
        input_tokens=0,
        output_tokens=0,
        worst_case_usd=worst,
        cost_usd=worst,  # until its end is known, and for ever where that is never seen
        latency_ms=0.0,
        http_status=None,
        error=None,
    )
