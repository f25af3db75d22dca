"""What the ledger owes to a person: nothing of theirs lies in it, but decisions may rest on their rows.

A decision is never unmade and a model never untrained: the receipt of `flows/erase.py` names both, a person decides.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from streams.lake import Lake
from streams.lake.query import rows


def resting_on(lake: Lake, versions: Collection[str]) -> list[dict[str, Any]]:
    """Ledger rows of models that were trained on one of the dataset versions, or measured on one.

    Each row: `application`, `sequence`, `action`, `model`, `trained_on` (the version, or None).
    """
    measured = {row["evaluation_id"] for row in rows(lake, "evaluations", dataset_version=versions)}
    decisions = []
    for row in sorted(rows(lake, "ledger"), key=lambda row: (row["application"], row["sequence"])):
        candidate = msgspec.json.decode(row["candidate"])
        evidence = set(msgspec.json.decode(row["evidence"] or "{}").values())
        trained = candidate.get("dataset") in versions
        if trained or evidence & measured.union(versions):
            decisions.append({
                "application": row["application"],
                "sequence": row["sequence"],
                "action": row["action"],
                "model": candidate["model"],
                "trained_on": candidate["dataset"] if trained else None,
            })  # fmt: skip
    return decisions
