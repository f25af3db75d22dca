"""What train must stay away from besides this build's own eval set: frozen sets, earlier splits, benchmark files.

Go on to `leaks.py`, which keeps the distance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from flows.curate.dedup import normalise
from flows.curate.leaks import Guard
from flows.versions import Version
from schemas.errors import InputFileError
from schemas.messages import Chat, text_of
from schemas.settings import Settings

FIELDS = ("text", "question", "prompt", "input", "problem", "instruction")
"""Where a line of a benchmark file keeps its question: the names that published sets use."""


def binding(known: Sequence[Version], split: dict[str, Any], as_of: datetime) -> list[Version]:
    """The eval versions that bind a build beyond its own split: every frozen one, and those dealt by another split.

    Only versions from before `as_of`, so that a build never depends on itself.
    """
    return [
        version
        for version in known
        if version.created < as_of and version.status != "withdrawn" and _binds(version, split)
    ]


def of_versions(found: Sequence[Version], settings: Settings) -> list[Guard]:
    """A guard for each item of the versions."""
    return [guard for version in found for guard in _items(version, version.folder(settings))]


def of_files(paths: Sequence[str]) -> list[Guard]:
    """A guard for each line or row of the benchmark files. Raises InputFileError naming file and line."""
    return [
        Guard(f"{Path(path).name}:{number}", "", "", text, (normalise(text),))
        for path in paths
        for number, text in enumerate(_texts(Path(path)), 1)
        if normalise(text)
    ]


def digest_of(paths: Sequence[str]) -> str:
    """SHA-256 over the files' bytes: other benchmarks are another run."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(_bytes(Path(path)))
    return digest.hexdigest()


def _binds(version: Version, split: dict[str, Any]) -> bool:
    if version.kind == "frozen":
        return True
    return version.kind == "eval" and any(version.manifest.get("split", {}).get(k) != v for k, v in split.items())


def _items(version: Version, folder: Path) -> Iterator[Guard]:
    for path in sorted((folder / "data").glob("eval-*.parquet")):
        for row in pq.read_table(path, columns=["item_id", "interaction_id", "unit", "messages"]).to_pylist():
            text = _asked(row["messages"])
            name = f"{version.dataset}@{version.version}/{row['item_id']}"
            yield Guard(name, row["interaction_id"], row["unit"], text, (normalise(text),))


def _asked(messages: Chat) -> str:
    return text_of(messages, "user")


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        for number, row in enumerate(pq.read_table(path).to_pylist(), 1):
            yield _text(row, path, number)
        return
    for number, line in enumerate(_bytes(path).decode("utf-8", "replace").splitlines(), 1):
        if line.strip():
            yield _text(_decoded(line, path, number), path, number) if path.suffix == ".jsonl" else line


def _decoded(line: str, path: Path, number: int) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise InputFileError(f"{path}:{number} is no JSON: {error}") from error


def _text(row: Any, path: Path, number: int) -> str:
    if isinstance(row, dict):
        if isinstance(row.get("messages"), list):
            return _asked(row["messages"])
        if found := next((row[name] for name in FIELDS if isinstance(row.get(name), str)), None):
            return str(found)
    raise InputFileError(f"{path}:{number} has none of the fields {', '.join(FIELDS)}, messages")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"curate.benchmarks: {path} cannot be read: {error.strerror}") from error
