"""How certain a proposed split or merge is: the share of such proposals that was right where the truth is known.

Two figures tell. Of a merge the **mixing**: how often the nearest neighbours of a member belong to the other cluster,
against what chance would put there if the two were one (M. F. Schilling, "Multivariate Two-Sample Tests Based on
Nearest Neighbors", JASA 81, 1986), seen from the side where it is lower. Of a split the **gap**: how much less alike
the two parts that are most alike are than a cluster and the one most like it usually are. The logistic curves of both
were fitted to proposals over labelled requests of four sets, as planted and as they came, and rounded;
`benchmarks/certainty.py` measures what they promise (docs/performance-clusters.md). Go on to `proposals.py`;
`by_mode.py` has a test of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flows.cluster.placement.graph import Ints, neighbours
from flows.embed import Vectors

NEIGHBOURS = 10
MERGED, SPLIT = (-3.5, 10.0), (0.0, 10.0)
"""Log odds of being right at a mixing, and a gap, of nought, and what one more adds.

Fitted to what `benchmarks/certainty.py` plays of the four they are -5.1 and 12.5, 1.2 and 5.8. That would mend splits
below .8, of which more are right than these say, and call more of the doubtful ones certain: these stay, and err
towards asking a person."""
MOST = 0.999
"""Nothing is quite certain: from 1 on nothing is accepted without a person."""


def of_merge(vectors: Vectors, one: Ints, other: Ints) -> float:
    """How certain it is that the rows of two clusters are of one."""
    return _likely(MERGED, mixing(vectors, one, other))


def of_split(parts: Sequence[Vectors], usual: float) -> float:
    """How certain it is that parts, by their middles, are of several clusters, where two are usually so like."""
    middles = np.stack(parts)
    similar = middles @ middles.T
    np.fill_diagonal(similar, -1.0)
    return _likely(SPLIT, usual - float(similar.max()))


def mixing(vectors: Vectors, one: Ints, other: Ints) -> float:
    """Neighbours in the other group over those that chance would put there, of the group where that is less."""
    rows = np.concatenate([one, other])
    first = np.arange(len(rows)) < len(one)
    near, _ = neighbours(vectors[rows], vectors[rows], NEIGHBOURS, skip_self=True)
    across = first[near] != first[:, None]
    sides = ((across[first], len(other)), (across[~first], len(one)))
    return min(float(found.mean()) * (len(rows) - 1) / there for found, there in sides)


def round_down(certainty: float) -> float:
    """Three digits, so that any machine says the same."""
    return min(math.floor(certainty * 1000) / 1000, MOST)


def _likely(curve: tuple[float, float], figure: float) -> float:
    at_nought, slope = curve
    return round_down(1 / (1 + math.exp(-(at_nought + slope * figure))))
