"""Files that people bring, row by row: JSON lines, JSON, CSV, Parquet, or a text a line.

What a file is, its first bytes say before its name does. A byte order mark and CRLF are no part of a line, and only
line ends end lines: U+2028 within a text does not. What cannot be read is one sentence with file, line and cause.
"""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import InputFileError

BOM = b"\xef\xbb\xbf"
_FOREIGN = {
    b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x1f\x8b": "compressed (gzip)", b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)", b"%PDF": "a PDF", b"SQLite": "an SQLite database", b"ARROW1": "Arrow IPC",
}  # fmt: skip
_DELIMITERS = ",;\t"
FIELD_BYTES = 2**24
"""The longest field of a CSV file; Python's own limit is 128 KiB."""

T = TypeVar("T")
Row = tuple[int, Any]
"""Line number, counted from 1 (of Parquet and JSON: row number), and value."""


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises InputFileError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from error


def rows_of(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a file: decoded JSON, a mapping a row of CSV or Parquet, or the text of a line; blank ones left out.

    `columns` are names of which a CSV file has at least one in its first line. Raises InputFileError.
    """
    data = read_bytes(path)
    if data.startswith(b"PAR1"):
        return _parquet(path, data)
    if path.suffix == ".parquet":
        raise InputFileError(f"{path} is no Parquet")
    check(path, data[:16])
    data = data.removeprefix(BOM)
    if path.suffix in {".csv", ".tsv"}:
        return _csv(path, data, columns)
    if path.suffix == ".json" or (path.suffix == ".jsonl" and _is_one_array(data)):
        return _json(path, data)
    return _json_lines(path, data) if path.suffix == ".jsonl" else _lines(path, data)


def objects_of(path: Path, kind: type[T], absent: Mapping[str, Any]) -> Iterator[tuple[str, T]]:
    """The rows of a file as values of a type, each with where it stands: JSON lines under any name, CSV or Parquet.

    `absent` is what a spreadsheet may lack. In CSV an empty field is absent, and what looks like JSON is JSON. Raises
    InputFileError naming the row that is wrong.
    """
    flat = path.suffix in {".csv", ".tsv", ".parquet"}
    for number, row in rows_of(path, [*inspect.signature(kind).parameters]) if flat else _json_rows(path):
        where = f"{path} line {number}"
        try:
            value = {**absent, **_unflattened(row)} if flat else row
            yield where, msgspec.convert(value, kind, strict=not flat)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InputFileError(f"{where}: {error}") from error


def check(path: Path, head: bytes) -> None:
    """Raise InputFileError where a file begins like one that is no text in UTF-8."""
    for magic, name in {**_FOREIGN, b"PAR1": "Parquet"}.items():
        if head.startswith(magic):
            raise InputFileError(f"{path} is {name}: save it as text in UTF-8")


def split(data: bytes) -> list[bytes]:
    """Lines, without their ends: LF, CRLF, or CR where there is no other."""
    data = data.removeprefix(BOM)
    if b"\n" not in data:
        return data.split(b"\r")
    return [line.removesuffix(b"\r") for line in data.split(b"\n")]


def _json_lines(path: Path, data: bytes) -> Iterator[Row]:
    for number, line in enumerate(split(data), 1):
        if line.strip():
            yield number, _decoded(line, f"{path}:{number}")


def _json_rows(path: Path) -> Iterator[Row]:
    data = read_bytes(path)
    check(path, data[:16])
    for number, line in enumerate(split(data), 1):
        if line.strip():
            yield number, _decoded(line, f"{path} line {number}")


def _unflattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without its empty fields, and with JSON where a field holds some."""
    there = {name: value for name, value in row.items() if value not in {"", None}} if _is_flat(row) else dict(row)
    return {
        name: msgspec.json.decode(value)
        if isinstance(value, str) and value[:1] in {"[", "{"} and _is_json(value.encode())
        else value
        for name, value in there.items()
    }


def _is_flat(row: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str | None) for value in row.values())


def _json(path: Path, data: bytes) -> Iterator[Row]:
    value = _decoded(data, str(path))
    return iter(enumerate(value if isinstance(value, list) else [value], 1))


def _is_one_array(data: bytes) -> bool:
    """Whether a file that should have a row a line holds one array over several lines."""
    return data.lstrip()[:1] == b"[" and not _is_json(split(data.strip())[0])


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _decoded(text: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputFileError(f"{where} is no JSON: {error}") from error
    except RecursionError:
        raise InputFileError(f"{where} is nested too deep") from None


def _lines(path: Path, data: bytes) -> Iterator[Row]:
    for number, line in enumerate(split(data), 1):
        if line.strip():
            yield number, _text(line, f"{path}:{number}")


def _text(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputFileError(f"{where} is no UTF-8 ({error.reason} at byte {error.start})") from None


def _csv(path: Path, data: bytes, columns: Sequence[str]) -> Iterator[Row]:
    """Quoted fields may hold line ends; the delimiter is the one that gives a known column, as spreadsheets differ."""
    text = "\n".join(_text(line, f"{path}:{number}") for number, line in enumerate(split(data), 1))
    first = text.partition("\n")[0]
    names = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in _DELIMITERS}
    found = [
        delimiter for delimiter in _DELIMITERS if not columns or set(columns) & {n.strip() for n in names[delimiter]}
    ]
    if not found:
        raise InputFileError(f"{path}:1 has none of the columns {', '.join(columns)}")
    return _csv_rows(path, text, max(found, key=lambda delimiter: len(names[delimiter])))


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(FIELD_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    before = 1
    try:
        for values in reader:
            if not names:
                names = [name.strip() for name in values]
            elif any(value.strip() for value in values):
                if len(values) != len(names):
                    raise InputFileError(f"{path}:{before} has {len(values)} fields, the first line {len(names)}")
                yield before, dict(zip(names, values, strict=True))
            before = reader.line_num + 1
    except csv.Error as error:
        raise InputFileError(f"{path}:{reader.line_num} is no CSV: {error}") from error


def _parquet(path: Path, data: bytes) -> Iterator[Row]:
    try:
        table = pq.read_table(pa.BufferReader(data))
        return iter(enumerate(table.to_pylist(), 1))
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
        raise InputFileError(f"{path} cannot be read as Parquet: {error}") from error
