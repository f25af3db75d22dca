"""What stands of the splits and merges that were carried out, and which clusters people have touched.

Folds over the events of finished runs. What was taken back stands no longer, and taking it back is a change of its own:
of a merge a split, of a split a merge, which can be taken back in turn. Go on to `state.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from schemas.records import ClusterEvent

LINEAGE = ("split", "merged")
"""Events that change which clusters there are: proposed by a run, carried out once they are accepted."""
Key = tuple[str, ...]
"""What a proposal is about: split or merged, and the clusters in the order of their ids."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A split or merge that was carried out and stands."""

    decision: str
    event: Literal["split", "merged"]
    cluster: str
    """The one that kept its id."""
    others: tuple[str, ...]
    """split: what left it. merged: what became another name of it."""
    run_id: str
    """The run that moved the failures."""


def changes_of(told: Iterable[tuple[str, ClusterEvent]]) -> tuple[Change, ...]:
    """The changes that stand, oldest first, of the events of runs."""
    changes: tuple[Change, ...] = ()
    for run_id, event in told:
        details = event.details
        if event.event not in LINEAGE or details.proposed or not event.other_ids:
            continue
        if isinstance(details.undoes, str):
            changes = tuple(change for change in changes if change.decision != details.undoes)
        if isinstance(details.decision, str):
            kind: Literal["split", "merged"] = "split" if event.event == "split" else "merged"
            change = Change(
                decision=details.decision,
                event=kind,
                cluster=event.cluster_id,
                others=event.other_ids,
                run_id=run_id,
            )
            changes = (*changes, change)
    return changes


def merged_into(changes: Sequence[Change], cluster: str) -> str:
    """The cluster that one is another name of, by the changes that stand; itself where it is none."""
    into = {other: change.cluster for change in changes if change.event == "merged" for other in change.others}
    seen: set[str] = set()
    while cluster in into and cluster not in seen:
        seen.add(cluster)
        cluster = into[cluster]
    return cluster


def touched_by_people(events: Iterable[ClusterEvent]) -> frozenset[str]:
    """The clusters that acts of people were about, and what these made of them."""
    theirs = (event for event in events if isinstance(event.details.accepted_by, str) and not by_itself(event))
    return frozenset(id_ for event in theirs for id_ in (event.cluster_id, *event.other_ids))


def by_itself(event: ClusterEvent) -> bool:
    """Whether a run did it, with nobody's word."""
    return event.details.proposed is False and event.details.certainty is not msgspec.UNSET


def refused(events: Iterable[ClusterEvent]) -> frozenset[Key]:
    """What people have refused: no run proposes it again."""
    return frozenset(key((event.cluster_id, *event.other_ids)) for event in events if event.event == "refused")


def key(clusters: Collection[str]) -> Key:
    """What the split of one cluster, or the merge of several, is known by."""
    return ("merged" if len(clusters) > 1 else "split", *sorted(clusters))
