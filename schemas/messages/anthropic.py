"""Anthropic's blocks of content, and those of Bedrock's Converse, which has the same ones without a `type`."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.messages.parts import Other, Part, Piece, Reader, call, other, silent, words


def is_hosted(kind: str) -> bool:
    """Whether a block is a tool that the provider ran itself, or what it gave: no chat of ours can repeat that."""
    return kind.endswith("_tool_result") or kind in {"server_tool_use", "mcp_tool_use", "container_upload"}


PARTS: dict[str, Reader] = {
    "tool_use": lambda part: call(part.get("name"), part.get("input"), part.get("id")),
    **dict.fromkeys(("thinking", "redacted_thinking"), silent),
    **dict.fromkeys(("document", "search_result"), other("file")),
}
RESULTS = {"tool_result": ("tool_use_id", "content")}
"""Type of a part that holds a tool's answer → where its call's id and the answer stand."""


def _tool_use(part: Part) -> list[Piece]:
    found = part["toolUse"]
    if not isinstance(found, Mapping):
        return [Other("unknown")]
    return call(found.get("name"), found.get("input"), found.get("toolUseId"))


def _guarded(part: Part) -> list[Piece]:
    found = part["guardContent"]
    text = found.get("text") if isinstance(found, Mapping) else None
    return words(text.get("text")) if isinstance(text, Mapping) else [Other("unknown")]


KEYED: dict[str, Reader] = {
    "toolUse": _tool_use,
    "reasoningContent": silent,
    "cachePoint": silent,
    "guardContent": _guarded,
    "image": other("image"),
    "video": other("video"),
    "audio": other("audio"),
    "document": other("file"),
}
KEYED_RESULTS = {"toolResult": ("toolUseId", "content")}
"""Bedrock's: key of the part → where, below it, id and answer stand."""
