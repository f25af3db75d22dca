"""Rows into communities, with no number of clusters to choose.

k-nearest-neighbour graph; shared-neighbour weights; Louvain (V. D. Blondel and others, "Fast unfolding of communities
in large networks", J. Stat. Mech. P10008, 2008) several times, for the weight that its runs agree on (A. Lancichinetti
and S. Fortunato, "Consensus clustering in complex networks", Scientific Reports 2, 2012); and Louvain once more.
Deterministic for rows in a fixed order: sort by content first. Go on to `sample.py` for any number of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.cluster.placement.graph import Ints, neighbours, shared_neighbour_graph
from flows.embed import Vectors

RESOLUTION = 1.0
"""Modularity as it was defined. Other values were no better on any set tried, and would be one more thing to tune."""
VOICES = 10
"""Louvain runs that are asked whether an edge is inside a community: AMI +.01 over one run; 20 gave no more."""
MAX_K = 15
"""Neighbours of a row in a large batch. Must stay below the rows of one cluster, see `k_for`."""
MIN_K = 8


def k_for(rows: int) -> int:
    """Neighbours that suit a batch: 15 from some 5,000 rows, 8 below 1,500.

    With more neighbours than a cluster has rows in the batch, clusters flow into each other; with fewer than 8 they
    crumble. Half the square root of n/5 follows the best values measured on 1,000 to 22,000 rows.
    """
    return int(np.clip(round(np.sqrt(rows / 5) / 2), MIN_K, MAX_K))


def communities(vectors: Vectors, k: int | None = None) -> Ints:
    """A label for each row, 0 for the largest community; rows of one community lie near the same rows."""
    if len(vectors) < 3:
        return np.zeros(len(vectors), dtype=np.int64)
    found, cosines = neighbours(vectors, vectors, k or k_for(len(vectors)), skip_self=True)
    return _louvain(_agreed(shared_neighbour_graph(found, cosines)))


def _louvain(graph: Any, seed: int = 0, *, shuffle: bool = False) -> Ints:
    """Communities of a weighted graph (scipy CSR), largest first."""
    from sknetwork.clustering import Louvain  # noqa: PLC0415 lazy: 2 s of import

    # Not the library's Leiden: that draws from the C library's `rand()`, which no seed given to it reaches, so that
    # every call in a process answers differently.
    louvain = Louvain(RESOLUTION, modularity="newman", shuffle_nodes=shuffle, random_state=seed)
    return np.asarray(louvain.fit_predict(graph), dtype=np.int64)


def _agreed(graph: Any) -> Any:
    """Each edge times the share of Louvain runs, each in another order of rows, that keep it inside a community."""
    edges = graph.tocoo()
    agreed = np.zeros(len(edges.data), dtype=np.float64)
    for seed in range(VOICES):
        labels = _louvain(graph, seed, shuffle=True)
        agreed += labels[edges.row] == labels[edges.col]
    weighed = graph.copy()
    weighed.data = graph.tocsr().data * (agreed / VOICES)
    weighed.eliminate_zeros()
    return weighed
