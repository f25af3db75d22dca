"""Rows of a raw table, landed as the archiver does, and seen by other people's readers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

from streams.lake import Lake
from streams.lake.append import Span, Writer, committed_id, start_id, to_rows
from streams.lake.query import read

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
COMMITTED = committed_id("llm.interactions", "t", 0)


def rows(offsets: Sequence[int], *, day: int = 0, ids: Sequence[str] | None = None, user: str = "u") -> pa.Table:
    """Interactions at offsets of partition 0."""
    at = NOW + timedelta(days=day)
    return to_rows("interactions", [
        {
            "id": ids[n] if ids else f"id-{offset}", "time": NOW, "application": "a", "conversation_id": "c",
            "user_id": user, "request_model": "m", "kafka_partition": 0, "kafka_offset": offset,
            "ingested_at": at, "ingest_date": at.date(), "kafka_topic_id": "t",
        }
        for n, offset in enumerate(offsets)
    ])  # fmt: skip


def land_range(lake: Lake, first: int, after: int, **more: Any) -> None:
    """Land one batch of consecutive offsets, as the archiver does."""
    writer = Writer(lake, "interactions")
    spans = {COMMITTED: Span(writer.committed(COMMITTED), after)}
    if first == 0:
        spans[start_id("llm.interactions", "t", 0)] = Span(None, 0)
    writer.land(rows(range(first, after), **more), spans)


def offsets_by_reader(lake: Lake, name: str = "interactions") -> dict[str, list[int]]:
    """The offsets that a table holds, as each reader sees them."""
    handle = lake.open(name)
    uris = handle.file_uris()
    parquet = [pq.ParquetFile(uri).read(["kafka_offset"])["kafka_offset"].to_pylist() for uri in uris]
    scan = duckdb.sql("SELECT kafka_offset FROM read_parquet($files)", params={"files": uris})
    seen = {
        "our query layer": read(lake, name)["kafka_offset"].to_pylist(),
        "delta-rs": handle.to_pyarrow_dataset().to_table()["kafka_offset"].to_pylist(),
        "pyarrow": [offset for file in parquet for offset in file],
        "duckdb": [row[0] for row in scan.fetchall()],
        "polars": polars.read_delta(lake.uri(name))["kafka_offset"].to_list(),
        "polars without Delta": polars.scan_parquet(uris).select("kafka_offset").collect()["kafka_offset"].to_list(),
    }
    return {reader: sorted(offsets) for reader, offsets in seen.items()}
