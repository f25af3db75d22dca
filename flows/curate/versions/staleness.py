"""Which dataset versions rest on feedback that has changed since: late, superseded, retracted. Pure but for the files.

A version is never edited; the finding lies beside it. Go on to `flows/versions.py`, which folds the two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from flows.versions import Version
from schemas.errors import FilesMissing
from schemas.records import GOLDEN, Example
from schemas.settings import Settings

_log = logging.getLogger(__name__)
Basis = tuple[str, str | None]
"""What made an example one: its origin and its feedback event."""


def stale(
    versions: Sequence[Version], examples: Iterable[Example], settings: Settings, as_of: datetime
) -> list[Version]:
    """The current versions of which a row would not be made today, marked stale with how many and the first of them.

    Of a version whose files are not here that is unknown: it keeps its status, and the log says so. Nothing is at risk
    meanwhile, since whoever uses its rows is told that they are missing, and a build need not wait for a folder that
    another home holds.
    """
    today: dict[str, set[Basis]] = {}
    for example in examples:
        today.setdefault(example.interaction_id, set()).add((example.origin, example.feedback_id))
    marked = []
    for version in versions:
        try:
            changed = _changed(version.files(settings), today) if _rests_on_feedback(version) else []
        except FilesMissing as error:
            _log.warning("whether %s@%s is stale is unknown: %s", version.dataset, version.version, error)
            continue
        if changed:
            reason = f"{len(changed)} rows rest on feedback that has changed, e.g. of interaction {changed[0]}"
            marked.append(msgspec.structs.replace(version, created=as_of, status="stale", status_reason=reason))
    return marked


def _rests_on_feedback(version: Version) -> bool:
    """A sample does not: what is said of its requests guesses, and decides nothing."""
    return version.status == "current" and version.kind != "sample"


def _changed(files: Iterable[Path], today: Mapping[str, set[Basis]]) -> list[str]:
    """Interactions of a version's rows that would make another row today, or none; in order, each once."""
    return sorted({
        row["interaction_id"]
        for path in files
        for batch in pq.ParquetFile(path).iter_batches(columns=["interaction_id", "origin", "feedback_id"])
        for row in batch.to_pylist()
        if row["origin"] != GOLDEN and (row["origin"], row["feedback_id"]) not in today.get(row["interaction_id"], ())
    })  # fmt: skip
