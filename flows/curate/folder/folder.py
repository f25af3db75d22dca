"""Rows into an immutable folder in the Hugging Face layout; the last rename makes it visible, whole.

    <datasets root>/<hash of the application>/<version>/
        README.md                                  the card: what is in it, what was left out and why
        manifest.json                              what it was built from, and the SHA-256 of every file
        croissant.json                             the same for search engines (JSON-LD)
        data/sft-train-00000-of-00001.parquet      one file, or several

The version is the hash of the rows: the same rows are the same version, wherever and however often they are built.
Go on to `shards.py` and `card.py`.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.folder.card import card
from flows.curate.folder.metadata import croissant
from flows.curate.folder.opened import opens
from flows.curate.folder.shapes import KINDS, Kind, schema_of, uses_tools
from flows.curate.folder.shards import SIZES, Part, Shelf, Sizes, Written, file_sha256, write_part
from schemas.errors import FlywheelError
from schemas.events import to_json
from schemas.records import Example, content_hash

HIDDEN = ".building-"
"""Begins the name of a folder that no reader sees."""
LOCK = ".lock"
"""Held by every build while its hidden folder is there: the system lets go of it when the process ends, however."""


class Folder(msgspec.Struct, frozen=True):
    """A dataset version on disk."""

    version: str
    sha256: str
    """Over the content of all rows, in order; independent of the Parquet writer."""
    path: Path
    rows: dict[str, int]
    """`config/split` → rows."""
    manifest: dict[str, Any]


def application_folder(root: Path, application: str) -> Path:
    """Where an application's datasets lie: a hash, since a name that somebody else made is never part of a path."""
    return root / hashlib.sha256(application.encode()).hexdigest()[:16]


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
            **facts,
            **measure(hidden),
        }
        (hidden / "manifest.json").write_bytes(pretty(manifest))
        (hidden / "croissant.json").write_bytes(pretty(croissant(manifest, schemas)))
        (hidden / "README.md").write_text(card(manifest))
        if not reveal(hidden, root / manifest["version"]):
            there = check(root / manifest["version"])  # perhaps another writer's
            manifest |= {name: there[name] for name in ("files", "shards") if name in there}
    return Folder(manifest["version"], sha256, root / manifest["version"], manifest["rows"], manifest)


@contextmanager
def hidden_folder(root: Path, name: str) -> Iterator[Path]:
    """A folder below `root` that no reader sees, with an empty `data`; gone at the end unless it was revealed."""
    root.mkdir(parents=True, exist_ok=True)
    hidden = root / f"{HIDDEN}{os.getpid()}-{name}"
    with (root / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        shutil.rmtree(hidden, ignore_errors=True)
        (hidden / "data").mkdir(parents=True)
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what killed builds left below `root`, unless a build is at work there: the next one then does it."""
    with (root / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for path in root.glob(f"{HIDDEN}*"):
            shutil.rmtree(path, ignore_errors=True)


def manifest_of(folder: Path) -> dict[str, Any]:
    """What a version says of itself. Raises FlywheelError where that is not whole."""
    try:
        manifest: dict[str, Any] = msgspec.json.decode((folder / "manifest.json").read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise FlywheelError(f"{folder} has no whole manifest.json ({error}): build the dataset again") from error
    return manifest


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a version whose files all have their recorded SHA-256. Raises FlywheelError naming the file."""
    manifest = manifest_of(folder)
    for name, expected in manifest["files"].items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise FlywheelError(
                f"{folder / name} is missing or damaged: it does not have its recorded SHA-256. "
                f"Remove the folder and build the dataset again."
            )
    return manifest


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


def reveal(hidden: Path, final: Path) -> bool:
    """Rename `hidden` to `final`, on disk before it returns; False where it was there, with the same rows, before.

    First `datasets` must read from it what was written; raises FlywheelError where it does not, and nothing is visible.
    """
    if not final.exists():
        opens(hidden, manifest_of(hidden), hidden.with_name(f"{hidden.name}-opened"))
    for path in [*hidden.rglob("*"), hidden]:
        _sync(path)
    try:
        hidden.rename(final)
    except OSError:
        if not (final / "manifest.json").is_file():
            raise
        shutil.rmtree(hidden)
        return False
    _sync(final.parent)
    return True


def pretty(value: Any) -> bytes:
    """A value as indented JSON with sorted keys: the same value, the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted")) + b"\n"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
