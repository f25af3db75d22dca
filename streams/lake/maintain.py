"""Compaction, vacuum and deletion: few large files, no orphans, no row that must go.

Every change is one commit by compare-and-set: it is refused where anybody committed since the table was read, and then
done again on what is there now; the archiver's appends in between are never lost. Go on to `audit.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from itertools import groupby
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from schemas.errors import CommitConflict, FileDamaged
from schemas.tables import TABLES
from streams.lake.append import Handle, create
from streams.lake.files import filesystem, verify, write
from streams.lake.layout import Lake, dataset_of, files_of

TRIES = 30
"""A rewrite races with the archiver's commits, a few a second at most; each lost race costs some milliseconds."""
ERASED = "erased"
"""Marks commits (in their metadata) after which older versions of a table are no longer kept for anybody."""


class File(msgspec.Struct, frozen=True):
    """One data file of a table."""

    path: str
    size: int
    rows: int
    day: date | None
    """Its partition; None in tables that have none."""


def files(handle: Handle) -> list[File]:
    """The data files that a table consists of, in the order of their first row's place in Kafka."""
    actions = pa.table(handle.get_add_actions(flatten=True))
    day = "partition.ingest_date"
    first = "min.ingested_at"
    wanted = [name for name in ("path", "size_bytes", "num_records", day, first) if name in actions.column_names]
    found = sorted(
        actions.select(wanted).to_pylist(),
        key=lambda row: (row.get(day) or date.min, str(row.get(first)), row["path"]),
    )
    return [File(row["path"], row["size_bytes"], row["num_records"] or 0, row.get(day)) for row in found]


def compact(lake: Lake, name: str, target_bytes: int) -> int:
    """Join small files of a day into files of about `target_bytes`; how many files fewer there are.

    A file of at least half the target is left alone, so each row is rewritten a bounded number of times. Rows, their
    order and all versions before stay as they were.
    """
    before = len(files(create(lake, name)))
    for group in _small(files(create(lake, name)), target_bytes):
        rewrite(lake, name, group, lambda rows: rows, note="compacted", data_change=False)
    return before - len(files(create(lake, name)))


def vacuum(lake: Lake, name: str, retention_hours: int, keep_versions: Iterable[int]) -> list[str]:
    """Delete files that no version needs which is young enough or named in `keep_versions`; their paths.

    Files that never were committed (a kill in mid-write) go too. Versions before an erasure are not kept.
    """
    handle = create(lake, name)
    erased = max((entry["version"] for entry in handle.history() if entry.get("flywheel") == ERASED), default=-1)
    keep = sorted({version for version in keep_versions if erased <= version <= handle.version()})
    return handle.vacuum(
        retention_hours,
        dry_run=False,
        enforce_retention_duration=False,
        full=True,
        keep_versions=keep or None,
    )


def drop_days(lake: Lake, name: str, before: date) -> list[str]:
    """Remove the ingest days before a date; the files that are no longer part of the table."""

    def old(handle: Handle) -> list[File]:
        return [file for file in files(handle) if file.day is not None and file.day < before]

    return _replace(lake, name, old, lambda _: [], note="retired", data_change=True)


def delete_rows(lake: Lake, name: str, which: pc.Expression) -> list[str]:
    """Rewrite the files that hold rows for which `which` is true, without those rows; delete the old files at once.

    Older versions of the table can no longer be read where they need such a file: that is what erasing means.
    """
    affected = list(holding(lake, name, which))

    def others(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(_truth(rows, which)))

    gone = rewrite(lake, name, affected, others, ERASED, data_change=True)
    discard(lake, name, gone)
    return gone


def holding(lake: Lake, name: str, which: pc.Expression) -> dict[File, int]:
    """The files with rows for which `which` is true, and how many each has; none where there is no table."""
    if not lake.exists(name):
        return {}
    handle = lake.open(name)
    dataset = dataset_of(handle)
    by_path = {unquote(fragment.path): fragment for fragment in dataset.get_fragments()}
    found = files(handle)
    counts = [by_path[unquote(f.path)].scanner(schema=dataset.schema, filter=which).count_rows() for f in found]
    return {file: count for file, count in zip(found, counts, strict=True) if count}


