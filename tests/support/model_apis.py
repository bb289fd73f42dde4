"""Loopback servers that speak the protocols of the models' providers, and refuse what those would refuse."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from triplegain_pipelines.agents.answer import SeatAnswer
from triplegain_pipelines.domain.decisions import Action

VENDORS = ("openai", "anthropic", "xai", "deepseek", "ollama")
GOOD = SeatAnswer(
    action=Action.BUY,
    confidence=0.7,
    p_up_4h=0.6,
    p_up_24h=0.6,
    entry=None,
    stop_loss=None,
    take_profit=None,
    leverage=1.0,
    reasoning="Test.",
).model_dump_json()

Body = dict[str, Any]
_TOKENS_IN, _TOKENS_OUT, _THOUGHT = 1000, 100, 50


@dataclass(frozen=True)
class Behaviour:
    """How a server meets one request: with an answer, an error status, silence, or half an answer.

    `text` may be made from the request.
    """

    text: str | Callable[[Body], str] = GOOD
    status: int = 200
    retry_after: str | None = None
    silent: bool = False
    cut_off: bool = False
    model: str | None = None
    error: str = "come back later"
    usage: bool = True


@dataclass
class ModelApis:
    """What the servers were asked, and what they do next: the last behaviour of a vendor goes on for ever."""

    url: str
    requests: dict[str, list[Body]] = field(default_factory=lambda: {vendor: [] for vendor in VENDORS})
    behaviours: dict[str, list[Behaviour]] = field(default_factory=lambda: {vendor: [] for vendor in VENDORS})
    of_model: dict[str, Behaviour] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_behaviour(self, vendor: str, model: str) -> Behaviour:
        """What the vendor does with the request that just came; `of_model` goes before."""
        with self.lock:
            if model in self.of_model:
                return self.of_model[model]
            waiting = self.behaviours[vendor]
            return (waiting.pop(0) if len(waiting) > 1 else waiting[0]) if waiting else Behaviour()

    def environment(self, key: str) -> dict[str, str]:
        """The variables by which litellm finds the servers."""
        found = {f"{vendor.upper()}_API_BASE": f"{self.url}/{vendor}" for vendor in VENDORS}
        keys = {f"{vendor.upper()}_API_KEY": key for vendor in VENDORS if vendor != "ollama"}
        return {**found, **keys, "NO_PROXY": "127.0.0.1"}


@contextmanager
def model_apis() -> Iterator[ModelApis]:
    """All five providers on one port, each under its own path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    apis = ModelApis(f"http://127.0.0.1:{server.server_port}")
    server.apis = apis  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield apis
    finally:
        apis.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def apis(self) -> ModelApis:
        return self.server.apis  # type: ignore[attr-defined, no-any-return]

    def do_POST(self) -> None:
        """Check, and answer as the vendor would."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vendor, _, path = self.path.lstrip("/").partition("/")
        if vendor not in VENDORS or path not in _PATHS[vendor]:
            self.apis.others.append(self.path)
            return self._send(404, {"error": "no such path"})
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.apis.lock:
            self.apis.requests[vendor].append(body)
        complaint = next(iter(_CHECKS[vendor](headers, body)), None)
        if complaint:
            self.apis.complaints.append(f"{vendor}: {complaint}")
            return self._send(400, _error(vendor, complaint))
        behaviour = self.apis.next_behaviour(vendor, body["model"])
        if behaviour.silent:
            self.apis.over.wait(30)
            self.close_connection = True
            return None
        if behaviour.status != 200:
            extra = {} if behaviour.retry_after is None else {"retry-after": behaviour.retry_after}
            return self._send(behaviour.status, _error(vendor, behaviour.error), extra)
        if callable(behaviour.text):
            behaviour = replace(behaviour, text=behaviour.text(body))
        return self._send(200, _ANSWERS[vendor](body, behaviour), cut_off=behaviour.cut_off)

    def _send(self, status: int, body: Body, extra: Mapping[str, str] | None = None, *, cut_off: bool = False) -> None:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(extra or {})}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut_off else data)
        self.close_connection = self.close_connection or cut_off

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _error(vendor: str, words: str) -> Body:
    if vendor == "anthropic":
        return {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    if vendor == "ollama":
        return {"error": words}
    return {"error": {"message": words, "type": "invalid_request_error", "code": None, "param": None}}


def _chat_answer(body: Body, behaviour: Behaviour) -> Body:
    """An answer as OpenAI, xAI and DeepSeek give it."""
    message: Body = {"role": "assistant", "content": behaviour.text}
    if "tools" in body:
        called = {"name": body["tools"][0]["function"]["name"], "arguments": behaviour.text}
        calls = [{"id": "t", "type": "function", "function": called}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
    beside = _THOUGHT if body["model"].startswith("grok") else 0
    usage = {
        "prompt_tokens": _TOKENS_IN,
        "completion_tokens": _TOKENS_OUT,
        "total_tokens": _TOKENS_IN + _TOKENS_OUT + beside,
        "completion_tokens_details": {"reasoning_tokens": _THOUGHT},
    }
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": behaviour.model or body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        **({"usage": usage} if behaviour.usage else {}),
    }


def _message_answer(body: Body, behaviour: Behaviour) -> Body:
    return {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": behaviour.model or body["model"],
        "content": [{"type": "text", "text": behaviour.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": _TOKENS_IN, "output_tokens": _TOKENS_OUT},
    }


def _ollama_answer(body: Body, behaviour: Behaviour) -> Body:
    return {
        "model": behaviour.model or body["model"],
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": behaviour.text},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": _TOKENS_IN,
        "eval_count": _TOKENS_OUT,
    }


def _bearer(headers: Mapping[str, str]) -> Iterator[str]:
    if not headers.get("authorization", "").startswith("Bearer "):
        yield "no bearer token"


def _roles(body: Body, allowed: set[str]) -> Iterator[str]:
    for message in body["messages"]:
        if message["role"] not in allowed or not message["content"]:
            yield f"a message of {message['role']} is unknown or empty"


def _unknown(body: Body, allowed: set[str]) -> Iterator[str]:
    for name in sorted(set(body) - allowed):
        yield f"unknown parameter {name}"


def _schema(schema: object, refused: set[str]) -> Iterator[str]:
    """What strict structured output refuses anywhere in a schema."""
    if isinstance(schema, list):
        for one in schema:
            yield from _schema(one, refused)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield "additionalProperties must be false"
        if sorted(schema["required"]) != sorted(schema["properties"]):
            yield "every property must be required"
    for name, one in schema.items():
        if name in refused and not isinstance(one, dict):
            yield f"{name} is not permitted in a schema"
        yield from _schema(one, refused)


def _json_schema(body: Body, refused: set[str]) -> Iterator[str]:
    wanted = body.get("response_format", {})
    if wanted.get("type") != "json_schema":
        return
    if not {"name", "schema", "strict"} <= set(wanted["json_schema"]):
        yield "json_schema needs a name, a schema and strict"
    yield from _schema(wanted["json_schema"]["schema"], refused)


def _openai(headers: Mapping[str, str], body: Body) -> Iterator[str]:
    yield from _bearer(headers)
    allowed = {"model", "messages", "max_completion_tokens", "reasoning_effort", "response_format", "temperature"}
    yield from _unknown(body, allowed)
    yield from _roles(body, {"system", "developer", "user", "assistant"})
    if body.get("temperature", 1) != 1:
        yield "temperature only 1"
    if body.get("reasoning_effort", "medium") not in {"none", "low", "medium", "high", "xhigh", "max"}:
        yield "unknown reasoning_effort"
    yield from _json_schema(body, {"maxLength", "minLength", "default", "format"})


def _xai(headers: Mapping[str, str], body: Body) -> Iterator[str]:
    yield from _bearer(headers)
    allowed = {"model", "messages", "max_tokens", "reasoning_effort", "response_format", "tools", "tool_choice"}
    yield from _unknown(body, allowed)
    yield from _roles(body, {"system", "user", "assistant"})
    if body.get("reasoning_effort", "high") not in {"low", "medium", "high", "xhigh"}:
        yield "unknown reasoning_effort"
    yield from _json_schema(body, {"maxLength", "minLength"})


def _deepseek(headers: Mapping[str, str], body: Body) -> Iterator[str]:
    yield from _bearer(headers)
    yield from _unknown(body, {"model", "messages", "max_tokens", "thinking", "response_format", "temperature"})
    yield from _roles(body, {"system", "user", "assistant"})
    if body["response_format"] != {"type": "json_object"}:
        yield "This response_format type is unavailable now"
    if not any("json" in message["content"].lower() for message in body["messages"]):
        yield "the prompt must contain the word json"
    if body.get("thinking", {"type": "enabled"})["type"] not in {"enabled", "disabled"}:
        yield "unknown thinking"


def _anthropic(headers: Mapping[str, str], body: Body) -> Iterator[str]:
    if "x-api-key" not in headers or headers.get("anthropic-version") != "2023-06-01":
        yield "x-api-key and anthropic-version are needed"
    allowed = {"model", "messages", "max_tokens", "system", "output_format", "output_config", "thinking"}
    yield from _unknown(body, allowed)
    if "max_tokens" not in body:
        yield "max_tokens is required"
    yield from _roles(body, {"user", "assistant"})
    roles = [message["role"] for message in body["messages"]]
    if roles[0] != "user" or roles[-1] != "user":  # an answer begun for it is refused by these models
        yield "the first and the last message must be the user's"
    if body.get("thinking", {}).get("type") == "disabled" and "opus" in body["model"]:
        yield "thinking cannot be disabled"
    if "output_format" in body:
        if "structured-outputs" not in headers.get("anthropic-beta", ""):
            yield "output_format needs its beta header"
        refused = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"}
        yield from _schema(body["output_format"]["schema"], refused)


def _ollama(headers: Mapping[str, str], body: Body) -> Iterator[str]:
    yield from _unknown(body, {"model", "messages", "options", "stream", "format", "think"})
    yield from _roles(body, {"system", "user", "assistant"})
    if body.get("stream") is not False:
        yield "a stream was not meant"
    if not isinstance(body.get("format"), dict):
        yield "format must be a schema"
    if not isinstance(body.get("think", False), bool):
        yield "think must be true or false"


_PATHS = {
    "openai": {"chat/completions"},
    "xai": {"chat/completions"},
    "deepseek": {"chat/completions"},
    "anthropic": {"v1/messages"},
    "ollama": {"api/chat"},
}
_CHECKS: Mapping[str, Callable[[Mapping[str, str], Body], Iterator[str]]] = {
    "openai": _openai,
    "xai": _xai,
    "deepseek": _deepseek,
    "anthropic": _anthropic,
    "ollama": _ollama,
}
_ANSWERS: Mapping[str, Callable[[Body, Behaviour], Body]] = {
    "openai": _chat_answer,
    "xai": _chat_answer,
    "deepseek": _chat_answer,
    "anthropic": _message_answer,
    "ollama": _ollama_answer,
}
