"""The stage without Prefect: read the lake as of a version, think, publish two dataset versions.

`flow.py` wraps it for schedules and the UI. Go on to `examples.py`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.build import Build, build
from flows.curate.examples import examples_of
from flows.curate.folder import Folder, Part, application_folder, write
from flows.curate.split import NORMALISER
from flows.run import Run, begin, finish, finished, latest
from schemas.errors import NotEnoughData
from schemas.events import to_json
from schemas.records import Example
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query

TABLES = ("interactions", "feedback", "erasures", "outcomes", "cluster_members", "clusters")
SQL = Path(__file__).with_name("examples.sql")
DEFAULT = "all"
"""The recipe that takes everything."""


def curate(lake: Lake, settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Build a training and an eval dataset from all that is known; returns the run's summary.

    The same tables, settings and `as_of` are one run: a second call returns the first one's summary.
    Raises NotEnoughData where no cluster run has finished or no interaction gives an example.
    """
    judged = latest(lake, "cluster", settings.application)
    if judged is None:
        raise NotEnoughData(f"nothing is known of {settings.application!r} yet: run `flywheel cluster` first")
    run = begin(
        lake,
        "curate",
        settings.application,
        as_of,
        TABLES,
        settings.curate,
        outcome_run=judged["run_id"],
        recipe=DEFAULT,
    )
    if (summary := finished(lake, run)) is not None:
        return summary
    made = build(
        *examples_of(_rows(lake, run, judged["run_id"]), settings.curate.salt, settings.curate.consent), settings.curate
    )
    if not made.train and not made.eval:
        raise NotEnoughData(f"no interaction gives an example yet; left out: {made.reasons() or 'none was judged'}")
    return _publish(lake, settings, run, made)


def _rows(lake: Lake, run: Run, outcome_run: str) -> Iterator[dict[str, Any]]:
    versions = {**run.versions, "runs": lake.version("runs")}
    parameters = {"application": run.application, "outcome_run": outcome_run}
    table = query(lake, SQL.read_text(), versions, parameters)
    for batch in table.to_batches(10_000):
        yield from batch.to_pylist()


def _publish(lake: Lake, settings: Settings, run: Run, made: Build) -> dict[str, Any]:
    """1. Both folders. 2. Their rows in the lake. 3. The run's row, which makes them visible."""
    root = application_folder(settings.datasets_path, run.application)
    training = _write(
        root,
        f"{DEFAULT}-training",
        run,
        settings,
        made,
        {("sft", "train"): made.sft, ("preference", "train"): made.preference},
    )
    evals = _write(root, f"{DEFAULT}-eval", run, settings, made, {("eval", "test"): made.eval})
    rows = [_version_row(run, settings, kind, folder) for kind, folder in (("training", training), ("eval", evals))]
    publish(lake, "dataset_versions", to_rows("dataset_versions", rows), run.run_id)
    summary = {
        "training": _brief(training) | {"sft_rows": len(made.sft), "preference_rows": len(made.preference)},
        "eval": _brief(evals) | {"eval_rows": len(made.eval)},
        "dropped": made.reasons(),
    }
    finish(lake, run, summary)
    return summary


def _write(
    root: Path, name: str, run: Run, settings: Settings, made: Build, parts: dict[Part, Sequence[Example]]
) -> Folder:
    first = next(iter(parts.values()))
    facts = {
        "application": run.application,
        "as_of": run.as_of.isoformat(),
        "run_id": run.run_id,
        "versions": run.versions,
        "settings_hash": run.settings_hash,
        "settings": _shown(settings),
        "normaliser": NORMALISER,
        "code_version": run.code_version,
        "origins": _count(example.origin for example in first),
        "clusters": _count(example.cluster_id for example in first),
        "dropped": made.reasons(),
    }
    return write(root, name, parts, facts)


def _shown(settings: Settings) -> dict[str, Any]:
    """The stage's settings; of the salt only its hash, since a name and the salt together give the unit."""
    shown: dict[str, Any] = msgspec.to_builtins(settings.curate)
    return {**shown, "salt": hashlib.sha256(settings.curate.salt.encode()).hexdigest()[:16]}


def _count(values: Iterator[str] | Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _brief(folder: Folder) -> dict[str, Any]:
    return {"path": str(folder.path), "version": folder.version, "sha256": folder.sha256}


def _version_row(run: Run, settings: Settings, kind: str, folder: Folder) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "application": run.application,
        "dataset": DEFAULT,
        "version": folder.version,
        "kind": kind,
        "path": folder.path.relative_to(settings.datasets_path).as_posix(),
        "sha256": folder.sha256,
        "created": run.as_of,
        "rows": to_json(folder.rows),
        "manifest": to_json(folder.manifest),
        "status": "current",
    }
