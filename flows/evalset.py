"""The eval set that several stages share: which is the present one, and where answers to its items are kept.

Evaluate asks for what to measure on, promote for whether it still holds, erasure for what to forget.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from streams.lake import Lake
from streams.lake.query import read


def present(lake: Lake, application: str) -> dict[str, Any] | None:
    """The row of `dataset_versions` of the application's newest eval set that was not withdrawn, or None."""
    visible = set(read(lake, "runs").column("run_id").to_pylist())
    rows = [
        row
        for row in read(lake, "dataset_versions").to_pylist()
        if row["application"] == application and row["kind"] == "eval" and row["run_id"] in visible
    ]
    withdrawn = {row["version"] for row in rows if row["status"] == "withdrawn"}
    current = [row for row in rows if row["status"] == "current" and row["version"] not in withdrawn]
    return max(current, key=lambda row: (row["created"], row["version"]), default=None)


def answers_folder(home: Path, version: str) -> Path:
    """Where the answers that models gave to a version's items are kept, so that they can go with it."""
    return home / "answers" / hashlib.sha256(version.encode()).hexdigest()[:16]
