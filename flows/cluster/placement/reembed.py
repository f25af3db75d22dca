"""Vectors of another embedder, made before it is used, so that no turn waits for them.

What new failures are compared with is embedded a batch at a time; each batch is kept at once, so that whoever is
stopped goes on where they were. Ids depend on nothing of this: after a change of embedder new failures are placed among
the same members. Go on to `placing.py`, which finds the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flows.cluster.placement.placing import PLACED_TEXTS, REFERENCE, Embedding, cap_for
from flows.cluster.placement.texts import normalise, wordless_apart
from flows.cluster.state import clusters_of, sql
from flows.embed import Embedder
from flows.run import latest, under_way
from schemas.errors import NotEnoughData
from schemas.records import content_hash
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.query import query
from streams.lake.rows import to_table

BATCH = 500
"""Texts between two commits: seconds of a slow embedder, so little is lost where it is stopped, and an erasure waits
no longer than that."""


def reembed(lake: Lake, application: str, embedder: Embedder, told: Callable[[int], None] = lambda _: None) -> int:
    """Embed what the next run would have to; returns how many texts that were. `told`: how many are left, each time.

    May stand beside runs: both make the same vector of a text. Raises NotEnoughData before the first cluster run.
    """
    if (run := latest(lake, "cluster", application)) is None:
        raise NotEnoughData(f"no cluster run of application {application!r} is finished yet: `flywheel turn` makes one")
    living = sum(not cluster.alias_of and not cluster.pinned for cluster in clusters_of(lake, run.run_id))
    given = {"application": application, "embedder": embedder.id, "cap": cap_for(living), "unseen": ""}
    names = ("cluster_members", "embeddings")
    table = query(lake, sql(REFERENCE), lake.versions(names), given)
    missing = sorted(set(table.filter(table["vector"].is_null())["text_hash"].to_pylist()))
    done = 0
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        _keep(lake, application, embedder, batch)
        done += len(batch)
        told(len(missing) - done)
    return done


def _keep(lake: Lake, application: str, embedder: Embedder, hashes: Sequence[str]) -> None:
    """The vectors of texts that are still there. An erasure waits: a batch would bring back what it has removed."""
    with under_way(lake):
        given = {"application": application, "hashes": list(hashes), "unseen": ""}
        found = query(lake, sql(PLACED_TEXTS), lake.versions(("outcomes", "cluster_members")), given).to_pylist()
        vectors = wordless_apart(embedder.embed([normalise(row["text"]) for row in found]))
        rows = [Embedding(embedder.id, row["text_hash"], v) for row, v in zip(found, vectors, strict=True)]
        if rows:
            version = lake.version("embeddings")  # erased and said again is another commit
            publish(lake, "embeddings", to_table("embeddings", rows), content_hash([embedder.id, version, *hashes]))
