"""From a dataset row back to the Kafka offsets that it came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.versions import Version, versions
from schemas.errors import FilesMissing, UsageError
from schemas.settings import Settings
from schemas.topics import ARCHIVED
from streams.lake import Lake
from streams.lake.query import query

SQL = Path(__file__).with_name("trace.sql")


def trace(lake: Lake, settings: Settings, row_id: str) -> dict[str, Any]:
    """Where a row stands, and the events it came from with their topic, partition and offset.

    Returns `{"row_id", "found_in": [{dataset, version, config, file, …}], "events": [{event, id, topic, partition,
    offset, time}]}`. Raises UsageError where no dataset has the row, FilesMissing where one has it perhaps: its files
    are not here, and no other has it.
    """
    places: list[dict[str, Any]] = []
    unread: list[FilesMissing] = []
    for version in versions(lake, settings.application):
        try:
            places += _places(version, settings, row_id)
        except FilesMissing as error:
            if version.status != "withdrawn":
                unread.append(error)
    if not places and unread:
        raise unread[0]
    if not places:
        raise UsageError(f"no dataset of {settings.application!r} has a row {row_id!r}; rows carry it as `row_id`")
    source = places[-1].pop("source")
    for place in places:
        place.pop("source", None)
    known = lake.versions(("interactions", "feedback"))
    ids = [source[name] or "" for name in ("interaction_id", "other_id", "feedback_id")]
    topics = {topic.table: topic.name for topic in ARCHIVED}
    events = query(lake, SQL.read_text(), known, dict(zip(("interaction", "other", "feedback"), ids, strict=True)))
    return {
        "row_id": row_id,
        **source,
        "found_in": places,
        "events": [{**event, "topic": topics[event["event"]]} for event in events.to_pylist()],
    }


def _places(version: Version, settings: Settings, row_id: str) -> Iterator[dict[str, Any]]:
    for path in version.files(settings):
        columns = ["row_id", "interaction_id", "other_id", "feedback_id", "origin"]
        table = pq.read_table(path, columns=columns, filters=pc.field("row_id") == row_id)
        for row in table.slice(0, 1).to_pylist():
            yield {
                "dataset": version.dataset,
                "kind": version.kind,
                "version": version.version,
                "status": version.status,
                "config": path.name.split("-")[0],
                "run_id": version.manifest["run_id"],
                "tables": version.manifest["versions"],
                "source": row,
            }
