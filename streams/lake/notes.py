"""Small files beside the tables, wherever the lake lies: what was checked, who is at work.

Not tables: nothing that was concluded stands in them, and a lake without them is whole. Go on to `checked.py` and
`lease.py`.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from streams.lake.layout import Lake

FOLDER = "_flywheel"
"""Below the lake's root; readers of tables pass over what begins so."""


def read(lake: Lake, name: str) -> bytes | None:
    """What a note says; None where there is none."""
    if lake.is_local:
        try:
            return _path(lake, name).read_bytes()
        except FileNotFoundError:
            return None
    try:
        with _store(lake).open_input_stream(name) as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        return None


def write(lake: Lake, name: str, content: bytes) -> None:
    """Write a note, or write it anew: whoever reads it sees the whole of one or the other."""
    if lake.is_local:
        path = _path(lake, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        scratch.write_bytes(content)
        scratch.rename(path)
        return
    # As in `files.py`: delta-rs takes bytes only.
    stream: Any = _handler(lake)._handler.open_output_stream(name, None)  # noqa: SLF001
    stream.write(content)
    stream.close()


def remove(lake: Lake, name: str) -> None:
    """Remove a note; nothing where there is none."""
    if lake.is_local:
        _path(lake, name).unlink(missing_ok=True)
        return
    try:
        _store(lake).delete_file(name)
    except FileNotFoundError:
        return


def names(lake: Lake, folder: str) -> list[str]:
    """The notes in a folder, in order."""
    if lake.is_local:
        place = _path(lake, folder)
        return sorted(f"{folder}/{path.name}" for path in place.glob("[!.]*")) if place.is_dir() else []
    found = _store(lake).get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return sorted(info.path for info in found if info.is_file)


def _path(lake: Lake, name: str) -> Path:
    return Path(lake.root) / FOLDER / name


def _handler(lake: Lake) -> DeltaStorageHandler:
    return DeltaStorageHandler(f"{lake.root}/{FOLDER}", lake.storage_options or None)


def _store(lake: Lake) -> fs.PyFileSystem:
    return fs.PyFileSystem(_handler(lake))
