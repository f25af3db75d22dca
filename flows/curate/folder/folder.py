"""Rows into an immutable folder in the Hugging Face layout; the last rename makes it visible, whole.

    <datasets root>/<hash of the application>/<version>/
        README.md                                  the card: what is in it, what was left out and why
        manifest.json                              what it was built from, and the SHA-256 of every file
        croissant.json                             the same for search engines (JSON-LD)
        data/sft-train-00000-of-00001.parquet      one file, or several

The version is the hash of the rows: the same rows are the same version, wherever and however often they are built.
Go on to `shards.py` and `disk.py`.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.folder.disk import check, describe, hidden_folder, reveal
from flows.curate.folder.shapes import KINDS, Kind, schema_of, uses_tools
from flows.curate.folder.shards import SIZES, Part, Shelf, Sizes, Written, write_part
from schemas.events import to_json
from schemas.records import Example, content_hash


class Folder(msgspec.Struct, frozen=True):
    """A dataset version on disk."""

    version: str
    sha256: str
    """Over the content of all rows, in order; independent of the Parquet writer."""
    path: Path
    rows: dict[str, int]
    """`config/split` → rows."""
    manifest: dict[str, Any]


def write(
    root: Path,
    name: str,
    parts: Mapping[tuple[str, str], Sequence[Example]],
    facts: Mapping[str, Any],
    kinds: Mapping[str, Kind] = KINDS,
    measure: Callable[[Path], Mapping[str, Any]] = lambda _: {},
    sizes: Sizes = SIZES,
) -> Folder:
    """Write a dataset version below `root` and make it visible; where it is there already, leave it as it is.

    `name` and `parts` (examples of each config and split, in order) decide the version; `facts` go into the manifest
    and the card. `kinds` says what each config is. `measure` is given the folder once its rows are written: what it
    found goes into both too.

    1. Parquet, manifest and card into a hidden folder. 2. `datasets` opens it and reads what was written. 3. Rename. A
    kill leaves only what is hidden.
    A config without rows is left out, but for the first: `datasets` opens none that is empty.
    """
    first = next(iter(parts))
    parts = {part: examples for part, examples in parts.items() if examples or part == first}
    with hidden_folder(root, content_hash([name, facts])[:16]) as hidden:
        digest = hashlib.sha256(to_json({"name": name}).encode())
        schemas = {
            kind: schema_of(kinds[kind], any(map(uses_tools, rows)), any(e.failed for e in rows))
            for (kind, _), rows in parts.items()
        }
        with _no_collection():
            shelf = Shelf(root)
            written = {
                f"{kind}/{split}": write_part(
                    hidden / "data", Part(kinds[kind], split, schemas[kind]), examples, digest, shelf, sizes
                )
                for (kind, split), examples in parts.items()
            }
        sha256 = digest.hexdigest()
        manifest = {
            "name": name,
            "version": sha256[:16],
            "sha256": sha256,
            **_told(written),
            "configs": [kind for kind, _ in parts],
            **facts,
            **measure(hidden),
        }
        describe(hidden, manifest, schemas)
        if not reveal(hidden, root / manifest["version"]):
            there = check(root / manifest["version"])  # perhaps another writer's
            manifest |= {name: there[name] for name in ("files", "shards") if name in there}
    return Folder(manifest["version"], sha256, root / manifest["version"], manifest["rows"], manifest)


def _told(written: Mapping[str, Written]) -> dict[str, Any]:
    """What the manifest says of the files: rows by part, each file's SHA-256, and what those of several hold."""
    files = {f"data/{name}": sha256 for part in written.values() for name, sha256 in part.files.items()}
    shards = {name: msgspec.to_builtins(shard) for part in written.values() for name, shard in part.shards.items()}
    rows = {name: part.rows for name, part in written.items()}
    return {"rows": rows, "files": dict(sorted(files.items())), **({"shards": shards} if shards else {})}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's cycle collector: rows make no cycles, and looking for some among them costs a fifth."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
