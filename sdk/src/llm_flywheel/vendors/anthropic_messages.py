"""Anthropic's messages (`/v1/messages`): content blocks as chat messages."""

from __future__ import annotations

import json
from typing import Any

from llm_flywheel.plain import get, plain
from llm_flywheel.settings import Event
from llm_flywheel.turn import Turn

BODY = {"model", "messages", "system", "tools", "stream"}
"""What has a field of its own; everything else is a parameter."""
REASONS = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length",
    "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter",
}  # fmt: skip
"""Anthropic's stop reason → the finish reason that every reader of the events knows."""


def request(body: dict[str, Any]) -> dict[str, Any]:
    """The event's fields from a request body."""
    return {
        "request_model": body.get("model"),
        "input_messages": body.get("messages"),
        "system_instructions": body.get("system"),
        "tool_definitions": body.get("tools"),
        "request_parameters": {name: each for name, each in body.items() if name not in BODY},
        "user_id": get(body.get("metadata"), "user_id"),
    }


def finish(event: Event) -> Event:
    """Blocks → messages, a system prompt of blocks → text."""
    messages = [each for said in event.get("input_messages") or [] for each in to_messages(said)]
    system = event.get("system_instructions")
    return {**event, "input_messages": messages, "system_instructions": _text(system) if system else None}


def answered(turn: Turn, reply: Any) -> None:
    """Fill in a response, an object of the client's or plain JSON."""
    stop = get(reply, "stop_reason")
    said = {"role": "assistant", "content": plain(get(reply, "content") or [])}
    turn.set(
        response_model=get(reply, "model"),
        output_messages=to_messages(said),
        finish_reasons=[REASONS.get(stop, stop)] if stop else [],
    )
    if usage := get(reply, "usage"):
        read = [get(usage, f"cache_{each}_input_tokens") or 0 for each in ("creation", "read")]
        turn.set(input_tokens=(get(usage, "input_tokens") or 0) + sum(read), output_tokens=get(usage, "output_tokens"))
    turn.responded(get(reply, "id"))


def to_messages(said: Any) -> list[dict[str, Any]]:
    """One of Anthropic's messages as one or more of chat's: each tool result is a message of its own."""
    blocks = get(said, "content")
    role = get(said, "role") or "user"
    if not isinstance(blocks, list):
        return [{"role": role, "content": blocks}]
    results = [_result(each) for each in blocks if get(each, "type") == "tool_result"]
    calls = [_call(each) for each in blocks if get(each, "type") == "tool_use"]
    thought = [get(each, "thinking") for each in blocks if get(each, "type") == "thinking"]
    special = {"tool_result", "tool_use", "thinking", "redacted_thinking"}
    rest = [each for each in blocks if get(each, "type") not in special]
    if not (rest or calls or thought) and results:
        return results
    message: dict[str, Any] = {"role": role, "content": _text(rest) if _is_text(rest) else rest}
    if calls:
        message["tool_calls"] = calls
    if any(thought):
        message["reasoning_content"] = "\n".join(filter(None, thought))
    return [*results, message]


def _result(block: Any) -> dict[str, Any]:
    content = get(block, "content")
    return {
        "role": "tool",
        "tool_call_id": get(block, "tool_use_id"),
        "content": _text(content) if isinstance(content, str) or _is_text(content) else content,
        **({"is_error": True} if get(block, "is_error") else {}),
    }


def _call(block: Any) -> dict[str, Any]:
    function = {"name": get(block, "name"), "arguments": get(block, "input")}
    return {"id": get(block, "id"), "type": "function", "function": function}


def _is_text(blocks: Any) -> bool:
    return isinstance(blocks, list) and all(isinstance(each, dict) and each.get("type") == "text" for each in blocks)


def _text(blocks: Any) -> str | None:
    if not isinstance(blocks, list):
        return None if blocks is None else str(blocks)
    return "".join(str(get(each, "text") or "") for each in blocks) or None


class Stream:
    """Events added up to the message that they tell of."""

    def __init__(self) -> None:
        self.done = False
        self.error: str | None = None
        self.head: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}

    def add(self, event: dict[str, Any]) -> None:
        """One event, as JSON."""
        kind = event.get("type")
        if kind == "message_start":
            self.head = dict(event.get("message") or {})
        elif kind == "content_block_start":
            self._blocks[event.get("index", 0)] = dict(event.get("content_block") or {})
        elif kind == "content_block_delta":
            self._delta(self._blocks.setdefault(event.get("index", 0), {"type": "text"}), event.get("delta") or {})
        elif kind == "message_delta":
            self.head.update(event.get("delta") or {})
            self.head["usage"] = {**(self.head.get("usage") or {}), **(event.get("usage") or {})}
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            self.error = str(get(event.get("error"), "type") or "error")

    @staticmethod
    def _delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
        for field in ("text", "thinking", "partial_json"):
            if isinstance(delta.get(field), str):
                block[field] = (block.get(field) or "") + delta[field]

    def reply(self) -> dict[str, Any]:
        """What has come so far, in the form of a whole message."""
        blocks = [self._blocks[at] for at in sorted(self._blocks)]
        for block in blocks:
            if partial := block.pop("partial_json", ""):
                try:
                    block["input"] = json.loads(partial)
                except ValueError:
                    block["input"] = partial
        return {**self.head, "content": blocks}
