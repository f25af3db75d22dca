"""What the ledger owes to a person: nothing of theirs lies in it, but decisions may rest on their rows.

A decision is never unmade and a model never untrained: the receipt of `flows/erase.py` names both, a person decides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from flows.bases import Bases
from flows.ledger import fold
from flows.registry import Registry
from schemas.events import Candidate
from streams.lake import Lake
from streams.lake.query import rows


def resting_on(lake: Lake, versions: Collection[str]) -> list[dict[str, Any]]:
    """Ledger rows of models trained on one of the dataset versions, made from one that was, or measured on one.

    Each row: `application`, `sequence`, `action`, `model`, `trained_on` (the version, or None), `through` (the base
    that learned of it; None where the model did itself).
    """
    measured = {row["evaluation_id"] for row in rows(lake, "evaluations", dataset_version=versions)}
    taught: dict[str, dict[str, Candidate]] = {}
    decisions = []
    for row in sorted(rows(lake, "ledger"), key=lambda row: (row["application"], row["sequence"])):
        application = row["application"]
        if application not in taught:
            taught[application] = _taught(fold(lake, application), versions)
        candidate = msgspec.json.decode(row["candidate"], type=Candidate)
        evidence = set(msgspec.json.decode(row["evidence"] or "{}").values())
        learner = taught[application].get(candidate.id)
        if learner or evidence & measured.union(versions):
            decisions.append({
                "application": application,
                "sequence": row["sequence"],
                "action": row["action"],
                "model": candidate.model,
                "trained_on": learner.dataset if learner else None,
                "through": learner.model if learner and learner.id != candidate.id else None,
            })  # fmt: skip
    return decisions


def _taught(registry: Registry, versions: Collection[str]) -> dict[str, Candidate]:
    """Candidate → who learned of the versions: itself, or the nearest model that it was made from."""
    found, bases = {}, Bases(registry)
    for candidate in registry.candidates.values():
        line = (candidate, *bases.of(candidate.id))
        if learner := next((one for one in line if one.dataset in versions), None):
            found[candidate.id] = learner
    return found
