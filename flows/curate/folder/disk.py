"""The folder of a version on disk: hidden while it is written, told of by its manifest, revealed whole by a rename.

Go on to `folder.py`, which writes one, and to `brought.py`, which has one from the store.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from flows.curate.folder.card import card
from flows.curate.folder.metadata import croissant
from flows.curate.folder.opened import opens
from flows.store import file_sha256, on_disk
from schemas.errors import FlywheelError

HIDDEN = ".building-"
"""Begins the name of a folder that no reader sees."""
LOCK = ".lock"
"""Held by every build while its hidden folder is there: the system lets go of it when the process ends, however."""


def application_folder(root: Path, application: str) -> Path:
    """Where an application's datasets lie: a hash, since a name that somebody else made is never part of a path."""
    return root / hashlib.sha256(application.encode()).hexdigest()[:16]


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


def describe(folder: Path, manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> None:
    """Write what stands beside the data: manifest, Croissant and card; of the same manifest always the same bytes.

    `schemas`: the columns of each config.
    """
    (folder / "manifest.json").write_bytes(pretty(manifest))
    (folder / "croissant.json").write_bytes(pretty(croissant(manifest, schemas)))
    (folder / "README.md").write_text(card(manifest))


def remove(folder: Path) -> None:
    """Remove a version's folder: invisible at once, whole or not at all."""
    doomed = folder.with_name(f"{HIDDEN}withdrawn-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


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


def reveal(hidden: Path, final: Path) -> bool:
    """`settle` what `datasets` reads as it was written; raises FlywheelError where it does not: nothing is visible."""
    if not final.exists():
        opens(hidden, manifest_of(hidden), hidden.with_name(f"{hidden.name}-opened"))
    return settle(hidden, final)


def settle(hidden: Path, final: Path) -> bool:
    """Rename `hidden` to `final`, on disk before it returns; False where it was there, with the same rows, before."""
    for path in [*hidden.rglob("*"), hidden]:
        on_disk(path)
    try:
        hidden.rename(final)
    except OSError:
        if not (final / "manifest.json").is_file():
            raise
        shutil.rmtree(hidden)
        return False
    on_disk(final.parent)
    return True


def pretty(value: Any) -> bytes:
    """A value as indented JSON with sorted keys: the same value, the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted")) + b"\n"
