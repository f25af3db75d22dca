"""OpenInference's messages: span attributes, flat (`message.role`) or nested (`{"message": {…}}`); choices as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.messages.parts import Part

_PREFIX = "message."


def of_openinference(message: Part) -> Part | None:
    """The message inside, with OpenAI's fields; None for what is not wrapped."""
    if any(name.startswith(_PREFIX) for name in message):
        message = _nested(message)
    found = message.get("message")
    if not isinstance(found, Mapping):
        return None
    return {**found, "content": _content(found), "function_call": found.get("function_call") or _single(found)}


def _content(message: Part) -> Any:
    parts = message.get("contents")
    if not isinstance(parts, list):
        return message.get("content")
    return [part["message_content"] if _holds(part, "message_content") else part for part in parts]


def _single(message: Part) -> Any:
    name = message.get("function_call_name")
    return {"name": name, "arguments": message.get("function_call_arguments_json")} if name else None


def _holds(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get(name), Mapping)


def _nested(flat: Part) -> dict[str, Any]:
    """`{"a.b.0.c": 1}` as `{"a": {"b": [{"c": 1}]}}`."""
    root: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = root
        for step in path:
            place = place.setdefault(step, {}) if isinstance(place.get(step, {}), dict) else {}
        place[last] = (
            [_nested(each) if isinstance(each, Mapping) else each for each in value]
            if isinstance(value, list)
            else value
        )
    listed: dict[str, Any] = _listed(root)
    return listed


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(each) for name, each in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
