"""OpenAI's Responses API (`/responses`): its items as chat messages."""

from __future__ import annotations

from typing import Any

from llm_flywheel.plain import get, plain
from llm_flywheel.settings import Event
from llm_flywheel.turn import Turn

BODY = {"model", "input", "instructions", "tools", "stream"}
"""What has a field of its own; everything else is a parameter."""
ENDS = {"response.completed", "response.incomplete", "response.failed"}
REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def request(body: dict[str, Any]) -> dict[str, Any]:
    """The event's fields from a request body."""
    talk = body.get("conversation")
    return {
        "operation_name": "chat",
        "request_model": body.get("model"),
        "input_messages": body.get("input") or [],
        "system_instructions": body.get("instructions"),
        "tool_definitions": body.get("tools"),
        "request_parameters": {name: each for name, each in body.items() if name not in BODY},
        "user_id": body.get("user") or body.get("safety_identifier"),
        "conversation_id": get(talk, "id") if isinstance(talk, dict) else talk,
        "previous_response_id": body.get("previous_response_id"),
    }


def finish(event: Event) -> Event:
    """Items → messages."""
    asked = event["input_messages"]
    items = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    # A stored prompt, or a go-on of an earlier response, may come with no input at all.
    messages = to_messages(items) or [{"role": "user", "content": ""}]
    return {**event, "input_messages": messages}


def answered(turn: Turn, reply: Any) -> None:
    """Fill in a response, an object of the client's or plain JSON."""
    status = get(reply, "status")
    items = plain(get(reply, "output") or [])
    said = to_messages(items)
    reason = get(get(reply, "incomplete_details"), "reason")
    called = any(each.get("tool_calls") for each in said)
    reasons = {"completed": "tool_calls" if called else "stop", "incomplete": REASONS.get(reason, reason or "length")}
    turn.set(
        response_model=get(reply, "model"),
        output_messages=said,
        finish_reasons=[reasons[status]] if status in reasons else [],
    )
    if usage := get(reply, "usage"):
        turn.set(input_tokens=get(usage, "input_tokens"), output_tokens=get(usage, "output_tokens"))
    if status in {"failed", "cancelled"}:
        turn.set(error_type=str(get(get(reply, "error"), "code") or status))
    turn.responded(get(reply, "id"), get(reply, "created_at"))


def to_messages(items: list[Any]) -> list[dict[str, Any]]:
    """Items as chat messages: calls belong to the assistant's message before them, results are `tool` messages."""
    messages: list[dict[str, Any]] = []
    for item in items:
        kind = get(item, "type") or "message"
        if kind == "message":
            said = {"role": item.get("role", "user"), "content": _content(item.get("content"))}
            if messages and messages[-1]["role"] == said["role"] == "assistant" and messages[-1]["content"] is None:
                messages[-1]["content"] = said["content"]
            else:
                messages.append(said)
        elif kind in {"function_call", "custom_tool_call"}:
            function = {"name": item.get("name"), "arguments": item.get("arguments", item.get("input"))}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            _assistant(messages).setdefault("tool_calls", []).append(call)
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            content = _content(item.get("output"))
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif kind == "reasoning":
            texts = [get(part, "text") for part in item.get("summary") or item.get("content") or []]
            if any(texts):
                _assistant(messages)["reasoning_content"] = "\n".join(filter(None, texts))
        else:
            _assistant(messages).setdefault("items", []).append(item)  # a hosted tool's call: kept as it is
    return messages


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _content(value: Any) -> Any:
    """Text parts as chat knows them; a list of nothing but text as one text."""
    if not isinstance(value, list):
        return value
    parts = [
        {"type": "text", "text": part.get("text", "")} if _is_text(part) else
        {"type": "refusal", "refusal": part.get("refusal")} if get(part, "type") == "refusal" else part
        for part in value
    ]  # fmt: skip
    if all(get(part, "type") == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _is_text(part: Any) -> bool:
    return get(part, "type") in {"input_text", "output_text", "text"}


class Stream:
    """Events added up to the response that they tell of."""

    def __init__(self) -> None:
        self.done = False
        self.error: str | None = None
        self.head: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}

    def add(self, event: dict[str, Any]) -> None:
        """One event, as JSON."""
        kind = event.get("type")
        if kind == "error":
            self.error = str(event.get("code") or get(event.get("error"), "code") or "error")
        if isinstance(response := event.get("response"), dict):
            self.head = response
            self.done = self.done or kind in ENDS
        at = event.get("output_index", 0)
        if kind in {"response.output_item.added", "response.output_item.done"}:
            self._items[at] = dict(event.get("item") or {})
        elif kind == "response.output_text.delta":
            item = self._items.setdefault(at, {"type": "message", "role": "assistant"})
            item["text"] = item.get("text", "") + str(event.get("delta", ""))
        elif kind == "response.function_call_arguments.delta":
            item = self._items.setdefault(at, {"type": "function_call"})
            item["arguments"] = (item.get("arguments") or "") + str(event.get("delta", ""))

    def reply(self) -> dict[str, Any]:
        """The whole response; of one that broke off, the parts that came."""
        if self.done:
            return self.head
        items = [self._items[at] for at in sorted(self._items)]
        for item in items:
            if "text" in item and not item.get("content"):
                item["content"] = [{"type": "output_text", "text": item["text"]}]
        return {**self.head, "output": items, "status": "in_progress"}
