"""Which dataset versions there are, and what each is worth now: a fold over the lake's `dataset_versions`.

A version's row is written once; a finding about it (stale, withdrawn) lies beside it as a later row. Shared by the
stage that makes them and by those who ask what is there. Go on to `evalset.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from flows.run import Run
from schemas.errors import UsageError
from schemas.events import to_json
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query

SQL = Path(__file__).with_name("versions.sql")


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


def versions(lake: Lake, application: str | None = None) -> list[Version]:
    """Every visible version with its newest status, oldest first. `withdrawn` is final."""
    folded: dict[tuple[str, str, str], Version] = {}
    for row in query(lake, SQL.read_text(), lake.versions(["dataset_versions"])).to_pylist():
        if application not in {None, row["application"]}:
            continue
        version = msgspec.convert(
            {**row, "rows": msgspec.json.decode(row["rows"] or "{}"), "manifest": msgspec.json.decode(row["manifest"])},
            Version,
        )
        key = (version.kind, version.dataset, version.version)
        if key not in folded or folded[key].status != "withdrawn":
            folded[key] = version if key not in folded else _marked(folded[key], version)
    return sorted(folded.values(), key=lambda v: (v.created, v.dataset, v.kind, v.version))


def find(lake: Lake, application: str, name: str) -> Version:
    """The newest version that the name (a version, its beginning, or a dataset's name) means. Raises UsageError."""
    known = versions(lake, application)
    matching = [v for v in known if v.dataset == name or (len(name) >= 4 and v.version.startswith(name))]
    if not matching:
        raise UsageError(f"no dataset {name!r} of {application!r}: `flywheel dataset list` shows what there is")
    return max(matching, key=lambda v: (v.status == "current", v.made, v.kind == "training"))


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


def _marked(old: Version, new: Version) -> Version:
    """A later row about the same version: its status counts, what it is does not change."""
    renewed = new.created if new.status == "current" else old.renewed
    return msgspec.structs.replace(old, status=new.status, status_reason=new.status_reason, renewed=renewed)
