"""Compaction, vacuum and deletion: few large files, no orphans, no row that must go.

Every change is one commit by compare-and-set: it is refused where anybody committed since the table was read, and then
done again on what is there now; the archiver's appends in between are never lost. Go on to `audit.py`.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow import fs

from schemas.errors import CommitConflict, FileDamaged
from schemas.tables import TABLES
from streams.lake.append import Handle, create
from streams.lake.files import filesystem, verify, write
from streams.lake.layout import Lake

TRIES = 30
"""A rewrite races with the archiver's commits, a few a second at most; each lost race costs some milliseconds."""
INTERVALS = (50, 100, 200, 500)
"""Commits between two checkpoints: few steps, since each change of it is a commit that an archiver may repeat its own
for."""
INTERVAL = "delta.checkpointInterval"
LOG = "_delta_log"
LOGGED = re.compile(r"(\d{20})\.(json|checkpoint\..*parquet|checkpoint\.parquet)$")
ERASED = "erased"
"""Marks commits (in their metadata) after which older versions of a table are no longer kept for anybody."""
COMPACTED, SUPERSEDED = "compacted", "superseded"
REWRITES = (COMPACTED, SUPERSEDED, ERASED)
"""Why a file was made of others: the key in its footer under which stands of which."""


Among = tuple[str, Sequence[Any]]
"""A column, and sorted values of it."""


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
        rewrite(lake, name, group, lambda rows: rows, note=COMPACTED, data_change=False, joined=True)
    return before - len(files(create(lake, name)))


def vacuum(lake: Lake, name: str, retention_hours: int, keep_versions: Iterable[int]) -> list[str]:
    """Delete files that no version needs which is young enough or named in `keep_versions`; their paths.

    Files that never were committed (a kill in mid-write) go too. Versions before an erasure are not kept.
    """
    handle = create(lake, name)
    history = handle.history()
    erased = max((entry["version"] for entry in history if entry.get("flywheel") == ERASED), default=0)
    oldest = max(erased, min(entry["version"] for entry in history))  # before that the log was tidied
    keep = sorted({version for version in keep_versions if oldest <= version <= handle.version()})
    return handle.vacuum(
        retention_hours,
        dry_run=False,
        enforce_retention_duration=False,
        full=True,
        keep_versions=keep or None,
    )


def tidy_log(lake: Lake, name: str, retention_hours: int, keep_versions: Iterable[int]) -> int:
    """Delete what of a table's log only versions need that nobody may read any more; how many files.

    Kept are the versions that are young enough or named in `keep_versions`, and all after the oldest of them. What is
    deleted lies before the last checkpoint that they can begin at; the oldest first, so that a kill leaves no hole.
    """
    handle = create(lake, name)
    history = handle.history()
    erased = max((entry["version"] for entry in history if entry.get("flywheel") == ERASED), default=0)
    since = (time.time() - 3600 * retention_hours) * 1000
    young = [entry["version"] for entry in history if entry["timestamp"] >= since]
    wanted = [version for version in keep_versions if erased <= version <= handle.version()]
    oldest = min([*young, *wanted, handle.version()])
    store = filesystem(lake, name)
    listed = store.get_file_info(fs.FileSelector(LOG, allow_not_found=True))
    logged = sorted((int(found[1]), info.path) for info in listed if (found := LOGGED.match(info.base_name)))
    begin = max((version for version, path in logged if "checkpoint" in path and version <= oldest), default=0)
    gone = [path for version, path in logged if version < begin]
    for path in gone:
        store.delete_file(path)
    return len(gone)


def space_checkpoints(lake: Lake, name: str) -> int:
    """Let a table be checkpointed about once an hour, by how often it was committed to in a day; the interval.

    A checkpoint lists every file: at a commit a second one every 50 commits would be most of what is written.
    """
    handle = create(lake, name)
    since = (time.time() - 86_400) * 1000
    interval = interval_for(sum(entry["timestamp"] >= since for entry in handle.history(86_400)))
    known = handle.metadata().configuration.get(INTERVAL)
    if known != str(interval):
        handle.alter.set_table_properties({INTERVAL: str(interval)})
    return interval


def interval_for(commits: int) -> int:
    """Commits from one checkpoint to the next of a table that has so many a day: a reader replays as many at most."""
    return next(interval for interval in INTERVALS if commits <= 24 * interval or interval == INTERVALS[-1])


def drop_days(lake: Lake, name: str, before: date) -> list[str]:
    """Remove the ingest days before a date; the files that are no longer part of the table."""

    def old(handle: Handle) -> list[File]:
        return [file for file in files(handle) if file.day is not None and file.day < before]

    return _replace(lake, name, old, lambda _: [], note="retired", data_change=True)


def delete_rows(
    lake: Lake,
    name: str,
    which: pc.Expression,
    affected: Mapping[File, int] | None = None,
    *,
    at_once: bool = True,
) -> list[str]:
    """Rewrite the files that hold rows for which `which` is true, without those rows; delete the old files at once.

    Older versions of the table can no longer be read where they need such a file: that is what erasing means. Not
    `at_once`, the old files are left to vacuum, for whoever is reading. `affected` is what `holding` says of `which`,
    where it was asked already.
    """

    def others(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(_truth(rows, which)))

    found = holding(lake, name, which) if affected is None else affected
    gone = rewrite(lake, name, list(found), others, ERASED if at_once else SUPERSEDED, data_change=True)
    if at_once:
        discard(lake, name, gone)
    return gone


