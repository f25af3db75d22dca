"""Proposals that a run accepts by itself: certain enough, of clusters that no person has touched.

Off unless `cluster.accept_from` says from which certainty on. A proposal is seen by people for at least one run: the
next one accepts it, after everything that people have said. Such an act lies in the run's own events, with its
certainty and the run as its actor, and goes with the run if that is never finished. What a person has renamed, closed,
moved, merged, split, refused or taken back stays theirs, and no run reverses what a run did: so nothing goes to and
fro. Go on to `flows/cluster/stage.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from flows.cluster.lineage.accepted import carry_out, key_of, pending
from flows.cluster.lineage.acts import decisions_of, waiting
from flows.cluster.placement.placing import Placed
from flows.cluster.standing import Key, by_itself, key, touched_by_people
from flows.cluster.state import Now, Proposed, State, load
from flows.embed import Embedder
from flows.run import Run, runs
from schemas.acts import ClusterDecision
from schemas.records import ClusterEvent, content_hash
from streams.lake import Lake
from streams.lake.query import rows
from streams.lake.rows import from_row


def certain(state: State, accept_from: float, left_alone: Collection[str] = ()) -> list[Proposed]:
    """What a run accepts by itself, the surest first; of proposals that share a cluster the surest alone.

    `left_alone`: clusters that people have spoken of since.
    """
    taken = {*state.touched, *left_alone}
    found = []
    for one in sorted(state.proposals, key=lambda one: (-one.certainty, key_of(one))):
        if one.certainty >= accept_from and not taken & set(one.clusters) and not _reverses(state, one):
            found.append(one)
            taken |= set(one.clusters)
    return found


def accept_certain(
    now: Now, state: State, placed: Placed, embedder: Embedder, accept_from: float, told: Sequence[ClusterEvent]
) -> tuple[State, Placed, list[ClusterEvent]]:
    """State and placements after what a run accepts by itself, and the events. `told`: what people did in this run."""
    decisions = {
        one: ClusterDecision(
            decision_id=content_hash([now.run.application, *key_of(one), "by itself"])[:32],
            application=now.run.application,
            time=now.run.as_of,
            decided_by=actor(now.run.run_id),
            event=one.event,
            cluster_id=one.clusters[0],
            other_ids=one.clusters[1:],
            proposed_by=one.run_id,
        )
        for one in certain(state, accept_from, touched_by_people(told))
    }
    how_sure = {decision.decision_id: one.certainty for one, decision in decisions.items()}
    state, placed, events = carry_out(now, decisions, state, placed, embedder)
    return state, placed, [_with(event, how_sure) for event in events]


def waiting_by_itself(lake: Lake, run: Run, accept_from: float) -> frozenset[Key]:
    """What the next run accepts by itself as things stand, unless a person speaks first."""
    if accept_from >= 1:
        return frozenset()
    state = load(lake, run.application, run.as_of)
    said = [*waiting(lake, run.application, state.done), *pending(lake, run.application, state.proposals).values()]
    spoken_of = {id_ for act in said for id_ in (act.cluster_id, *act.other_ids)}
    return frozenset(key(one.clusters) for one in certain(state, accept_from, spoken_of))


def history_of(lake: Lake, application: str) -> list[ClusterDecision]:
    """What people decided about clusters, and what runs did by themselves, oldest first."""
    every = [*decisions_of(lake, application), *acts_of_runs(lake, application)]
    return sorted(every, key=lambda one: (one.time, one.decision_id))


def acts_of_runs(lake: Lake, application: str) -> list[ClusterDecision]:
    """What runs did by themselves, as acts of theirs."""
    times = {run.run_id: run.as_of for run in runs(lake, "cluster", application)}
    found = rows(lake, "cluster_events", application=application, event=("split", "merged"))
    told = ((row["run_id"], from_row(ClusterEvent, row)) for row in found)
    return [
        ClusterDecision(
            decision_id=str(event.details.decision),
            application=application,
            time=times[run_id],
            decided_by=actor(run_id),
            event="split" if event.event == "split" else "merged",
            cluster_id=event.cluster_id,
            other_ids=event.other_ids,
            reason=f"proposed with certainty {event.details.certainty:.3f}",
        )
        for run_id, event in told
        if by_itself(event)
    ]


def actor(run_id: str) -> str:
    """Who did it, where nobody did."""
    return f"run {run_id}"


def _reverses(state: State, one: Proposed) -> bool:
    """Whether it would take apart what was merged, or join what was split."""
    if one.event == "split":
        return any(change.event == "merged" and change.cluster == one.clusters[0] for change in state.changes)
    parts = [{change.cluster, *change.others} for change in state.changes if change.event == "split"]
    return any(set(one.clusters) <= part for part in parts)


def _with(event: ClusterEvent, how_sure: dict[str, float]) -> ClusterEvent:
    details = msgspec.structs.replace(event.details, certainty=how_sure[str(event.details.decision)])
    return msgspec.structs.replace(event, details=details)
