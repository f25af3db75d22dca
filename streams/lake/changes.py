"""What came to a table since a version: the files to read for a fold that goes on instead of starting anew.

The files of both versions are compared. One that is new holds new rows, unless it was made of files that were there
before: a file's footer says which it replaced. So a compaction of old rows brings nothing, and an erasure names the
ingest days whose rows are fewer than they were. Go on to `parts.py` and `ui/index/fold.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from urllib.parse import unquote

import msgspec
import pyarrow as pa
from deltalake.exceptions import DeltaError

from schemas.errors import LakeError
from schemas.tables import TABLES
from streams.lake.append import Handle
from streams.lake.files import note_of
from streams.lake.layout import Lake, dataset_of
from streams.lake.maintain import COMPACTED, REWRITES, File, files

BATCH = 20_000
"""Rows in memory at a time: with their messages some 40 MB."""


class Changes(msgspec.Struct, frozen=True):
    """What a reader of `since` has to read to know the table as of `version`."""

    version: int
    files: tuple[str, ...]
    """Paths of files that hold all rows that came, in the order in which these arrived; with a few that did not come
    since, where files were joined."""
    days: frozenset[date] = frozenset()
    """Ingest days to read anew as a whole: their rows may be fewer than before."""
    whole: bool = False
    """Whether what was there at `since` is not known any more: then all files came, and all days are to be read anew,
    those that are gone among them."""

    def __bool__(self) -> bool:
        """Whether anything changed for a reader."""
        return bool(self.files or self.days or self.whole)


def changes(lake: Lake, name: str, handle: Handle, since: int) -> Changes:
    """What the table has at `handle` that it had not at version `since` (-1: nothing is known yet)."""
    version = int(handle.version())
    if since == version:
        return Changes(version, ())
    now = files(handle)
    known = _known(lake, name, since)
    if known is None:
        return Changes(version, _paths(now), _days(now), whole=True)
    here = {unquote(file.path) for file in now}
    fresh, gone = [file for file in now if unquote(file.path) not in known], known.keys() - here
    if not gone:  # nothing was rewritten
        return Changes(version, _paths(fresh))
    made_of = _Origins(lake, name, known)
    came = [file for file in fresh if not made_of.is_known(unquote(file.path))]
    return Changes(version, _paths(came), _days(known[path] for path in gone - made_of.joined))


class _Origins:
    """What files were made of, by their footers and by those of the files that they replaced, while these lie there."""

    def __init__(self, lake: Lake, name: str, known: Mapping[str, File]) -> None:
        self._lake, self._name = lake, name
        self._found = dict.fromkeys(known, True)
        self.joined: set[str] = set()
        """Files that were joined with others, no row of which is lost."""

    def is_known(self, path: str) -> bool:
        """Whether a file was there, or was made of files that were and nothing else."""
        if path not in self._found:
            note = self._note(path)
            self.joined |= _listed(note.get(COMPACTED))
            parents = {parent for kind in REWRITES for parent in _listed(note.get(kind))}
            known = [self.is_known(parent) for parent in sorted(parents)]  # all: each says what it was joined of
            self._found[path] = bool(known) and all(known)
        return self._found[path]

    def _note(self, path: str) -> dict[str, str]:
        try:
            return note_of(self._lake, self._name, path)
        except OSError:  # it went at once, with an erasure
            return {}


def _listed(paths: str | None) -> set[str]:
    return {unquote(path) for path in (paths or "").split(",") if path}


def paths_of(handle: Handle, days: frozenset[date]) -> list[str]:
    """The files of some ingest days as they are now, in the order in which their rows arrived."""
    return [unquote(file.path) for file in files(handle) if file.day in days]


def batches(name: str, handle: Handle, paths: Sequence[str], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of some files, in their order, a bounded number of rows at a time; a missing column is null."""
    dataset = dataset_of(handle, frozenset(paths))
    by_path = {unquote(fragment.path): fragment for fragment in dataset.get_fragments()}
    schema = pa.schema([TABLES[name].schema.field(column).with_nullable(True) for column in columns])
    there = [column for column in columns if column in dataset.schema.names]
    for path in paths:
        for batch in by_path[path].to_batches(schema=dataset.schema, columns=there, batch_size=BATCH):
            arrays = [
                batch[field.name].cast(field.type) if field.name in there else pa.nulls(batch.num_rows, field.type)
                for field in schema
            ]
            yield pa.Table.from_arrays(arrays, schema=schema)


def _known(lake: Lake, name: str, since: int) -> dict[str, File] | None:
    """The files of an older version by their paths; None where its log is gone."""
    if since < 0:
        return {}
    try:
        return {unquote(file.path): file for file in files(lake.open(name, since))}
    except (LakeError, DeltaError, OSError):
        return None


def _paths(found: Sequence[File]) -> tuple[str, ...]:
    return tuple(unquote(file.path) for file in found)


def _days(found: Iterable[File]) -> frozenset[date]:
    return frozenset(file.day for file in found if file.day is not None)
