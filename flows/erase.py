"""A person out of everything: each stage forgets what it keeps of them, then the raw rows go, and a receipt is left.

    evaluate   scores, answers          found by the items of datasets
    trained    checkpoints              found by dataset versions
    curate     dataset versions         found by the person's pseudonym
    cluster    outcomes, clusters, …    found by their interactions
    raw        interactions, feedback   found by their name

In this order, so that a kill in between leaves nothing that a second start could not find: what is found by something
goes before it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from flows import prefect_books, trained
from flows.cluster import forget as cluster
from flows.curate import forget as curate
from flows.curate.folder.disk import pretty
from flows.curate.versions.withdraw import Holding
from flows.evaluate import forget as evaluate
from flows.prefect_api import Orchestrator
from flows.prefect_books import BOOKS
from flows.promote.forget import resting_on
from flows.run import under_way
from schemas.errors import FlywheelError
from schemas.records import content_hash
from schemas.settings import Settings
from schemas.unit import spelled, unit_of
from streams.keyring import mark_of
from streams.lake import Lake
from streams.lake import forget as raw
from streams.purge import forget_archived

SCANNED_BYTES = 2**22
"""Of a file at a time, overlapping by the subject's length."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that one person's erasure touches."""

    subject: str
    home: Path
    """Of the key under which receipts name the subject: made with the first receipt."""
    application: str
    """Empty: every application."""
    rows: tuple[dict[str, Any], ...]
    """Rows of `streams.lake.forget.rows_of`."""
    held: tuple[Holding, ...]
    decisions: tuple[dict[str, Any], ...]
    """Ledger rows whose candidate was trained on, or judged by, a version that holds their rows."""
    perhaps: tuple[str, ...]
    """Models that learned of a version that is gone, for another person or lost: who was in it nobody can say."""

    @property
    def mark(self) -> str:
        """The subject as receipts name them."""
        return mark_of(self.home, self.subject)

    @property
    def interactions(self) -> list[str]:
        """Ids of their interactions."""
        return sorted({row["id"] for row in self.rows if row["name"] == "interactions"})

    @property
    def events(self) -> list[str]:
        """Ids of all that they did, and of what others said of it."""
        return sorted({row["id"] for row in self.rows})

    @property
    def versions(self) -> list[str]:
        """Dataset versions that hold their rows."""
        return sorted({held.version.version for held in self.held})

    @property
    def items(self) -> list[str]:
        """Ids of the eval items that are theirs."""
        return sorted({item for held in self.held for item in held.item_ids})

    def receipt(self) -> dict[str, Any]:
        """The plan without the person: who it was stands in it as a keyed hash only."""
        return {
            "subject_hmac": self.mark,
            "application": self.application or "all",
            "interactions": len(self.interactions),
            "feedback": len({row["id"] for row in self.rows if row["name"] == "feedback"}),
            "datasets": [
                {
                    "application": holding.version.application,
                    "dataset": holding.version.dataset,
                    "kind": holding.version.kind,
                    "version": holding.version.version,
                    "rows": holding.rows,
                }
                for holding in self.held
            ],
            "decisions": list(self.decisions),
            "models": sorted(_learned(self.decisions)),
            "models_perhaps": list(self.perhaps),
        }


def plan(lake: Lake, settings: Settings, subject: str, application: str = "") -> Plan:
    """What an erasure would touch; nothing is changed."""
    rows = raw.rows_of(lake, subject, application)
    held = curate.held(lake, settings, subject, {row["id"] for row in rows}, application)
    decisions = resting_on(lake, {name for one in held for name in (one.version.version, one.version.sha256)})
    perhaps = _learned(resting_on(lake, curate.gone(lake, application))) - _learned(decisions)
    return Plan(
        subject=subject,
        home=settings.home_path,
        application=application,
        rows=tuple(rows),
        held=tuple(held),
        decisions=tuple(decisions),
        perhaps=tuple(sorted(perhaps)),
    )


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
    with under_way(lake, alone=True):
        return _carry_out(lake, settings, plan(lake, settings, subject, application), as_of, purge_kafka=purge_kafka)


def _carry_out(lake: Lake, settings: Settings, planned: Plan, as_of: datetime, *, purge_kafka: bool) -> dict[str, Any]:
    home, subject, interactions = settings.home_path, planned.subject, planned.interactions
    _books_closed(settings)
    copies = prefect_books.forget(home, [subject])
    rows = evaluate.forget(lake, home, planned.versions, planned.items)
    trained.forget(home, planned.versions)
    datasets = curate.forget(
        lake, settings, subject, planned.events, as_of, application=planned.application, summary=planned.receipt()
    )
    rows |= cluster.forget(lake, settings, interactions, [unit_of(subject, "")])
    rows |= raw.forget(lake, planned.rows, {planned.mark: subject}, as_of)
    receipt = {
        **planned.receipt(),
        "erased_at": as_of.isoformat(),
        **datasets,
        "rows": rows,
        "copies": copies,
        "kafka": forget_archived(lake, settings.kafka) if purge_kafka else {},
        "remaining": _remaining(home, subject),
    }
    path = home / "receipts" / f"{content_hash([receipt['subject_hmac'], receipt['run_id']])[:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pretty(receipt))
    return {**receipt, "receipt": str(path)}


def _learned(decisions: Iterable[Mapping[str, Any]]) -> set[str]:
    """The models among the candidates of ledger rows that were trained on the versions asked about."""
    return {row["model"] for row in decisions if row["trained_on"]}


def _books_closed(settings: Settings) -> None:
    """Wait until this home's Prefect server, where it runs, holds nothing back: it would write that down after us.

    Raises FlywheelError where it goes on holding something.
    """
    server = Orchestrator.of(settings)
    if server.keeps(settings.home_path / BOOKS) and not server.settle():
        raise FlywheelError(f"the Prefect server at {server.url} has not written down all events yet: try again")


def recipes_of(receipt: dict[str, Any]) -> list[tuple[str, str]]:
    """(application, recipe) of the datasets to build again."""
    return sorted({(held["application"], held["dataset"]) for held in receipt["datasets"] if held["kind"] != "frozen"})


def _remaining(home: Path, subject: str) -> list[str]:
    """Files below the data root that still hold the subject's name in some spelling, for a person to look at."""
    names = _spellings(subject)
    return sorted(
        path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file() and _says(path, names)
    )


def _spellings(subject: str) -> list[bytes]:
    """The name as bytes: composed and not, plain and as JSON writes it."""
    forms = {subject, spelled(subject), unicodedata.normalize("NFD", spelled(subject))}
    escaped = {json.dumps(form)[1:-1] for form in forms}
    return sorted({form.encode("utf-8", "replace") for form in forms | escaped})


def _says(path: Path, names: Sequence[bytes]) -> bool:
    overlap = max(map(len, names))
    try:
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(SCANNED_BYTES):
                if any(name in tail + chunk for name in names):
                    return True
                tail = chunk[-overlap:]
    except OSError:  # a file that a running process has just removed
        return False
    return False
