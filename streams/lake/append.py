"""Rows into a table: one Delta commit, all or nothing, with the marks that make it exactly once.

`append` is the archiver's: its marks are Kafka offsets. `publish` is the flows': its mark is the run.
Go on to `query.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from schemas.errors import CommitConflict
from schemas.tables import TABLES
from streams.lake.layout import Lake

PUBLISH_TRIES = 10
"""Concurrent publishers of one table are few; each retry reloads the table and looks for its own mark first."""


def create(lake: Lake, name: str) -> DeltaTable:
    """The table's handle, made empty with its full schema where it does not exist yet."""
    table = TABLES[name]
    return DeltaTable.create(
        lake.uri(name),
        pa.schema([field.with_nullable(True) for field in table.schema]),
        mode="ignore",
        partition_by=list(table.partition_by),
        storage_options=lake.storage_options or None,
    )


def append(handle: DeltaTable, name: str, rows: pa.Table, marks: Mapping[str, int]) -> None:
    """Commit rows and marks (`app_id` → next offset) in one transaction.

    `handle` must be the very handle at which the caller checked that its marks are still what it expects: a second
    writer of the same `app_id` is then refused. Raises CommitConflict; reload the handle and look at its marks.
    """
    try:
        _write(handle, rows, marks)
    except CommitFailedError as error:
        raise CommitConflict(f"{name}: another writer committed the same marks first ({error})") from error


def publish(lake: Lake, name: str, rows: pa.Table, run_id: str) -> bool:
    """Commit a run's rows once: True where they were written, False where this run had written them before.

    Safe to repeat after a kill at any moment, and beside other runs that publish to the same table.
    """
    for last in (*([False] * (PUBLISH_TRIES - 1)), True):
        handle = create(lake, name)
        handle.update_incremental()
        if handle.transaction_version(f"run:{run_id}") is not None:
            return False
        try:
            append(handle, name, rows.select(TABLES[name].schema.names), {f"run:{run_id}": 1})
        except CommitConflict:
            if last:
                raise
        else:
            return True
    return False


def to_rows(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Plain values as the table's Arrow rows; a missing column is null."""
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def _write(handle: DeltaTable, rows: pa.Table, marks: Mapping[str, int]) -> None:
    transactions = [Transaction(app_id=app, version=version) for app, version in sorted(marks.items())]
    write_deltalake(
        handle,
        rows,
        mode="append",
        schema_mode="merge",
        writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
        commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
    )
