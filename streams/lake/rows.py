"""Records as rows of their table, and rows as records: columns are filled by the fields' names, in this one place.

A field with a shape of its own (a list of points, a mapping) lies in a JSON column as canonical text. A row of an older
table, which lacks a column, reads as the field's default. Go on to `schemas/tables.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
import pyarrow as pa
from msgspec import Struct, inspect

from schemas.events import to_json
from schemas.tables import TABLES

T = TypeVar("T", bound=Struct)
BATCH = 10_000
"""Rows of a batch: messages of so many are some 20 MB."""


class Work(Protocol):
    """Pure work on rows: what becomes of a row follows from that row alone.

    A frozen dataclass at the top of a module, so that it can be sent to where the rows are. It is called once for each
    lot of rows, with their batches in order, in processes that know this program and nothing of the caller's.
    """

    @property
    def schema(self) -> pa.Schema:
        """Of what it gives."""

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As many batches as it is given, each of as many rows, in the same order."""


class Rows:
    """An answer that need not fit into memory: its rows, in its order, once."""

    def __init__(self, reader: Callable[[int], pa.RecordBatchReader]) -> None:
        self._reader = reader

    def reader(self, size: int = BATCH) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow's, which tells the columns of no rows too."""
        return self._reader(size)

    def batches(self, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """The rows in batches of about this size."""
        with self.reader(size) as reader:
            yield from reader

    def dicts(self, size: int = BATCH) -> Iterator[dict[str, Any]]:
        """The rows one by one; a batch of them is in memory."""
        for batch in self.batches(size):
            yield from batch.to_pylist()

    def map(self, work: Work) -> Rows:
        """What a work makes of the rows, in the same order; it is done where the rows are."""
        return Rows(lambda size: pa.RecordBatchReader.from_batches(work.schema, work(self.batches(size))))

    def tables(self, size: int) -> Iterator[pa.Table]:
        """The rows in tables of at least so many, but for the last."""
        some: list[pa.RecordBatch] = []
        for batch in self.batches():
            some.append(batch)
            if sum(map(len, some)) >= size:
                yield pa.Table.from_batches(some)
                some = []
        if some:
            yield pa.Table.from_batches(some)

    def table(self) -> pa.Table:
        """All of them: for answers that are small by construction."""
        with self.reader(1_000_000) as reader:
            return reader.read_all()


def to_table(name: str, records: Iterable[Struct], **shared: Any) -> pa.Table:
    """Records as the rows of a table; `shared` are columns that all of them have alike, such as the run's id.

    Columns that are neither are null. Raises KeyError for a field that is no column.
    """
    schema = TABLES[name].schema
    return pa.Table.from_pylist([shared | _row(record, schema) for record in records], schema=schema)


def from_row(cls: type[T], row: Mapping[str, Any]) -> T:
    """A table's row as a record; columns that the record does not know are left out.

    Raises msgspec.ValidationError for a value that the record cannot hold.
    """
    values = {}
    for field, required, nested in _fields(cls):
        value = row.get(field)
        if value is not None:
            values[field] = msgspec.json.decode(value) if nested and isinstance(value, str) else value
        elif required:
            values[field] = None
    return msgspec.convert(values, cls)


def _row(record: Struct, schema: pa.Schema) -> dict[str, Any]:
    return {name: _value(getattr(record, name), schema.field(name).type) for name in record.__struct_fields__}


def _value(value: Any, kind: pa.DataType) -> Any:
    nested = value is not None and not isinstance(value, str) and pa.types.is_string(kind)
    return to_json(value) if nested else value


@functools.cache
def _fields(cls: type[Struct]) -> tuple[tuple[str, bool, bool], ...]:
    """For each field its name, whether it has no default, and whether it lies in the table as JSON text."""
    return tuple((f.name, f.required, not _is_text(inspect.type_info(f.type))) for f in msgspec.structs.fields(cls))


def _is_text(kind: inspect.Type) -> bool:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(one, inspect.StrType | inspect.LiteralType) for one in kinds)
