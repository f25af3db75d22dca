"""A person out of what this stage keeps: answers to questions of theirs, and scores of such answers.

Called by `flows/erase.py`, before the datasets go by whose items and versions these are found. An evaluation keeps its
counts and its comparison, which quote nobody.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flows.evalset import forget_answers
from streams.lake import Lake
from streams.lake.maintain import delete_rows, holding


def forget(lake: Lake, home: Path, versions: Collection[str], items: Collection[str]) -> dict[str, int]:
    """Remove all answers to the dataset versions and all scores of the items; table → how many rows."""
    forget_answers(home, versions)
    which = pc.field("item_id").isin(pa.array(sorted(items), pa.string()))
    count = sum(holding(lake, "scores", which).values())
    if count:
        delete_rows(lake, "scores", which)
    return {"scores": count}
