"""OpenAI's parts of content, calls of chat completions, and items of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.messages.parts import (
    Other,
    Part,
    Piece,
    Reader,
    Text,
    call,
    other,
    silent,
    words,
)


def _text(part: Part) -> list[Piece]:
    """`text` is OpenAI's and nearly everybody's word, `content` is OpenTelemetry's."""
    return words(part["text"] if part.get("text") is not None else part.get("content"))


def _refusal(part: Part) -> list[Piece]:
    return [Text(part["refusal"], refusal=True)] if isinstance(part.get("refusal"), str) and part["refusal"] else []


def _audio(part: Part) -> list[Piece]:
    return [*words(part.get("transcript")), Other("audio")]


PARTS: dict[str, Reader] = {
    **dict.fromkeys(("text", "input_text", "output_text", "text_delta"), _text),
    "refusal": _refusal,
    **dict.fromkeys(("image_url", "input_image", "image", "image_file", "output_image"), other("image")),
    **dict.fromkeys(("input_audio", "output_audio", "audio", "audio_url"), _audio),
    **dict.fromkeys(("video", "video_url", "input_video"), other("video")),
    **dict.fromkeys(("file", "input_file", "file_url"), other("file")),
    **dict.fromkeys(("reasoning", "reasoning_text", "summary_text", "reasoning_content"), silent),
}


def calls_of(found: Any) -> list[Piece]:
    """`tool_calls` of a message: OpenAI's, OpenInference's wrapped ones, LangChain's flat ones."""
    if isinstance(found, Mapping):
        found = list(found.values())
    return [piece for each in found for piece in _call(each)] if isinstance(found, list) else []


def _call(each: Any) -> list[Piece]:
    if not isinstance(each, Mapping):
        return [] if each is None else [Other("unknown")]
    if isinstance(each.get("tool_call"), Mapping):
        return _call(each["tool_call"])
    if isinstance(function := each.get("function"), Mapping):
        return call(function.get("name"), function.get("arguments"), each.get("id"))
    if isinstance(custom := each.get("custom"), Mapping):
        return custom_call(custom.get("name"), custom.get("input"), each.get("id"))
    if isinstance(each.get("name"), str):
        arguments = next((each[key] for key in ("args", "arguments", "input") if each.get(key) is not None), None)
        return call(each["name"], arguments, each.get("id"))
    return [Other("unknown")]


def custom_call(name: Any, text: Any, id_: Any) -> list[Piece]:
    """A call of a tool that takes free text: shown as a function of one argument, which is not what it was."""
    return [*call(name, {"input": text}, id_), Other("custom_tool")]


def single_call(found: Any) -> list[Piece]:
    """`function_call` of old: one call, without an id."""
    return call(found.get("name"), found.get("arguments"), None) if isinstance(found, Mapping) else []


def is_item(message: Part) -> bool:
    """Whether this is an item of the Responses API that is no message."""
    kind = message.get("type")
    return isinstance(kind, str) and not message.get("role") and (kind in ITEMS or kind.endswith(_ENDINGS))


def is_output(message: Part) -> bool:
    """Whether such an item is what a tool answered."""
    return str(message.get("type")) in {"function_call_output", "custom_tool_call_output"}


def item(message: Part) -> list[Piece]:
    """The pieces of an item that is not a tool's output."""
    return ITEMS.get(message["type"], other("hosted_tool"))(message)


_ENDINGS = ("_call", "_call_output")
ITEMS: dict[str, Reader] = {
    "function_call": lambda m: call(m.get("name"), m.get("arguments"), m.get("call_id") or m.get("id")),
    "custom_tool_call": lambda m: custom_call(m.get("name"), m.get("input"), m.get("call_id") or m.get("id")),
    "function_call_output": silent,
    "custom_tool_call_output": silent,
    "reasoning": silent,
    "image_generation_call": lambda _: [Other("image"), Other("hosted_tool")],
    "item_reference": other("unknown"),
    "compaction": other("unknown"),
    **dict.fromkeys(("mcp_list_tools", "mcp_approval_request", "mcp_approval_response"), other("hosted_tool")),
}
