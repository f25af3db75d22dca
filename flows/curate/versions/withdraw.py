"""Withdraws dataset versions that hold rows of an erased person.

A training or eval version is removed from disk; a frozen eval set is replaced by one without the rows, since the name
must keep binding later builds. Go on to `flows/erase.py`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.curate.folder.disk import application_folder, describe, hidden_folder, remove, reveal, sweep
from flows.curate.versions.stored import clear_stored, discard_stored, send
from flows.store import file_sha256
from flows.versions import Version
from schemas.settings import Settings
from schemas.tables import TIME

Units = Mapping[str, datetime]
"""Pseudonym of a unit → until when what they did is forgotten."""
EVENTS = ("interaction_id", "other_id", "feedback_id")
"""Columns with the events that a row was made of."""
REASON = "holds rows of a person who asked to be forgotten"


class Holding(msgspec.Struct, frozen=True):
    """A version that holds rows of the people in question."""

    version: Version
    rows: int
    item_ids: tuple[str, ...]
    """Of eval sets: the items, by which scores are found."""


def holding(known: Sequence[Version], settings: Settings, units: Units, events: Collection[str]) -> list[Holding]:
    """The versions with a row of one of the units or events; withdrawn ones have none left.

    Events are interactions and feedback, by id: a row is of all that it was made of. Raises FilesMissing: whose rows a
    version holds that cannot be read nobody knows, and an erasure that passes over it is none.
    """
    holdings = []
    for version in known if units or events else ():
        if version.status == "withdrawn":
            continue
        tables = [_theirs(path, units, events) for path in version.files(settings)]
        rows = sum(map(len, tables))
        if rows:
            ids = {i for table in tables if "item_id" in table.column_names for i in table["item_id"].to_pylist()}
            holdings.append(Holding(version, rows, tuple(sorted(ids))))
    return holdings


def withdrawals(
    known: Sequence[Version], settings: Settings, units: Units, events: Collection[str], as_of: datetime
) -> list[Version]:
    """The findings to record so that no living version holds the people's rows; frozen sets get a version without."""
    found = []
    for held in holding(known, settings, units, events):
        found.append(withdrawn(held.version, as_of))
        if held.version.kind == "frozen":
            found.append(without(held.version, settings, units, events, as_of))
    return found


def withdrawn(version: Version, as_of: datetime, reason: str = REASON) -> Version:
    """The finding that a version is gone."""
    return msgspec.structs.replace(version, created=as_of, status="withdrawn", status_reason=reason)


def without(version: Version, settings: Settings, units: Units, events: Collection[str], as_of: datetime) -> Version:
    """A new version of a (frozen) dataset without the rows, on disk; the old folder stays until `clear`."""
    folder = version.folder(settings)
    with hidden_folder(folder.parent, version.version) as hidden:
        digest = hashlib.sha256(f"{version.sha256} without some rows".encode())
        rows: dict[str, int] = {}
        for path in _files(folder):
            table = pq.read_table(path)
            kept = table.filter(pc.invert(_which(table, units, events)))
            pq.write_table(kept, hidden / "data" / path.name, compression="zstd", compression_level=1)
            digest.update("\n".join(kept["row_id"].to_pylist()).encode())
            part = "/".join(path.name.split("-")[:2])
            rows[part] = rows.get(part, 0) + len(kept)
        manifest: dict[str, Any] = {
            **{name: told for name, told in version.manifest.items() if name != "shards"},
            "sha256": digest.hexdigest(),
            "version": digest.hexdigest()[:16],
            "rows": rows,
            "files": {p.relative_to(hidden).as_posix(): file_sha256(p) for p in _files(hidden)},
            "replaces": version.version,
        }
        describe(hidden, manifest, {path.name.split("-")[0]: pq.read_schema(path) for path in _files(hidden)})
        reveal(hidden, folder.parent / manifest["version"])
    replaced = msgspec.structs.replace(
        version,
        version=manifest["version"],
        sha256=manifest["sha256"],
        path=f"{Path(version.path).parent.as_posix()}/{manifest['version']}",
        created=as_of,
        rows=rows,
        manifest=manifest,
        status="current",
        status_reason=None,
    )
    send(settings, replaced)
    return replaced


def clear(versions: Sequence[Version], settings: Settings, *, alone: bool = False) -> int:
    """Remove the folders of withdrawn versions, but for those that another, living version shares; how many went here.

    From the store too, if no build is under way (`alone`) also what was lost. What killed builds left half written goes
    too.
    """
    living = {version.path for version in versions if version.status != "withdrawn"}
    gone = {version.path for version in versions if version.status == "withdrawn"} - living
    folders = [settings.datasets_path / path for path in sorted(gone)]
    for folder in (present := [folder for folder in folders if folder.is_dir()]):
        remove(folder)
    for root in settings.datasets_path.glob("*/"):
        sweep(root)
    clear_stored(settings, versions, gone, alone=alone)
    return len(present)


def discard_unlisted(
    versions: Sequence[Version],
    settings: Settings,
    application: str,
    units: Units,
    events: Collection[str] = (),
) -> list[str]:
    """Remove the folders that hold the people's rows and that no version names; their names.

    A build that was killed after it revealed a folder and before it recorded the version leaves one. An `application`
    that is empty means all.
    """
    named = {version.folder(settings) for version in versions}
    root = settings.datasets_path
    places = [application_folder(root, application)] if application else root.glob("*/")
    folders = sorted({path.parent for place in places for path in place.glob("[!.]*/manifest.json")} - named)
    doomed = [f for f in folders if any(len(_theirs(path, units, events)) for path in _files(f))]
    for folder in doomed:
        shutil.rmtree(folder)
    return [folder.name for folder in doomed]


def discard_unlisted_stored(
    versions: Sequence[Version],
    settings: Settings,
    application: str,
    units: Units,
    events: Collection[str] = (),
) -> list[str]:
    """`discard_unlisted` in the store, where no build is under way."""
    return discard_stored(settings, versions, application, lambda path: bool(len(_theirs(path, units, events))))


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("*.parquet"))


def _theirs(path: Path, units: Units, events: Collection[str]) -> pa.Table:
    wanted = {"unit", "time", "item_id", "origin", "told_by", *EVENTS}
    names = [name for name in pq.read_schema(path).names if name in wanted]
    table = pq.read_table(path, columns=names)
    return table.filter(_which(table, units, events))


def _which(table: pa.Table, units: Units, events: Collection[str]) -> pa.ChunkedArray:
    ids = pa.array(sorted(events), pa.string())
    names = sorted(units)
    until = pa.array([units[name] for name in names], TIME).take(
        pc.index_in(table["unit"], pa.array(names, pa.string()))
    )
    theirs = pc.and_(pc.is_valid(until), pc.fill_null(pc.less_equal(table["time"], until), True))
    if {"origin", "told_by"} <= set(table.column_names):  # a correction is its teller's words, whoever asked
        told = pc.is_in(table["told_by"], pa.array(names, pa.string()))
        theirs = pc.or_(theirs, pc.and_(told, pc.equal(table["origin"], "correction")))
    for column in EVENTS:
        theirs = pc.or_(theirs, pc.is_in(table[column], ids))
    return theirs
