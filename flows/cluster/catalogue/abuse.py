"""Signs of abuse: a cluster that rests on accounts which were never seen before.

What keeps an attack small is not this but two caps, `cluster.feedback_cap` and `cluster.subject_cap`: whatever k
accounts send, they decide at most `feedback_cap · k` interactions of a day, and count at most `subject_cap · k` times
in a cluster's window. This only points a person to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.catalogue.trends import FALSE_DISCOVERIES
from flows.cluster.placement.graph import Ints
from flows.statistics import discoveries

MIN_VOICES = 10
"""Complaints that a cluster needs in the window before their mix means anything."""
MIN_RATIO = 2.0
"""And how many times the usual share of fresh accounts is strange, not only significant."""


@dataclass(frozen=True)
class Suspicion:
    """A cluster whose complainers are strangers."""

    cluster: int
    voices: int
    fresh: int
    """How many of them come from accounts that were first seen in this window."""
    usual: float
    """The share of fresh accounts among the complainers of all other clusters."""


def suspicions(cluster: Ints, fresh: NDArray[np.bool_]) -> list[Suspicion]:
    """Clusters with more fresh complainers than chance gives, at a controlled false discovery rate.

    One entry a (cluster, unit) pair of the current window: its cluster, and whether the unit is fresh.
    """
    from scipy.stats import binom  # noqa: PLC0415 lazy: 1 s of import

    clusters, total = np.unique(cluster, return_counts=True)
    strangers = np.array([int(fresh[cluster == c].sum()) for c in clusters])
    others = total.sum() - total
    usual = (strangers.sum() - strangers + 1) / (others + 2)  # +1, +2: a share that was never 0 nor 1
    p = np.where(total >= MIN_VOICES, binom.sf(strangers - 1, total, usual), 1.0)
    called = discoveries(p, FALSE_DISCOVERIES) & (others >= MIN_VOICES) & (strangers > MIN_RATIO * usual * total)
    return [
        Suspicion(int(clusters[i]), int(total[i]), int(strangers[i]), float(usual[i])) for i in np.flatnonzero(called)
    ]
