"""Rows of a dataset version as lines for hosted fine-tuning, in OpenAI's form.

    sft          {"messages": […], "tools"?: […]}          turns that failed have `"weight": 0`
    preference   {"input": {"messages": […], "tools"?: […]}, "preferred_output": […], "non_preferred_output": […]}

Provenance is left out (some services refuse unknown fields) and arguments of tool calls become JSON text again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from flows.curate.folder.opened import shards
from schemas.errors import UsageError
from schemas.messages import Chat

CONFIGS = ("sft", "preference")


def openai_lines(folder: Path, config: str) -> Iterator[bytes]:
    """One JSON line a row, in the rows' order. Raises UsageError for a config that has no such form."""
    if config not in CONFIGS:
        raise UsageError(f"config {config!r} has no OpenAI form; it has for {' and '.join(CONFIGS)}")
    for path in shards(folder, config):
        for batch in pq.ParquetFile(path).iter_batches(10_000):
            for row in batch.to_pylist():
                yield msgspec.json.encode(_sft(row) if config == "sft" else _preference(row)) + b"\n"


def _sft(row: dict[str, Any]) -> dict[str, Any]:
    messages = [_decoded(message) for message in row.get("weighted") or ()] or row["messages"]
    return {"messages": _chat(messages), **_tools(row)}


def _preference(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "input": {"messages": _chat(row["prompt"]), **_tools(row)},
        "preferred_output": _chat(row["chosen"]),
        "non_preferred_output": _chat(row["rejected"]),
    }


def _tools(row: dict[str, Any]) -> dict[str, Any]:
    return {"tools": [_decoded(tool) for tool in row["tools"]]} if row.get("tools") else {}


def _chat(messages: Chat) -> Chat:
    """Messages without nulls; calls with their arguments as text, as the API wants them."""
    return [
        {
            key: [_call(call) for call in value] if key == "tool_calls" else value
            for key, value in m.items()
            if value is not None
        }
        for m in messages
    ]


def _call(call: Any) -> dict[str, Any]:
    decoded = _decoded(call)
    arguments = decoded["function"].get("arguments", {})
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments, order="sorted").decode()
    return {"id": decoded.get("id", ""), "type": "function", "function": {**decoded["function"], "arguments": text}}


def _decoded(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(value) if isinstance(value, str) else value
    return found
