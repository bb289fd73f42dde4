"""The six seats: one question to six models at once, and a forecast or an abstention of each.

A failed seat is an abstention with its reason and never a HOLD; no model ever answers for another. How a seat is asked
is in `asking`, what its answer is worth in `conversation`, what is made of the forecasts in `consensus`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.agents.asking import converse
from triplegain_pipelines.agents.calls import CallBook
from triplegain_pipelines.agents.conversation import NoAnswer, Question, proceed
from triplegain_pipelines.agents.seat_calls import SEATS_VERSION, ForecastCall, SeatCall, plan_calls
from triplegain_pipelines.domain.decisions import ForecastStatus
from triplegain_pipelines.domain.forecasts import SeatForecast
from triplegain_pipelines.domain.model_calls import ModelCall
from triplegain_pipelines.domain.reasons import ReasonCode

__all__ = ["SEATS_VERSION", "ForecastCall", "SeatCall", "abstention", "ask_seats", "plan_calls", "recall"]


def ask_seats(
    calls: Sequence[ForecastCall],
    book: CallBook | None = None,
    made: Mapping[UUID, Sequence[ModelCall]] | None = None,
) -> list[SeatForecast]:
    """Ask all of `calls` at once (`asking.converse`), and return a forecast for each, in their order.

    Args:
        calls: what is asked. Those for stored answers only belong to `recall`.
        book: where every call is written down; it may be left out where only baselines sit in.
        made: by forecast, the calls of conversations that were broken off: they go on from there.

    Raises:
        ValueError: a model would be asked without a book, so without a budget, or although only stored answers count.
        UnavailableError: the book's database cannot be reached.
        SeatBusyError: another process is asking the same at this moment.
    """
    if not any(call.parameters["llm_enabled"] for call in calls):
        return [abstention(call, ReasonCode.SEATS_DISABLED) for call in calls]
    return [
        _forecast(call, one.calls, one.end) for call, one in zip(calls, converse(calls, book, made or {}), strict=True)
    ]


def recall(call: ForecastCall, made: Sequence[ModelCall]) -> SeatForecast | None:
    """The forecast that the stored calls `made` come to; None where they do not end the conversation."""
    came_to = proceed(call, made)
    return None if isinstance(came_to, Question) else _forecast(call, made, came_to)


def abstention(call: ForecastCall, reason: ReasonCode) -> SeatForecast:
    """The abstention of a seat that is not asked."""
    return _forecast(call, (), NoAnswer(reason, ""))


def _forecast(call: ForecastCall, made: Sequence[ModelCall], end: SeatAnswer | NoAnswer) -> SeatForecast:
    if call.snapshot_id is None:
        msg = f"{call.seat} was asked about no snapshot, so it gave no forecast; a side question belongs to `errands`"
        raise ValueError(msg)
    reason = end.reason if isinstance(end, NoAnswer) else None
    said = dict.fromkeys(SeatAnswer.model_fields) if isinstance(end, NoAnswer) else dict(end)
    spoken = [one.raw_answer for one in made if one.raw_answer is not None]
    return SeatForecast(
        forecast_id=call.absence_id if reason is ReasonCode.SEAT_NOT_RECORDED else call.conversation_id,
        snapshot_id=call.snapshot_id,
        prompt_hash=call.prompt.prompt_hash,
        seat=call.seat,
        vendor=call.vendor,
        model=call.model,
        baseline=call.baseline,
        code_version=call.code_version,
        parameters=call.parameters,
        status=ForecastStatus.ABSTAINED if reason else ForecastStatus.ANSWERED,
        reason_code=reason,
        raw_answer=spoken[-1] if spoken else None,
        error=made[-1].error if made and reason else None,
        turns=made[-1].turn if made else 0,
        input_tokens=sum(one.input_tokens for one in made),
        output_tokens=sum(one.output_tokens for one in made),
        cost_usd=sum((one.cost_usd for one in made), Decimal(0)),
        latency_ms=sum(one.latency_ms for one in made),
        **said,
    )
