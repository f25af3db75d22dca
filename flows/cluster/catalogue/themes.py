"""Themes: clusters whose centroids lie together.

A theme keeps the id that most of its failures had in the run before. Go on to `catalogue.py`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from flows.cluster.placement.communities import communities
from flows.embed import Vectors, on_grid

FEW = 8
"""Fewer clusters than this are read at a glance: they are all one theme."""
NEAR = 4
"""Clusters that a cluster is compared with: themes then hold some six to twelve."""


def themes(
    ids: Sequence[str], vectors: Vectors, homes: Sequence[str], sizes: Mapping[str, int], before: Mapping[str, str]
) -> dict[str, str]:
    """Cluster → theme. `vectors` are sample members with their `homes`; `before` is the last run's answer."""
    where: dict[str, list[int]] = {id_: [] for id_ in sorted(ids)}
    for row, home in enumerate(homes):
        if home in where:
            where[home].append(row)
    seen = [id_ for id_, rows in where.items() if rows]
    if not seen:
        return {}
    centroids = on_grid(np.stack([vectors[where[id_]].mean(axis=0) for id_ in seen]))
    labels = communities(centroids, NEAR) if len(seen) >= FEW else np.zeros(len(seen), dtype=np.int64)
    groups = [[seen[i] for i in np.flatnonzero(labels == label)] for label in range(int(labels.max()) + 1)]
    groups.sort(key=lambda group: (-sum(sizes.get(id_, 0) for id_ in group), group))
    taken: set[str] = set()
    found: dict[str, str] = {}
    for group in groups:
        theme = _inherited(group, sizes, before, taken)
        taken.add(theme)
        found |= dict.fromkeys(group, theme)
    return found


def _inherited(group: list[str], sizes: Mapping[str, int], before: Mapping[str, str], taken: set[str]) -> str:
    votes = Counter[str]()
    for id_ in group:
        if id_ in before and before[id_] not in taken:
            votes[before[id_]] += 1 + sizes.get(id_, 0)
    if votes:
        return max(sorted(votes), key=lambda theme: votes[theme])
    return "t" + hashlib.sha256("\n".join(group).encode()).hexdigest()[:11]
