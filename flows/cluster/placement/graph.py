"""Nearest neighbours and the graph that they span: exact, blockwise, the same on any machine.

Vectors lie on the grid of `flows/embed.py`, so similarities are exact and ties are real ties; they fall to the lower
row, and rows come sorted by content. Go on to `communities.py` and `identity.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.embed import Vectors

Ints = NDArray[np.int64]
FLOOR = 0.2
"""Cosine below which two rows are no neighbours, however near the next one is: the nearest of a small population may be
about something else. Of 4,000 rows of banking77 none has a neighbour that far among its fourteen (least: .26); from
.25 on groups of a few hundred short requests fall apart."""
VOTE_POWER = 4
"""Votes weigh cosine to this power. 4 to 16, and 5 to 30 neighbours, were all the same within noise."""
BLOCK_CELLS = 8_000_000
"""Similarities held at once: 32 MB of float32, whatever the number of rows."""
PILE = 16
"""Columns whose largest value is looked at first (`_largest`); 8 to 64 took the same."""
BLOCK_PAIRS = 100_000
"""Pairs of neighbours looked at together. All at once would be a product of the whole matrix with itself, which is
dense where many rows have the same few neighbours: one text a million times took 8 GB."""


def neighbours(rows: Vectors, reference: Vectors, k: int, *, skip_self: bool = False) -> tuple[Ints, Vectors]:
    """The k most similar reference rows of each row, most similar first, ties by the lower index: (indices, cosines).

    `skip_self`: rows are the reference, and no row is its own neighbour. k is cut to what there is.
    """
    k = min(k, len(reference) - int(skip_self))
    nearest = np.empty((len(rows), max(k, 0)), dtype=np.int64)
    cosines = np.empty(nearest.shape, dtype=np.float32)
    block = max(1, BLOCK_CELLS // max(len(reference), 1))
    for start in range(0, len(rows) if k > 0 else 0, block):
        similar = rows[start : start + block] @ reference.T
        if skip_self:
            own = np.arange(len(similar))
            similar[own, start + own] = -np.inf
        best = _top(similar, k)
        nearest[start : start + block] = best
        cosines[start : start + block] = np.take_along_axis(similar, best, axis=1)
    return nearest, cosines


def neighbours_among(rows: Vectors, chosen: Ints, k: int) -> tuple[Ints, Vectors]:
    """`neighbours` of each row among the `chosen` ones, by their indices; no row is its own neighbour."""
    if len(chosen) == len(rows):
        return neighbours(rows, rows, k, skip_self=True)
    k = min(k, len(chosen) - 1)
    near, cosines = neighbours(rows, rows[chosen], k)
    near[chosen], cosines[chosen] = neighbours(rows[chosen], rows[chosen], k, skip_self=True)
    return chosen[near], cosines


def _top(similar: Vectors, k: int) -> Ints:
    """Columns of the k largest values of each row, in order, ties by column."""
    width = similar.shape[1]
    ahead = min(k + 8, width)  # a few more, so that ties at the edge are seen
    if ahead == width:
        return np.argsort(-similar, axis=1, kind="stable")[:, :k]
    some = _largest(similar, ahead)
    values = np.take_along_axis(similar, some, axis=1)
    best = np.take_along_axis(some, np.argsort(-values, axis=1, kind="stable")[:, :k], axis=1)
    edge = np.take_along_axis(similar, best[:, -1:], axis=1)
    for row in np.flatnonzero(values.min(axis=1) >= edge[:, 0]):  # more ties than were fetched: look at the whole row
        best[row] = np.argsort(-similar[row], kind="stable")[:k]
    return best


def _largest(similar: Vectors, count: int) -> Ints:
    """Columns of the `count` largest values of each row, ascending; of equal values at the edge any.

    The largest values lie in the `count` piles whose own largest values are the largest: one pass finds these, and
    partitions what they hold, a tenth of the time that it takes to partition whole rows.
    """
    rows, width = similar.shape
    piles = -(-width // PILE)
    if piles <= 2 * count:
        return np.sort(np.argpartition(similar, width - count, axis=1)[:, width - count :], axis=1)
    highest = similar[:, :piles].copy()
    for start in range(piles, width, piles):
        part = similar[:, start : start + piles]
        np.maximum(highest[:, : part.shape[1]], part, out=highest[:, : part.shape[1]])
    held = np.argpartition(highest, piles - count, axis=1)[:, piles - count :]
    at = (held[:, :, None] + np.arange(0, width, piles)).reshape(rows, -1)
    inside = np.take_along_axis(similar, np.minimum(at, width - 1), axis=1)
    inside[at >= width] = -np.inf
    best = np.argpartition(inside, inside.shape[1] - count, axis=1)[:, -count:]
    return np.sort(np.take_along_axis(at, best, axis=1), axis=1)


def elected(rivals: Ints, cosines: Vectors) -> tuple[Ints, Vectors]:
    """The cluster with most weight among each row's neighbours, and its share of the weight.

    `rivals`: the neighbours' clusters; the lowest of equals wins. Neighbours below FLOOR count only where all are.
    """
    near = np.where((cosines >= FLOOR) | (cosines[:, :1] < FLOOR), np.clip(cosines, 1e-6, 1), 0)
    weight = near.astype(np.float64) ** VOTE_POWER
    # Each neighbour's cluster collects the weight of all neighbours of the same cluster. No matrix of rows by clusters:
    # a million rows and a thousand clusters would be 8 GB.
    order = np.argsort(rivals, axis=1, kind="stable")
    rivals = np.take_along_axis(rivals, order, axis=1)
    weight = np.take_along_axis(weight, order, axis=1)
    totals = np.zeros_like(weight)
    for column in range(rivals.shape[1]):
        totals[:, column] = np.where(rivals == rivals[:, column : column + 1], weight, 0).sum(axis=1)
    best = totals.argmax(axis=1)
    at = np.arange(len(rivals))
    return rivals[at, best].astype(np.int64), (totals[at, best] / weight.sum(axis=1)).astype(np.float32)


def shared_neighbour_graph(nearest: Ints, cosines: Vectors) -> Any:
    """A symmetric scipy CSR matrix: an edge where one row is a neighbour of the other, weighed by what they share.

    Takes what `neighbours` gives; those below FLOOR are none.

    The weight is the cosine of the two rows times the root of the Jaccard similarity of their neighbourhoods, each with
    its own row in it (R. A. Jarvis and E. A. Patrick, "Clustering Using a Similarity Measure Based on Shared Near
    Neighbors", IEEE ToC C-22, 1973). The root, so that rows with few neighbours in common still hold together.
    """
    from scipy import sparse  # noqa: PLC0415 lazy: commands that only list clusters need no scipy

    n, k = nearest.shape
    rows = np.repeat(np.arange(n), k)
    close = (cosines >= FLOOR).ravel()
    at = (rows[close], nearest.ravel()[close])
    near = sparse.csr_matrix((np.ones(close.sum(), np.float32), at), shape=(n, n))
    near = near + sparse.identity(n, dtype=np.float32, format="csr")
    alike = sparse.csr_matrix((cosines.ravel()[close], at), shape=(n, n))
    pairs = sparse.triu(alike.maximum(alike.T), k=1).tocoo()
    sizes = np.asarray(near.sum(axis=1)).ravel()
    shared = np.empty(pairs.nnz, np.float32)
    for start in range(0, pairs.nnz, BLOCK_PAIRS):
        part = slice(start, start + BLOCK_PAIRS)
        shared[part] = near[pairs.row[part]].multiply(near[pairs.col[part]]).sum(axis=1).A1
    both = sizes[pairs.row] + sizes[pairs.col]
    half = sparse.csr_matrix((pairs.data * np.sqrt(shared / (both - shared)), (pairs.row, pairs.col)), shape=(n, n))
    graph = (half + half.T).tocsr()
    graph.sort_indices()
    return graph
