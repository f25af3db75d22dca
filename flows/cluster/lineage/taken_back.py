"""Takes back a split or merge that was carried out: what was moved goes where it was, as far as nobody moved it since.

Of a split the new clusters go back into the old one; of a merge the failures that came with it go back, and their
cluster has its id again, and the name that a person gave it. What was placed since stays. Go on to `by_hand.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from flows.cluster.lineage.inside import Inside, absorb, apart, inside
from flows.cluster.placement.placing import Placed
from flows.cluster.standing import Change, merged_into
from flows.cluster.state import Now, State
from flows.embed import Embedder
from streams.lake.query import rows

History = Sequence[tuple[str, str, bool]]
"""Where a failure has been, oldest first: run, cluster, and whether it was pinned there."""


def take_back(
    now: Now, change: Change, state: State, placed: Placed, embedder: Embedder
) -> tuple[State, Placed, tuple[str, ...]]:
    """State and placements without the change, and the clusters that came back, or went into the one that stays."""
    home, done = change.cluster, []
    if state.clusters[home].alias_of:
        return state, placed, ()
    if change.event == "split":
        for child in change.others:
            if not state.clusters[child].alias_of:
                state, placed = absorb(now, home, child, state, placed)
                done.append(child)
        return state, placed, tuple(done)
    back = _came_with(now, change, placed)
    for other in change.others:
        if state.clusters[other].alias_of == home:
            state = replace(state, clusters=_revived(state, change, other))
            placed = apart(now, placed, home, other, back.get(other, []), embedder)
            done.append(other)
    return state, placed, tuple(done)


def _revived(state: State, change: Change, other: str) -> dict[str, Any]:
    """The clusters with one living again, and with it the other names that it had."""
    standing = [one for one in state.changes if one.decision != change.decision]
    clusters = dict(state.clusters)
    for id_, cluster in state.clusters.items():
        if id_ == other:
            clusters[id_] = msgspec.structs.replace(cluster, alias_of=None, status="steady", ignored=None)
        elif cluster.alias_of == change.cluster and merged_into(standing, id_) == other:
            clusters[id_] = msgspec.structs.replace(cluster, alias_of=other)
    home = clusters[change.cluster]
    return {**clusters, change.cluster: msgspec.structs.replace(home, ignored=None)}


def _came_with(now: Now, change: Change, placed: Placed) -> dict[str, list[Inside]]:
    """Cluster → its failures that a merge has moved, and that no person has put where they are since."""
    here = inside(now, change.cluster, placed)
    told: dict[str, list[tuple[int, str, str, bool]]] = {}
    for row in rows(now.lake, "cluster_members", interaction_id={one.id for one in here}) if here else []:
        where = (row["moves"] or 0, row["run_id"], row["cluster_id"], row["assigned_by"] == "person")
        told.setdefault(row["interaction_id"], []).append(where)
    for member in placed.members:
        if member.interaction_id in told:
            where = (member.moves or 0, now.run.run_id, member.cluster_id, member.assigned_by == "person")
            told[member.interaction_id].append(where)
    found: dict[str, list[Inside]] = {}
    for one in here:
        been = [each[1:] for each in sorted(told.get(one.id, []))]
        if origin := came_from(been, change):
            found.setdefault(origin, []).append(one)
    return found


def came_from(been: History, change: Change) -> str:
    """The cluster out of which the change moved a failure; empty where it did not, or a person has spoken since."""
    for at in range(1, len(been)):
        run_id, cluster, _ = been[at]
        before = been[at - 1][1]
        if run_id == change.run_id and cluster == change.cluster and before in change.others:
            later = zip(been[at:], been[at + 1 :], strict=False)
            put = any(pinned and (not was or there == here) for (_, here, was), (_, there, pinned) in later)
            return "" if put else before
    return ""
