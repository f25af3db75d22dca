"""Examples into the rows that trainers and the eval runner take, one schema a kind.

    sft          messages                                   the answer is the last message
    preference   prompt, chosen, rejected                   conversational, explicit prompt
    kto          prompt, completion, label                  unpaired: good answers and bad ones
    guardrail    messages, guard, category, passed, right   verdicts that people have judged
    eval         item_id, messages, reference, slice, …     what `flows/evaluate` reads

Columns beyond a trainer's own are provenance; trainers ignore them. Every row carries `row_id`, the hash of what it
says, and `interaction_id`, where it came from. Go on to `folder.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from schemas.events import to_json
from schemas.records import Example, content_hash
from schemas.tables import TIME

JSON = pa.json_(pa.string())
"""Parquet's JSON type, which `datasets` reads as `Json()`: an inferred struct would corrupt tool calls, giving each
call the arguments of all others."""
MESSAGES = pa.list_(
    pa.struct([
        pa.field("role", pa.string()),
        pa.field("content", pa.string()),
        pa.field("name", pa.string()),
        pa.field("tool_calls", pa.list_(JSON)),
        pa.field("tool_call_id", pa.string()),
    ])
)  # fmt: skip
PLAIN = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))
"""Messages where no row calls a tool: the form that every trainer knows."""
SOURCE = [
    pa.field("row_id", pa.string()),
    pa.field("interaction_id", pa.string()),
    pa.field("feedback_id", pa.string()),
    pa.field("other_id", pa.string()),
    pa.field("origin", pa.string()),
    pa.field("unit", pa.string()),
    pa.field("cluster_id", pa.string()),
    pa.field("model", pa.string()),
    pa.field("prompt_version", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("copies", pa.int64()),
    pa.field("time", TIME),
]
Row = dict[str, Any]


def sft_rows(example: Example) -> list[Row]:
    """The conversation with its good answer."""
    return [_row(example, messages=_decode(example.prompt) + _decode(example.answer))]


def preference_rows(example: Example) -> list[Row]:
    """The good answer beside the one that was corrected or regenerated."""
    rejected = _decode(example.rejected or "[]")
    return [_row(example, prompt=_decode(example.prompt), chosen=_decode(example.answer), rejected=rejected)]


def kto_rows(example: Example) -> list[Row]:
    """Each answer of the example, good or bad, as a row of its own."""
    answers = ((example.answer, True), (example.rejected, False))
    prompt = _decode(example.prompt)
    return [_row(example, prompt=prompt, completion=_decode(text), label=label) for text, label in answers if text]


def guardrail_rows(example: Example) -> list[Row]:
    """What the guardrail saw, what it said, and whether people agree."""
    verdict = msgspec.json.decode(example.guard or "{}")
    return [_row(example, messages=_decode(example.prompt) + _decode(example.answer), **verdict)]


def eval_rows(example: Example) -> list[Row]:
    """The question, the reference answer and the slice (cluster) that a score counts for."""
    row = _row(example, messages=_decode(example.prompt), reference=_reference(_decode(example.answer)))
    return [{"item_id": row["row_id"], "slice": example.cluster_id, "rubric": None, "source": example.origin, **row}]


def _reference(answer: list[Row]) -> str | None:
    """The last text of the good answer; where it only calls tools, those calls as JSON."""
    text = next((message["content"] for message in reversed(answer) if message.get("content")), None)
    calls = [call for message in answer for call in message.get("tool_calls") or []]
    return text or (to_json(calls) if calls else None)


ROWS: Mapping[str, Callable[[Example], list[Row]]] = {
    "sft": sft_rows,
    "preference": preference_rows,
    "kto": kto_rows,
    "guardrail": guardrail_rows,
    "eval": eval_rows,
}
"""Kind → what makes its rows of an example."""
CHAT = frozenset({"messages", "prompt", "completion", "chosen", "rejected"})
FLAGS = frozenset({"label", "passed", "right"})
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sft": ("messages", "tools"),
    "preference": ("prompt", "chosen", "rejected", "tools"),
    "kto": ("prompt", "completion", "label", "tools"),
    "guardrail": ("messages", "guard", "category", "passed", "right", "judged_by", "tools"),
    "eval": ("item_id", "messages", "reference", "slice", "rubric", "tools", "source"),
}
"""Kind → its own columns."""


def schema_of(kind: str, with_tools: bool) -> pa.Schema:
    """The Arrow schema of a kind; `with_tools` where any row of the dataset calls or defines one."""
    types = dict.fromkeys(CHAT, MESSAGES if with_tools else PLAIN) | dict.fromkeys(FLAGS, pa.bool_())
    types["tools"] = pa.list_(JSON)
    names = [name for name in COLUMNS[kind] if with_tools or name != "tools" or kind == "eval"]
    return pa.schema([*(pa.field(name, types.get(name, pa.string())) for name in names), *SOURCE])


def uses_tools(example: Example) -> bool:
    """Whether an example needs the wide message form (tool calls, named or tool messages)."""
    texts = (example.prompt, example.answer, example.rejected or "")
    return bool(example.tools) or any('"tool_call' in text or '"name":' in text for text in texts)


def to_arrow(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table of the schema."""
    return pa.Table.from_arrays([_column(rows, field) for field in schema], schema=schema)


def _column(rows: list[Row], field: pa.Field) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    if field.name in CHAT:
        return _chat_column(values, field.type)
    if field.name == "tools":
        values = [_texts(value) for value in values]
    return pa.array(values, _storage(field.type)).cast(field.type)


def _chat_column(chats: list[Any], kind: pa.ListType) -> pa.Array:
    """Messages flat, field by field: three times as fast as from nested values, and JSON cannot be built otherwise."""
    messages = [message for chat in chats for message in chat or ()]
    fields = []
    for field in kind.value_type:
        values = [message.get(field.name) for message in messages]
        if field.name == "tool_calls":
            values = [_texts(_calls(calls)) for calls in values]
        fields.append(pa.array(values, _storage(field.type)).cast(field.type))
    offsets = pa.array(itertools.accumulate((len(chat or ()) for chat in chats), initial=0), pa.int32())
    return pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(fields, fields=list(kind.value_type)), type=kind
    )


def _row(example: Example, **own: Any) -> Row:
    """`row_id` says what the row teaches or asks, and of whom: a later cluster or score does not change it."""
    own["tools"] = msgspec.json.decode(example.tools) if example.tools else None
    row_id = content_hash([own, example.interaction_id, example.feedback_id])[:16]
    return {**own, "row_id": row_id, **{name: getattr(example, name) for name in _COPIED}}


_COPIED = [field.name for field in SOURCE if field.name != "row_id"]


def _decode(messages_json: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = msgspec.json.decode(messages_json)
    return messages


def _calls(calls: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    return [_call(call) for call in calls] if calls else None


def _call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call["function"].get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except msgspec.DecodeError:  # the model wrote no JSON: keep what it wrote
            arguments = {"text": arguments}
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _texts(values: list[dict[str, Any]] | None) -> list[str] | None:
    return [msgspec.json.encode(value, order="sorted").decode() for value in values] if values else None


def _storage(kind: pa.DataType) -> pa.DataType:
    """What a JSON column is built from before it is cast: text."""
    if pa.types.is_list(kind):
        return pa.list_(_storage(kind.value_type))
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
