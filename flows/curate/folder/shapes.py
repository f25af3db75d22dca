"""Kinds of dataset: examples into the rows that trainers and the eval runner take, one schema a kind.

    sft          messages, weighted                         the answer is the last message
    completion   prompt, completion                         the same rows, so that the answer alone is learned
    preference   prompt, chosen, rejected                   conversational, explicit prompt
    kto          prompt, completion, label                  unpaired: good answers and bad ones
    guardrail    messages, guard, category, passed, right   verdicts that people have judged
    eval         item_id, messages, reference, slice, …     questions with a known answer, for `flows/evaluate`
    sample       the same, with or without a reference      the newest requests, which decide

Columns beyond a trainer's own are provenance; trainers ignore them. Every row carries `row_id`, the hash of what it
says, and `interaction_id`, where it came from. Kinds of your own: docs/extending.md. Go on to `folder.py`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Literal

import msgspec
import pyarrow as pa

from flows.curate.build import Build
from flows.curate.turns import taught
from schemas.codec import check_depth
from schemas.errors import EventError
from schemas.events import to_json
from schemas.records import Example
from schemas.settings import SAMPLE
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
    pa.field("told_by", pa.string()),
    pa.field("cluster_id", pa.string()),
    pa.field("model", pa.string()),
    pa.field("prompt_version", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("copies", pa.int64()),
    pa.field("time", TIME),
]
Texts = tuple[str, ...]
"""A chat as the JSON texts of its parts: prompt, then answer."""


Column = Literal["chat", "text", "flag", "number", "tools", "weights"]
"""What a column holds: messages, a text, true or false, a float, the tools that the row's model could call, or messages
with weights."""
_TYPES = {
    "text": pa.string(), "flag": pa.bool_(), "number": pa.float64(), "tools": pa.list_(JSON), "weights": pa.list_(JSON),
}  # fmt: skip


class Shaped(msgspec.Struct, frozen=True):
    """The rows that some examples give, column by column; all lists are of one length."""

    sources: list[Example]
    """The example of each row; one may have several."""
    chats: dict[str, list[Texts]]
    """Columns of messages."""
    others: dict[str, list[Any]] = {}
    """Columns of texts, flags and numbers; `row_id` and `item_id` are filled in."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of dataset: which examples it takes, and what rows it makes of them.

    `takes` is called once a build, after the split, the removal of what leaks, de-duplication and the recipe: what it
    is given is safe to teach. `shape` is called with some of those examples at a time, in order, never with all; it
    must depend on them alone, since the rows' hash is the version's name. Neither is given personal data that
    `redact` found, and neither may keep what it is given.
    """

    name: str
    """Of the config, as `datasets.load_dataset` takes it."""
    columns: Mapping[str, Column]
    """Its own columns, in order, beside those of SOURCE. A column of tools is filled in, and left out where no example
    has any; one of weights is left out where no example needs them."""
    takes: Callable[[Build], Sequence[Example]]
    shape: Callable[[Sequence[Example]], Shaped]
    split: str = "train"
    later: frozenset[str] = frozenset()
    """Columns that say what was found out about a row: they do not name it."""
    always_tools: bool = False
    """Keep the column of tools where no example has any."""

    @property
    def teaches(self) -> bool:
        """Whether its rows are trained on, rather than asked."""
        return self.split == "train"


def _sft(examples: Sequence[Example]) -> Shaped:
    """`messages` begin behind the last turn that failed; `weighted` has all of them, those turns with weight 0."""
    chats: dict[str, list[Texts]] = {"messages": [(_taught(e), e.answer) for e in examples]}
    return Shaped(list(examples), chats, {"weighted": [_weighted(e) for e in examples]})


def _taught(example: Example) -> str:
    if not example.begins:
        return example.prompt
    return to_json(taught(_DECODER.decode(example.prompt), example.begins))


def _weighted(example: Example) -> list[str] | None:
    if not example.failed:
        return None
    masked = [
        {**message, "weight": 0} if place in example.failed else message
        for place, message in enumerate(_DECODER.decode(example.prompt))
    ]
    return _texts([*masked, *_DECODER.decode(example.answer)])


def _completion(examples: Sequence[Example]) -> Shaped:
    """The rows of `sft` under their own ids, parted before the answer: trainers learn the completion alone."""
    chats: dict[str, list[Texts]] = {
        "prompt": [(_taught(e),) for e in examples],
        "completion": [(e.answer,) for e in examples],
    }
    return Shaped(list(examples), chats)


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
        "rubric": [e.rubric for e in examples],
        "source": [e.origin for e in examples],
    }
    return Shaped(list(examples), {"messages": [(e.prompt,) for e in examples]}, others)


def _sample(examples: Sequence[Example]) -> Shaped:
    """A request is the same item whatever is said of it later; `kept_out` marks users of whom nothing is taught."""
    items = _eval([msgspec.structs.replace(e, answer=e.answer or "[]", feedback_id=None) for e in examples])
    return Shaped(items.sources, items.chats, {**items.others, "kept_out": [e.kept_out for e in examples]})


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="sft",
            columns={"messages": "chat", "weighted": "weights", "tools": "tools"},
            takes=lambda made: made.taught,
            shape=_sft,
            later=frozenset({"weighted"}),
        ),
        Kind(
            name="completion",
            columns={"prompt": "chat", "completion": "chat", "tools": "tools"},
            takes=lambda made: made.taught,
            shape=_completion,
        ),
        Kind(
            name="preference",
            columns={"prompt": "chat", "chosen": "chat", "rejected": "chat", "tools": "tools"},
            takes=lambda made: made.pairs,
            shape=_preference,
        ),
        Kind(
            name="kto",
            columns={"prompt": "chat", "completion": "chat", "label": "flag", "tools": "tools"},
            takes=lambda made: (*made.taught, *made.rejected),
            shape=_kto,
        ),
        Kind(
            name="guardrail",
            columns={
                "messages": "chat", "guard": "text", "category": "text", "passed": "flag", "right": "flag",
                "judged_by": "text", "tools": "tools",
            },
            takes=lambda made: made.guardrail,
            shape=_guardrail,
        ),
        Kind(
            name="eval",
            split="test",
            columns={
                "item_id": "text", "messages": "chat", "reference": "text", "slice": "text", "rubric": "text",
                "tools": "tools", "source": "text",
            },
            takes=lambda made: made.eval,
            shape=_eval,
            later=frozenset({"slice", "source"}),
            always_tools=True,
        ),
        Kind(
            name=SAMPLE,
            split="test",
            columns={
                "item_id": "text", "messages": "chat", "reference": "text", "slice": "text", "rubric": "text",
                "tools": "tools", "source": "text", "kept_out": "flag",
            },
            takes=lambda made: made.sample,
            shape=_sample,
            later=frozenset({"slice", "source", "reference", "kept_out"}),
            always_tools=True,
        ),
    )
}  # fmt: skip
"""Our own kinds by name; the first of a version's is what `datasets` opens by default."""


