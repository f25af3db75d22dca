"""OpenAI chat completions (`/chat/completions`), as dozens of servers speak it."""

from __future__ import annotations

from typing import Any

from llm_flywheel.plain import get, plain
from llm_flywheel.settings import Event
from llm_flywheel.turn import Turn

BODY = {"model", "messages", "tools", "stream"}
"""What has a field of its own; everything else is a parameter."""


def request(body: dict[str, Any]) -> dict[str, Any]:
    """The event's fields from a request body."""
    return {
        "request_model": body.get("model"),
        "input_messages": body.get("messages"),
        "tool_definitions": body.get("tools"),
        "request_parameters": {name: each for name, each in body.items() if name not in BODY},
        "user_id": body.get("user") or body.get("safety_identifier"),
    }


def finish(event: Event) -> Event:
    """Nothing to do: the contract's messages are OpenAI's."""
    return event


def answered(turn: Turn, reply: Any) -> None:
    """Fill in a response, an object of the client's or plain JSON."""
    choices = get(reply, "choices") or []
    turn.set(
        response_model=get(reply, "model"),
        output_messages=[message(get(each, "message")) for each in choices],
        finish_reasons=[get(each, "finish_reason") for each in choices if get(each, "finish_reason")],
    )
    if usage := get(reply, "usage"):
        turn.set(input_tokens=get(usage, "prompt_tokens"), output_tokens=get(usage, "completion_tokens"))
    turn.responded(get(reply, "id"), get(reply, "created"))


def message(value: Any) -> dict[str, Any]:
    """An assistant's message."""
    said = {"role": get(value, "role") or "assistant", "content": get(value, "content")}
    for field in ("refusal", "reasoning_content", "reasoning"):
        if text := get(value, field):
            said[field] = plain(text)
    if calls := get(value, "tool_calls"):
        said["tool_calls"] = [_tool_call(each) for each in calls]
    return said


def _tool_call(value: Any) -> dict[str, Any]:
    called = get(value, "function") or get(value, "custom")
    arguments = get(called, "arguments") or get(called, "input") or ""
    return {
        "id": get(value, "id"), "type": get(value, "type"),
        "function": {"name": get(called, "name"), "arguments": arguments},
    }  # fmt: skip


class Stream:
    """Chunks added up to the response that they are parts of."""

    def __init__(self) -> None:
        self.done = False
        self.error: str | None = None
        self.head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """One chunk, as JSON."""
        if error := chunk.get("error"):
            self.error = str(get(error, "code") or get(error, "type") or "error")
            return
        for field in ("id", "created", "model", "usage"):
            if chunk.get(field):
                self.head[field] = chunk[field]
        for part in chunk.get("choices") or []:
            choice = self._choices.setdefault(part.get("index") or 0, {"message": {"role": "assistant"}})
            if part.get("finish_reason"):
                choice["finish_reason"] = part["finish_reason"]
                self.done = True
            _add(choice["message"], part.get("delta") or {})

    def reply(self) -> dict[str, Any]:
        """What has come so far, in the form of a whole response."""
        choices = [self._choices[at] for at in sorted(self._choices)]
        for choice in choices:
            said = choice["message"]
            if isinstance(said.get("tool_calls"), dict):
                said["tool_calls"] = [said["tool_calls"][at] for at in sorted(said["tool_calls"])]
        return {**self.head, "choices": choices}


def _add(said: dict[str, Any], delta: dict[str, Any]) -> None:
    for field in ("content", "refusal", "reasoning_content", "reasoning"):
        if isinstance(text := delta.get(field), str):
            said[field] = said.get(field, "") + text
    if delta.get("role"):
        said["role"] = delta["role"]
    for part in delta.get("tool_calls") or []:
        calls = said.setdefault("tool_calls", {})
        call = calls.setdefault(part.get("index", len(calls)), {"function": {"name": "", "arguments": ""}})
        call.update({field: part[field] for field in ("id", "type") if part.get(field)})
        called = part.get("function") or part.get("custom") or {}
        call["function"]["name"] += called.get("name") or ""
        call["function"]["arguments"] += called.get("arguments") or called.get("input") or ""
