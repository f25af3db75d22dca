"""OpenInference: `llm.*` attributes → the fields of an interaction; LangChain's instrumentation writes them too.

A message is spread over attributes, `llm.input_messages.0.message.role` and so on. Where a span had more attributes
than it may, the oldest are gone: `input.value` then still holds the request, if it is there itself. Go on to
`schemas/otel/values.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.otel.span import Span
from schemas.otel.values import amount, count, first, milliseconds, name, parsed, texts

KIND = "openinference.span.kind"
CALL = "LLM"
"""The one kind that is a call to a model; CHAIN, AGENT, TOOL and the rest hold such calls."""
INPUTS, OUTPUTS, TOOLS = "llm.input_messages.", "llm.output_messages.", "llm.tools."
FIRST_TOKEN = "First Token Stream Event"  # noqa: S105 - an event's name
NO_PARAMETERS = frozenset({
    "model", "model_name", "messages", "input", "instructions", "tools", "functions", "metadata", "user", "stream",
    "stream_options", "_type",
})  # fmt: skip
Flat = dict[int, dict[str, Any]]
"""Place of a message → its attributes without their prefix."""


class _Metadata(msgspec.Struct):
    id: str | None = None


class _Kwargs(msgspec.Struct):
    response_metadata: _Metadata | None = None


class _Dumped(msgspec.Struct):
    kwargs: _Kwargs | None = None


class _Generation(msgspec.Struct):
    message: _Dumped | None = None


class _Reply(msgspec.Struct):
    """Of `output.value` what tells which response it was: OpenAI's JSON, or LangChain's."""

    id: str | None = None
    created: float | None = None
    created_at: float | None = None
    llm_output: _Metadata | None = None
    generations: list[list[_Generation]] = []


_reply = msgspec.json.Decoder(_Reply).decode


def fields_of_openinference(span: Span, failed: bool) -> dict[str, Any]:
    """What the span's attributes say of an interaction; `cut` names those whose JSON was cut off."""
    a, cut = span.attributes, list[str]()
    inputs, outputs, tools = _flat(a)
    given = _object(a.get("llm.invocation_parameters"), "llm.invocation_parameters", cut)
    said = [] if failed else [each for each in (_message(outputs[at]) for at in sorted(outputs)) if len(each) > 1]
    reasons = texts(a.get("llm.finish_reason"))
    abandoned = span.status == "unset" and not reasons and given.get("stream") is True
    response_id, created = _response(a)
    return {
        "operation_name": "chat",
        "provider_name": first(a, "llm.provider", "llm.system"),
        "request_model": name(first(given, "model", "model_name") or a.get("llm.model_name")),
        "response_model": a.get("llm.model_name"),
        "response_id": response_id,
        "created": created,
        "input_messages": _inputs(span, inputs, cut),
        "output_messages": said,
        "tool_definitions": [tool for at in sorted(tools) if (tool := _tool(tools[at], cut))],
        "request_parameters": {
            key: each for key, each in given.items() if key not in NO_PARAMETERS and each is not None
        },
        "finish_reasons": reasons,
        "error_type": "abandoned" if abandoned else None,
        "input_tokens": count(a.get("llm.token_count.prompt")),
        "output_tokens": count(a.get("llm.token_count.completion")),
        "time_to_first_chunk_ms": _first_token(span),
        "prompt_version": a.get("llm.prompt_template.version"),
        "cost_usd": amount(a.get("llm.cost.total")),
        "cut": cut,
    }


def _flat(attributes: Mapping[str, Any]) -> tuple[Flat, Flat, Flat]:
    """The attributes of input messages, output messages and tools, by their place."""
    inputs, outputs, tools = Flat(), Flat(), Flat()
    for key, value in attributes.items():
        if key.startswith(INPUTS):
            found, rest = inputs, key[len(INPUTS) :]
        elif key.startswith(OUTPUTS):
            found, rest = outputs, key[len(OUTPUTS) :]
        elif key.startswith(TOOLS):
            found, rest = tools, key[len(TOOLS) :]
        else:
            continue
        place, _, last = rest.partition(".")
        if place.isdecimal() and len(place) < 7:
            found.setdefault(int(place), {})[last] = value
    return inputs, outputs, tools


