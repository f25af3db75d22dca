"""A person out of what this stage keeps: outcomes, homes, vectors of their texts, their words on clusters, reports.

Called by `flows/erase.py` for one person, and before each run for wishes that have come as events since the last. Every
run's rows go, finished or not, since any of them may quote the person. The next run makes the report anew, and embeds
anew what others have said in the same words.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flows.cluster.placement.texts import normalise, text_hash
from flows.run import latest, under_way
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.maintain import ERASED, delete_rows, discard, holding, rewrite
from streams.lake.query import query, stored_rows

WISHED = Path(__file__).with_name("forgotten_ids.sql")
REPORTS = "reports"
"""Below the home: pages of clusters, which quote what people said."""
QUOTED = ("medoid_interaction_id", "medoid_text", "description")
"""What a cluster says in the words of its most typical failure."""


def forget(lake: Lake, home: Path, interactions: Collection[str]) -> dict[str, int]:
    """Remove what was concluded from these interactions; table → rows that went, or lost the person's words.

    The vectors go first: they are found by the texts of outcomes and the hashes of members.
    """
    shutil.rmtree(home / REPORTS, ignore_errors=True)
    ids = pa.array(sorted(interactions), pa.string())
    return {
        "embeddings": _delete(lake, "embeddings", pc.field("text_hash").isin(_text_hashes(lake, interactions))),
        "outcomes": _delete(lake, "outcomes", pc.field("interaction_id").isin(ids)),
        "cluster_members": _delete(lake, "cluster_members", pc.field("interaction_id").isin(ids)),
        "clusters": _unquote(lake, ids),
    }


def forget_wished(lake: Lake, settings: Settings) -> dict[str, int]:
    """`forget` for everybody whose wish has been archived since the last finished run; nothing where there is none.

    Waits, as every erasure does, until no build and no clustering is under way.
    """
    last = latest(lake, "cluster", settings.application)
    seen = last.versions.get("erasures", -1) if last else -1
    if lake.version("erasures") == seen:
        return {}
    versions = lake.versions(("interactions", "erasures", "dead_letters"))
    found = query(lake, WISHED.read_text(), versions, after_erasure=settings.archive.after_erasure)
    ids = found["id"].to_pylist()
    if not ids:
        return {}
    with under_way(settings.home_path, alone=True):
        return forget(lake, settings.home_path, ids)


def _text_hashes(lake: Lake, interactions: Collection[str]) -> pa.Array:
    """What the person's texts are embedded under, placed in a cluster or not."""
    texts = {row["text"] for row in stored_rows(lake, "outcomes", interaction_id=interactions)}
    placed = {row["text_hash"] for row in stored_rows(lake, "cluster_members", interaction_id=interactions)}
    hashes = placed | {text_hash(normalise(text)) for text in texts if text is not None}
    return pa.array(sorted(filter(None, hashes)), pa.string())


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
