"""Parts of a table: the files that came since a version, and those that may hold the rows that are wanted.

What a turn reads follows from what is new: it asks for a part, never for all, and whatever lies outside is not opened.
Go on to `query.py`, which takes them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from schemas.tables import TABLES
from streams.lake.changes import changes
from streams.lake.layout import Lake, dataset_of, one_file
from streams.lake.spilled import SPILLS


@dataclass(frozen=True)
class Part:
    """Some files of a table, and which of their rows count."""

    dataset: ds.Dataset | pa.Table
    column: str = ""
    values: pa.Array | None = None
    """Where they are given: only rows whose `column` is one of these."""


def since(lake: Lake, name: str, version: int, before: int) -> Part:
    """The files of `version` that hold what came after `before` (-1: before there was a table).

    Every row that came in between is in them; so are older ones, where files were joined (`changes.py`).
    """
    if version in {-1, before}:
        return Part(TABLES[name].schema.empty_table())
    handle = lake.open(name, version)
    return Part(dataset_of(handle, changes(lake, name, handle, before).files))


def holding(lake: Lake, name: str, version: int, column: str, values: pa.Array) -> Part:
    """The rows whose `column` (an indexed one) is among the values; files that can hold none of them are not opened."""
    if version == -1 or not len(values):
        return Part(TABLES[name].schema.empty_table())
    handle = lake.open(name, version)
    actions = pa.table(handle.get_add_actions(flatten=True))
    ordered = values.take(pc.array_sort_indices(values)).to_pylist()
    paths = frozenset(
        unquote(path)
        for path, low, high in zip(
            actions["path"].to_pylist(), _bound(actions, "min", column), _bound(actions, "max", column), strict=True
        )
        if low is None or high is None or _any_between(ordered, low, high)
    )
    return Part(dataset_of(handle, paths), column, values)


def within(lake: Lake, name: str, version: int, which: pc.Expression) -> Part:
    """The rows for which an expression over a table's columns is true, by the statistics of its files' row groups.

    Others may come with them, from Spark all of them: the query that takes the part asks the same once more.
    """
    if version == -1:
        return Part(TABLES[name].schema.empty_table())
    return Part(dataset_of(lake.open(name, version)).filter(which))


@contextmanager
def kept_apart(part: Part) -> Iterator[Part]:
    """The same rows in a file of their own while the context is open: for many questions about few rows of many."""
    if isinstance(part.dataset, pa.Table):
        yield part
        return
    with in_file(part.dataset.scanner().to_reader()) as rows:
        yield Part(rows, part.column, part.values)


@contextmanager
def in_file(rows: pa.RecordBatchReader) -> Iterator[ds.Dataset]:
    """Rows that many questions are asked of, in a file while the context is open.

    It lies where an engine's spilled rows do, for its owner alone, and they pass through memory a batch at a time.
    """
    with TemporaryDirectory(prefix=SPILLS) as folder:
        file = Path(folder) / "part.parquet"
        with rows, pq.ParquetWriter(file, rows.schema, compression="none") as writer:
            for batch in rows:
                if len(batch):
                    writer.write_batch(batch)
        yield one_file(file)


def _bound(actions: pa.Table, which: str, column: str) -> list[str | None]:
    name = f"{which}.{column}"
    return list(actions[name].to_pylist()) if name in actions.column_names else [None] * len(actions)


def _any_between(ordered: Sequence[str], low: str, high: str) -> bool:
    """Whether one of some sorted values lies between two bounds, both included."""
    at = bisect_left(ordered, low)
    return at < len(ordered) and ordered[at] <= high
