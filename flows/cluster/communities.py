"""Rows into communities, with no number of clusters to choose.

k-nearest-neighbour graph, shared-neighbour weights, Leiden (V. A. Traag, L. Waltman, N. J. van Eck, "From Louvain to
Leiden", Scientific Reports 9, 2019) by scikit-network. Deterministic for rows in a fixed order: sort by content first.
Go on to `identity.py`, which decides which communities are old acquaintances.
"""

from __future__ import annotations

import numpy as np

from flows.cluster.graph import Ints, neighbours, shared_neighbour_graph
from flows.embed import Vectors

RESOLUTION = 1.0
MAX_K = 15
"""Neighbours of a row in a large batch. Must stay below the rows of one cluster, see `k_for`."""
MIN_K = 8


def k_for(rows: int) -> int:
    """Neighbours that suit a batch: 15 from some 5,000 rows, 8 below 1,500.

    With more neighbours than a cluster has rows in the batch, clusters flow into each other; with fewer than 8 they
    crumble. Half the square root of n/5 follows the best values measured on 1,000 to 22,000 rows.
    """
    return int(np.clip(round(np.sqrt(rows / 5) / 2), MIN_K, MAX_K))


def communities(vectors: Vectors, resolution: float = RESOLUTION, k: int | None = None) -> Ints:
    """A label for each row, 0 for the largest community; rows of one community lie near the same rows."""
    if len(vectors) < 3:
        return np.zeros(len(vectors), dtype=np.int64)
    found, _ = neighbours(vectors, vectors, k or k_for(len(vectors)), skip_self=True)
    return of_graph(shared_neighbour_graph(found), resolution)


def of_graph(graph: object, resolution: float = RESOLUTION) -> Ints:
    """Communities of a weighted graph (scipy CSR)."""
    from sknetwork.clustering import Leiden  # noqa: PLC0415 lazy: 2 s of import

    leiden = Leiden(resolution, modularity="newman", random_state=0)
    return np.asarray(leiden.fit_predict(graph), dtype=np.int64)
