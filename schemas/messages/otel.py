"""OpenTelemetry's GenAI parts: `{"type": "text", "content": …}`, `tool_call`, `tool_call_response`, `blob`."""

from __future__ import annotations

from schemas.messages.parts import Part, Piece, Reader, call, medium, other, silent


def _call(part: Part) -> list[Piece]:
    """LangChain's blocks have the same type, and `args`."""
    arguments = part.get("arguments")
    return call(part.get("name"), part.get("args") if arguments is None else arguments, part.get("id"))


def _medium(part: Part) -> list[Piece]:
    return medium(part.get("modality") or part.get("mime_type"))


PARTS: dict[str, Reader] = {
    **dict.fromkeys(("tool_call", "invalid_tool_call"), _call),
    "thinking": silent,
    **dict.fromkeys(("blob", "uri"), _medium),
    "text-plain": other("file"),
    **dict.fromkeys(("server_tool_call", "server_tool_call_response", "server_tool_call_chunk"), other("hosted_tool")),
}
RESULTS = {"tool_call_response": ("id", "response")}
"""The registry's example says `result`, the schema `response`: `schemas/messages/chat.py` looks for both."""
