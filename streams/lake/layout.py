"""Where tables lie, and at which version: the handle that everything else of the lake takes.

Go on to `append.py` for writing and `query.py` for reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyarrow import fs

from schemas.errors import LakeError, TableMissing
from schemas.tables import TABLES

DAY = "ingest_date"
"""Raw tables are partitioned by it."""
PLACE = re.compile(rf"{DAY}=(\d{{4}}-\d\d-\d\d)/")
"""How the path of a file of such a table begins."""

AT_ONCE = {"batch_size": 16_384, "batch_readahead": 4, "fragment_readahead": 2}
"""What is read ahead of whoever reads. Arrow's own 16 batches of 131,072 rows, of 4 files, held 10 to 140 MiB more in
the steps of a turn beside four million interactions; with these a scan takes no longer."""
Commit = tuple[int, int] | None
"""A file of a table's log, by inode and time: the same file is the same table, at the same version."""


class Lake:
    """The tables under one root: a folder or an object store's URL.

    Table names come from `schemas/tables.py` only; no user-supplied string ever becomes a path.
    """

    def __init__(self, root: str | Path, storage_options: Mapping[str, str] | None = None, engine: str = "") -> None:
        self.root = str(root).rstrip("/")
        self.storage_options = dict(storage_options or {})
        self.engine = engine
        """Who answers questions: empty for DuckDB inside this process, else the address of a Spark (`engine.py`)."""
        self._newest: dict[str, tuple[int, Commit]] = {}
        self._snapshots: dict[str, tuple[int, Commit, DeltaTable]] = {}

    def asked_by(self, engine: str) -> Lake:
        """The same lake, its questions answered by another engine: same rows, same order."""
        return Lake(self.root, self.storage_options, engine)

    def uri(self, name: str) -> str:
        """Where a table lies. Raises LakeError for a name that is not in the table of tables."""
        if name not in TABLES:
            raise LakeError(f"there is no table {name!r}; known are {', '.join(TABLES)}")
        return f"{self.root}/{name}"

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.root

    def handle(self, name: str) -> DeltaTable:
        """A table's Delta handle at its newest version. Raises deltalake's TableNotFoundError."""
        return DeltaTable(self.uri(name), storage_options=self.storage_options or None)

    def open(self, name: str, version: int | None = None) -> DeltaTable:
        """A table's Delta handle, at its newest or a given version. Raises TableMissing."""
        try:
            return DeltaTable(self.uri(name), version=version, storage_options=self.storage_options or None)
        except TableNotFoundError as error:
            if version is not None and self.exists(name):
                raise TableMissing(
                    f"version {version} of table {name!r} is no longer kept: `flywheel maintain` removes what nothing "
                    "rests on; docs/guarantees.md says which versions stay"
                ) from error
            raise TableMissing(f"table {name!r} does not exist under {self.root} yet") from error

    def exists(self, name: str) -> bool:
        """Whether anything was ever written to the table."""
        return DeltaTable.is_deltatable(self.uri(name), self.storage_options or None)

    def version(self, name: str) -> int:
        """A table's newest version; -1 where it does not exist yet."""
        at, commit = self._newest.get(name, (-1, None))
        if commit is None or commit != self._commit(name, at):
            at = int(self.open(name).version()) if self.exists(name) else -1
            commit = self._commit(name, at)
        while commit and (after := self._commit(name, at + 1)):
            at, commit = at + 1, after
        self._newest[name] = at, commit
        return at

    def snapshot(self, name: str, version: int) -> DeltaTable:
        """`open`, for one who only reads: the last such handle of each table is kept, as opening costs some ms."""
        at, commit, handle = self._snapshots.get(name, (-1, None, None))
        if handle is None or commit is None or (at, commit) != (version, self._commit(name, version)):
            handle = self.open(name, version)
            self._snapshots[name] = version, self._commit(name, version), handle
        return handle

    def _commit(self, name: str, version: int) -> Commit:
        """Which file of a folder's log made this version; None where it is gone, or lies in an object store."""
        try:
            found = Path(f"{self.uri(name)}/_delta_log/{version:020}.json").stat() if self.is_local else None
        except FileNotFoundError:
            return None
        return found and (found.st_ino, found.st_mtime_ns)

    def versions(self, names: Iterable[str]) -> dict[str, int]:
        """The newest version of each table: what a run reads, and records that it read."""
        return {name: self.version(name) for name in names}

    def committed(self, name: str, app_id: str) -> int | None:
        """The `txn` version that `app_id` last committed to a table, or None."""
        if not self.exists(name):
            return None
        version: Any = self.open(name).transaction_version(app_id)
        return None if version is None else int(version)


def files_of(handle: DeltaTable, days: Collection[str] | None = None) -> ds.Dataset:
    """The table's files, or those of some ingest days, as delta-rs lists them; a folder's are read by Arrow itself.

    delta-rs' own file system is written in Python: Arrow's threads, which may still close a file when all is read, need
    Python's lock for it, and a process that ended at that moment was aborted (one command in four).
    """
    root = urlsplit(handle.table_uri)
    local = fs.SubTreeFileSystem(unquote(root.path), fs.LocalFileSystem()) if root.scheme == "file" else None
    which = None if days is None else [(DAY, "in", sorted(days))]
    return handle.to_pyarrow_dataset(filesystem=local, file_pruning_predicate=which)


def dataset_of(
    handle: DeltaTable, only: Collection[str] | None = None, days: Collection[str] | None = None
) -> ds.Dataset:
    """The table's files (or `only` those, by their path in its log) without the bounds that the log gives for each.

    Columns that carry no statistics get the bound `column >= null` there, and Arrow then skips every file on which such
    a column is filtered: an empty answer instead of an error. Row groups keep their own statistics, so little is lost.
    Of days with none of `only`, or none of the ingest `days` that are named, nothing is listed: delta-rs takes 0.3 ms a
    file.
    """
    partitions = handle.metadata().partition_columns
    full = files_of(handle, (_days(only) if days is None else days) if partitions == [DAY] else None)
    keys = ds.partitioning(pa.schema([full.schema.field(name) for name in partitions]), flavor="hive")
    fragments = [
        full.format.make_fragment(part.path, part.filesystem, partition_expression=keys.parse(part.path))
        for part in full.get_fragments()
        if only is None or unquote(part.path) in only
    ]
    return Files(fragments, full.schema, full.format, full.filesystem)


def one_file(path: Path) -> ds.Dataset:
    """A Parquet file on this machine, read as a table's are."""
    whole = ds.dataset(path, format="parquet")
    return Files(list(whole.get_fragments()), whole.schema, whole.format, whole.filesystem)


class Files(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow tells no types
    """Files of a table, of which little is in memory at a time: DuckDB, too, reads by a dataset's own scanner."""

    def scanner(self, *columns: Any, **options: Any) -> ds.Scanner:
        """Arrow's, which reads less ahead where nobody says otherwise."""
        return super().scanner(*columns, **{**AT_ONCE, **options})


def _days(only: Collection[str] | None) -> set[str] | None:
    """The ingest days of some files, by their paths; None where one does not say it, or all are meant."""
    if only is None:
        return None
    found = [PLACE.match(path) for path in only]
    return {match[1] for match in found if match} if all(found) else None
