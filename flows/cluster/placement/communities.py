"""Rows into communities, with no number of clusters to choose.

k-nearest-neighbour graph; shared-neighbour weights; Leiden (V. A. Traag and others, "From Louvain to Leiden:
guaranteeing well-connected communities", Scientific Reports 9, 2019); and each row to where its nearest neighbours are,
the rule by which new rows are placed too. Deterministic for rows in a fixed order: sort by content first. Go on to
`sample.py` for any number of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.cluster.placement.graph import FLOOR, Ints, elected, neighbours, shared_neighbour_graph
from flows.embed import Vectors

FINENESS = 0.67
"""Leiden's resolution is this times the root of the number of neighbours: 1.9 with 8, 3 with 20. A row that is held
against more others reaches farther, and at one resolution communities would grow until several kinds are one."""
ROOM = 16
"""Rows for each neighbour up to which the resolution is 1, as modularity was defined: each of so few is near a good
part of the others, and at a higher one a dozen of a kind crumble (of twenty requests of one class half were in no
group of five). From twice as many rows on it is as high as it may be, which is better from 250 of many classes on."""
ITERATIONS = 3
"""Times that Leiden starts from what it found: AMI +.01 over once; ten gave no more."""
RANDOMNESS = 0.01
"""How freely it leaves the best move: .001 was .002 worse on two sets, .1 made seeds differ more."""
SEED = 0
MIN_K = 8
VOTERS = 10
"""Neighbours that vote on a row of a large batch, or tell if it is new; homes were the same with 5 to 40."""
REACH = 20
"""Neighbours of a row in the graph of a large batch. With 10 more classes lie in two clusters and change their id from
day to day, with 30 more ids hold two classes: measured on four sets, with two embedders (docs/design/clusters.md)."""


def k_for(rows: int, most: int = VOTERS) -> int:
    """Neighbours that suit a batch: 8 below 1,500 rows, 10 from some 1,800 and 20 from 7,600 if so many are wanted.

    With more neighbours than a cluster has rows in the batch, clusters flow into each other; with fewer than 8 they
    crumble.
    """
    return int(np.clip(round(np.sqrt(rows / 5) / 2), MIN_K, most))


def resolution_for(rows: int, k: int) -> float:
    """Leiden's resolution for rows with k neighbours each."""
    return float(np.clip(rows / (ROOM * k), 1, max(FINENESS * np.sqrt(k), 1)))


def communities(vectors: Vectors, k: int | None = None) -> Ints:
    """A label for each row, 0 for the largest community; rows of one community lie near the same rows."""
    if len(vectors) < 3:
        return np.zeros(len(vectors), dtype=np.int64)
    k = k or k_for(len(vectors), REACH)
    found, cosines = neighbours(vectors, vectors, k, skip_self=True)
    labels = _leiden(shared_neighbour_graph(found, cosines), resolution_for(len(vectors), k))
    settled, _ = elected(labels[found], cosines)
    return _by_size(np.where(cosines[:, 0] >= FLOOR, settled, labels))


def _leiden(graph: Any, resolution: float) -> Ints:
    """Communities of a weighted graph (scipy CSR); each row is one of its own where there are no edges."""
    if not graph.nnz:  # the library panics
        return np.arange(graph.shape[0], dtype=np.int64)
    from graspologic_native import leiden_csr  # noqa: PLC0415 lazy: commands that only list clusters need none

    _, found = leiden_csr(
        graph.indptr.astype(np.int64),
        graph.indices.astype(np.int32),
        graph.data.astype(np.float64),
        graph.shape[0],
        resolution=resolution,
        randomness=RANDOMNESS,
        iterations=ITERATIONS,
        seed=SEED,
    )
    return np.array([found[row] for row in range(graph.shape[0])], dtype=np.int64)


def _by_size(labels: Ints) -> Ints:
    """The same communities, numbered from the largest; of equals the one with the first row comes first."""
    _, first, numbers, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[numbers]
