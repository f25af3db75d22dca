"""Splits and merges that were accepted: by a person, recorded at once; carried out by the next run.

A run proposes (`proposals.py`). `accept` writes a row of `cluster_decisions`, which later runs read as of a version
like everything else, so that the state stays a fold over what is recorded. `carry_out` moves the failures, which
nothing else but an act of a person's own does (`acts.py`). Go on to `by_itself.py` and `flows/cluster/stage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.cluster.lineage.inside import absorb, inside, moved_to, part_of
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.identity import vote
from flows.cluster.placement.placing import Placed, cluster_id, typical
from flows.cluster.placement.texts import Distinct, distinct, vectors_of
from flows.cluster.standing import Key, key
from flows.cluster.state import Now, Proposed, State, load, resolved_after, sql, untouched
from flows.embed import Embedder, Vectors
from flows.run import Run, latest
from schemas.acts import ClusterDecision
from schemas.errors import NotEnoughData, UsageError
from schemas.records import ClusterEvent, EventDetails, content_hash
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.query import query, rows
from streams.lake.rows import from_row, to_table

EXAMPLES = 3
"""Texts of each part of a proposed split that a person sees."""


@dataclass(frozen=True, kw_only=True)
class OpenProposal:
    """A proposal that stands, as people read it."""

    event: Literal["split", "merged"]
    clusters: tuple[str, ...]
    shares: tuple[float, ...]
    parts: tuple[tuple[str, ...], ...]
    """split: some texts of each part."""
    mode: str
    """split by how failures fail: the mode that leaves."""
    accepted_by: str | None
    """Who accepted it, where the next run will carry it out."""
    certainty: float
    """How likely it is right; 0 where nobody measured."""

    @property
    def key(self) -> Key:
        """What it is about."""
        return key(self.clusters)


def accept(lake: Lake, application: str, clusters: Sequence[str], by: str, now: datetime) -> ClusterDecision:
    """Record that a proposal is accepted: the split of one cluster, or the merge of two. Ids may be cut short.

    Returns the decision; the same proposal twice is one. Raises UsageError where no such
    proposal is open.
    """
    run = latest(lake, "cluster", application)
    if run is None:
        raise NotEnoughData(f"no cluster run of application {application!r} is finished yet: `flywheel turn` makes one")
    state = load(lake, application, run.as_of)
    proposal = wanted_of(state, clusters)
    if refusal := refusals(lake, application, state).get(key(proposal.clusters)):
        raise UsageError(f"{refusal.decided_by} has refused it: split or merge by hand what you want changed")
    decided = pending(lake, application, state.proposals)
    if proposal in decided:
        return decided[proposal]
    _refuse_overlap(proposal, decided)
    decision_id = content_hash([application, *key_of(proposal)])[:32]
    decision = ClusterDecision(
        decision_id=decision_id,
        application=application,
        time=now,
        decided_by=by,
        event=proposal.event,
        cluster_id=proposal.clusters[0],
        other_ids=proposal.clusters[1:],
        proposed_by=proposal.run_id,
    )
    publish(lake, "cluster_decisions", to_table("cluster_decisions", [decision]), decision_id)
    return decision


def proposals_of(lake: Lake, run: Run) -> list[OpenProposal]:
    """What is open after the newest run, for people: clusters, shares, examples of each part, and who accepted it."""
    state = load(lake, run.application, run.as_of)
    decided = pending(lake, run.application, state.proposals)
    gone = refusals(lake, run.application, state)
    open_ = [proposal for proposal in state.proposals if key(proposal.clusters) not in gone]
    shown = {id(proposal): [part[:EXAMPLES] for part in proposal.parts] for proposal in open_}
    hashes = sorted({text_hash for parts in shown.values() for part in parts for text_hash in part})
    names = ("outcomes", "cluster_members")
    parameters = {"application": run.application, "hashes": hashes, "unseen": ""}
    found = (
        query(lake, sql(Path(__file__).with_name("proposals.sql")), lake.versions(names), parameters).to_pylist()
        if hashes
        else []
    )
    texts = {row["text_hash"]: row["text"] for row in found}
    return [
        OpenProposal(
            event=proposal.event,
            clusters=proposal.clusters,
            shares=proposal.shares,
            parts=tuple(tuple(texts[h] for h in part if h in texts) for part in shown[id(proposal)]),
            mode=proposal.mode,
            accepted_by=decided[proposal].decided_by if proposal in decided else None,
            certainty=proposal.certainty,
        )
        for proposal in open_
    ]


def refusals(lake: Lake, application: str, state: State) -> dict[Key, ClusterDecision]:
    """What people have refused since the last run, which the next one will drop."""
    found = rows(lake, "cluster_decisions", application=application, event="refused")
    acts = (from_row(ClusterDecision, row) for row in found)
    return {key((act.cluster_id, *act.other_ids)): act for act in acts if act.decision_id not in state.done}


def pending(
    lake: Lake, application: str, proposals: Sequence[Proposed], version: int | None = None
) -> dict[Proposed, ClusterDecision]:
    """Accepted proposals that no run has carried out yet, oldest decision first."""
    found = rows(lake, "cluster_decisions", version, application=application)
    decisions = sorted(
        (from_row(ClusterDecision, row) for row in found), key=lambda decision: (decision.time, decision.decision_id)
    )
    known = {key_of(proposal): proposal for proposal in proposals}
    keys = [(d.event, d.cluster_id, *d.other_ids, d.proposed_by) for d in decisions]
    return {known[key]: decision for key, decision in zip(keys, decisions, strict=True) if key in known}


def carry_out(
    now: Now, decisions: Mapping[Proposed, ClusterDecision], state: State, placed: Placed, embedder: Embedder
) -> tuple[State, Placed, list[ClusterEvent]]:
    """State and placements after the accepted changes, and the events that tell of them."""
    events = []
    for proposal, decision in decisions.items():
        if proposal not in state.proposals:  # an earlier decision changed one of its clusters
            continue
        if proposal.event == "split":
            cluster = proposal.clusters[0]
            state, placed, others = _split(now, proposal, state, placed, embedder)
        else:
            state, placed, cluster, others = _merge(now, proposal, state, placed)
        resolved = resolved_after(state.resolved, proposal.event, cluster, others)
        state = replace(state, resolved=resolved, proposals=untouched(state.proposals, proposal.clusters))
        details = EventDetails(proposed=False, accepted_by=decision.decided_by, decision=decision.decision_id)
        events.append(ClusterEvent(cluster_id=cluster, event=proposal.event, other_ids=tuple(others), details=details))
    return state, placed, events


def _split(
    now: Now, proposal: Proposed, state: State, placed: Placed, embedder: Embedder
) -> tuple[State, Placed, list[str]]:
    """The largest part keeps the id; every other one that still has failures gets one of its own. Or one mode does."""
    cluster = proposal.clusters[0]
    members = [member for member in inside(now, cluster, placed) if member.outcome is not None]
    rows = distinct([member.text for member in members])
    vectors, _ = vectors_of(now.lake, embedder, rows)
    part, confidence = _parts(proposal, rows, vectors)
    chosen = part[rows.row_of]
    if proposal.mode:
        chosen = np.array([int(member.mode == proposal.mode) for member in members], dtype=np.int64)
    of_part = np.where([member.pinned for member in members], 0, chosen)
    names, moved = {0: cluster}, []
    for number in range(1, max(len(proposal.parts), 2)):
        own = np.flatnonzero(of_part == number)
        if len(own) and not (proposal.mode and len(own) == len(members)):
            names[number] = cluster_id([members[i].id for i in own])
            moved += [moved_to(members[i], names[number], "split", confidence=confidence[rows.row_of[i]]) for i in own]
    of_text = {text_hash: names.get(int(part[row]), cluster) for row, text_hash in enumerate(rows.hashes)}
    failed = [i for i, member in enumerate(members) if member.outcome == "failed"]
    of_name = {name: [i for i in failed if of_part[i] == number] for number, name in names.items()}
    named = {
        name: typical([members[i].id for i in own], vectors, rows.row_of[own])
        for name, own in of_name.items()
        if own and len(names) > 1
    }
    old = msgspec.structs.replace(state.clusters[cluster], ignored=None)
    children = {name: part_of(old, name, proposal.mode) for name in names.values() if name != cluster}
    sample_homes = tuple(
        of_text.get(text_hash, home) if home == cluster else home
        for home, text_hash in zip(placed.sample_homes, placed.sample_hashes, strict=True)
    )
    return (
        replace(state, clusters=state.clusters | {cluster: old} | children),
        replace(
            placed,
            members=placed.members + moved,
            typical={**placed.typical, **named},
            sample_homes=sample_homes,
        ),
        list(children),
    )


def _parts(proposal: Proposed, rows: Distinct, vectors: Vectors) -> tuple[Ints, NDArray[np.float32]]:
    """The part of each distinct text and how sure that is: the texts that stand for a part, and those near them."""
    at = {text_hash: row for row, text_hash in enumerate(rows.hashes)}
    known = {at[h]: number for number, texts in enumerate(proposal.parts) for h in texts if h in at}
    part, confidence = np.zeros(len(vectors), dtype=np.int64), np.ones(len(vectors), np.float32)
    if len(set(known.values())) > 1:  # else somebody was forgotten, and with them all that told the parts apart
        where, owner = np.array(list(known)), np.array(list(known.values()), dtype=np.int64)
        part, confidence = vote(vectors, vectors[where], owner)
        part[where] = owner
    return part, confidence


def _merge(now: Now, proposal: Proposed, state: State, placed: Placed) -> tuple[State, Placed, str, list[str]]:
    """The larger cluster keeps its id, and the other one's becomes another name of it."""
    sizes = {id_: len(inside(now, id_, placed)) for id_ in proposal.clusters}
    survivor, absorbed = sorted(proposal.clusters, key=lambda id_: (-sizes[id_], id_))
    state, placed = absorb(now, survivor, absorbed, state, placed)
    return state, placed, survivor, [absorbed]


