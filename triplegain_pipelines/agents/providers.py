"""The providers of models, real ones and the offline one, behind litellm. The only module that knows litellm.

Keys come from the environment, where litellm looks for them (`OPENAI_API_KEY` and the like); here they are only
remembered as secrets. No retries, no other model in place of the asked one, no cache: that is decided outside.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from triplegain_pipelines.agents import offline
from triplegain_pipelines.agents.baselines import BASELINES
from triplegain_pipelines.agents.conversation import storable
from triplegain_pipelines.agents.schemas import answering_tool, response_format
from triplegain_pipelines.domain.secrets import remember
from triplegain_pipelines.settings.models import AnswerFormat

Library = Any  # litellm's own types stay inside this module

_ERROR_LENGTH = 300
_FREE = {
    "litellm_provider": offline.PROVIDER,
    "mode": "chat",
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0,
    "cache_creation_input_token_cost": 0.0,
    "cache_read_input_token_cost": 0.0,
}
_SECRET_NAMES = ("_API_KEY", "_AUTH_TOKEN")
_LOCAL = frozenset({"ollama", "ollama_chat"})
_SERVER_ERROR = 500
# What the two HTTP clients below litellm raise before a request could leave.
_NEVER_LEFT = ("ConnectError", "ConnectTimeout", "ClientConnectorError", "ClientConnectorDNSError")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote, and what it says of itself. Tokens are None where the provider told none.

    `output_tokens` counts those of its reasoning too.
    """

    text: str
    answered_by: str | None
    input_tokens: int | None
    output_tokens: int | None


class ProviderError(Exception):
    """A provider refused a question, or the way to it failed. The text holds no secrets.

    Args:
        words: what it said.
        http_status: of its answer; None where none came.
        retry_after_seconds: how long it asks to be left alone.
        left: whether the question may have reached it.
    """

    def __init__(
        self, words: str, *, http_status: int | None, retry_after_seconds: float | None = None, left: bool = True
    ) -> None:
        super().__init__(words)
        self.http_status = http_status
        self.retry_after_seconds = retry_after_seconds
        self.left = left


async def complete(
    model: str, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any], answer: type[BaseModel]
) -> Reply:
    """One answer of `model`. Cancelling it closes the connection.

    Args:
        model: with litellm's prefix of the provider.
        messages: the conversation, as the API of OpenAI has it.
        parameters: `max_tokens`, and of a real model `answer_format` and `reasoning`.
        answer: the class whose schema the answer is held to.

    Raises:
        TimeoutError: litellm gave up before the caller did.
        ProviderError: there is no answer.
    """
    litellm = library()
    _introduce(model)
    try:
        response = await litellm.acompletion(
            model=model,
            messages=[dict(message) for message in messages],
            max_tokens=parameters["max_tokens"],
            num_retries=0,
            max_retries=0,
            **_asked_for(parameters, answer),
        )
        return _reply(response)
    except Exception as error:  # noqa: BLE001 - whatever a provider raises, it is a refusal with words
        if isinstance(error, litellm.Timeout) and _headers(error) is None:
            raise TimeoutError(_words(error)) from None
        raise _refusal(error) from None


async def close() -> None:
    """Close the connections that litellm opened in this event loop."""
    await library().close_litellm_async_clients()


def begin() -> None:
    """What must be done in an event loop before its first call."""
    remember(*(value for name, value in os.environ.items() if name.endswith(_SECRET_NAMES)))
    # Inherited by every task: litellm's own logging tasks would outlive the loop and cost a third of an offline call.
    library().utils.is_internal_call.set(True)


@cache
def _introduce(model: str) -> None:
    """Tell litellm of a model on a machine of one's own, which its list cannot know.

    It would ask that machine otherwise, four times for each call, in threads that no deadline ends.
    """
    provider, _, _ = model.partition("/")
    known: dict[str, Any] = library().model_cost
    if provider in _LOCAL and model not in known:
        known[model] = {**_FREE, "litellm_provider": provider}


def _asked_for(parameters: Mapping[str, Any], answer: type[BaseModel]) -> dict[str, Any]:
    form = AnswerFormat(parameters.get("answer_format", AnswerFormat.JSON_SCHEMA))
    asked: dict[str, Any]
    if form is AnswerFormat.TOOL:
        chosen = {"type": "function", "function": {"name": answer.__name__}}
        # Without the last, litellm looks for tools of its proxy, with a library that does not come with it.
        asked = {"tools": [answering_tool(answer)], "tool_choice": chosen, "_skip_mcp_handler": True}
    elif form is AnswerFormat.JSON_OBJECT:
        asked = {"response_format": {"type": "json_object"}}
    else:
        asked = {"response_format": response_format(answer)}
    if parameters.get("reasoning") is not None:
        asked["reasoning_effort"] = parameters["reasoning"]
    return asked


def _reply(response: Library) -> Reply:
    message = response.choices[0].message
    tools = getattr(message, "tool_calls", None)
    text = tools[0].function.arguments if tools else message.content
    usage: Library = getattr(response, "usage", None)
    told = bool(usage) and min(usage.prompt_tokens, usage.completion_tokens) >= 0 < usage.total_tokens
    return Reply(
        text=storable(text or ""),
        answered_by=None if response.model is None else storable(response.model),
        input_tokens=usage.prompt_tokens if told else None,
        # xAI counts reasoning beside the completion, others in it.
        output_tokens=max(usage.completion_tokens, usage.total_tokens - usage.prompt_tokens) if told else None,
    )


def _refusal(error: Exception) -> ProviderError:
    headers = _headers(error)
    status = getattr(error, "status_code", None)
    if headers is None and (status is None or status >= _SERVER_ERROR):
        status = None  # litellm's own: no answer came
    return ProviderError(
        _words(error),
        http_status=status,
        retry_after_seconds=_seconds((headers or {}).get("retry-after")),
        left=not any(type(one).__name__ in _NEVER_LEFT for one in _chain(error)),
    )


def _headers(error: Exception) -> Mapping[str, str] | None:
    """Of the provider's answer; None where none came."""
    return getattr(error, "litellm_response_headers", None)


def _seconds(text: str | None) -> float | None:
    """Seconds of a retry-after header; None for one that names a date, which no provider here sends."""
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None and deeper not in chain:
        chain.append(deeper)
    return chain


def _words(error: Exception) -> str:
    """What went wrong, and what lay at the root of it, without the tracebacks that litellm puts into messages."""
    chain = _chain(error)
    links = dict.fromkeys(f"{type(one).__name__}: {str(one).partition(chr(10))[0]}" for one in (chain[0], chain[-1]))
    return storable("; ".join(links))[:_ERROR_LENGTH]


@cache
def library() -> Library:
    """The library with the offline provider, imported when it is first needed: it takes seconds."""
    # Before the import: without these litellm asks the network for prices and headers, and can lock up beside mlflow.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    import litellm

    class OfflineModels(litellm.CustomLLM):  # type: ignore[misc]
        def completion(self, **call: Library) -> Library:
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

        async def acompletion(self, **call: Library) -> Library:
            return self.completion(**call)

    litellm.suppress_debug_info = True
    litellm.register_model({f"{offline.PROVIDER}/{name}": _FREE for name in BASELINES})
    litellm.custom_provider_map.append({"provider": offline.PROVIDER, "custom_handler": OfflineModels()})
    return litellm