def discard(lake: Lake, name: str, paths: Iterable[str]) -> None:
    """Delete files that are no longer part of a table, whoever may still want to read its older versions."""
    store = filesystem(lake, name)
    for path in paths:
        store.delete_file(unquote(path))


def rewrite(
    lake: Lake, name: str, group: list[File], change: Callable[[pa.Table], pa.Table], note: str, *, data_change: bool
) -> list[str]:
    """Replace files by one of their changed rows (for each day); the paths that are no part of the table any more.

    A file that another rewrite replaced meanwhile is left out. Raises FileDamaged before a damaged file could be
    rewritten under a fresh hash.
    """
    wanted = {file.path for file in group}

    def still(handle: Handle) -> list[File]:
        return [file for file in files(handle) if file.path in wanted]

    def fresh(found: list[File]) -> list[AddAction]:
        if damaged := [file.path for file in found if verify(lake, name, file.path) is False]:
            raise FileDamaged(f"{name}: {', '.join(damaged)} changed since it was written; it was not rewritten")
        rows = change(read_files(lake, name, found))
        return write(lake, name, rows, {note: str(len(found)), "files": ",".join(sorted(wanted))})

    _replace(lake, name, still, fresh, note, data_change=data_change)
    left = {file.path for file in files(create(lake, name))}  # asked, since an object store may lose a commit's answer
    return [file.path for file in group if file.path not in left]


def read_files(
    lake: Lake,
    name: str,
    group: list[File],
    *,
    filter_by: pc.Expression | None = None,
    columns: list[str] | None = None,
) -> pa.Table:
    """The rows of some files of a table, in the order of the files."""
    dataset = files_of(create(lake, name))
    by_path = {fragment.path: fragment for fragment in dataset.get_fragments()}
    tables = [
        by_path[_path(by_path, file.path)].to_table(schema=dataset.schema, filter=filter_by, columns=columns)
        for file in group
    ]
    schema = pa.schema([field.with_nullable(True) for field in TABLES[name].schema])
    if columns is not None:
        schema = pa.schema([schema.field(column) for column in columns])
    return pa.concat_tables([table.select(schema.names).cast(schema) for table in tables] or [schema.empty_table()])


def _path(paths: Iterable[str], path: str) -> str:
    return next(known for known in paths if known == path or known == unquote(path))


def _truth(rows: pa.Table, which: pc.Expression) -> pa.ChunkedArray:
    """For each row, whether an expression is true; null counts as false."""
    scanned = ds.dataset(rows).to_table(columns={"hit": which})
    return pc.fill_null(scanned["hit"], False)


def _small(found: list[File], target_bytes: int) -> Iterator[list[File]]:
    """Groups of two or more small files of one day, each about the target in size."""
    for _, day in groupby(found, key=lambda file: file.day):
        group: list[File] = []
        for file in day:
            if file.size >= target_bytes / 2:
                continue
            if group and sum(member.size for member in group) + file.size > target_bytes:
                yield group
                group = []
            group.append(file)
        if len(group) > 1:
            yield group


def _replace(
    lake: Lake,
    name: str,
    find: Callable[[Handle], list[File]],
    make: Callable[[list[File]], list[AddAction]],
    note: str,
    *,
    data_change: bool,
) -> list[str]:
    """Replace the files that `find` names by what `make` writes, in one commit on the version that was read."""
    made: tuple[list[File], list[AddAction]] | None = None
    for _ in range(TRIES):
        handle = create(lake, name)
        found = find(handle)
        if not found:
            return []
        if made is None or made[0] != found:
            made = found, make(found)
            continue  # writing took a while: read the table again, then commit at once
        now = int(time.time() * 1000)
        removed = [RemoveAction(file.path, data_change, now, file.size, _partition(file)) for file in found]
        added = [replace(action, data_change=data_change) for action in made[1]]
        try:
            handle.create_write_transaction(
                [*removed, *added],
                mode="append",
                schema=handle.schema(),
                partition_by=list(TABLES[name].partition_by),
                commit_properties=CommitProperties(max_commit_retries=0, custom_metadata={"flywheel": note}),
            )
        except CommitFailedError:
            continue
        return [file.path for file in found]
    raise CommitConflict(f"{name}: {TRIES} tries to rewrite it were each overtaken by another commit; try again later")


def _partition(file: File) -> dict[str, str | None]:
    return {} if file.day is None else {"ingest_date": file.day.isoformat()}
