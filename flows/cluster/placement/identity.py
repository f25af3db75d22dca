"""Novelty detection and assignment: which failures are new, and which old cluster each of the others belongs to.

A row of the batch is placed by the votes of its nearest known neighbours. It is novel where known rows are missing
around it; a community of novel rows is born as a cluster where chance cannot explain it, and waits otherwise. Rows that
have an id keep it. The method and what was tried instead: docs/design/clusters.md. Go on to `placing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.placement.communities import MIN_K, VOTERS, k_for
from flows.cluster.placement.graph import FLOOR, Ints, elected, neighbours, neighbours_among
from flows.cluster.placement.sample import find, first_of_each, spread
from flows.embed import Vectors

NOVEL_BELOW = 0.45
"""A row is novel where known rows are less than this share of what chance would put around it. From .35 to .5 more new
classes are found (.89 to .95 of them) and more old rows are called new (1.0 % to 2.5 %)."""
FARTHER = 0.6
"""Share of a new cluster's rows that lie farther from all that is known than half of the nearest old cluster's own rows
do. Of rows that merely became frequent about one half does, however many they are; of new classes nearly all do (median
.98, nine in ten above .7). Higher values stop more false news from growth and cost new classes."""
BY_CHANCE = 0.03
"""Chance that so many of a group's rows lie that far were it no news: above, it is none, however few known rows are
around it. Those are no independent draws, for who words a thing alike comes together: in ten null days of `quality`
one such group of 38 rows would have been announced."""
FALSE_BIRTHS = 0.05
"""Chance that a batch with nothing new in it announces a cluster, over all places where it might."""
CLEARLY = 0.65
"""Share of the vote by which a row is in a new cluster, be it one of those that it was born of or not. At .7, .65 and
.6 more rows of new classes are found (.834, .847, .860 on banking77) and more old ones go with them (1.4, 1.7, 2.0 of
a hundred)."""
REFERENCE_CAP = 400
"""Rows that stand for a cluster: distinct texts of a known one, and of a new one while others join it. A sample of 100
leaves holes in which old things look new: 1.7 % of the rows of a day without news were called novel with 100, 0.1 %
with 400. All rows of new clusters would be the square of what is new: of a million, half of them new, 2.5e11 pairs."""
SMOOTH_OVER = 10
"""Neighbours in the batch over which a row's novelty is averaged, twice: one odd phrase is no news."""


AROUND = 30_000
"""Rows of a batch that its rows are held against, of a larger one a random sample: all with all would be the square of
what is new. Not fewer: a new class of which the sample has some twenty rows is often missed (one in three)."""


@dataclass(frozen=True)
class Placement:
    """Where each row of a batch goes."""

    known: Ints
    """Index of the old cluster, or -1."""
    born: Ints
    """Index of the new cluster, or -1. At most one of the two is set; neither: unclustered, to be tried again."""
    confidence: NDArray[np.float32]
    """Share of the vote for the chosen old cluster, or for new ones; 1 where nothing was known before."""
    parents: tuple[int, ...]
    """For each new cluster, the old one that most of its rows would have gone to; -1 where there was none."""


def place(batch: Vectors, weights: Ints, reference: Vectors, owners: Ints, min_size: int) -> Placement:
    """Place distinct rows, sorted by content; new clusters have at least `min_size` failures.

    `weights`: failures behind each row. `owners`: cluster of each reference row.
    """
    found, near = neighbours(batch, reference, VOTERS)
    voters = k_for(len(reference))
    known, confidence = _voted(found[:, :voters], near[:, :voters], owners)
    chance, share, smooth = _surroundings(batch, near, known, owners)
    rows = np.flatnonzero(smooth < NOVEL_BELOW * chance)
    labels = find(batch)[rows] if len(rows) else rows
    born = np.full(len(batch), -1, dtype=np.int64)
    parents: list[int] = []
    for label in np.unique(labels):
        group = rows[labels == label]
        parent = int(np.bincount(known[group]).argmax()) if len(reference) else -1
        if weights[group].sum() < min_size:
            continue
        if parent >= 0:
            farther = _farther(batch[group], reference, owners == parent)
            if farther.mean() < FARTHER or not _is_rare(len(batch), group, share, chance, farther):
                continue
        born[group] = len(parents)
        parents.append(parent)
    sure = np.ones(len(batch), np.float32)
    if len(reference) and parents:
        born, sure = _settled(batch, weights, near[:, :voters], born, min_size)
    alive, born[born >= 0] = np.unique(born[born >= 0], return_inverse=True)
    known[rows] = -1
    known[born >= 0] = -1
    if len(reference):
        known[near[:, 0] < FLOOR] = -1  # near nothing that is known: it waits
    confidence = np.where(born >= 0, sure, confidence)
    return Placement(known, born, confidence, tuple(parents[cluster] for cluster in alive))


