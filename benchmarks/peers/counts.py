"""Rows and bytes of a table on disk, as its readers see them: Delta, Iceberg, or Parquet files in a folder.

`…_landed` and `iceberg_snapshot` read metadata alone, as often as one likes; `…_count` reads the rows.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.peers.peer import Count, Job


def delta_landed(table: Path) -> int:
    """Rows of a Delta table by its log's statistics; 0 where there is none yet."""
    return sum(_adds(table).column("num_records").to_pylist()) if DeltaTable.is_deltatable(str(table)) else 0


def delta_size(table: Path) -> int:
    """Bytes of a Delta table's live files."""
    return sum(_adds(table).column("size_bytes").to_pylist())


def delta_count(table: Path) -> Count:
    """The rows of a Delta table's live files."""
    return parquet_count(DeltaTable(str(table)).file_uris() if DeltaTable.is_deltatable(str(table)) else [])


def parquet_count(files: list[str]) -> Count:
    """The rows of some Parquet files."""
    if not files:
        return Count()
    sql = """
        SELECT count(*), count(DISTINCT id), count(*) FILTER (id IS NULL),
               count(*) FILTER (id IS NOT NULL AND input_tokens IS NULL)
        FROM read_parquet($files)
    """
    with duckdb.connect() as database:
        return Count(*(database.execute(sql, {"files": files}).fetchone() or ()))


class DeltaSink:
    """Counts the rows of a peer whose table is Delta; what starts it is the peer's own."""

    place, dead, died = "table", "", ""
    """Below the job's folder: its table, and that of its dead letters, if any. `died`: see `Peer`."""

    def landed(self, job: Job) -> int:
        """By the table's log."""
        return delta_landed(job.folder / self.place)

    def size(self, job: Job) -> int:
        """Before compaction."""
        return delta_size(job.folder / self.place)

    def count(self, job: Job) -> Count:
        """Rows, and dead letters in the table beside."""
        dead = delta_landed(job.folder / self.dead) if self.dead else 0
        return msgspec.structs.replace(delta_count(job.folder / self.place), dead=dead)


def iceberg_snapshot(table: Path) -> dict[str, int]:
    """Rows and bytes of an Iceberg table on a file system, by the summary of its newest snapshot."""
    metadata = table / "metadata"
    try:
        newest = (metadata / "version-hint.text").read_text().strip()
        found = json.loads((metadata / f"v{newest}.metadata.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {"rows": 0, "bytes": 0}
    current = [each for each in found.get("snapshots", []) if each["snapshot-id"] == found.get("current-snapshot-id")]
    summary = current[0]["summary"] if current else {}
    return {"rows": int(summary.get("total-records", 0)), "bytes": int(summary.get("total-files-size", 0))}


def _adds(table: Path) -> pa.Table:
    return pa.table(DeltaTable(str(table)).get_add_actions(flatten=True))
