"""A person out of what this stage keeps: outcomes, homes, vectors of their texts, their words on clusters, reports.

Called by `flows/erase.py`. Every run's rows go, finished or not, since any of them may quote the person. The next run
makes the report anew, and embeds anew what others have said in the same words.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from streams.lake import Lake
from streams.lake.maintain import ERASED, delete_rows, discard, holding, rewrite
from streams.lake.query import stored_rows

REPORTS = "reports"
"""Below the home: pages of clusters, which quote what people said."""
QUOTED = ("medoid_interaction_id", "medoid_text", "description")
"""What a cluster says in the words of its most typical failure."""


def forget(lake: Lake, home: Path, interactions: Collection[str]) -> dict[str, int]:
    """Remove what was concluded from these interactions; table → rows that went, or lost the person's words.

    `cluster_members` goes last but for the clusters: by it the vectors are found.
    """
    shutil.rmtree(home / REPORTS, ignore_errors=True)
    ids = pa.array(sorted(interactions), pa.string())
    members = stored_rows(lake, "cluster_members", interaction_id=sorted(interactions))
    hashes = pa.array(sorted({row["text_hash"] for row in members if row["text_hash"]}), pa.string())
    return {
        "outcomes": _delete(lake, "outcomes", pc.field("interaction_id").isin(ids)),
        "embeddings": _delete(lake, "embeddings", pc.field("text_hash").isin(hashes)),
        "cluster_members": _delete(lake, "cluster_members", pc.field("interaction_id").isin(ids)),
        "clusters": _unquote(lake, ids),
    }


def _delete(lake: Lake, name: str, which: pc.Expression) -> int:
    count = sum(holding(lake, name, which).values())
    if count:
        delete_rows(lake, name, which)
    return count


def _unquote(lake: Lake, ids: pa.Array) -> int:
    """Take a person's words off the clusters that they were the typical example of."""

    def blank(rows: pa.Table) -> pa.Table:
        theirs = pc.fill_null(pc.is_in(rows["medoid_interaction_id"], ids), False)
        for column in QUOTED:
            at = rows.schema.get_field_index(column)
            value = pc.if_else(theirs, pa.scalar(None, pa.string()), rows[column])
            rows = rows.set_column(at, rows.schema.field(at), value)
        return rows

    found = holding(lake, "clusters", pc.field("medoid_interaction_id").isin(ids))
    if found:
        discard(lake, "clusters", rewrite(lake, "clusters", list(found), blank, ERASED, data_change=True))
    return sum(found.values())
