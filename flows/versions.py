"""Which dataset versions there are, and what each is worth now: a fold over the lake's `dataset_versions`.

A version's row is written once; a finding about it (stale, withdrawn) lies beside it as a later row. Shared by the
stage that makes them and by those who ask what is there. Go on to `evalset.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.folder.brought import bring, lacking
from flows.run import Run
from flows.store import DATASETS, store_of
from schemas.errors import FilesMissing, UsageError
from schemas.events import to_json
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query

SQL = Path(__file__).with_name("versions.sql")
LOST = "its files are lost"
"""Why a version is withdrawn whose rows nobody took out: the same rows, built anew, are that version again."""


class Version(msgspec.Struct, frozen=True):
    """One immutable dataset version."""

    application: str
    dataset: str
    """The recipe's name, or the name that an eval set was frozen under."""
    version: str
    kind: str
    """training, eval, frozen or sample."""
    path: str
    """Below the datasets root."""
    sha256: str
    created: datetime
    rows: dict[str, int]
    manifest: dict[str, Any]
    status: str = "current"
    """current, stale or withdrawn."""
    status_reason: str | None = None
    renewed: datetime | None = None
    """When the same content was last made again, where it was: it is the newest then, whatever came in between."""

    @property
    def made(self) -> datetime:
        """When it was made last."""
        return self.renewed or self.created

    def folder(self, settings: Settings) -> Path:
        """Where its files lie."""
        return settings.datasets_path / self.path

    def here(self, settings: Settings) -> Path:
        """`folder`, after what it lacks was brought from the store, where the settings name one that holds it whole."""
        folder = self.folder(settings)
        if self.status != "withdrawn" and lacking(folder, self.manifest) and (store := store_of(settings)) is not None:
            bring(store, self.path, folder, self.manifest)
        return folder

    def files(self, settings: Settings, *configs: str) -> list[Path]:
        """Its Parquet files in order, or those of some configs. Raises FilesMissing where one with rows is not there.

        Whoever asks a version for its rows asks here: a folder that was lost, or lies in another home and in no store,
        has none either.
        """
        folder = self.here(settings)
        found = [path for path in sorted((folder / "data").glob("*.parquet")) if _of(path.name, configs)]
        there = {path.name for path in found}
        recorded = [Path(name).name for name in self.manifest.get("files", {})]
        bare = {part.replace("/", "-") for part, rows in self.rows.items() if not rows}
        gone = [
            name for name in sorted(recorded)
            if _of(name, configs) and name not in there and "-".join(name.split("-")[:2]) not in bare
        ]  # fmt: skip
        if not recorded:  # recorded by a version of this program that did not say which files there are
            begins = [part.replace("/", "-") + "-" for part, rows in self.rows.items() if rows and _of(part, configs)]
            gone = [f"{begin}*" for begin in begins if not any(name.startswith(begin) for name in there)]
        if gone:
            raise FilesMissing(
                f"{self.dataset}@{self.version} ({self.kind}, of {self.application!r}) has {sum(self.rows.values())} "
                f"rows, and {gone[0]} is not in {folder / 'data'}{_nor_in(settings, self.path)}: put the folder back "
                "from a copy, or do this in the home that holds it. Where it is lost for good, "
                f"`flywheel dataset lost {self.version}` withdraws it"
            )
        return found


def _nor_in(settings: Settings, path: str) -> str:
    if not settings.store:
        return ""
    place = f"{settings.store.rstrip('/')}/{DATASETS}/{path}"
    return f", nor as it was recorded in {place} (a build in a home that holds it sends what is not there)"


def versions(lake: Lake, application: str | None = None) -> list[Version]:
    """Every visible version with its newest status, oldest first.

    `withdrawn` is final. LOST holds until a later run makes the version again, whenever that run is as of: a build that
    failed for want of the files and is started once more is as of an instant before anybody said that they are lost.
    """
    rows = query(lake, SQL.read_text(), lake.versions(["dataset_versions"])).to_pylist()
    mine = [row for row in rows if application in {None, row["application"]}]
    made: dict[tuple[str, str, str], int] = {}
    for row in mine:
        if row["status"] == "current":
            made[_key(row)] = max(row["sequence"], made.get(_key(row), 0))
    folded: dict[tuple[str, str, str], Version] = {}
    for row in mine:
        key = _key(row)
        if row["status_reason"] == LOST and row["sequence"] < made.get(key, 0):
            continue
        if key not in folded:
            folded[key] = _version(row)
        elif folded[key].status != "withdrawn":
            folded[key] = _marked(folded[key], _version(row))
    return sorted(folded.values(), key=lambda v: (v.created, v.dataset, v.kind, v.version))


def find(lake: Lake, application: str, name: str) -> Version:
    """The newest version that the name (a version, its beginning, or a dataset's name) means. Raises UsageError."""
    known = versions(lake, application)
    matching = [v for v in known if v.dataset == name or (len(name) >= 4 and v.version.startswith(name))]
    if not matching:
        raise UsageError(f"no dataset {name!r} of {application!r}: `flywheel dataset list` shows what there is")
    return max(matching, key=lambda v: (v.status == "current", v.made, v.kind == "training"))


def gone(known: Sequence[Version]) -> set[str]:
    """The versions that are withdrawn under every name that they have: their rows are nowhere any more."""
    return {v.version for v in known if v.status == "withdrawn"} - {v.version for v in known if v.status != "withdrawn"}


def record(lake: Lake, run: Run, found: Iterable[Version]) -> None:
    """Publish versions, or findings about them, as rows of a run; the run's own row makes them visible."""
    rows = [
        {
            **msgspec.structs.asdict(version),
            "run_id": run.run_id,
            "rows": to_json(version.rows),
            "manifest": to_json(version.manifest),
        }
        for version in found
    ]
    publish(lake, "dataset_versions", to_rows("dataset_versions", rows), run.run_id)


def _of(name: str, configs: tuple[str, ...]) -> bool:
    """Whether a file, or a part, is of one of the configs; of any, where none is named."""
    return not configs or name.replace("/", "-").partition("-")[0] in configs


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["kind"], row["dataset"], row["version"]


def _version(row: dict[str, Any]) -> Version:
    told = {name: msgspec.json.decode(row[name] or "{}") for name in ("rows", "manifest")}
    return msgspec.convert({**row, **told}, Version)


def _marked(old: Version, new: Version) -> Version:
    """A later row about the same version: its status counts, what it is does not change, but where its files do."""
    told: dict[str, Any] = {"status": new.status, "status_reason": new.status_reason}
    if new.status == "current":  # of what was lost and made again the files may have other bytes
        files = {name: value for name, value in new.manifest.items() if name in {"files", "shards"}}
        told |= {"renewed": new.created, "manifest": {**old.manifest, **files}}
    return msgspec.structs.replace(old, **told)
