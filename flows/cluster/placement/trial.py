"""What another embedder would make of a team's own failures: before and after, side by side, changing nothing.

The same sample of texts is embedded by both and clustered afresh by both. Go on to `sample.py`, which clusters.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.cluster.placement.graph import Ints
from flows.cluster.placement.sample import find
from flows.cluster.placement.texts import normalise, wordless_apart
from flows.cluster.state import sql
from flows.embed import Embedder, Vectors
from flows.redact.redact import Redactor
from flows.redact.signature import unsigned
from schemas.errors import NotEnoughData
from schemas.settings import ClusterSettings
from streams.lake import Lake
from streams.lake.query import query

MOST = 3_000
"""Texts that are tried: a slow embedder takes 4 ms a text."""
LEAST = 30
"""Texts below which nothing can be said of clusters."""
LEFT_OUT = 10
"""Every tenth text is left out to see how steady the clusters are, thrice."""
EXAMPLES = 8
SHOWN_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Side:
    """One embedder's clusters of the sample."""

    embedder: str
    """Its id, which holds the content of its weights where these lie on this machine."""
    clusters: int
    """Of `cluster.min_size` texts or more."""
    unclustered: float
    """Share of the texts in none of these."""
    steady: float
    """Adjusted mutual information of the clusters with those of nine tenths of the texts, on these; mean of three."""
    as_placed: float
    """The same with the clusters that the texts are in today."""
    cpu_per_1000: float
    """CPU seconds that embedding 1,000 texts takes in this process; an endpoint's own are not in it."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A text that lies with others than before."""

    text: str
    before: str
    """The typical text of its old group."""
    after: str
    """And of its new one."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What would change."""

    texts: int
    before: Side
    after: Side
    agreement: float
    """Adjusted mutual information of the two clusterings: 1 where they are the same."""
    moved: float
    """Share of the texts whose new group is the successor of another old group: the one it has most texts of."""
    examples: tuple[Moved, ...]
    """Some of them, without personal data; only of clusters of `cluster.least_people` people or more."""


def tried(
    lake: Lake, application: str, settings: ClusterSettings, old: Embedder, new: Embedder, redactor: Redactor
) -> Trial:
    """Both embedders on a sample of the failures that have a home. Raises NotEnoughData for fewer than `LEAST`."""
    names = ("outcomes", "cluster_members")
    given = {"application": application, "people": settings.least_people, "most": MOST, "unseen": ""}
    found = query(lake, sql(Path(__file__).with_name("tried.sql")), lake.versions(names), given).to_pylist()
    if len(found) < LEAST:
        raise NotEnoughData(
            f"{len(found)} different texts that failed are in a cluster: {LEAST} are needed to compare embedders. Send "
            "more events, then `flywheel turn`"
        )
    texts = [normalise(row["text"]) for row in found]
    _, homes = np.unique([row["cluster_id"] for row in found], return_inverse=True)
    (before, old_groups, old_vectors), (after, new_groups, new_vectors) = (
        _side(embedder, texts, homes.astype(np.int64), settings.min_size) for embedder in (old, new)
    )
    moved = np.flatnonzero(_successors(old_groups, new_groups)[new_groups] != old_groups)
    shown = [i for i in moved.tolist() if found[i]["shown"]]
    old_middle, new_middle = _middles(old_vectors, old_groups), _middles(new_vectors, new_groups)
    readable = [
        (i, old_middle[old_groups[i]], new_middle[new_groups[i]])
        for i in shown
        if found[old_middle[old_groups[i]]]["shown"] and found[new_middle[new_groups[i]]]["shown"]
    ]
    chosen = [readable[i] for i in np.linspace(0, len(readable) - 1, min(EXAMPLES, len(readable))).astype(int)]
    return Trial(
        texts=len(texts),
        before=before,
        after=after,
        agreement=_alike(old_groups, new_groups),
        moved=round(len(moved) / len(texts), 4),
        examples=tuple(
            Moved(text=text, before=was, after=now)
            for text, was, now in (_as_read([found[i]["text"] for i in three], redactor) for three in chosen)
        ),
    )


def _side(embedder: Embedder, texts: Sequence[str], homes: Ints, min_size: int) -> tuple[Side, Ints, Vectors]:
    started = time.process_time()
    vectors = wordless_apart(embedder.embed(texts))
    cpu = time.process_time() - started
    groups = find(vectors)
    sizes = np.bincount(groups)
    parts = [np.arange(len(texts)) % LEFT_OUT != left for left in range(3)]
    side = Side(
        embedder=embedder.id,
        clusters=int((sizes >= min_size).sum()),
        unclustered=round(float((sizes[groups] < min_size).mean()), 4),
        steady=round(float(np.mean([_alike(groups[part], find(vectors[part])) for part in parts])), 4),
        as_placed=_alike(homes, groups),
        cpu_per_1000=round(cpu / len(texts) * 1000, 3),
    )
    return side, groups, vectors


def _alike(one: Ints, other: Ints) -> float:
    from sklearn.metrics import adjusted_mutual_info_score  # noqa: PLC0415 lazy: 4 s of import

    return round(float(adjusted_mutual_info_score(one, other)), 4)


def _successors(before: Ints, after: Ints) -> Ints:
    """For each new group the old one that it has most texts of."""
    table = np.zeros((int(after.max()) + 1, int(before.max()) + 1), dtype=np.int64)
    np.add.at(table, (after, before), 1)
    return np.asarray(table.argmax(axis=1), dtype=np.int64)


def _middles(vectors: Vectors, groups: Ints) -> list[int]:
    """The row of each group that is most similar to the mean of the group."""
    middles = []
    for group in range(int(groups.max()) + 1):
        rows = np.flatnonzero(groups == group)
        middles.append(int(rows[np.argmax(vectors[rows] @ vectors[rows].mean(axis=0))]))
    return middles


def _as_read(texts: Sequence[str], redactor: Redactor) -> list[str]:
    """Texts as everybody may see them: without signatures and without personal data."""
    return [text[:SHOWN_CHARS] for text in redactor.texts([unsigned(text)[: 2 * SHOWN_CHARS] for text in texts])]
