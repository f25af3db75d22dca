"""Proposed splits and merges: what a fresh clustering of recent members says about the living clusters.

Matched by members, never by label or index. It only proposes: a failure keeps its home, and a proposal is an event in
`cluster_events` for a person to accept. A part counts from a quarter of a cluster, and two clusters are one where half
of each lies in the same places (the survival threshold of MONIC, M. Spiliopoulou and others, KDD 2006). Works on the
same sample of each cluster's members that new failures are compared with. Go on to
`flows/cluster/catalogue/catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flows.cluster.lineage.certainty import of_merge, of_split
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.sample import find, first_of_each
from flows.cluster.standing import key
from flows.cluster.state import State
from flows.embed import Vectors
from schemas.records import ClusterEvent, EventDetails

PER_CLUSTER = 100
"""Members of a cluster that are looked at: with as many of each, a large cluster does not drown the small ones."""
ROWS = 15_000
"""Members of all clusters together, or so: of more than 150 clusters fewer each, at least MIN_ROWS. They are clustered
afresh by every run, at a cost that is the square of how many they are."""
OVERLAP = 0.5
PART = 0.25
MIN_ROWS = 30
"""Members that a cluster needs before its inner structure means anything."""
PIECE = 0.1
MIN_PIECE = 5
"""Less than this share or number of a cluster's members in one fresh group are strays: they would bridge its parts."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One change that the members suggest."""

    kind: Literal["split", "merged"]
    clusters: tuple[int, ...]
    """split: the cluster that falls apart. merged: the two that have become one. Ascending."""
    shares: tuple[float, ...]
    """split: the share of its members in each part. merged: how much of the two lies in the same places."""
    parts: tuple[tuple[int, ...], ...]
    """split: the rows that make up each part, the largest part first."""
    certainty: float
    """How likely it is right."""


def lineage_events(vectors: Vectors, homes: Sequence[str], hashes: Sequence[str], before: State) -> list[ClusterEvent]:
    """Splits and merges that are not proposed already, as events. `hashes`: of the rows' texts."""
    open_ = {(known.event, known.clusters) for known in before.proposals}
    ids = sorted(set(homes))
    index = {id_: i for i, id_ in enumerate(ids)}
    numbers = np.array([index[home] for home in homes], dtype=np.int64)
    rows = _capped(numbers)
    if len(rows) < 3:
        return []
    events = []
    for proposal in proposals(vectors[rows], find(vectors[rows]), numbers[rows]):
        first, *others = (ids[i] for i in proposal.clusters)
        if key((first, *others)) in before.refused:
            continue
        of_one_topic = proposal.kind == "merged" and any(_has_mode(before, id_) for id_ in (first, *others))
        if (proposal.kind, (first, *others)) not in open_ and not of_one_topic:
            parts = tuple(tuple(sorted({hashes[rows[i]] for i in part})) for part in proposal.parts)
            details = EventDetails(proposed=True, shares=proposal.shares, parts=parts, certainty=proposal.certainty)
            events.append(ClusterEvent(cluster_id=first, event=proposal.kind, other_ids=tuple(others), details=details))
    return events


def _has_mode(before: State, cluster: str) -> bool:
    """Whether a cluster was split off by a mode: it says what another says, and was parted from it for that."""
    return cluster in before.clusters and before.clusters[cluster].mode is not None


def proposals(vectors: Vectors, fresh: Ints, homes: Ints) -> list[Proposal]:
    """Compare a fresh labelling of rows with their homes (-1: none, not counted)."""
    known = homes >= 0
    if not known.any():
        return []
    table = np.zeros((int(homes.max()) + 1, int(fresh.max()) + 1), dtype=np.int64)
    np.add.at(table, (homes[known], fresh[known]), 1)
    large = np.flatnonzero(table.sum(axis=1) >= MIN_ROWS)
    if not len(large):
        return []
    shares = table[large] / table[large].sum(axis=1, keepdims=True)
    centroids = _unit(np.stack([vectors[homes == cluster].mean(axis=0) for cluster in large]))
    return _splits(vectors, fresh, homes, large, table, _usual_distance(centroids)) + _merges(
        vectors, homes, large, shares
    )