def schema_of(kind: Kind, with_tools: bool, with_weights: bool = False) -> pa.Schema:
    """The Arrow schema of a kind; `with_tools` where any row of the dataset calls or defines one."""
    types = {**_TYPES, "chat": MESSAGES if with_tools else PLAIN}
    needed = {"tools": with_tools or kind.always_tools, "weights": with_weights}
    own = [pa.field(name, types[holds]) for name, holds in kind.columns.items() if needed.get(holds, True)]
    return pa.schema([*own, *SOURCE])


def uses_tools(example: Example) -> bool:
    """Whether an example needs the wide message form (tool calls, named or tool messages)."""
    texts = (example.prompt, example.answer, example.rejected or "")
    return bool(example.tools) or any('"tool_call' in text or '"name":' in text for text in texts)


def to_arrow(kind: Kind, examples: Sequence[Example], schema: pa.Schema) -> tuple[pa.Table, bytes]:
    """Rows as an Arrow table of the schema, and their content as bytes that no writer, thread or shard changes."""
    shaped = kind.shape(examples)
    columns = _columns(kind, shaped, schema)
    arrays = [
        _chat_column(shaped.chats[field.name], field.type)
        if field.name not in columns
        else pa.array(columns[field.name], _storage(field.type)).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema), to_json(columns).encode()


def content_of(kind: Kind, examples: Sequence[Example], schema: pa.Schema) -> bytes:
    """The rows' content as `to_arrow` gives it, at a third of the cost."""
    return to_json(_columns(kind, kind.shape(examples), schema)).encode()


def _columns(kind: Kind, shaped: Shaped, schema: pa.Schema) -> dict[str, list[Any]]:
    """All columns but the chats, which are in the row's id."""
    ids = row_ids(shaped, kind.later)
    own: dict[str, list[Any]] = {**shaped.others, "row_id": ids, "item_id": ids}
    if "tools" in schema.names:
        own["tools"] = [_texts(msgspec.json.decode(e.tools)) if e.tools else None for e in shaped.sources]
    return {
        name: own[name] if name in own else [getattr(e, name) for e in shaped.sources]
        for name in schema.names
        if kind.columns.get(name) != "chat"
    }


def row_ids(shaped: Shaped, later: Container[str] = ()) -> list[str]:
    """16 hex digits of the SHA-256 of each row's chats, own columns, tools and source.

    It says what the row teaches or asks, and of whom: a later cluster or score does not change it.
    """
    own = [to_json(value) for value in zip(*(v for k, v in shaped.others.items() if k not in later), strict=True)]
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
            check_depth(arguments.encode())
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError, EventError):  # no JSON, or none that every reader can read
            arguments = {"text": arguments}
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _texts(values: list[dict[str, Any]] | None) -> list[str] | None:
    return [msgspec.json.encode(value, order="sorted").decode() for value in values] if values else None


def _storage(kind: pa.DataType) -> pa.DataType:
    """What a JSON column is built from before it is cast: text."""
    if pa.types.is_list(kind):
        return pa.list_(_storage(kind.value_type))
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
