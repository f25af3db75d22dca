"""From a model to what taught it: the dataset version, its rows, their events' Kafka offsets, and its base models.

The way of a single row is `trace.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from flows.bases import Bases
from flows.ledger import fold
from flows.registry import Registry
from flows.versions import Version, versions
from schemas.errors import UsageError
from schemas.events import Candidate
from schemas.settings import Settings
from schemas.topics import ARCHIVED
from streams.lake import Lake
from streams.lake.query import query

SQL = Path(__file__).with_name("taught.sql")
EVENTS = ("interaction_id", "other_id", "feedback_id")
COLUMNS = ("row_id", "origin", *EVENTS)


def models(lake: Lake, settings: Settings) -> list[dict[str, Any]]:
    """Every registered model that names its dataset, oldest first, with what that and its `bases`' are worth now.

    A `withdrawn` one held rows of somebody who is forgotten since, or its files are lost; of a `stale` one some rows
    would not be made today.
    """
    registry, known = fold(lake, settings.application), versions(lake, settings.application)
    bases = Bases(registry)
    each = {one.id: _model(registry, one, known) for one in registry.candidates.values() if one.dataset}
    return [{**model, "bases": [each[base.id] for base in bases.of(id_)]} for id_, model in each.items()]


def taught(lake: Lake, settings: Settings, name: str, *, each_row: bool = False) -> list[dict[str, Any]]:
    """What taught the models of a name (a candidate's id, or a model as its endpoint calls it), oldest first.

    Each: `{"candidate", "model", "status", "dataset", "training", "bases": [{candidate, model, status, dataset}],
    "rows": {config: {origin: n}}, "events": [{topic, topic_id, partition, first_offset, last_offset, events}]}`;
    `each_row` adds `"row_ids": {config: [id]}`. `bases` are the known models that it was made from, the nearest first:
    what taught them is traced by their name. `training` is None where no `flywheel.json` was read, `dataset` where none
    is named. Of a withdrawn version there are no rows any more. Raises UsageError for a name that is nobody's,
    FilesMissing where the rows of another are not here.
    """
    registry, known = fold(lake, settings.application), versions(lake, settings.application)
    found = [one for one in registry.candidates.values() if name in {one.id, one.model}]
    if not found:
        raise UsageError(f"{settings.application} has no model {name[:200]!r}: `flywheel candidate list` shows them")
    return [_taught(lake, settings, registry, one, known, each_row) for one in found]


def _taught(
    lake: Lake, settings: Settings, registry: Registry, candidate: Candidate, known: Sequence[Version], each_row: bool
) -> dict[str, Any]:
    version = _dataset(candidate, known)
    training = registry.training(candidate.id)
    config = training.get("config", "") if training else ""
    tables = _rows(version, settings, config) if version else {}
    ids = {
        event for table in tables.values() for column in EVENTS for event in table[column].to_pylist() if event
    }  # fmt: skip
    told = {
        **_model(registry, candidate, known),
        "training": training,
        "bases": [_model(registry, base, known) for base in Bases(registry).of(candidate.id)],
        "rows": {name: dict(sorted(Counter(table["origin"].to_pylist()).items())) for name, table in tables.items()},
        "events": _events(lake, sorted(ids)),
    }
    if each_row:
        told["row_ids"] = {name: table["row_id"].to_pylist() for name, table in tables.items()}
    return told


def _model(registry: Registry, candidate: Candidate, known: Sequence[Version]) -> dict[str, Any]:
    status, dataset = registry.status(candidate.id), _worth(candidate, _dataset(candidate, known))
    return {"candidate": candidate.id, "model": candidate.model, "status": status, "dataset": dataset}


def _dataset(candidate: Candidate, known: Sequence[Version]) -> Version | None:
    """The dataset version that a candidate names, by version or SHA-256."""
    named = [v for v in known if candidate.dataset and candidate.dataset in {v.version, v.sha256}]
    return next((v for v in named if v.kind == "training"), named[0] if named else None)


def _worth(candidate: Candidate, version: Version | None) -> dict[str, Any] | None:
    """A dataset and its status; `unknown` where this home has never had what the candidate names."""
    if version is None:
        return {"version": candidate.dataset, "status": "unknown"} if candidate.dataset else None
    names = ("dataset", "kind", "version", "sha256", "status", "status_reason")
    plain: dict[str, Any] = msgspec.structs.asdict(version)
    return {name: plain[name] for name in names}


def _rows(version: Version, settings: Settings, config: str) -> dict[str, pa.Table]:
    """By config: where the rows came from. Only one config's where a model learned that alone."""
    if version.status == "withdrawn":
        return {}
    parts: dict[str, list[pa.Table]] = {}
    for path in version.files(settings, *([config] if config else [])):
        parts.setdefault(path.name.split("-")[0], []).append(pq.read_table(path, columns=list(COLUMNS)))
    return {name: pa.concat_tables(tables) for name, tables in parts.items()}


def _events(lake: Lake, ids: list[str]) -> list[dict[str, Any]]:
    topics = {topic.table: topic.name for topic in ARCHIVED}
    wanted = pa.table({"id": pa.array(ids, pa.string())})
    found = query(lake, SQL.read_text(), lake.versions(("interactions", "feedback")), tables={"taught": wanted})
    return [{"topic": topics[row.pop("event")], **row} for row in found.to_pylist()]
