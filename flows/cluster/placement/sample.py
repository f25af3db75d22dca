"""Communities of any number of rows, at a cost that grows in step with it.

Up to `WHOLE` rows are clustered as they are. Of more, a sample is; every other row goes where its neighbours in the
sample are; and what lies far from the sample but close together, a small cluster that the sample missed, is found in a
second round. Go on to `identity.py`.
"""

from __future__ import annotations

import numpy as np

from flows.cluster.placement.communities import communities, k_for
from flows.cluster.placement.graph import Ints, elected, neighbours
from flows.embed import Vectors

WHOLE = 30_000
"""Rows clustered at once: exact neighbours of 30,000 take some 10 CPU seconds, four times that for twice as many."""
PER_CLUSTER = 100
"""Rows of a cluster that others are compared with."""
FAR = 0.02
"""A row is far when it is less similar to the sample than this share of the sample's rows are to one another."""
MIN_FOUND = 15
"""Rows that a cluster of the second round has at least: fewer would be noise of the sampling."""


def spread(count: int, most: int) -> Ints:
    """Every n-th of `count` rows, at most `most`; of rows that are sorted by content hash, a random sample."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def first_of_each(labels: Ints, most: int) -> Ints:
    """The first `most` rows of each label, ascending; a row with a label below 0 is of none."""
    order = np.argsort(labels, kind="stable")
    sorted_labels = labels[order]
    starts = np.searchsorted(sorted_labels, sorted_labels, side="left")
    return np.sort(order[(sorted_labels >= 0) & (np.arange(len(order)) - starts < most)])


def find(vectors: Vectors) -> Ints:
    """A community for each row. Rows come sorted by content hash, so that every n-th is a random sample."""
    if len(vectors) <= WHOLE:
        return communities(vectors)
    chosen = spread(len(vectors), WHOLE)
    inside = communities(vectors[chosen])
    sampled = np.concatenate([chosen[inside == label][:PER_CLUSTER] for label in range(int(inside.max()) + 1)])
    owners = np.full(len(vectors), -1, dtype=np.int64)
    owners[chosen] = inside
    labels = owners.copy()
    rest = np.flatnonzero(labels < 0)
    near, cosines = neighbours(vectors[rest], vectors[sampled], k_for(WHOLE))
    labels[rest], _ = elected(owners[sampled][near], cosines)
    return _second_round(vectors, labels, rest, cosines[:, 0], chosen)


def _second_round(vectors: Vectors, labels: Ints, rest: Ints, nearest: Vectors, chosen: Ints) -> Ints:
    """New labels for close groups of rows that are far from the sample."""
    _, own = neighbours(vectors[chosen[::10]], vectors[chosen], 2)
    usual = own[:, 1]  # the first is the row itself
    far = rest[nearest < np.quantile(usual, FAR)][:WHOLE]
    if len(far) < MIN_FOUND:
        return labels
    _, among = neighbours(vectors[far], vectors[far], 5, skip_self=True)
    groups = communities(vectors[far])
    for group in range(int(groups.max()) + 1):
        members = groups == group
        if members.sum() >= MIN_FOUND and among[members].mean() >= np.median(usual):
            labels[far[members]] = labels.max() + 1
    return labels