def _message(flat: dict[str, Any]) -> dict[str, Any]:
    """A message in OpenAI's form."""
    message: dict[str, Any] = {"role": "user"}
    calls, parts = Flat(), Flat()
    for key, value in flat.items():
        field = key.removeprefix("message.")
        if field.startswith("tool_calls."):
            _sort(calls, field[len("tool_calls.") :], "tool_call.", value)
        elif field.startswith("contents."):
            _sort(parts, field[len("contents.") :], "message_content.", value)
        elif field in {"role", "content", "name", "tool_call_id"} and value is not None:
            message[field] = value
        elif field == "function_call_name":
            call = message.setdefault("function_call", {"name": "", "arguments": ""})
            call["name"] = value
        elif field == "function_call_arguments_json":
            call = message.setdefault("function_call", {"name": "", "arguments": ""})
            call["arguments"] = value
    if parts:
        message["content"] = [_part(parts[at]) for at in sorted(parts)]
    if calls:
        message["tool_calls"] = [_call(calls[at]) for at in sorted(calls)]
    return message


def _sort(places: Flat, rest: str, prefix: str, value: Any) -> None:
    place, _, last = rest.partition(".")
    if place.isdecimal() and len(place) < 7:
        places.setdefault(int(place), {})[last.removeprefix(prefix)] = value


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if "image.image.url" in part:
        return {"type": "image_url", "image_url": {"url": part["image.image.url"]}}
    if "audio.audio.url" in part:
        return {"type": "input_audio", "input_audio": {"url": part["audio.audio.url"]}}
    return {"type": part.get("type") or "text", **{key: each for key, each in part.items() if key != "type"}}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": call.get("function.name") or "", "arguments": call.get("function.arguments") or ""}
    return {"id": call.get("id") or "", "type": "function", "function": function}


def _tool(flat: dict[str, Any], cut: list[str]) -> dict[str, Any]:
    value, whole = parsed(flat.get("tool.json_schema"))
    if not whole:
        cut.append("llm.tools")
    return value if isinstance(value, dict) else {}


def _inputs(span: Span, flat: Flat, cut: list[str]) -> list[Any]:
    """The request's messages: out of `input.value` where the attributes of some may be gone."""
    if flat and not span.dropped_attributes:
        return [_message(flat[at]) for at in sorted(flat)]
    value, whole = parsed(span.attributes.get("input.value"))
    if isinstance(value, dict):
        messages = value.get("messages") or value.get("input")
        if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], list):
            messages = messages[0]  # LangChain's: a batch of one
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if isinstance(messages, list) and messages:
            system = value.get("instructions")
            return [{"role": "system", "content": system}, *messages] if isinstance(system, str) else messages
    if flat:
        return [_message(flat[at]) for at in sorted(flat)]
    text = span.attributes.get("input.value")
    if not isinstance(text, str) or not text or isinstance(value, dict | list):
        return []
    if not whole and text.startswith(("{", "[")):
        cut.append("input.value")
    return [{"role": "user", "content": text}]


def _object(value: Any, attribute: str, cut: list[str]) -> dict[str, Any]:
    found, whole = parsed(value)
    if not whole:
        cut.append(attribute)
    return found if isinstance(found, dict) else {}


def _response(attributes: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """The response's id and time of creation, out of the whole response."""
    value = attributes.get("output.value")
    if not isinstance(value, str) or not value.startswith("{"):
        return None, None
    try:
        reply = _reply(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, None
    found = reply.id or (reply.llm_output.id if reply.llm_output else None)
    if found is None and reply.generations and reply.generations[0]:
        message = reply.generations[0][0].message
        metadata = message.kwargs.response_metadata if message and message.kwargs else None
        found = metadata.id if metadata else None
    return found, reply.created if reply.created is not None else reply.created_at


def _first_token(span: Span) -> float | None:
    times = [event.time_ns for event in span.events if event.name == FIRST_TOKEN]
    return milliseconds(min(times) - span.start_ns) if times else None
