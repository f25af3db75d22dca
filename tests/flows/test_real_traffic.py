"""What real applications send, from Kafka's bytes through outcomes and clusters into a dataset, without a stop."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from flows.cluster.stage import cluster, judged_of
from flows.curate.folder.export import openai_lines
from flows.curate.stage import curate
from flows.testing.events import feedback, happened, interaction
from schemas.settings import ArchiveSettings, CurateSettings, Settings
from schemas.topics import INTERACTIONS
from streams.archive.batch import make_batch
from streams.lake import Lake
from streams.lake.append import append
from tests.support.records import Record

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
Messages = list[dict[str, Any]]


class Odd(Record):
    """A record whose time is in nanoseconds, by mistake, and whose header has a name that is no UTF-8."""

    def __init__(self, offset: int, value: bytes) -> None:
        super().__init__(offset, value, time_ms=1_767_600_000_000_000_000)

    def headers(self) -> Any:
        return b"\xff\xfe".decode()  # a name that is no UTF-8


def user(n: int, text: str) -> Messages:
    return [{"role": "user", "content": f"{text} {n} {n * 7919 % 1000}"}]


def call(arguments: Any) -> Messages:
    function = {"name": "lookup", "arguments": arguments}
    return [{"role": "assistant", "content": None, "tool_calls": [{"id": None, "function": function}]}]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SENT: list[tuple[str, Messages, Messages, str]] = [  # name, question, answer, why it is in no dataset
    ("openai", user(1, "openai"), [{"role": "assistant", "content": "Yes.", "refusal": None, "annotations": []}], ""),
    (
        "responses",
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "responses, please"}]}],
        [{"type": "reasoning"}, {"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}],
        "",
    ),
    (
        "anthropic",
        [{"role": "user", "content": [{"type": "text", "text": "anthropic blocks"}]}],
        [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Yes."}]}],
        "",
    ),
    ("gemini", [{"parts": [{"text": "gemini contents"}]}], [{"role": "model", "parts": [{"text": "Yes."}]}], ""),
    (
        "langchain",
        [{"type": "human", "data": {"content": "langchain dump"}}],
        [{"lc": 1, "type": "constructor", "id": ["AIMessage"], "kwargs": {"content": "Yes."}}],
        "",
    ),
    (
        "openinference",
        [{"message.role": "user", "message.content": "openinference attributes"}],
        [{"message": {"role": "assistant", "content": "Yes."}}],
        "",
    ),
    ("deep arguments", user(2, "deep"), call('{"a":' * 3000), ""),
    ("digits", user(3, "digits"), call({"n": int("9" * 400)}), ""),
    ("object arguments", user(4, "object"), call({"to": {"id": "a", "type": "b"}}), ""),
    ("custom", user(5, "custom"), [{"role": "assistant", "tool_calls": [{"custom": {"name": "sh", "input": "ls"}}]}],
     "has_custom_tool"),
    ("picture", [{"role": "user", "content": [{"type": "text", "text": "What is that?"}, IMAGE]}],
     [{"role": "assistant", "content": "A cat."}], "has_image"),
    ("unknown part", [{"role": "user", "content": [{"type": "hologram", "x": 1}, "Look at it"]}],
     [{"role": "assistant", "content": "I see."}], "has_unknown"),
    ("null text", [{"role": "user", "content": [{"type": "text", "text": None}]}],
     [{"role": "assistant", "content": "Hm?"}], "no_question"),
    ("scripts", [{"role": "user", "content": "दिन क्या होता है / ป่า 🌳 / 中国的首都"}],
     [{"role": "assistant", "content": "北京"}], ""),
]  # fmt: skip


def arrive(lake: Lake) -> dict[str, str]:
    """All of it at rest, with a thumb up each; name → id."""
    events = [interaction(n, user_id=f"u-{n}", conversation_id=f"c-{n}") for n in range(len(SENT))]
    records = []
    for n, (event, (_, asked, answered, _)) in enumerate(zip(events, SENT, strict=True)):
        fields = {**msgspec.to_builtins(event), "input_messages": asked, "output_messages": answered}
        records.append(Odd(n, json.dumps(fields).encode()))
    batch = make_batch(INTERACTIONS, "t", records, {0: 0}, AS_OF, ArchiveSettings())
    assert batch.dead == []
    append(lake, "interactions", batch.rows, {})
    happened(lake, *(feedback(n, event, value=1.0) for n, event in enumerate(events)))
    return {name: event.id for (name, *_), event in zip(SENT, events, strict=True)}


def test_a_turn_goes_through_all_that_real_traffic_sends(tmp_path: Path) -> None:
    """Nothing is refused, nothing is called empty, a dataset is built, and what is left out has its reason."""
    settings = Settings(home=str(tmp_path), curate=CurateSettings(paraphrase=1, eval_share=0.0, hold_back=0.0))
    lake = Lake(settings.lake_root)
    ids = arrive(lake)

    outcomes = {outcome.interaction_id: outcome for outcome in judged_of(lake, settings).outcomes}
    cluster(lake, settings, AS_OF)
    summary = curate(lake, settings, AS_OF + timedelta(hours=1))

    assert {name: outcomes[id_].reasons for name, id_ in ids.items()} == dict.fromkeys(ids, ("thumb_up",))
    reasons: dict[str, int] = {}
    for *_, reason in SENT:
        reasons[reason] = reasons.get(reason, 0) + 1
    taught = reasons.pop("")
    assert summary["dropped"] == reasons
    folder = Path(summary["training"]["path"])
    (file,) = folder.glob("data/sft-*.parquet")
    rows = {row["interaction_id"]: row for row in pq.read_table(file).to_pylist()}
    assert len(rows) == taught
    (looped,) = (json.loads(text) for text in rows[ids["deep arguments"]]["messages"][-1]["tool_calls"])
    assert looped["function"]["arguments"]["text"].startswith('{"a":{"a":')
    assert all(json.loads(line)["messages"] for line in openai_lines(folder, "sft"))
