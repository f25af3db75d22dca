"""Which old cluster a new failure belongs to, and which failures are something new. Novelty comes first.

A row of the batch is placed by the votes of its nearest known neighbours. It is novel where known rows are missing
around it, and a community of novel rows is born as a cluster. Rows that have an id keep it. Go on to `state.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.communities import communities, k_for
from flows.cluster.graph import Ints, neighbours
from flows.embed import Vectors

NOVEL_BELOW = 0.35
"""A row is novel where known rows are less than this share of what chance would put around it."""
VOTE_POWER = 4
"""Votes weigh cosine to this power: near neighbours decide, far ones break ties."""


@dataclass(frozen=True)
class Placement:
    """Where each row of a batch goes."""

    known: Ints
    """Index of the old cluster, or -1."""
    born: Ints
    """Index of the new cluster, or -1. At most one of the two is set; neither: unclustered."""
    confidence: NDArray[np.float32]
    """Share of the vote for the chosen cluster; of a birth, how little of the neighbourhood was known."""


def place(batch: Vectors, weights: Ints, reference: Vectors, owners: Ints, min_size: int) -> Placement:
    """Place distinct rows, sorted by content; new clusters have at least `min_size` failures.

    `weights`: failures behind each row. `owners`: cluster of each reference row.
    """
    novel = _novelty(batch, reference)
    known, confidence = vote(batch, reference, owners)
    born = np.full(len(batch), -1, dtype=np.int64)
    rows = np.flatnonzero(novel < NOVEL_BELOW)
    if len(rows):
        labels = communities(batch[rows])
        sizes = np.bincount(labels, weights=weights[rows])
        kept = np.flatnonzero(sizes >= min_size)
        names = np.full(len(sizes), -1)
        names[kept] = np.arange(len(kept))
        born[rows] = names[labels]
    is_born = born >= 0
    known[is_born] = -1
    return Placement(known, born, np.where(is_born, 1 - np.clip(novel, 0, 1), confidence).astype(np.float32))


def vote(batch: Vectors, reference: Vectors, owners: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """The cluster with most weight among each row's nearest reference rows, and its share of the weight."""
    if not len(reference):
        return np.full(len(batch), -1, dtype=np.int64), np.zeros(len(batch), np.float32)
    found, cosines = neighbours(batch, reference, k_for(len(reference)))
    weight = np.clip(cosines, 1e-6, 1).astype(np.float64) ** VOTE_POWER
    totals = np.zeros((len(batch), int(owners.max()) + 1)) if len(batch) else np.zeros((0, 1))
    rows = np.repeat(np.arange(len(batch)), found.shape[1])
    np.add.at(totals, (rows, owners[found].ravel()), weight.ravel())
    winner = totals.argmax(axis=1)
    share = totals[np.arange(len(batch)), winner] / weight.sum(axis=1)
    return winner.astype(np.int64), share.astype(np.float32)


def _novelty(batch: Vectors, reference: Vectors) -> NDArray[np.float64]:
    """Share of known rows around each row, over what chance would give; smoothed over the batch's own neighbours."""
    n, known = len(batch), len(reference)
    if not known or n < 2:
        return np.full(n, 0.0 if not known else 1.0)
    k = k_for(n)
    _, near_known = neighbours(batch, reference, k)
    own, near_own = neighbours(batch, batch, k, skip_self=True)
    both = np.concatenate([near_known, near_own], axis=1)
    edge = np.sort(both, axis=1)[:, -k][:, None]
    share = (near_known >= edge).sum(axis=1) / ((near_known >= edge).sum(axis=1) + (near_own >= edge).sum(axis=1))
    for _ in range(2):
        share = 0.5 * share + 0.5 * share[own[:, :10]].mean(axis=1)
    return np.asarray(share / (known / (known + n)))