def _usual_distance(centroids: NDArray[np.float64]) -> float:
    """How similar a living cluster typically is to the one most like it."""
    similar = centroids @ centroids.T
    np.fill_diagonal(similar, -1.0)
    return float(np.median(similar.max(axis=1))) if len(centroids) > 1 else 1.0


def _splits(vectors: Vectors, fresh: Ints, homes: Ints, large: Ints, table: Ints, usual: float) -> list[Proposal]:
    """Clusters whose members lie in parts that are no more alike than two clusters usually are."""
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 lazy: as in graph.py

    splits = []
    for cluster in large:
        pieces = np.flatnonzero(table[cluster] >= max(MIN_PIECE, PIECE * table[cluster].sum()))
        if len(pieces) < 2:
            continue
        centroids = _unit(np.stack([vectors[(homes == cluster) & (fresh == piece)].mean(axis=0) for piece in pieces]))
        _, part = connected_components(centroids @ centroids.T > usual, directed=False)
        part = _without_crumbs(part, centroids, table[cluster, pieces], PART * table[cluster].sum())
        share = np.bincount(part, weights=table[cluster, pieces]) / table[cluster].sum()
        large_parts = [int(p) for p in np.argsort(-share, kind="stable") if share[p] >= PART]
        if len(large_parts) > 1:
            rows = [np.flatnonzero((homes == cluster) & np.isin(fresh, pieces[part == p])) for p in large_parts]
            shares = tuple(round(float(share[p]), 3) for p in large_parts)
            parts = tuple(tuple(r.tolist()) for r in rows)
            sure = of_split([_unit(vectors[r].mean(axis=0, keepdims=True))[0] for r in rows], usual)
            splits.append(Proposal(kind="split", clusters=(int(cluster),), shares=shares, parts=parts, certainty=sure))
    return splits


def _without_crumbs(part: Ints, centroids: NDArray[np.float64], rows: Ints, least: float) -> Ints:
    """The part of each piece, where parts of fewer than `least` rows have joined the one that they are most like.

    A fresh clustering is often finer than the living clusters: each half of one may lie in pieces that are a little
    less alike than two clusters usually are, and none of which is a quarter of it.
    """
    part = part.copy()
    while len(left := np.unique(part)) > 2:
        sizes = np.array([rows[part == one].sum() for one in left])
        smallest = int(sizes.argmin())
        if sizes[smallest] >= least:
            break
        middles = _unit(np.stack([rows[part == one] @ centroids[part == one] for one in left]))
        alike = middles @ middles[smallest]
        alike[smallest] = -np.inf
        part[part == left[smallest]] = left[int(alike.argmax())]
    return part


def _merges(vectors: Vectors, homes: Ints, large: Ints, shares: NDArray[np.float64]) -> list[Proposal]:
    """Pairs of clusters of which at least half lies in the same fresh groups, in like proportions."""
    merges = []
    for i, one in enumerate(large):
        overlap = np.minimum(shares[i], shares[i + 1 :]).sum(axis=1)
        for j in np.flatnonzero(overlap >= OVERLAP):
            pair = (int(one), int(large[i + 1 + j]))
            sure = of_merge(vectors, *(np.flatnonzero(homes == cluster) for cluster in pair))
            shared = (round(float(overlap[j]), 3),)
            merges.append(Proposal(kind="merged", clusters=pair, shares=shared, parts=(), certainty=sure))
    return merges


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float64)


def _capped(numbers: Ints) -> Ints:
    """The first rows of each cluster, in their order."""
    clusters = int(numbers.max(initial=0)) + 1
    return first_of_each(numbers, min(PER_CLUSTER, max(MIN_ROWS, ROWS // clusters)))
