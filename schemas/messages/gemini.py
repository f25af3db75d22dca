"""Gemini's parts, which are told apart by their keys: `text`, `functionCall`, `inlineData`, and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.messages.parts import Other, Part, Piece, Reader, call, medium, other, silent, words


def _text(part: Part) -> list[Piece]:
    return [] if part.get("thought") is True else words(part["text"])


def _call(part: Part) -> list[Piece]:
    found: Any = part.get("functionCall") or part.get("function_call")
    if not isinstance(found, Mapping):
        return [Other("unknown")]
    return call(found.get("name"), found.get("args") or {}, found.get("id"))


def _data(part: Part) -> list[Piece]:
    found: Part = next((part[key] for key in _DATA if isinstance(part.get(key), Mapping)), {})
    return medium(found.get("mimeType") or found.get("mime_type"))


_DATA = ("inlineData", "inline_data", "fileData", "file_data")
KEYED: dict[str, Reader] = {
    **dict.fromkeys(("functionCall", "function_call"), _call),
    **dict.fromkeys(_DATA, _data),
    **dict.fromkeys(("executableCode", "executable_code"), other("hosted_tool")),
    **dict.fromkeys(("codeExecutionResult", "code_execution_result"), other("hosted_tool")),
    "text": _text,
    "thought": silent,
    "thoughtSignature": silent,
}
KEYED_RESULTS = {"functionResponse": ("id", "response"), "function_response": ("id", "response")}
"""Key of a part that holds a tool's answer → where, below it, id and answer stand; its name stands beside."""
