"""The six seats: one question to six models at once, each answered within its deadline or abstained from.

The only module that knows litellm. A failed seat is an abstention with its reason and never a HOLD; no
model ever answers for another. What is made of the answers is in `consensus`.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from triplegain_pipelines.agents import offline
from triplegain_pipelines.agents.answer import SeatAnswer, response_format
from triplegain_pipelines.agents.baselines import BASELINES, BASELINES_VERSION
from triplegain_pipelines.domain.canonical import content_hash
from triplegain_pipelines.domain.clock import monotonic_seconds
from triplegain_pipelines.domain.decisions import ForecastStatus
from triplegain_pipelines.domain.forecasts import Prompt, SeatForecast
from triplegain_pipelines.domain.ids import deterministic_id
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.settings.models import ModelSettings

SEATS_VERSION = "seats-1"

_Library = Any  # litellm's own types stay inside this module

_TURNS = 2  # the question, and one request to repair an answer that breaks the schema
_CALLS_AT_ONCE = 96
_ERROR_LENGTH = 300
_COST_DIGITS = 12  # a millionth of a millionth of a dollar, under the price of any token

_FREE = {
    "litellm_provider": offline.PROVIDER,
    "mode": "chat",
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0,
    "cache_creation_input_token_cost": 0.0,
    "cache_read_input_token_cost": 0.0,
}

# Its API refuses a schema although litellm's price map says otherwise; the schema is in the prompt too.
_WITHOUT_SCHEMA = ("deepseek/",)


@dataclass(frozen=True, slots=True)
class SeatCall:
    """One question to one seat. `parameters` is what changes the call besides the prompt."""

    snapshot_id: UUID
    prompt: Prompt
    seat: str
    vendor: str
    model: str
    baseline: bool
    parameters: Mapping[str, Any]

    @property
    def code_version(self) -> str:
        """Version of how seats are asked; of the baselines too where one sits in."""
        return f"{SEATS_VERSION}+{BASELINES_VERSION}" if self.baseline else SEATS_VERSION

    @property
    def forecast_id(self) -> UUID:
        """Identity of the forecast, known before it is asked for: the same call is never made twice."""
        return deterministic_id(
            "forecast",
            self.seat,
            self.vendor,
            self.model,
            self.prompt.prompt_hash,
            content_hash(self.parameters),
            self.code_version,
        )


def plan_calls(snapshot_id: UUID, prompt: Prompt, models: ModelSettings, *, llm_enabled: bool) -> list[SeatCall]:
    """The six calls for one snapshot, in the order of `config/models.yaml`.

    With `models.offline` the seats' baselines sit in. With `llm_enabled` off nothing is called: all seats abstain.
    """
    parameters = {
        "deadline_seconds": models.deadline_seconds,
        "llm_enabled": llm_enabled,
        "max_tokens": models.max_tokens,
    }
    return [
        SeatCall(
            snapshot_id=snapshot_id,
            prompt=prompt,
            seat=name,
            vendor=seat.vendor,
            model=f"{offline.PROVIDER}/{seat.baseline}" if models.offline else seat.model,
            baseline=models.offline,
            parameters=parameters,
        )
        for name, seat in models.seats.items()
    ]


def ask_seats(calls: Sequence[SeatCall]) -> list[SeatForecast]:
    """Make `calls` in one event loop, up to 96 at a time, and return a forecast for each, in their order.

    Never raises for what a model or provider does. Must not be called from inside a running event loop.
    """
    if not any(call.parameters["llm_enabled"] for call in calls):
        return [_abstention(call, _Attempt(), ReasonCode.SEATS_DISABLED) for call in calls]
    return asyncio.run(_ask_all(_litellm(), calls))


@dataclass(slots=True)
class _Attempt:
    """What a call has used so far. It outlives a deadline, so that what was spent stays known."""

    started: float = field(default_factory=monotonic_seconds)
    turns: int = 0
    raw_answer: str | None = None
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


class _UnknownPriceError(Exception):
    """What a call costs cannot be told."""


async def _ask_all(litellm: _Library, calls: Sequence[SeatCall]) -> list[SeatForecast]:
    # Inherited by every task: litellm's own logging tasks would outlive the loop and cost a third of an offline call.
    litellm.utils.is_internal_call.set(True)
    gate = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def ask_in_turn(call: SeatCall) -> SeatForecast:
        async with gate:
            return await _ask(litellm, call)

    try:
        return list(await asyncio.gather(*(ask_in_turn(call) for call in calls)))
    finally:
        await litellm.close_litellm_async_clients()


async def _ask(litellm: _Library, call: SeatCall) -> SeatForecast:
    attempt = _Attempt()
    try:
        # litellm does not enforce its own timeout for every provider; cancelling does.
        answer = await asyncio.wait_for(_converse(litellm, call, attempt), call.parameters["deadline_seconds"])
    except (TimeoutError, litellm.Timeout) as error:
        return _abstention(call, attempt, ReasonCode.SEAT_TIMEOUT, error)
    except ValidationError as error:
        return _abstention(call, attempt, ReasonCode.SEAT_SCHEMA, error)
    except _UnknownPriceError as error:
        return _abstention(call, attempt, ReasonCode.SEAT_UNKNOWN_PRICE, error)
    except Exception as error:  # noqa: BLE001 - whatever a provider raises, the seat abstains and the others go on
        return _abstention(call, attempt, ReasonCode.SEAT_PROVIDER_ERROR, error)
    return _answered(call, attempt, answer)


async def _converse(litellm: _Library, call: SeatCall, attempt: _Attempt) -> SeatAnswer:
    if not call.baseline:
        _require_price(litellm, call.model)
    messages = [
        {"role": "system", "content": call.prompt.system_text},
        {"role": "user", "content": call.prompt.user_text},
    ]
    while True:
        attempt.turns += 1
        response = await litellm.acompletion(
            model=call.model,
            messages=messages,
            response_format=_format_for(call.model),
            max_tokens=call.parameters["max_tokens"],
            num_retries=0,
        )
        raw = _book(call, attempt, response)
        try:
            return SeatAnswer.model_validate_json(raw)
        except ValidationError as error:
            if attempt.turns == _TURNS:
                raise
            messages += [{"role": "assistant", "content": raw}, {"role": "user", "content": _repair(error)}]


def _book(call: SeatCall, attempt: _Attempt, response: _Library) -> str:
    """Add what a turn used to the attempt, and return its text."""
    raw = _storable(response.choices[0].message.content or "")
    attempt.raw_answer = raw
    attempt.input_tokens += response.usage.prompt_tokens
    attempt.output_tokens += response.usage.completion_tokens
    cost = response._hidden_params.get("response_cost")  # noqa: SLF001 - where litellm documents it to be
    if cost is None:
        msg = f"litellm could not price the answer of {call.model}"
        raise _UnknownPriceError(msg)
    attempt.cost_usd += Decimal(repr(round(float(cost), _COST_DIGITS)))
    return raw


def _require_price(litellm: _Library, model: str) -> None:
    """Refuse a model that litellm cannot price, before a call is paid for."""
    try:
        litellm.cost_per_token(model=model, prompt_tokens=1, completion_tokens=1)
    except Exception as error:
        msg = f"litellm knows no price for {model}; check the seat's model in config/models.yaml"
        raise _UnknownPriceError(msg) from error


def _format_for(model: str) -> Mapping[str, object]:
    return {"type": "json_object"} if model.startswith(_WITHOUT_SCHEMA) else response_format()


def _repair(error: ValidationError) -> str:
    return f"That was not a valid answer. Reply with the JSON object only. {_words(error)}"


def _words(error: Exception) -> str:
    """What went wrong, and what lay at the root of it, without the tracebacks that litellm puts into messages."""
    if isinstance(error, ValidationError):
        broken = (f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in error.errors())
        return _storable("; ".join(broken))[:_ERROR_LENGTH]
    root: BaseException = error
    while deeper := root.__cause__ or root.__context__:
        root = deeper
    links = dict.fromkeys(f"{type(one).__name__}: {str(one).partition(chr(10))[0]}" for one in (error, root))
    return _storable("; ".join(links))[:_ERROR_LENGTH]


def _answered(call: SeatCall, attempt: _Attempt, answer: SeatAnswer) -> SeatForecast:
    return _forecast(
        call,
        attempt,
        status=ForecastStatus.ANSWERED,
        reason_code=None,
        **{**dict(answer), "reasoning": _storable(answer.reasoning)},
    )


def _abstention(call: SeatCall, attempt: _Attempt, reason: ReasonCode, error: Exception | None = None) -> SeatForecast:
    if error is not None:
        attempt.error = _words(error)
    nothing = dict.fromkeys(SeatAnswer.model_fields)
    return _forecast(call, attempt, status=ForecastStatus.ABSTAINED, reason_code=reason, **nothing)


def _forecast(call: SeatCall, attempt: _Attempt, **outcome: _Library) -> SeatForecast:
    return SeatForecast(
        forecast_id=call.forecast_id,
        snapshot_id=call.snapshot_id,
        prompt_hash=call.prompt.prompt_hash,
        seat=call.seat,
        vendor=call.vendor,
        model=call.model,
        baseline=call.baseline,
        code_version=call.code_version,
        parameters=call.parameters,
        raw_answer=attempt.raw_answer,
        error=attempt.error,
        turns=attempt.turns,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cost_usd=attempt.cost_usd,
        latency_ms=1000 * (monotonic_seconds() - attempt.started),
        **outcome,
    )


def _storable(text: str) -> str:
    """Replace what PostgreSQL's text cannot hold: NUL and lone surrogates."""
    return text.replace("\0", "�").encode(errors="replace").decode()


@cache
def _litellm() -> _Library:
    """The library with the offline provider, imported when it is first needed: it takes seconds."""
    # Before the import: without it litellm asks the network for prices, and can lock up beside mlflow.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    class OfflineModels(litellm.CustomLLM):  # type: ignore[misc]
        def completion(self, **call: _Library) -> _Library:
            written = offline.reply(call["model"], call["messages"])
            response = call["model_response"]
            response.model = call["model"]
            response.choices[0].message.content = written.text
            response.usage = litellm.Usage(
                prompt_tokens=written.input_tokens,
                completion_tokens=written.output_tokens,
                total_tokens=written.input_tokens + written.output_tokens,
            )
            # Said here, it need not be worked out from the price below: a sixth of an offline call.
            response._hidden_params["response_cost"] = 0.0  # noqa: SLF001
            return response

        async def acompletion(self, **call: _Library) -> _Library:
            return self.completion(**call)

    litellm.suppress_debug_info = True
    litellm.register_model({f"{offline.PROVIDER}/{name}": _FREE for name in BASELINES})
    litellm.custom_provider_map.append({"provider": offline.PROVIDER, "custom_handler": OfflineModels()})
    return litellm
