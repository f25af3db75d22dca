"""Dataset versions in the store that machines share: sent before they are recorded, gone when they are withdrawn.

The folder in the home is then a copy of what lies there, and a run's disk may go with it. Every function does nothing
where the settings name no store. Go on to `flows/store.py`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from flows.curate.folder.brought import bring, lacking
from flows.curate.folder.disk import application_folder, hidden_folder, remove
from flows.store import DATASETS, LAST, Store, file_sha256, plain, store_of
from flows.versions import LOST, Version, versions
from schemas.settings import Settings
from streams.lake import Lake

_log = logging.getLogger(__name__)
_FOLDER = re.compile(r"[0-9a-f]{16}/[0-9a-f]{16}")
"""Application and version, as builds name them: whatever else lies in the store is not ours to touch."""
UNLISTED_S = 24 * 3600.0
"""From when on a folder that no version names is no build's that is still at work."""
Holds = Callable[[Path], bool]


def send(settings: Settings, version: Version) -> None:
    """Have a version in the store, whole, before its row is recorded: what the lake names can be had everywhere.

    Killed in between it is begun again by the next build, and what has arrived is not sent twice.
    """
    if (store := store_of(settings)) is not None:
        store.send_folder(version.folder(settings), f"{DATASETS}/{version.path}")


def send_made(lake: Lake, settings: Settings, made: Sequence[Version]) -> list[Version]:
    """`send` versions that were just made; what is to be recorded of them."""
    store = store_of(settings)
    if store is None:
        return list(made)
    known = versions(lake, settings.application)
    return [_sent_or_taken(store, settings, known, one) for one in made]


def _sent_or_taken(store: Store, settings: Settings, known: Sequence[Version], made: Version) -> Version:
    """A version after it was sent, or, where other bytes of its rows are recorded and the store has these, with them.

    Another machine has made those (it has another Parquet writer); they take the place of ours: recorded bytes never
    change.
    """
    kept = next((one for one in known if one.path == made.path and one.status != "withdrawn"), None)
    if kept is not None and kept.manifest.get("files", made.manifest["files"]) != made.manifest["files"]:
        folder = made.folder(settings)
        with hidden_folder(folder.parent, f"instead-{folder.name}") as hidden:
            there = hidden / folder.name
            if bring(store, kept.path, there, kept.manifest):
                remove(folder)
                there.rename(folder)
                return msgspec.structs.replace(made, manifest=kept.manifest)
    send(settings, made)
    return made


def even_out(settings: Settings, known: Sequence[Version]) -> None:
    """Make this home and the store hold the same of an application, of which `known` are all versions.

    1. Living versions that are here, as they were recorded, and not there, are sent: they are from before the store was
    named, or were lost there.
    2. Folders that no version names and that are not there either go from here, a day after a killed build left them:
    an erasure on another machine has looked through the store, and not through this disk.
    """
    if (store := store_of(settings)) is None:
        return
    root = application_folder(settings.datasets_path, settings.application)
    there = _folders(store, {root.name})
    for path, version in {one.path: one for one in known if one.status != "withdrawn"}.items():
        folder, files = version.folder(settings), version.manifest.get("files", {})
        if not files or {f"{path}/{name}" for name in (*files, LAST[-1])} <= there.get(path, set()):
            continue
        if not lacking(folder, version.manifest) and all(file_sha256(folder / n) == s for n, s in files.items()):
            _log.info("%s@%s is not in the store: sending it", version.dataset, version.version)
            send(settings, version)
    named = {one.path for one in known} | there.keys()
    for folder in [path.parent for path in root.glob("[!.]*/manifest.json")]:
        if f"{root.name}/{folder.name}" not in named and folder.stat().st_mtime < time.time() - UNLISTED_S:
            remove(folder)


def clear_stored(settings: Settings, known: Sequence[Version], gone: set[str], *, alone: bool) -> None:
    """Remove from the store the folders at these paths, of withdrawn versions.

    But for what was lost, unless no build is under way (`alone`): one may just be sending it anew.
    """
    lost = {version.path for version in known if version.status_reason == LOST}
    doomed = gone if alone else gone - lost
    if doomed and (store := store_of(settings)) is not None:
        for folder in sorted(doomed & _folders(store, doomed).keys()):
            store.remove(f"{DATASETS}/{folder}")


def discard_stored(settings: Settings, known: Sequence[Version], application: str, holds: Holds) -> list[str]:
    """Remove the folders in the store that no version names and that hold rows in question; their versions' names.

    A build that was killed after it sent a folder and before it recorded the version leaves one, or a part of one. What
    cannot be read goes too: whose rows it holds nobody can say. Called where no build is under way, which may have sent
    what it will record. An `application` that is empty means all.
    """
    if (store := store_of(settings)) is None:
        return []
    below = application_folder(Path(), application).name if application else ""
    named, root = {version.path for version in known}, settings.datasets_path
    doomed = []
    for folder, names in _folders(store, {f"{below}/"} if below else set()).items():
        if folder in named or not _FOLDER.fullmatch(folder):
            continue
        data = [name for name in names if name.rpartition("/")[2] not in LAST]
        with hidden_folder((root / folder).parent, f"looked-at-{folder[-16:]}") as hidden:
            if any(_holds(store, name, hidden / "data" / "file", holds) for name in data):
                store.remove(f"{DATASETS}/{folder}")
                doomed.append(folder.rpartition("/")[2])
    return doomed


def _holds(store: Store, name: str, scratch: Path, holds: Holds) -> bool:
    if not plain(name):  # half a file, of a build that was killed
        return True
    if not store.bring(f"{DATASETS}/{name}", scratch):
        return False
    try:
        return holds(scratch)
    except (pa.ArrowException, OSError, KeyError):
        return True


def _folders(store: Store, paths: set[str]) -> dict[str, set[str]]:
    """`application/version` → names of its files below `datasets`, of the applications of these paths; none: of all."""
    found: dict[str, set[str]] = {}
    for below in sorted({path.partition("/")[0] for path in paths}) or [""]:
        for name in store.files(f"{DATASETS}/{below}".rstrip("/")):
            inside = name.removeprefix(f"{DATASETS}/")
            found.setdefault("/".join(inside.split("/")[:2]), set()).add(inside)
    return found
