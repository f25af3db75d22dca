"""Carries out what people did to clusters of their own accord: once each, in the order in which they did it.

Works on what this run has read and placed, so that the same log and the same acts give the same clusters. Each act
leaves an event that names it, also where nothing was left to do. Go on to `flows/cluster/stage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from flows.cluster.lineage.acts import chosen
from flows.cluster.lineage.inside import Inside, absorb, apart, inside, moved_to, part_of, these
from flows.cluster.lineage.taken_back import take_back
from flows.cluster.placement.placing import Placed, cluster_id
from flows.cluster.standing import LINEAGE, key
from flows.cluster.state import Now, State, resolved_after, untouched, without
from flows.embed import Embedder
from schemas.acts import ClusterDecision, Ignored
from schemas.records import Cluster, ClusterEvent, EventDetails


def carry_out_acts(
    now: Now, acts: Sequence[ClusterDecision], state: State, placed: Placed, embedder: Embedder
) -> tuple[State, Placed, list[ClusterEvent]]:
    """State and placements after the acts, and the events that tell of them."""
    events = []
    for act in acts:
        home = _survivor(state, act.cluster_id)
        if act.event == "refused":
            state, event = _refuse(act, state)
            events.append(event)
            continue
        if act.event == "undone":
            state, placed, event = _undo(now, act, state, placed, embedder)
            events.append(event)
            continue
        others: tuple[str, ...] = ()
        if act.event in {"pinned", "unpinned"} or act.cluster_id in state.pinned:
            state = replace(state, pinned=_pinned(state.pinned, act, now))
        elif home and act.event == "merged":
            state, placed, others = _merge(now, act, home, state, placed)
        elif home and act.event == "split":
            state, placed, others = _split(now, act, home, state, placed, embedder)
        elif home and act.event == "assigned":
            placed = _assign(now, act, home, placed)
        elif home:
            changed = _closed_or_named(state.clusters[home], act, now)
            state = replace(state, clusters=state.clusters | {home: changed})
        if act.event in LINEAGE and others:
            state = _after(state, act.event, home, others)
        proposed: bool | msgspec.UnsetType = False if act.event in LINEAGE else msgspec.UNSET
        details = EventDetails(proposed=proposed, accepted_by=act.decided_by, decision=act.decision_id)
        cluster = home or act.cluster_id
        events.append(ClusterEvent(cluster_id=cluster, event=act.event, other_ids=others, details=details))
    return state, placed, events


def _after(state: State, event: str, home: str, others: tuple[str, ...]) -> State:
    """What was resolved and proposed, once clusters were split or merged."""
    resolved = resolved_after(state.resolved, event, home, others)
    return replace(state, resolved=resolved, proposals=untouched(state.proposals, (home, *others)))


def _refuse(act: ClusterDecision, state: State) -> tuple[State, ClusterEvent]:
    """The state without what was proposed for exactly these clusters, and the event that keeps runs from it."""
    clusters = (act.cluster_id, *act.other_ids)
    state = replace(state, proposals=without(state.proposals, clusters), refused=state.refused | {key(clusters)})
    details = EventDetails(accepted_by=act.decided_by, decision=act.decision_id)
    return state, ClusterEvent(cluster_id=act.cluster_id, event="refused", other_ids=act.other_ids, details=details)


def _undo(
    now: Now, act: ClusterDecision, state: State, placed: Placed, embedder: Embedder
) -> tuple[State, Placed, ClusterEvent]:
    """Without a split or merge that stands; the event is a merge or split that says which one it took back."""
    change = next((one for one in state.changes if one.decision == act.undoes), None)
    details = EventDetails(accepted_by=act.decided_by, decision=act.decision_id, undoes=act.undoes)
    if change is None:
        return state, placed, ClusterEvent(cluster_id=act.cluster_id, event="undone", details=details)
    event: Literal["split", "merged"] = "merged" if change.event == "split" else "split"
    state, placed, others = take_back(now, change, state, placed, embedder)
    if others:
        state = _after(state, event, change.cluster, others)
        state = replace(state, changes=tuple(one for one in state.changes if one is not change))
    details = msgspec.structs.replace(details, proposed=False)
    return state, placed, ClusterEvent(cluster_id=change.cluster, event=event, other_ids=others, details=details)


def _pinned(pinned: Mapping[str, Cluster], act: ClusterDecision, now: Now) -> dict[str, Cluster]:
    """The pinned clusters after an act on one; of a new one nothing is known yet but what it is called."""
    id_ = act.cluster_id
    if act.event == "unpinned":
        return {other: cluster for other, cluster in pinned.items() if other != id_}
    if act.event != "pinned":
        return {**pinned, id_: _closed_or_named(pinned[id_], act, now)}
    of = {"name": act.name or id_, "named": act.decision_id, "pinned": act.decision_id}
    old = pinned.get(id_) or Cluster(
        cluster_id=id_, name="", size=0, size_total=0, rate=None, rate_low=None, rate_high=None, status="steady"
    )
    return {**pinned, id_: msgspec.structs.replace(old, **of)}


def _survivor(state: State, cluster: str) -> str:
    """The cluster that an id stands for by now; empty where there is none of that id."""
    known = state.clusters.get(cluster)
    return known.alias_of or cluster if known else ""


def _closed_or_named(cluster: Cluster, act: ClusterDecision, now: Now) -> Cluster:
    if act.event == "renamed":
        return msgspec.structs.replace(cluster, name=act.name or cluster.name, named=act.decision_id)
    if act.event == "ignored":
        closed = Ignored(decision=act.decision_id, since=now.run.as_of.isoformat())
        return msgspec.structs.replace(cluster, ignored=closed)
    status = "steady" if cluster.status == "resolved" else cluster.status
    return msgspec.structs.replace(cluster, ignored=None, status=status)


def _merge(
    now: Now, act: ClusterDecision, home: str, state: State, placed: Placed
) -> tuple[State, Placed, tuple[str, ...]]:
    gone = []
    for other in act.other_ids:
        absorbed = _survivor(state, other)
        if absorbed and absorbed != home:
            state, placed = absorb(now, home, absorbed, state, placed)
            gone.append(absorbed)
    return state, placed, tuple(gone)


def _split(
    now: Now, act: ClusterDecision, home: str, state: State, placed: Placed, embedder: Embedder
) -> tuple[State, Placed, tuple[str, ...]]:
    """What the act chooses becomes a cluster of its own, whose id is the act's, unless it is none or all by now."""
    members = [one for one in inside(now, home, placed) if one.outcome is not None]
    part = [one for one in members if chosen(_as_row(one), act.words, act.interaction_ids)]
    if not part or len(part) == len(members):
        return state, placed, ()
    child = cluster_id([act.decision_id])
    old = msgspec.structs.replace(state.clusters[home], ignored=None)
    new = part_of(old, child)
    if act.name:
        new = msgspec.structs.replace(new, name=act.name, named=act.decision_id, description=None)
    placed = apart(now, placed, home, child, part, embedder)
    return replace(state, clusters=state.clusters | {home: old, child: new}), placed, (child,)


def _as_row(one: Inside) -> dict[str, object]:
    return {"interaction_id": one.id, "text": one.text, "pinned": one.pinned}


def _assign(now: Now, act: ClusterDecision, home: str, placed: Placed) -> Placed:
    """The failures that are still there, with a row that pins them: also those that are at home already."""
    found = [one for one in these(now, act.interaction_ids, placed) if one.outcome == "failed" or one.cluster_id]
    moved = [replace(one, pinned=True) for one in found if one.outcome is not None]
    new = sum(not one.cluster_id for one in moved)
    return replace(
        placed,
        members=placed.members + [moved_to(one, home, "person") for one in moved],
        unclustered=placed.unclustered - new,
    )