def holding(lake: Lake, name: str, which: pc.Expression, among: Among | None = None) -> dict[File, int]:
    """The files with rows for which `which` is true, and how many each has; none where there is no table.

    `among`: a column that the log keeps the bounds of, and the sorted values that its rows have then: files whose
    bounds hold none of them are not opened.
    """
    if not lake.exists(name):
        return {}
    handle = lake.open(name)
    found = files(handle) if among is None else _within(handle, *among)
    schema = pa.schema(handle.schema().to_arrow())
    counts = [one.scanner(schema=schema, filter=which).count_rows() for one in _fragments(lake, name, found)]
    return {file: count for file, count in zip(found, counts, strict=True) if count}


def _within(handle: Handle, column: str, values: Sequence[Any]) -> list[File]:
    """The files whose bounds of a column hold one of the sorted values, or that have none."""
    actions = pa.table(handle.get_add_actions(flatten=True))
    low, high = f"min.{column}", f"max.{column}"
    if not {low, high} <= set(actions.column_names):
        return files(handle)
    rows = zip(*(actions[name].to_pylist() for name in ("path", low, high)), strict=True)
    wanted = {path for path, first, last in rows if first is None or last is None or _any(values, first, last)}
    return [file for file in files(handle) if file.path in wanted]


def _any(values: Sequence[Any], first: Any, last: Any) -> bool:
    at = bisect_left(values, first)
    return at < len(values) and bool(values[at] <= last)


def discard(lake: Lake, name: str, paths: Iterable[str]) -> None:
    """Delete files that are no longer part of a table, whoever may still want to read its older versions."""
    store = filesystem(lake, name)
    for path in paths:
        store.delete_file(unquote(path))


def rewrite(
    lake: Lake,
    name: str,
    group: list[File],
    change: Callable[[pa.Table], pa.Table],
    note: str,
    *,
    data_change: bool,
    joined: bool = False,
) -> list[str]:
    """Replace each file by one of its changed rows; the paths that are no part of the table any more.

    One file at a time is in memory; `joined`: all are, and become one for each day. A file that another rewrite
    replaced meanwhile is left out. Raises FileDamaged before a damaged file could be rewritten under a fresh hash.
    """
    wanted = {file.path for file in group}

    def still(handle: Handle) -> list[File]:
        return [file for file in files(handle) if file.path in wanted]

    def fresh(found: list[File]) -> list[AddAction]:
        return _fresh(lake, name, [found] if joined else [[file] for file in found], change, note)

    _replace(lake, name, still, fresh, note, data_change=data_change)
    left = {file.path for file in files(create(lake, name))}  # asked, since an object store may lose a commit's answer
    return [file.path for file in group if file.path not in left]


def rewrite_together(
    lake: Lake, name: str, group: list[File], change: Callable[[pa.Table], pa.Table], note: str
) -> bool:
    """Replace each file by one of its changed rows, all or none: False where another has replaced one meanwhile.

    Versions before keep their files until vacuum. Raises FileDamaged as `rewrite` does.
    """

    def all_still(handle: Handle) -> list[File]:
        there = {file.path: file for file in files(handle)}
        return [there[file.path] for file in group] if all(file.path in there for file in group) else []

    return bool(
        _replace(
            lake,
            name,
            all_still,
            lambda found: _fresh(lake, name, [[f] for f in found], change, note),
            note,
            data_change=True,
        )
    )


def _fresh(
    lake: Lake, name: str, parts: list[list[File]], change: Callable[[pa.Table], pa.Table], note: str
) -> list[AddAction]:
    """The files that take the place of others, each part's as one."""
    if damaged := [file.path for part in parts for file in part if verify(lake, name, file.path) is False]:
        raise FileDamaged(f"{name}: {', '.join(damaged)} changed since it was written; it was not rewritten")
    return [action for part in parts for action in _changed(lake, name, part, change, note)]


def _changed(
    lake: Lake, name: str, part: list[File], change: Callable[[pa.Table], pa.Table], note: str
) -> list[AddAction]:
    return write(lake, name, change(read_files(lake, name, part)), {note: ",".join(sorted(file.path for file in part))})


def read_files(lake: Lake, name: str, group: Sequence[File], *, columns: list[str] | None = None) -> pa.Table:
    """The rows of some files of a table, in the order of the files; no other file is looked at."""
    stored = pa.schema(create(lake, name).schema().to_arrow())
    tables = [one.to_table(schema=stored, columns=columns) for one in _fragments(lake, name, group)]
    schema = pa.schema([field.with_nullable(True) for field in TABLES[name].schema])
    if columns is not None:
        schema = pa.schema([schema.field(column) for column in columns])
    return pa.concat_tables([table.select(schema.names).cast(schema) for table in tables] or [schema.empty_table()])


def _fragments(lake: Lake, name: str, group: Iterable[File]) -> list[ds.Fragment]:
    store = fs.SubTreeFileSystem(lake.uri(name), fs.LocalFileSystem()) if lake.is_local else filesystem(lake, name)
    schema = TABLES[name].schema
    keys = ds.partitioning(pa.schema([schema.field(name) for name in TABLES[name].partition_by]), flavor="hive")
    parquet = ds.ParquetFileFormat()
    paths = [unquote(file.path) for file in group]
    return [parquet.make_fragment(path, store, partition_expression=keys.parse(path)) for path in paths]


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
