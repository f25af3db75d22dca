"""Files of an export, row by row in bounded memory: JSON lines, JSON, CSV and Parquet, alone or in folders.

Go on to `importer.py`.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import InputFileError
from streams.files import BOM, FIELD_BYTES, check

SUFFIXES = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"}
BATCH = 1_000
"""Rows of a Parquet file that are in memory at once."""
MAX_LINE = 64 * 2**20
"""Bytes of one line: a longer one is no row of anything."""
MAX_JSON = 512 * 2**20
"""Bytes of a file that is one JSON value, which must be read as a whole."""


class Place(NamedTuple):
    """A row, and where it stands."""

    file: Path
    number: int
    """Line of text, counted from 1; of JSON and Parquet the row."""
    row: Mapping[str, Any] | None
    """None where it is none: `error` says why."""
    error: str = ""


def files_of(path: Path) -> list[Path]:
    """The file, or those of a folder and the folders in it, in order of their names. Raises InputFileError."""
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.is_file() and _kind(each) in SUFFIXES)
        if not found:
            raise InputFileError(f"{path} holds no file that ends in {', '.join(sorted(SUFFIXES))}")
        return found
    if not path.is_file():
        raise InputFileError(f"there is no file {path}")
    return [path]


def rows_of(path: Path, progress: Callable[[int], None] = lambda _: None) -> Iterator[Place]:
    """The rows of a file; one that is no row is a place with its error. `progress` is told the bytes of the file read.

    Raises InputFileError where the file as a whole cannot be read.
    """
    try:
        with path.open("rb") as raw:
            head = raw.read(16)
            raw.seek(0)
            if head.startswith(b"PAR1"):
                yield from _parquet(path, raw, progress)
                return
            report = _Reports(raw, progress)
            if path.suffix == ".gz":
                with gzip.open(raw) as plain:
                    yield from _text_rows(path, plain, report)  # type: ignore[arg-type] # it reads alike
                return
            check(path, head)
            yield from _text_rows(path, raw, report)
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _Reports:
    """Tells how far a file has been read, also one that is unpacked on the way."""

    def __init__(self, raw: BinaryIO, progress: Callable[[int], None]) -> None:
        self._raw, self._progress, self._told = raw, progress, 0

    def __call__(self) -> None:
        at = self._raw.tell()
        self._progress(at - self._told)
        self._told = at


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _text_rows(path: Path, file: BinaryIO, report: _Reports) -> Iterator[Place]:
    kind = _kind(path)
    if kind in {".csv", ".tsv"}:
        yield from _csv(path, file, report)
        return
    first = file.readline(MAX_LINE).removeprefix(BOM)
    if kind == ".json" and not _is_object(first):
        rest = file.read(MAX_JSON)
        report()
        if len(rest) == MAX_JSON:
            raise InputFileError(f"{path} is one JSON value of more than {MAX_JSON >> 20} MiB: write it as JSON lines")
        yield from _json(path, first + rest)
        return
    number, line = 1, first
    while line:
        if line.strip():
            yield _decoded(path, number, line)
        if number % BATCH == 0:
            report()
        number, line = number + 1, file.readline(MAX_LINE)
    report()


def _is_object(line: bytes) -> bool:
    """Whether a line is a whole JSON object, so that the file has one a line whatever it is called."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _decoded(path: Path, number: int, line: bytes) -> Place:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Place(path, number, None, f"invalid_json: {error}")
    return (
        Place(path, number, value) if isinstance(value, dict) else Place(path, number, None, "invalid_json: no object")
    )


def _json(path: Path, data: bytes) -> Iterator[Place]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InputFileError(f"{path} is no JSON: {error}") from error
    if isinstance(value, dict):  # a page of an API
        value = value.get("data") if isinstance(value.get("data"), list) else [value]
    for number, row in enumerate(value if isinstance(value, list) else [], 1):
        known = isinstance(row, dict)
        yield Place(path, number, row if known else None, "" if known else "invalid_json: no object")


def _csv(path: Path, file: BinaryIO, report: _Reports) -> Iterator[Place]:
    csv.field_size_limit(FIELD_BYTES)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        head = text.readline()
        delimiter = max("\t;,", key=head.count) if _kind(path) == ".csv" else "\t"
        names = [each.strip() for each in next(csv.reader([head], delimiter=delimiter), [])]
        reader = csv.reader(text, delimiter=delimiter)
        for values in reader:
            number = reader.line_num + 1
            if len(values) == len(names):
                yield Place(path, number, dict(zip(names, values, strict=True)))
            elif any(values):
                yield Place(path, number, None, f"invalid_csv: {len(values)} fields, the first line has {len(names)}")
            if number % BATCH == 0:
                report()
    except (csv.Error, UnicodeError) as error:
        raise InputFileError(f"{path} is no CSV in UTF-8: {error}") from error
    report()


def _parquet(path: Path, file: BinaryIO, progress: Callable[[int], None]) -> Iterator[Place]:
    try:
        table = pq.ParquetFile(file)
        share = path.stat().st_size / max(table.metadata.num_rows, 1)
        number = 0
        for batch in table.iter_batches(BATCH):
            for row in batch.to_pylist():
                number += 1
                yield Place(path, number, row)
            progress(round(share * batch.num_rows))
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise InputFileError(f"{path} cannot be read as Parquet: {error}") from error
