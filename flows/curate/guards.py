"""Decontamination: what train is kept away from besides this build's own eval set: frozen sets, splits, benchmarks.

These have no cap, as a build's own items have one (`MOST_ITEMS` in `build.py`): an item beyond that is not asked, but
a frozen set is asked whole, and what resembles an item that nobody guards would be taught and asked. Their cost is
bounded otherwise. Each question is compared once, however many sets hold it. A set was a build's own once, so that it
has MOST_ITEMS at most, and golden ones. Train is held against an index of letters and words, and against meaning in
blocks: memory does not grow, and work grows with the distinct questions; with their square only where they are held
against one another in meaning, 5 CPU seconds for 20,000. Go on to `leaks.py`, which keeps the distance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.curate.leaks import Guard
from flows.versions import Version
from schemas.errors import InputFileError
from schemas.messages import text_of, to_chat
from schemas.normalise import normalise
from schemas.settings import Settings
from streams.files import read_bytes, rows_of

FIELDS = ("text", "question", "prompt", "input", "problem", "instruction")
"""Where a line of a benchmark file keeps its question: the names that published sets use."""
CHATS = ("messages", "conversations", "conversation", "prompt", "input")
"""And where it keeps a chat."""


def binding(versions: Sequence[Version], split: dict[str, Any], as_of: datetime) -> list[Version]:
    """The eval versions that bind a build beyond its own split: every frozen one, and those dealt by another split.

    Only versions from before `as_of`, so that a build never depends on itself.
    """
    return [
        version
        for version in versions
        if version.created < as_of and version.status != "withdrawn" and _binds(version, split)
    ]


def of_versions(found: Sequence[Version], settings: Settings) -> list[Guard]:
    """A guard for each item of the versions. Raises FilesMissing: a set that cannot be read would guard nothing."""
    return [guard for version in found for guard in _items(version, settings)]


def of_files(paths: Sequence[str]) -> list[Guard]:
    """A guard for each line or row of the benchmark files. Raises InputFileError naming file and line."""
    return [
        Guard(f"{Path(path).name}:{number}", "", "", text, (normalise(text),))
        for path in paths
        for number, text in _texts(Path(path))
        if normalise(text)
    ]


def digest_of(paths: Sequence[str]) -> str:
    """SHA-256 over the files' bytes: other benchmarks are another run."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(read_bytes(Path(path)))
    return digest.hexdigest()


def _binds(version: Version, split: dict[str, Any]) -> bool:
    if version.kind == "frozen":
        return True
    return version.kind == "eval" and any(version.manifest.get("split", {}).get(k) != v for k, v in split.items())


def _items(version: Version, settings: Settings) -> Iterator[Guard]:
    for path in version.files(settings, "eval"):
        for batch in pq.ParquetFile(path).iter_batches(
            10_000, columns=["item_id", "interaction_id", "unit", "messages"]
        ):
            for row in batch.to_pylist():
                text = text_of(to_chat(row["messages"]), "user")
                name = f"{version.dataset}@{version.version}/{row['item_id']}"
                yield Guard(name, row["interaction_id"], row["unit"], text, (normalise(text),))


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    for number, row in rows_of(path, FIELDS):
        yield number, _text(row, f"{path}:{number}")


def _text(row: Any, where: str) -> str:
    """What a row asks: a field of its own, what the user says in a chat of whatever dialect, or a text that is all."""
    if isinstance(row, str):
        return row
    fields = row if isinstance(row, dict) else {"messages": row}
    if (found := next((fields[name] for name in FIELDS if isinstance(fields.get(name), str)), None)) is not None:
        return str(found)
    chat = next((fields[name] for name in CHATS if isinstance(fields.get(name), list)), None)
    if chat is None:
        raise InputFileError(f"{where} has none of the fields {', '.join((*FIELDS, *CHATS))}")
    try:
        text = text_of(to_chat(chat), "user")
    except RecursionError:
        raise InputFileError(f"{where} is nested too deep") from None
    if not text:
        raise InputFileError(f"{where} has no message of a user with a text in it")
    return text
