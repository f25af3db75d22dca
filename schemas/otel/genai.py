"""The GenAI conventions: `gen_ai.*` attributes → the fields of an interaction.

As OpenTelemetry's own instrumentations, Traceloop's and pydantic-ai's write them: messages as JSON text (spans) or as
they are (log records), each `{"role", "parts"}`. Go on to `schemas/otel/values.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.otel.span import Attributes
from schemas.otel.values import amount, count, first, name, parsed, texts

OPERATIONS = frozenset({"chat", "text_completion", "generate_content"})
"""What is one call to a model. `invoke_agent`, `execute_tool` and the rest hold such calls: they would count twice."""
PARAMETERS = {
    "gen_ai.request.temperature": "temperature", "gen_ai.request.top_p": "top_p", "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens", "gen_ai.request.seed": "seed",
    "gen_ai.request.frequency_penalty": "frequency_penalty", "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.stop_sequences": "stop", "gen_ai.request.choice.count": "n",
}  # fmt: skip
FIRST_CHUNK = ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk")
"""Seconds."""
FINISHED = {"tool_call": "tool_calls"}
UNFINISHED = frozenset({"", "error"})
"""What a stream ends with that nobody read to its end."""


def is_call(attributes: Attributes) -> bool:
    """Whether they are of one call to a model."""
    return str(attributes.get("gen_ai.operation.name")) in OPERATIONS


def fields_of_genai(attributes: Attributes, failed: bool) -> dict[str, Any]:
    """What these attributes say of an interaction; `cut` names those whose JSON was cut off."""
    a, cut = attributes, list[str]()
    inputs = _messages(a, "gen_ai.input.messages", "user", cut)
    outputs = [] if failed else _messages(a, "gen_ai.output.messages", "assistant", cut)
    reasons = _reasons(a, outputs)
    abandoned = not failed and bool(reasons) and UNFINISHED.issuperset(reasons)
    chunk = amount(first(a, *FIRST_CHUNK))
    return {
        "operation_name": a.get("gen_ai.operation.name"),
        "provider_name": first(a, "gen_ai.provider.name", "gen_ai.system"),
        "request_model": name(first(a, "gen_ai.request.model", "gen_ai.response.model")),
        "response_model": a.get("gen_ai.response.model"),
        "response_id": a.get("gen_ai.response.id"),
        "input_messages": inputs,
        "output_messages": [each for each in outputs if _says(each)] if abandoned else outputs,
        "system_instructions": _system(a, cut),
        "tool_definitions": _tools(a, cut),
        "request_parameters": {short: a[long] for long, short in PARAMETERS.items() if long in a},
        "finish_reasons": [FINISHED.get(each, each) for each in reasons if each not in UNFINISHED],
        "error_type": "abandoned" if abandoned else None,
        "input_tokens": count(first(a, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),
        "output_tokens": count(first(a, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
        "time_to_first_chunk_ms": None if chunk is None else chunk * 1000,
        "cut": cut,
    }


def _messages(attributes: Attributes, attribute: str, role: str, cut: list[str]) -> list[Any]:
    """The messages, or the text that is left of them where it was cut off."""
    value, whole = parsed(attributes.get(attribute))
    if not whole:
        cut.append(attribute)
        return [{"role": role, "content": attributes[attribute]}]
    if isinstance(value, dict):
        value = [value]
    return [each for each in value if each] if isinstance(value, list | tuple) else []


def _reasons(attributes: Attributes, outputs: Sequence[Any]) -> list[str]:
    if found := texts(attributes.get("gen_ai.response.finish_reasons")):
        return found
    said = (each.get("finish_reason") for each in outputs if isinstance(each, dict))
    return [str(reason) for reason in said if reason is not None]


def _says(message: Any) -> bool:
    parts = message.get("parts") if isinstance(message, dict) else None
    return not isinstance(parts, list) or any(
        not isinstance(part, dict) or part.get("type") != "text" or part.get("content") for part in parts
    )


def _system(attributes: Attributes, cut: list[str]) -> Any:
    value = attributes.get("gen_ai.system_instructions")
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value or None
    found, whole = parsed(value)
    if not whole:
        cut.append("gen_ai.system_instructions")
        return value
    return [found] if isinstance(found, dict) else found or None


def _tools(attributes: Attributes, cut: list[str]) -> list[dict[str, Any]]:
    """The tools in OpenAI's form; conventions have them flat."""
    value, whole = parsed(attributes.get("gen_ai.tool.definitions"))
    if not whole:
        cut.append("gen_ai.tool.definitions")
    tools = value if isinstance(value, list | tuple) else ()
    return [_tool(each) for each in tools if isinstance(each, dict)][:1000]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" in tool or "name" not in tool or tool.get("type", "function") != "function":
        return tool
    return {"type": "function", "function": {key: each for key, each in tool.items() if key != "type"}}
