"""A person out of everything that was derived from them, with a receipt. Go on to `withdraw.py` and `versions.py`.

What is removed, in this order, so that a kill in between leaves nothing that a second start could not find:
datasets, scores, clusters and outcomes, and only then the raw rows by which all of these are found.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows.curate.folder.folder import pretty
from flows.curate.split import pseudonym
from flows.curate.versions.withdraw import Holding, clear, discard_unlisted, forget, holding
from flows.evalset import answers_folder
from flows.run import begin, finish, under_way
from flows.versions import record, versions
from schemas.records import content_hash
from schemas.settings import Settings
from schemas.unit import unit_of
from streams.lake import Lake
from streams.lake.forget import FOR_EVER, rows_of
from streams.lake.forget import forget as forget_rows
from streams.lake.maintain import ERASED, delete_rows, discard, files, rewrite
from streams.lake.query import read
from streams.purge import forget_archived

REPORTS = "reports"
"""Below the home: pages of clusters, which quote what people said. The next cluster run makes them anew."""
SCANNED_BYTES = 2**22
"""Of a file at a time, overlapping by the subject's length."""


class Plan(msgspec.Struct, frozen=True):
    """All that one person's erasure touches."""

    subject: str
    application: str
    """Empty: every application."""
    raw: tuple[dict[str, Any], ...]
    """Rows of `streams.lake.forget.rows_of`."""
    held: tuple[Holding, ...]
    decisions: tuple[dict[str, Any], ...]
    """Ledger rows whose candidate was trained on, or judged by, a version that holds their rows."""

    @property
    def interactions(self) -> list[str]:
        """Ids of their interactions."""
        return sorted({row["id"] for row in self.raw if row["name"] == "interactions"})

    def receipt(self) -> dict[str, Any]:
        """The plan without the person: who it was stands in it as a hash only."""
        return {
            "subject_sha256": hashlib.sha256(self.subject.encode()).hexdigest(),
            "application": self.application or "all",
            "interactions": len(self.interactions),
            "feedback": len({row["id"] for row in self.raw if row["name"] == "feedback"}),
            "datasets": [
                {
                    "application": held.version.application,
                    "dataset": held.version.dataset,
                    "kind": held.version.kind,
                    "version": held.version.version,
                    "rows": held.rows,
                }
                for held in self.held
            ],
            "decisions": list(self.decisions),
            "models": sorted({row["model"] for row in self.decisions if row["trained_on"]}),
        }


def plan(lake: Lake, settings: Settings, subject: str, application: str = "") -> Plan:
    """What an erasure would touch; nothing is changed."""
    raw = rows_of(lake, subject, application)
    interactions = {row["id"] for row in raw if row["name"] == "interactions"}
    units = {pseudonym(unit_of(subject, ""), settings.curate.salt): FOR_EVER}
    held = holding(versions(lake, application or None), settings, units, interactions)
    return Plan(subject, application, tuple(raw), tuple(held), tuple(_decisions(lake, held)))


def carry_out(
    lake: Lake,
    settings: Settings,
    subject: str,
    as_of: datetime,
    *,
    application: str = "",
    purge_kafka: bool = False,
) -> dict[str, Any]:
    """Do what `plan` says; returns the receipt, which also lies at `receipt` as a file.

    Waits until no build and no clustering is under way. `purge_kafka` deletes all that is archived from Kafka's own log
    too. Doing it again, after a kill or for nobody, changes nothing more.
    """
    with under_way(settings.home_path, alone=True):
        return _carry_out(lake, settings, plan(lake, settings, subject, application), as_of, purge_kafka=purge_kafka)


def _carry_out(lake: Lake, settings: Settings, planned: Plan, as_of: datetime, *, purge_kafka: bool) -> dict[str, Any]:
    units = {pseudonym(unit_of(planned.subject, ""), settings.curate.salt): FOR_EVER}
    ids = set(planned.interactions)
    found = forget([held.version for held in planned.held], settings, units, ids, as_of)
    run = begin(
        lake, "erase", planned.application, as_of, ("interactions", "dataset_versions"), None,
        subject=content_hash(planned.subject),
    )  # fmt: skip
    record(lake, run, found)
    finish(lake, run, planned.receipt())
    known = versions(lake)
    clear(known, settings)
    unlisted = discard_unlisted(known, settings, planned.application, units, ids)
    for held in planned.held:
        shutil.rmtree(answers_folder(settings.home_path, held.version.version), ignore_errors=True)
    shutil.rmtree(settings.home_path / REPORTS, ignore_errors=True)
    rows = _forget_derived(lake, planned) | forget_rows(lake, planned.raw, [planned.subject], as_of)
    receipt = {
        **planned.receipt(),
        "erased_at": as_of.isoformat(),
        "run_id": run.run_id,
        "rows": rows,
        "replaced": [f"{version.dataset}@{version.version}" for version in found if version.status == "current"],
        "unlisted": unlisted,
        "kafka": forget_archived(lake, settings.kafka) if purge_kafka else {},
        "remaining": _remaining(settings.home_path, planned.subject),
    }
    path = settings.home_path / "receipts" / f"{content_hash([receipt['subject_sha256'], run.run_id])[:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pretty(receipt))
    return {**receipt, "receipt": str(path)}


