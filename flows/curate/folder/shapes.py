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

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from schemas.events import to_json
from schemas.records import Example
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
Texts = tuple[str, ...]
"""A chat as the JSON texts of its parts: prompt, then answer."""


class Shaped(msgspec.Struct, frozen=True):
    """The rows of one kind, column by column."""

    sources: list[Example]
    """The example of each row; one may have several."""
    chats: dict[str, list[Texts]]
    others: dict[str, list[Any]] = {}


def _sft(examples: Sequence[Example]) -> Shaped:
    return Shaped(list(examples), {"messages": [(e.prompt, e.answer) for e in examples]})


def _preference(examples: Sequence[Example]) -> Shaped:
    chats: dict[str, list[Texts]] = {
        "prompt": [(e.prompt,) for e in examples],
        "chosen": [(e.answer,) for e in examples],
        "rejected": [(e.rejected or "[]",) for e in examples],
    }
    return Shaped(list(examples), chats)


def _kto(examples: Sequence[Example]) -> Shaped:
    """Each answer of an example, good or bad, is a row of its own."""
    rows = [(e, text, good) for e in examples for text, good in ((e.answer, True), (e.rejected, False)) if text]
    chats: dict[str, list[Texts]] = {
        "prompt": [(e.prompt,) for e, _, _ in rows],
        "completion": [(text,) for _, text, _ in rows],
    }
    return Shaped([e for e, _, _ in rows], chats, {"label": [good for _, _, good in rows]})


def _guardrail(examples: Sequence[Example]) -> Shaped:
    verdicts = [msgspec.json.decode(e.guard or "{}") for e in examples]
    names = ("guard", "category", "passed", "right", "judged_by")
    others = {name: [verdict.get(name) for verdict in verdicts] for name in names}
    return Shaped(list(examples), {"messages": [(e.prompt, e.answer) for e in examples]}, others)


def _eval(examples: Sequence[Example]) -> Shaped:
    others: dict[str, list[Any]] = {
        "reference": [_reference(e.answer) for e in examples],
        "slice": [e.cluster_id for e in examples],
        "rubric": [None] * len(examples),
        "source": [e.origin for e in examples],
    }
    return Shaped(list(examples), {"messages": [(e.prompt,) for e in examples]}, others)


SHAPES: Mapping[str, Callable[[Sequence[Example]], Shaped]] = {
    "sft": _sft,
    "preference": _preference,
    "kto": _kto,
    "guardrail": _guardrail,
    "eval": _eval,
}
"""Kind → what makes its rows."""
LATER = frozenset({"slice", "source"})
"""Columns that say what was found out about a row: they do not name it."""
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


def to_arrow(shaped: Shaped, schema: pa.Schema) -> tuple[pa.Table, bytes]:
    """Rows as an Arrow table of the schema, and their content as bytes that no writer, thread or shard changes."""
    columns = _columns(shaped, schema)
    arrays = [
        _chat_column(shaped.chats[field.name], field.type)
        if field.name in CHAT
        else pa.array(columns[field.name], _storage(field.type)).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema), to_json(columns).encode()


def _columns(shaped: Shaped, schema: pa.Schema) -> dict[str, list[Any]]:
    """All columns but the chats, which are in the row's id."""
    ids = row_ids(shaped)
    own: dict[str, list[Any]] = {**shaped.others, "row_id": ids, "item_id": ids}
    if "tools" in schema.names:
        own["tools"] = [_texts(msgspec.json.decode(e.tools)) if e.tools else None for e in shaped.sources]
    return {
        name: own[name] if name in own else [getattr(e, name) for e in shaped.sources]
        for name in schema.names
        if name not in CHAT
    }


def row_ids(shaped: Shaped) -> list[str]:
    """16 hex digits of the SHA-256 of each row's chats, own columns, tools and source.

    It says what the row teaches or asks, and of whom: a later cluster or score does not change it.
    """
    own = [to_json(value) for value in zip(*(v for k, v in shaped.others.items() if k not in LATER), strict=True)]
    return [
        hashlib.sha256("\0".join((
            *itertools.chain.from_iterable(chats), extra, e.tools or "", e.interaction_id, e.feedback_id or "",
        )).encode()).hexdigest()[:16]
        for e, extra, *chats in zip(shaped.sources, own or itertools.repeat(""), *shaped.chats.values(), strict=False)
    ]  # fmt: skip


def _chat_column(chats: list[Texts], kind: pa.ListType) -> pa.Array:
    """Messages flat, field by field: three times as fast as from nested values, and JSON cannot be built otherwise."""
    decoded = [list(itertools.chain.from_iterable(map(_DECODER.decode, texts))) for texts in chats]
    messages = list(itertools.chain.from_iterable(decoded))
    fields = []
    for field in kind.value_type:
        values = [message.get(field.name) for message in messages]
        if field.name == "tool_calls":
            values = [_texts(_calls(calls)) for calls in values]
        fields.append(pa.array(values, _storage(field.type)).cast(field.type))
    offsets = pa.array(itertools.accumulate(map(len, decoded), initial=0), pa.int32())
    return pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(fields, fields=list(kind.value_type)), type=kind
    )


_DECODER = msgspec.json.Decoder(list[dict[str, Any]])


def _reference(answer: str) -> str | None:
    """The last text of a good answer; where it only calls tools, those calls as JSON."""
    messages = _DECODER.decode(answer)
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    text = next((message["content"] for message in reversed(messages) if message.get("content")), None)
    return text or (to_json(calls) if calls else None)


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
