"""A person out of what this stage keeps: outcomes, homes, vectors of their texts, their words on clusters, reports.

Called by `flows/erase.py` for one person, and before each run for wishes that have come as events since the last. Every
run's rows go, finished or not, since any of them may quote the person. The next run makes the report anew, and embeds
anew what others have said in the same words. Go on to `unname.py`, which takes their words out of names.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows import prefect_books
from flows.cluster.outcomes.judging import basis_of
from flows.cluster.placement.texts import normalise, text_hash
from flows.cluster.unname import unname
from flows.ledger import fold
from flows.run import code_version, latest, under_way
from flows.store import REPORTS, store_of
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.maintain import ERASED, Among, delete_rows, discard, files, holding, read_files, rewrite
from streams.lake.query import query, stored_rows

_HERE = Path(__file__).parent
QUOTED = ("medoid_interaction_id", "medoid_text", "description")
"""What a cluster says in the words of its most typical failure."""


def forget(lake: Lake, settings: Settings, interactions: Collection[str], units: Collection[str]) -> dict[str, int]:
    """Remove what was concluded from these interactions; table → rows that went, or lost the person's words.

    Names and vectors go first: they are found by the texts of outcomes and the hashes of members. Outcomes of other
    people's interactions go too where one of these units spoke of them, or where `cluster.feedback_cap` may now let in
    another voice: the next run judges them anew.
    """
    shutil.rmtree(settings.home_path / REPORTS, ignore_errors=True)
    if (store := store_of(settings)) is not None:
        store.remove(REPORTS)
    ids = pa.array(sorted(interactions), pa.string())
    unname(
        lake, interactions, settings.cluster.least_people,
        copies=lambda words: prefect_books.forget(settings.home_path, (), words),
    )  # fmt: skip
    others = {"ids": pa.table({"id": ids}), "units": pa.table({"unit": pa.array(sorted(units), pa.string())})}
    parameters = {"cap": settings.cluster.feedback_cap}
    rest = query(lake, (_HERE / "resting_on.sql").read_text(), lake.versions(("outcomes",)), parameters, tables=others)[
        "id"
    ]
    judged = pa.concat_arrays([ids, *rest.chunks])
    theirs, touched = (("interaction_id", sorted(found.to_pylist())) for found in (ids, judged))
    return {
        "embeddings": _delete(lake, "embeddings", pc.field("text_hash").isin(_text_hashes(lake, interactions))),
        "outcomes": _delete(lake, "outcomes", pc.field("interaction_id").isin(judged), touched),
        "cluster_members": _delete(lake, "cluster_members", pc.field("interaction_id").isin(ids), theirs),
        "pinned_members": _delete(lake, "pinned_members", pc.field("interaction_id").isin(ids), theirs),
        "clusters": _unquote(lake, ids),
        "cluster_decisions": _unlist(lake, frozenset(interactions)),
    }


def forget_wished(lake: Lake, settings: Settings) -> dict[str, int]:
    """`forget` for everybody whose wish has been archived since the last finished run; nothing where there is none.

    Waits, as every erasure does, until no build and no clustering is under way.
    """
    last = latest(lake, "cluster", settings.application)
    basis = msgspec.json.decode(last.summary).get("basis") if last else None
    seen = last.versions.get("erasures", -1) if last else -1
    if lake.version("erasures") == seen and basis in {
        None,
        basis_of(code_version(), settings, fold(lake, settings.application).shots),
    }:
        return {}
    if not lake.exists("erasures"):
        return {}
    versions = lake.versions(("interactions", "erasures", "dead_letters"))
    ids, units = (
        query(lake, (_HERE / name).read_text(), versions, after_erasure=settings.archive.after_erasure)[0].to_pylist()
        for name in ("forgotten_ids.sql", "forgotten_units.sql")
    )
    if not units:
        return {}
    with under_way(lake, alone=True):
        return forget(lake, settings, ids, units)


def _text_hashes(lake: Lake, interactions: Collection[str]) -> pa.Array:
    """What the person's texts are embedded under, placed in a cluster or not."""
    texts = {row["text"] for row in stored_rows(lake, "outcomes", interaction_id=interactions)}
    placed = {row["text_hash"] for row in stored_rows(lake, "cluster_members", interaction_id=interactions)}
    hashes = placed | {text_hash(normalise(text)) for text in texts if text is not None}
    return pa.array(sorted(filter(None, hashes)), pa.string())


def _delete(lake: Lake, name: str, which: pc.Expression, among: Among | None = None) -> int:
    affected = holding(lake, name, which, among)
    if affected:
        delete_rows(lake, name, which, affected)
    return sum(affected.values())


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


def _unlist(lake: Lake, ids: Collection[str]) -> int:
    """Take a person's interactions out of what others decided about them; who decided what stays."""

    def without(rows: pa.Table) -> pa.Table:
        kept = [[id_ for id_ in listed or () if id_ not in ids] for listed in rows["interaction_ids"].to_pylist()]
        at = rows.schema.get_field_index("interaction_ids")
        return rows.set_column(at, rows.schema.field(at), pa.array(kept, rows.schema.field(at).type))

    if not lake.exists("cluster_decisions"):
        return 0
    found = 0
    listing = []
    for file in files(lake.open("cluster_decisions")):
        listed = read_files(lake, "cluster_decisions", [file])["interaction_ids"].to_pylist()
        if theirs := sum(bool(set(ids) & set(some or ())) for some in listed):
            listing.append(file)
            found += theirs
    if listing:
        discard(
            lake, "cluster_decisions", rewrite(lake, "cluster_decisions", listing, without, ERASED, data_change=True)
        )
    return found
