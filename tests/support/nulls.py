"""A lake in which whatever may be NULL sometimes is: rows of every table, the same each time, of few names."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa

from flows.testing.events import START
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import publish

ROWS = 300
NAMES = ["support-bot", "support-bot", "support-bot", "other"]
USERS = ["ann", " ann ", "böb", "bo\u0308b", "x\0y ", "", "\u3000cleo"]
KINDS = [
    "thumb",
    "correction",
    "label",
    "guardrail",
    "guardrail",
    "guardrail",
    "reviewer",
    "reviewer",
    "copy",
    "judge",
    "regenerate",
    "no such kind",
]
CHOICES: dict[str, list[Any]] = {
    "application": NAMES, "user_id": USERS, "subject": ["cleo", "nobody"], "kind": KINDS,
    "conversation_id": ["c1", "c2 ", "c3", "ann"], "request_model": ["m1", "m2"], "prompt_version": ["p1", ""],
    "variant": ["a", "b", ""], "outcome": ["ok", "failed", "failed", "unknown"], "assigned_by": ["birth", "person"],
    "cluster_id": ["k1", "k2", "k3", ""], "alias_of": ["k1"], "text_hash": ["h1", "h2", "h3", "h4"],
    "voices": ["v1", "v2", "v3"],
    "label": ["exclude", "cannot_tell", "wrong", "e\u0301"], "source": ["reviewer:r", "reviewer:r", "user", "judge:j"],
    "status": ["current", "stale", "withdrawn"], "stage": ["cluster", "curate"], "embedder": ["e"],
    "reason": ["erased", "bad_json", "duplicate"], "kafka_topic": ["llm.interactions", "llm.feedback"],
    "kafka_topic_id": ["t1", "t2"], "signed_by": ["key"], "input_messages": ["hello", "héllo"], "how": ["now", "then"],
}  # fmt: skip
"""Column → its values; a column that may be NULL is so one time in three, besides."""
DATES = [(START + timedelta(days=day)).date() for day in range(3)]
IDS = {"interaction_id", "replaced_by", "detail", "medoid_interaction_id", "other_id"}
TAKEN_BACK = {"supersedes", "retracts", "feedback_id"}
UNIQUE = {  # what nothing in the product makes twice: of two such rows either might be the one that holds
    "runs": ("run_id",), "cluster_members": ("interaction_id", "moves"), "embeddings": ("text_hash",),
    "outcomes": ("interaction_id", "revision"), "dataset_versions": ("version",), "golden": ("act_id",),
    "voices": ("run_id", "voices"), "clusters": ("run_id", "cluster_id"), "cleared": ("id",),
}  # fmt: skip


def fill(lake: Lake) -> None:
    """Rows into every table."""
    for number, (name, table) in enumerate(sorted(TABLES.items())):
        rng = random.Random(number)
        made = [_of_one_application({f.name: _value(f, rng, name, n) for f in table.schema}) for n in range(ROWS)]
        keys = UNIQUE.get(name, ())
        once = {tuple(row[key] or 0 for key in keys) if keys else n: row for n, row in enumerate(made)}
        publish(lake, name, pa.Table.from_pylist(list(once.values()), schema=table.schema), "filled")


def _of_one_application(row: dict[str, Any]) -> dict[str, Any]:
    """All that a run wrote is of its application: of two runs' rows either might else be the newest."""
    if row.get("run_id") and "application" in row:
        row["application"] = NAMES[int(row["run_id"].removeprefix("r")) % len(NAMES)]
    return row


def _value(field: pa.Field, rng: random.Random, table: str, n: int) -> Any:
    name = field.name
    if field.nullable and rng.random() < (0.8 if name in TAKEN_BACK else 0.33):
        return None
    if name in CHOICES:
        return rng.choice(CHOICES[name])
    if name == "id" or name in IDS or name in TAKEN_BACK:  # each id some three times: doubles
        mine = name in TAKEN_BACK or (name == "id" and table == "feedback")
        return f"{'f' if mine else 'i'}{rng.randrange(ROWS // (1 if mine else 3))}"
    for value in (_numbered(field, rng, n), _of_kind(field.type, rng)):
        if value is not None:
            return value
    return rng.choice([name, f"{name} é", ""])


def _numbered(field: pa.Field, rng: random.Random, n: int) -> Any:
    """A value of a column that counts or names."""
    if field.name in {"version", "act_id", "key"} and pa.types.is_string(field.type):
        return f"{field.name}-{n}"
    return {"run_id": f"r{rng.randrange(30)}", "kafka_offset": n * 2, "sequence": n}.get(field.name)


def _of_kind(kind: pa.DataType, rng: random.Random) -> Any:
    """Any value of a type; None for a text."""
    makers: tuple[tuple[bool, Callable[[], Any]], ...] = (
        (
            pa.types.is_timestamp(kind),
            lambda: START + timedelta(hours=rng.randrange(200), microseconds=rng.randrange(3)),
        ),
        (pa.types.is_date(kind), functools.partial(rng.choice, DATES)),
        (pa.types.is_list(kind), functools.partial(_list, kind, rng)),
        (pa.types.is_integer(kind), lambda: rng.randrange(4)),
        (pa.types.is_floating(kind), functools.partial(rng.choice, [0.0, 0.25, 0.5, 1.0, 3.5])),
        (pa.types.is_boolean(kind), lambda: rng.random() < 0.5),
        (pa.types.is_binary(kind), lambda: b"bytes"),
    )
    return next((make() for fits, make in makers if fits), None)


def _list(kind: pa.DataType, rng: random.Random) -> list[Any]:
    if pa.types.is_floating(kind.value_type):
        return [rng.choice([0.0, 0.5, -0.25]) for _ in range(4)]
    return [rng.choice(["user:ann", "user:böb", "conversation:c1", ""]) for _ in range(rng.randrange(3))]
