"""The eval set: the rows of a frozen dataset folder as items, checked to be the very rows that were frozen.

Reads Parquet with pyarrow alone; which folder is `flows/evalset.py`'s business. Go on to `plan.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from flows import evalset
from flows.versions import Version
from schemas.errors import FileDamaged, InputFileError
from schemas.messages import Chat, read_messages
from schemas.records import GOLDEN, Item, content_hash
from schemas.settings import SAMPLE, Settings

_ASKED = ("data/eval-", f"data/{SAMPLE}-")
"""How the files begin that hold items."""


class EvalSet(msgspec.Struct, frozen=True, kw_only=True):
    """An eval set, and where its items lie."""

    name: str
    """A recipe, or what it was frozen under; of a folder that no lake knows, the folder's name."""
    version: str
    folder: Path
    sha256: dict[str, str]
    """Of the folder's files, as recorded when the eval set was frozen."""
    frozen: bool = False
    """Whether it is a set that somebody froze under a name."""
    warning: str = ""
    """What a comparison has to say of it: that it is stale."""


def of_version(version: Version, settings: Settings) -> EvalSet:
    """A version of the lake as an eval set."""
    return EvalSet(
        name=version.dataset,
        version=version.version,
        folder=version.here(settings),
        sha256=version.manifest.get("files", {}),
        frozen=version.kind == "frozen",
        warning=evalset.warning(version),
    )


def of_folder(folder: Path) -> EvalSet:
    """A folder as an eval set, whether a lake knows it or not: its version is the hash of its files."""
    sums = {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.glob("data/*.parquet")
    }
    return EvalSet(name=folder.resolve().name, version=content_hash(sums)[:32], folder=folder, sha256=sums)


def read_items(folder: Path, sha256: Mapping[str, str] | None = None) -> list[Item]:
    """The items of an eval set in the order of their rows.

    `sha256` maps paths below the folder to the sums that were recorded when it was frozen. Raises FileDamaged where a
    file differs or is missing, and InputFileError where the folder holds no eval set or a row lacks what an item needs.
    """
    files = sorted([*folder.glob("data/eval-*.parquet"), *folder.glob(f"data/{SAMPLE}-*.parquet")])
    there = {file.relative_to(folder).as_posix() for file in files}
    if gone := sorted(name for name in sha256 or () if name.startswith(_ASKED) and name not in there):
        raise FileDamaged(f"{folder / gone[0]} is not there: put the folder back from a copy, or build the set again")
    if not files:
        raise InputFileError(f"{folder} holds no eval set: expected data/eval-*.parquet")
    for file in files:
        _check(file, (sha256 or {}).get(file.relative_to(folder).as_posix()))
    rows = [row for file in files for row in _rows(file)]
    return [_item(row, number) for number, row in enumerate(rows)]


def _check(file: Path, expected: str | None) -> None:
    if expected and (found := hashlib.sha256(file.read_bytes()).hexdigest()) != expected:
        raise FileDamaged(f"{file} has SHA-256 {found[:12]}…, not the recorded {expected[:12]}…: build the set again")


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(f"{file} cannot be read as Parquet: {error}") from error
    return rows


def _item(row: dict[str, Any], number: int) -> Item:
    try:
        return Item(
            item_id=str(row["item_id"]),
            messages=tuple(_asked([_message(message) for message in _nested(row["messages"])])),
            reference=row.get("reference"),
            slice=row.get("slice") or "",
            unit=row.get("unit") or str(row["item_id"]),
            rubric=row.get("rubric"),
            tools=tuple(_bare(tool) for tool in _nested(row.get("tools"))),
            source=row.get("source") or GOLDEN,
            confidence=row.get("score"),
            model=row.get("model") or "",
            interaction_id=row.get("interaction_id") or "",
            time=row.get("time"),
            kept_out=bool(row.get("kept_out")),
        )
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError, RecursionError) as error:
        raise InputFileError(f"row {number} of the eval set is no item: {type(error).__name__} {error}") from error


def _nested(value: Any) -> list[dict[str, Any]]:
    """A nested column, stored as Arrow lists, as Arrow JSON, or as JSON text."""
    decoded = msgspec.json.decode(value) if isinstance(value, str | bytes) else value
    return [msgspec.json.decode(part) if isinstance(part, str) else part for part in decoded or []]


def _asked(messages: list[dict[str, Any]]) -> Chat:
    """The messages in chat form. Raises TypeError where no request could ask all of it, as with a picture."""
    found = read_messages(messages)
    if found.left_out:
        raise TypeError(f"messages hold what no chat can ask ({', '.join(sorted(found.left_out))})")
    return found.chat


def _message(message: dict[str, Any]) -> dict[str, Any]:
    bare = _bare(message)
    return {**bare, "tool_calls": _nested(bare["tool_calls"])} if "tool_calls" in bare else bare


def _bare(value: dict[str, Any]) -> dict[str, Any]:
    """Without the nulls that an Arrow struct puts where another row has a field."""
    return {key: content for key, content in value.items() if content is not None}
