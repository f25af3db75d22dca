"""A version that lies in the store, brought here: its files are those that the lake has recorded, or it is not here.

Of the store only the data is taken, each file with its recorded SHA-256; what stands beside it is written anew from
what the lake says of the version. So nobody who can write to the store can change what a reader is given. Go on to
`flows/versions.py`, which asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import get_ident
from typing import Any

import pyarrow.parquet as pq

from flows.curate.folder.disk import describe, hidden_folder, settle
from flows.store import DATASETS, Store
from schemas.errors import FlywheelError

_FILE = re.compile(r"data/[A-Za-z0-9_][A-Za-z0-9_.-]*\.parquet")


def lacking(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The files of a version that are not in its folder."""
    files: Mapping[str, str] = manifest.get("files", {})
    return [name for name in sorted(files) if not (folder / name).is_file()]


def bring(store: Store, path: str, folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Put what a version's folder lacks there, all of it or nothing; False where the store does not hold all of it.

    `path` is the version's below `datasets`, `manifest` what the lake has recorded. Two that bring the same are fine:
    the second finds the first one's. A kill leaves only what is hidden.
    """
    with hidden_folder(folder.parent, f"{folder.name}-{get_ident()}") as hidden:
        names = lacking(folder, manifest)
        for name in names:
            if not _FILE.fullmatch(name):
                raise FlywheelError(f"{name[:200]!r} is no name of a file of a dataset version")
            if not store.bring(f"{DATASETS}/{path}/{name}", hidden / name, manifest["files"][name]):
                return False
        if not folder.is_dir():
            schemas = {Path(name).name.split("-")[0]: pq.read_schema(hidden / name) for name in names}
            describe(hidden, manifest, schemas)
            settle(hidden, folder)
            return True
        (folder / "data").mkdir(exist_ok=True)
        for name in names:
            (hidden / name).rename(folder / name)
    return True
