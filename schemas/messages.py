"""Messages in their two dialects, OpenAI's and OpenTelemetry's, read as one.

`to_chat` gives the shape that trainers and endpoints take; `text_of` gives what a person would read.
"""

from __future__ import annotations

from typing import Any

import msgspec

Chat = list[dict[str, Any]]
"""OpenAI / TRL conversational messages: `{"role", "content", "tool_calls"?, "tool_call_id"?, "name"?}`."""


def parse(messages_json: str | None) -> Chat:
    """The messages of a lake row (a JSON column) in chat form; an absent column is no messages."""
    return to_chat(msgspec.json.decode(messages_json)) if messages_json else []


def to_chat(messages: list[dict[str, Any]]) -> Chat:
    """Messages in chat form, whichever dialect they came in; reasoning parts are left out."""
    return [_from_parts(message) if message.get("parts") else _from_content(message) for message in messages]


def text_of(messages: Chat, role: str | None = None) -> str:
    """All text of the messages (of one role, if given), joined by line breaks."""
    texts = [message.get("content") or "" for message in messages if role in {None, message["role"]}]
    return "\n".join(text for text in texts if text)


def last_text(messages: Chat, role: str) -> str:
    """The text of the last message of a role; empty where there is none."""
    return next((message.get("content") or "" for message in reversed(messages) if message["role"] == role), "")


def _from_content(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if part.get("type", "text") == "text")
    chat = {"role": message["role"], "content": content or ""}
    for key in ("name", "tool_calls", "tool_call_id"):
        if message.get(key):
            chat[key] = message[key]
    return chat


def _from_parts(message: dict[str, Any]) -> dict[str, Any]:
    parts = message["parts"]
    text = "".join(str(part.get("content", "")) for part in parts if part.get("type") == "text")
    chat: dict[str, Any] = {"role": message["role"], "content": text}
    calls = [_tool_call(part) for part in parts if part.get("type") == "tool_call"]
    if calls:
        chat["tool_calls"] = calls
    for part in parts:
        if part.get("type") == "tool_call_response":  # the registry's example says `result`, the schema `response`
            chat["tool_call_id"] = part.get("id", "")
            chat["content"] = chat["content"] or _as_text(part.get("response", part.get("result", "")))
    return chat


def _tool_call(part: dict[str, Any]) -> dict[str, Any]:
    function = {"name": part.get("name", ""), "arguments": part.get("arguments", {})}
    return {"id": part.get("id", ""), "type": "function", "function": function}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
