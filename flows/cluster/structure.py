"""How clusters lie to each other: splits and merges that the members suggest, and the themes above.

Works on a sample of each cluster's members, the same one that new failures are compared with. Go on to `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flows.cluster.graph import Ints
from flows.cluster.lineage import proposals
from flows.cluster.sample import find
from flows.cluster.state import State
from flows.embed import Vectors
from schemas.events import to_json

PER_CLUSTER = 100
"""Members of a cluster that are looked at: with as many of each, a large cluster does not drown the small ones."""
Row = dict[str, Any]


def lineage_events(vectors: Vectors, homes: Sequence[str], hashes: Sequence[str], before: State) -> list[Row]:
    """Rows of `cluster_events` for splits and merges that are not proposed already. `hashes`: of the rows' texts."""
    open_ = {(known.event, known.clusters) for known in before.proposals}
    ids = sorted(set(homes))
    index = {id_: i for i, id_ in enumerate(ids)}
    numbers = np.array([index[home] for home in homes], dtype=np.int64)
    rows = _capped(numbers)
    if len(rows) < 3:
        return []
    events = []
    for proposal in proposals(vectors[rows], find(vectors[rows]), numbers[rows]):
        first, *others = (ids[i] for i in proposal.clusters)
        kind = "split" if proposal.kind == "split" else "merged"
        if (kind, (first, *others)) not in open_:
            parts = [sorted({hashes[rows[i]] for i in part}) for part in proposal.parts]
            details = to_json({"proposed": True, "shares": list(proposal.shares), "parts": parts})
            events.append({"cluster_id": first, "event": kind, "other_ids": others, "details": details})
    return events


def _capped(numbers: Ints) -> Ints:
    """The first rows of each cluster, in their order."""
    order = np.argsort(numbers, kind="stable")
    sorted_numbers = numbers[order]
    starts = np.searchsorted(sorted_numbers, sorted_numbers, side="left")
    return np.sort(order[np.arange(len(order)) - starts < PER_CLUSTER])
