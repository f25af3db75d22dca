"""Who was judged at all, of the interactions that trends look at: counts of all of them, the rest by a sample.

Go on to `flows/cluster/outcomes/coverage.py`, which weighs the sample.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.cluster.outcomes.coverage import FIT_ROWS, Coverage, counted, coverage
from flows.cluster.state import Now
from schemas.tables import TIME
from streams.lake.parts import within

_HERE = Path(__file__).parent


def covered(now: Now, since: datetime) -> Coverage:
    """Report on the interactions from a time on."""
    lake = now.lake
    part = {"outcomes": within(lake, "outcomes", lake.version("outcomes"), pc.field("time") >= pa.scalar(since, TIME))}
    counts = now.ask(_HERE / "covered_counts.sql", part, since=since)
    total = sum(counts["interactions"].to_pylist())
    below = f"{min(2**32 - 1, int(2**32 * FIT_ROWS / max(total, 1))):08x}"
    rows = now.ask(_HERE / "covered.sql", part, since=since, below=below)
    names = np.array(rows["outcome"].to_pylist(), dtype=str)
    found = coverage(rows, [text or "" for text in rows["text"].to_pylist()], names != "unknown", names == "failed")
    return replace(found, **counted(counts))