def key_of(proposal: Proposed) -> tuple[str, ...]:
    """What tells a proposal from all others."""
    return (proposal.event, *proposal.clusters, proposal.run_id)


def full_id(state: State, wanted: str) -> str:
    """The cluster that an id, or the beginning of one, means. Raises UsageError where it is not one."""
    found = [id_ for id_ in state.clusters if id_.startswith(wanted)]
    if len(found) != 1:
        raise UsageError(f"{len(found)} clusters match {wanted!r}: `flywheel cluster list` shows their ids")
    return found[0]


def wanted_of(state: State, wanted: Sequence[str]) -> Proposed:
    """The proposal for these clusters, whose ids may be cut short. Raises UsageError where there is none."""
    clusters = [full_id(state, id_) for id_ in wanted]
    if len(clusters) > 2 or len(set(clusters)) != len(clusters):
        raise UsageError(
            "proposed is the split of one cluster, or the merge of two: give one id, or two different ones"
        )
    for proposal in state.proposals:
        if sorted(proposal.clusters) == sorted(clusters):
            return proposal
    for id_ in clusters:
        if alias := state.clusters[id_].alias_of:
            raise UsageError(f"{id_} was merged into {alias} since: what was proposed for it no longer stands")
    what = f"the split of {clusters[0]}" if len(clusters) == 1 else f"the merge of {' and '.join(clusters)}"
    raise UsageError(
        f"{what} is not proposed, or was overtaken by a change that a later run carried out: "
        "`flywheel cluster list` shows what is proposed"
    )


def _refuse_overlap(proposal: Proposed, decided: Mapping[Proposed, ClusterDecision]) -> None:
    for other in decided:
        if shared := set(other.clusters) & set(proposal.clusters):
            raise UsageError(
                f"a {'split' if other.event == 'split' else 'merge'} of {', '.join(sorted(shared))} is accepted "
                "already: after the next run it no longer is what this was proposed for"
            )
