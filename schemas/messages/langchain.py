"""LangChain's messages, dumped: by `dumps` (`lc`, `kwargs`), by `messages_to_dict` (`data`) or by `model_dump`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.messages.parts import Part

ROLES = {
    "human": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "HumanMessageChunk": "user",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
_CLASSES = {"Human": "user", "AI": "assistant", "System": "system", "Tool": "tool", "Function": "tool"}


def of_langchain(message: Part) -> Part | None:
    """The same with a role and OpenAI's fields; None for what is no message of LangChain's."""
    kind, kwargs, data = message.get("type"), message.get("kwargs"), message.get("data")
    if kind == "constructor" and isinstance(kwargs, Mapping):
        name = str((message.get("id") or [""])[-1]) if isinstance(message.get("id"), list) else ""
        return _plain(kwargs, _CLASSES.get(name.removesuffix("Chunk").removesuffix("Message"), ""))
    if isinstance(data, Mapping) and isinstance(kind, str):
        return _plain(data, ROLES.get(kind, ""))
    if isinstance(kind, str) and kind in ROLES and not message.get("role"):
        return _plain(message, ROLES[kind])
    return None


def _plain(fields: Part, role: str) -> Part:
    """What LangChain keeps in places of its own, in OpenAI's."""
    beside: Any = fields.get("additional_kwargs")
    beside = beside if isinstance(beside, Mapping) else {}
    calls = [*_list(fields.get("tool_calls")), *_list(fields.get("invalid_tool_calls"))]
    stated = fields.get("role")
    return {
        "role": stated if isinstance(stated, str) and stated else role or ROLES.get(str(fields.get("type")), "unknown"),
        "content": fields.get("content"),
        "name": fields.get("name"),
        "tool_call_id": fields.get("tool_call_id"),
        "tool_calls": calls or beside.get("tool_calls"),
        "function_call": None if calls else beside.get("function_call"),
        "refusal": beside.get("refusal"),
        "audio": beside.get("audio"),
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
