"""Arrow rows → Parquet files that are named by their own SHA-256.

A single bit flip in zstd Parquet is silently wrong in two reads of three. A file's name is in the Delta log, so the
hash is committed with the file, survives checkpoints, and costs no second table. Go on to `append.py`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction
from pyarrow.fs import PyFileSystem

from schemas.errors import FileDamaged
from schemas.tables import TABLES
from streams.lake.layout import Lake

FRESH = {"compression": "snappy"}
"""What an archiver writes lives until the next compaction: half of zstd's time, for half again as many bytes."""
SETTLED = {"compression": "zstd", "compression_level": 3}
"""What compaction and flows write: 3 takes the time of 1 for 4 to 21 % fewer bytes; 6 takes three times as long."""
ROW_GROUP = 100_000
"""Rows: below 10,000 files grow; an archiver's batch is one row group."""
LISTED = 1_000_000
"""Values of one list column in a row group. Arrow decodes a group as a whole, and of lists that takes three times what
they hold: 100,000 vectors of 256 numbers took 300 MB, however few were asked for at once; 4,000 of them take 12."""
NOTE = "flywheel"
"""The key of a file's footer under which stands which commit wrote it."""
INDEXED = frozenset({"id", "time", "kafka_partition", "kafka_offset", "ingested_at", "run_id", "interaction_id"})
"""Columns by which readers skip files."""


def write(
    lake: Lake, name: str, rows: pa.Table, note: Mapping[str, str], codec: Mapping[str, Any] = SETTLED
) -> list[AddAction]:
    """Write rows as one Parquet file for each partition value; on return the files are durable but not yet visible.

    `note` goes into the footers. It makes the bytes of two commits differ even where their rows are the same: a path
    stands for one commit, and the same commit tried again, wherever that is, writes the same path.
    """
    table = TABLES[name]
    if not rows.num_rows:
        return []
    if not table.partition_by:
        return [_write_one(lake, name, rows, {}, note, codec)]
    (column,) = table.partition_by
    days = pc.unique(rows[column])
    parts = [rows] if len(days) == 1 else [rows.filter(pc.equal(rows[column], day)) for day in days]
    return [
        _write_one(lake, name, part, {column: day.as_py().isoformat()}, note, codec)
        for day, part in zip(days, parts, strict=True)
    ]


def indexed(name: str) -> list[str]:
    """The columns of a table whose smallest and largest value go into the Delta log.

    Only columns that are never null, and the table's property says so: for any other column delta-rs would make the
    absent bounds into a comparison with null, and readers would skip every file.
    """
    table = TABLES[name]
    return [f.name for f in table.schema if f.name in INDEXED and not f.nullable] or [table.identity[0]]


def verify(lake: Lake, name: str, path: str) -> bool | None:
    """Whether a data file still has the content that its name promises; None where its name promises nothing.

    Raises FileDamaged where the file cannot be read at all.
    """
    promised = Path(path).name.removesuffix(".parquet")
    if len(promised) != 64:
        return None
    try:
        with filesystem(lake, name).open_input_stream(unquote(path), buffer_size=2**20) as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FileDamaged(f"{name}/{path} is in the table but cannot be read: {error}") from error
    return found == promised


def note_of(lake: Lake, name: str, path: str) -> dict[str, str]:
    """What a file's footer says of the commit that wrote it; nothing where an older version of the code did."""
    with filesystem(lake, name).open_input_file(unquote(path)) as file:
        found = pq.read_metadata(file).metadata or {}
    return msgspec.json.decode(found.get(NOTE.encode(), b"{}"), type=dict[str, str])


def filesystem(lake: Lake, name: str) -> PyFileSystem:
    """The folder of a table, wherever it lies, as pyarrow sees a file system."""
    return PyFileSystem(DeltaStorageHandler(lake.uri(name), lake.storage_options or None))


def to_parquet(name: str, rows: pa.Table, note: Mapping[str, str], codec: Mapping[str, Any] = SETTLED) -> pa.Buffer:
    """The bytes of one Parquet file, with the settings that were measured to be best (docs/performance.md)."""
    table = TABLES[name]
    low = set(table.low_cardinality)
    present = [*rows.schema.names, *(f"{f.name}.list.element" for f in rows.schema if pa.types.is_list(f.type))]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        **codec,
        use_dictionary=[column for column in present if column in low],
        write_statistics=[*indexed(name), *table.apart],
        store_schema=False,
    ) as file:
        for part in _apart(rows, table.apart):
            file.write_table(part, _row_group(part))
        # Metadata of the schema would not do: without the Arrow schema, pyarrow leaves it out of the footer.
        file.add_key_value_metadata({NOTE: msgspec.json.encode(note, order="sorted").decode()})
    return sink.getvalue()


def _apart(rows: pa.Table, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows in parts of equal values of some columns, in the order of these, each in the order in which it came."""
    if not columns:
        yield rows
        return
    rows = rows.sort_by([(column, "ascending") for column in columns])
    counts = rows.group_by(list(columns), use_threads=False).aggregate([([], "count_all")])["count_all"]
    start = 0
    for count in counts.to_numpy():
        yield rows.slice(start, count)
        start += count


def _row_group(rows: pa.Table) -> int:
    """How many of such rows a row group takes."""
    lists = [rows[field.name] for field in rows.schema if pa.types.is_list(field.type)]
    longest = max((pc.sum(pc.list_value_length(values)).as_py() or 0 for values in lists), default=0)
    return max(1, min(ROW_GROUP, LISTED * len(rows) // max(longest, 1)))


def _write_one(
    lake: Lake,
    name: str,
    rows: pa.Table,
    partition: dict[str, str | None],
    note: Mapping[str, str],
    codec: Mapping[str, Any],
) -> AddAction:
    content = to_parquet(name, rows.drop_columns(list(partition)), note, codec)
    folder = "".join(f"{column}={value}/" for column, value in partition.items())
    path = f"{folder}{hashlib.sha256(content).hexdigest()}.parquet"
    if lake.is_local:
        _store(Path(lake.uri(name)) / path, content)
    else:
        # Not through pyarrow's file system: it hands its own buffers to Python files, and delta-rs takes bytes only.
        store = DeltaStorageHandler(lake.uri(name), lake.storage_options)._handler  # noqa: SLF001
        stream: Any = store.open_output_stream(path, None)  # its stub forgets `close`
        stream.write(content.to_pybytes())
        stream.close()
    return AddAction(path, content.size, partition, int(time.time() * 1000), True, _statistics(name, rows))


def _store(path: Path, content: pa.Buffer) -> None:
    """Write, sync, rename, sync the folder: after that a power cut leaves the whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _statistics(name: str, rows: pa.Table) -> str:
    bounds = {column: pc.min_max(rows[column]).as_py() for column in indexed(name)}
    return msgspec.json.encode({
        "numRecords": rows.num_rows,
        "minValues": {column: bound["min"] for column, bound in bounds.items()},
        "maxValues": {column: bound["max"] for column, bound in bounds.items()},
        "nullCount": dict.fromkeys(bounds, 0),
    }).decode()  # fmt: skip