def _decisions(lake: Lake, held: Sequence[Holding]) -> list[dict[str, Any]]:
    """Ledger rows that rest on the versions: trained on one, or measured by an evaluation on one."""
    touched = {item.version.version for item in held}
    measured = {
        row["evaluation_id"] for row in read(lake, "evaluations").to_pylist() if row["dataset_version"] in touched
    }
    found = []
    for row in read(lake, "ledger").to_pylist():
        candidate = msgspec.json.decode(row["candidate"])
        evidence = set(msgspec.json.decode(row["evidence"] or "{}").values())
        trained = candidate.get("dataset") in touched
        if trained or evidence & (measured | touched):
            found.append({
                "application": row["application"],
                "sequence": row["sequence"],
                "action": row["action"],
                "model": candidate["model"],
                "trained_on": candidate["dataset"] if trained else None,
            })  # fmt: skip
    return found


def _forget_derived(lake: Lake, planned: Plan) -> dict[str, int]:
    """Rows of derived tables that quote them, and the medoids of clusters that do."""
    ids = pa.array(planned.interactions, pa.string())
    items = pa.array(sorted({item for held in planned.held for item in held.item_ids}), pa.string())
    hashes = pa.array(_text_hashes(lake, set(planned.interactions)), pa.string())
    doomed = {
        "outcomes": pc.field("interaction_id").isin(ids),
        "embeddings": pc.field("text_hash").isin(hashes),
        "cluster_members": pc.field("interaction_id").isin(ids),
        "scores": pc.field("item_id").isin(items),
    }
    counts = {name: _delete(lake, name, which) for name, which in doomed.items()}
    return {**counts, "clusters": _blank_medoids(lake, ids)}


def _text_hashes(lake: Lake, interactions: set[str]) -> list[str]:
    rows = read(lake, "cluster_members").select(["interaction_id", "text_hash"]).to_pylist()
    return sorted({row["text_hash"] for row in rows if row["interaction_id"] in interactions and row["text_hash"]})


def _delete(lake: Lake, name: str, which: pc.Expression) -> int:
    before = len(read(lake, name))
    if before:
        delete_rows(lake, name, which)
    return before - len(read(lake, name))


def _blank_medoids(lake: Lake, ids: pa.Array) -> int:
    """Take a person's words off the clusters that they were the typical example of."""
    if not lake.exists("clusters"):
        return 0
    changed = 0

    def blank(rows: pa.Table) -> pa.Table:
        nonlocal changed
        theirs = pc.fill_null(pc.is_in(rows["medoid_interaction_id"], ids), False)
        changed = pc.sum(theirs).as_py() or 0
        for column in ("medoid_interaction_id", "medoid_text", "description"):
            at = rows.schema.get_field_index(column)
            rows = rows.set_column(
                at, rows.schema.field(at), pc.if_else(theirs, pa.scalar(None, pa.string()), rows[column])
            )
        return rows

    theirs = pc.is_in(read(lake, "clusters")["medoid_interaction_id"], ids)
    if pc.any(theirs).as_py():
        group = files(lake.open("clusters"))
        discard(lake, "clusters", rewrite(lake, "clusters", group, blank, ERASED, data_change=True))
    return changed


def _remaining(home: Path, subject: str) -> list[str]:
    """Files below the data root that still hold the subject's name as bytes, for a person to look at."""
    name = subject.encode()
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file() and _says(path, name))


def _says(path: Path, name: bytes) -> bool:
    try:
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(SCANNED_BYTES):
                if name in tail + chunk:
                    return True
                tail = chunk[-len(name) :]
    except OSError:  # a file that a running process has just removed
        return False
    return False


def recipes_of(receipt: dict[str, Any]) -> list[tuple[str, str]]:
    """(application, recipe) of the datasets to build again."""
    return sorted({(held["application"], held["dataset"]) for held in receipt["datasets"] if held["kind"] != "frozen"})