def vote(batch: Vectors, reference: Vectors, owners: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """The cluster with most weight among each row's nearest reference rows, and its share of the weight."""
    return _voted(*neighbours(batch, reference, k_for(len(reference))), owners)


def _voted(found: Ints, cosines: Vectors, owners: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """`vote`, where the nearest reference rows are found already; -1 and 0 where there are none."""
    if not found.shape[1]:
        return np.full(len(found), -1, dtype=np.int64), np.zeros(len(found), np.float32)
    return elected(owners[found], cosines)


def _surroundings(
    batch: Vectors, near_known: Vectors, known: Ints, owners: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For each row: the share of known rows that chance would put around it, the share there is, and that smoothed.

    Chance is what the batch (or a sample of it) and the reference hold in that region: a cluster that grew five-fold is
    five times as dense in the batch, and that alone is no news. Rows that look novel at first are not counted as its
    growth.
    """
    n, r = len(batch), len(owners)
    if not r:  # everything is new
        return np.ones(n), np.zeros(n), np.zeros(n)
    if n < 2:
        return np.ones(n), np.ones(n), np.ones(n)
    chosen = spread(n, AROUND)
    k = k_for(len(chosen))
    each = n / len(chosen)  # rows of the batch that a row of the sample stands for
    near_known = near_known[:, :k]
    own, near_own = neighbours_among(batch, chosen, k)
    both = np.sort(np.concatenate([near_known, near_own], axis=1), axis=1)
    edge = both[:, -min(k, both.shape[1])][:, None]  # of three rows and three known ones there are no eight
    old, new = (near_known >= edge).sum(axis=1), each * (near_own >= edge).sum(axis=1)
    share = old / (old + new)
    smooth = share
    for _ in range(2):
        smooth = 0.5 * smooth + 0.5 * smooth[own[:, :SMOOTH_OVER]].mean(axis=1)
    overall = r / (r + n)
    familiar = chosen[smooth[chosen] >= NOVEL_BELOW * overall]
    clusters = int(owners.max()) + 1
    in_batch = each * np.bincount(known[familiar], minlength=clusters)
    in_reference = np.bincount(owners, minlength=clusters)
    local = in_reference / np.maximum(in_reference + in_batch, 1)  # a cluster may have lost all its rows to erasure
    return np.minimum(local[known], overall), share, smooth


def _is_rare(
    batch: int, group: Ints, share: NDArray[np.float64], chance: NDArray[np.float64], farther: NDArray[np.bool_]
) -> bool:
    """Whether so few known rows around a group, and so far from it, could be chance, given in how many places.

    Two tails: binomial, over the group's own rows and their known neighbours; and the sign test of how many of its rows
    are farther than the parent's median row, which has to hold by itself (BY_CHANCE). Their product is judged as R. A.
    Fisher did ("Statistical Methods for Research Workers", 1932), times the number of such groups that the batch has
    room for (Bonferroni).
    """
    from scipy.stats import binom  # noqa: PLC0415 lazy: 1 s of import

    n, around = len(group), float(share[group].mean())
    far = float(binom.logsf(farther.sum() - 1, n, 0.5))
    if far > np.log(BY_CHANCE):
        return False
    old = np.ceil(n * around / max(1 - around, 1e-9))
    few = float(binom.logcdf(old, old + n, chance[group].mean()))
    both = few + far
    p = np.exp(both) * (1 - both)  # of two uniform numbers: that their product is at most exp(both)
    return bool(p * batch / n <= FALSE_BIRTHS)


def _farther(group: Vectors, reference: Vectors, parent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of a group's rows are less similar to all that is known than the parent's median row is.

    Each of the parent's rows is held against all other known rows. Unlike counts of neighbours, that does not change
    when a cluster grows.
    """
    _, own = neighbours(reference[parent], reference, 2)
    _, near = neighbours(group, reference, 1)
    return np.asarray(near[:, 0] < np.median(own[:, -1]))


def _settled(
    batch: Vectors, weights: Ints, near_known: Vectors, born: Ints, min_size: int
) -> tuple[Ints, NDArray[np.float32]]:
    """The new cluster of each row or -1, now that those have a vote like any other; and their share of the vote.

    A row is in one where CLEARLY of the vote of its nearest is for new clusters: in the one with most. No row has a
    vote for itself. `near_known`: cosines of the nearest known rows, as many as have a vote. The first REFERENCE_CAP
    rows of each new cluster vote: rows come sorted by content hash, so they are a random sample. A cluster that keeps
    fewer than `min_size` failures is none.
    """
    k = max(near_known.shape[1], MIN_K)
    new, near_new = neighbours_among(batch, first_of_each(born, REFERENCE_CAP), k)
    cosines = np.concatenate([near_known, near_new], axis=1)
    rivals = np.concatenate([np.full(near_known.shape, -1, dtype=np.int64), born[new]], axis=1)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    cosines, rivals = np.take_along_axis(cosines, nearest, axis=1), np.take_along_axis(rivals, nearest, axis=1)
    is_new, sure = elected(np.asarray(rivals >= 0, dtype=np.int64), cosines)
    chosen, _ = elected(rivals, np.where(rivals >= 0, cosines, 0))
    born = np.where((is_new == 1) & (sure >= CLEARLY), chosen, -1)
    failures = np.bincount(born[born >= 0], weights[born >= 0])
    return np.where(np.isin(born, np.flatnonzero(failures >= min_size)), born, -1), sure
