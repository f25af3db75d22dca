"""Rows of dataset versions, read from their own files: a page, one by its id, the difference of two, their events.

Go on to `pages/datasets.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from msgspec import Struct

from flows.versions import Version
from schemas.messages import read_messages
from schemas.records import GOLDEN
from schemas.settings import Settings
from schemas.topics import FEEDBACK, INTERACTIONS
from streams.lake.query import stored_rows
from ui.index.rows import EPOCH, id_of
from ui.state import State

CHATS = ("messages", "prompt", "chosen", "rejected", "completion")
"""Columns that hold messages."""
SHOWN = 20
"""Rows of a difference that are shown on either side."""


class Difference(Struct, frozen=True):
    """What changed between two versions."""

    added: int
    removed: int
    kept: int
    added_rows: list[dict[str, Any]]
    removed_rows: list[dict[str, Any]]


class Event(Struct, frozen=True):
    """An event behind a row."""

    what: str
    id: str
    place: str
    """Topic, partition and offset; empty where the lake no longer has it."""
    interaction: str


def files(one: Version, settings: Settings, *configs: str) -> list[Path]:
    """The Parquet files of a version, or of some parts of it; none of a withdrawn one. Raises FilesMissing."""
    return one.files(settings, *configs) if one.status != "withdrawn" else []


def page(one: Version, settings: Settings, config: str, after: int, count: int) -> tuple[list[dict[str, Any]], int]:
    """Some rows of a part, in the order in which they lie, and how many it has. Raises FilesMissing."""
    found = files(one, settings, config)
    if not found:
        return [], 0
    dataset = ds.dataset([str(path) for path in found])
    total = dataset.count_rows()
    wanted = pa.array(range(after, min(after + count, total)), pa.int64())
    rows = dataset.take(wanted).to_pylist() if len(wanted) else []
    return [readable(row) for row in rows], total


def row(one: Version, settings: Settings, row_id: str) -> dict[str, Any] | None:
    """A row by its id. Raises FilesMissing."""
    for path in files(one, settings):
        if "row_id" not in pq.read_schema(path).names:
            continue
        found = pq.read_table(path, filters=pc.field("row_id") == row_id).slice(0, 1).to_pylist()
        if found:
            return {**readable(found[0]), "config": path.name.partition("-")[0]}
    return None


def difference(one: Version, before: Version, settings: Settings) -> Difference:
    """Rows that came and went, by id. Raises FilesMissing."""
    mine, theirs = _ids(one, settings), _ids(before, settings)
    added, removed = sorted(mine - theirs), sorted(theirs - mine)
    return Difference(
        len(added), len(removed), len(mine & theirs),
        _some(one, settings, added[:SHOWN]), _some(before, settings, removed[:SHOWN]),
    )  # fmt: skip


def events(state: State, found: dict[str, Any]) -> list[Event]:
    """The events that a row came from, with their places; their days are known to the index, so little is read."""
    named = (("asked", "interaction_id", "interactions"), ("answered instead", "other_id", "interactions"),
             ("said", "feedback_id", "feedback"))  # fmt: skip
    topics = {"interactions": INTERACTIONS.name, "feedback": FEEDBACK.name}
    made = []
    with state.reading() as sql:
        for what, column, table in named:
            if not (id_ := found.get(column)):
                continue
            if found.get("origin") == GOLDEN and column == "feedback_id":
                made.append(Event("written by hand", id_, "the lake's table golden", ""))
                continue
            name = "interaction" if table == "interactions" else "feedback"
            known = sql.execute(f"SELECT arrived FROM {name} WHERE id = ?", (id_of(id_),)).fetchone()  # noqa: S608 ours
            place, about = "", id_ if table == "interactions" else str(found.get("interaction_id") or "")
            if known is not None:
                rows = stored_rows(state.lake, table, ingest_date=EPOCH + timedelta(days=known[0]), id=id_)
                if rows:
                    first = min(rows, key=lambda row: (row["ingested_at"], row["kafka_partition"], row["kafka_offset"]))
                    place = f"{topics[table]}, partition {first['kafka_partition']}, offset {first['kafka_offset']}"
            made.append(Event(what, id_, place, about))
    return made


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its chats as (role, text) pairs."""
    return {name: _chat(value) if name in CHATS else value for name, value in row.items()}


def _chat(value: Any) -> list[tuple[str, str]]:
    decoded = msgspec.json.decode(value) if isinstance(value, str) and value[:1] in "[{" else value
    found = []
    for message in read_messages(decoded).chat if decoded is not None else []:
        calls = [str(call["function"].get("name", "")) for call in message.get("tool_calls") or ()]
        text = message.get("content")
        said = text if isinstance(text, str) else "" if text is None else msgspec.json.encode(text).decode()
        found.append((message["role"], said + "".join(f"\n→ {call}" for call in calls)))
    return found


def _ids(one: Version, settings: Settings) -> set[str]:
    found: set[str] = set()
    for path in files(one, settings):
        if "row_id" in pq.read_schema(path).names:
            found.update(pq.read_table(path, columns=["row_id"])["row_id"].to_pylist())
    return found


def _some(one: Version, settings: Settings, ids: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in files(one, settings):
        if ids and "row_id" in pq.read_schema(path).names:
            rows += pq.read_table(path, filters=pc.field("row_id").isin(list(ids))).to_pylist()
    return [readable(row) for row in sorted(rows, key=lambda row: str(row["row_id"]))[:SHOWN]]
