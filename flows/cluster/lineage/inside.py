"""What a cluster holds by now, and moving failures from one cluster into another.

Nothing else gives a failure another home. What a person has put somewhere is pinned: only a person's own act, or the
merge of the whole cluster, moves it. Go on to `accepted.py`, `taken_back.py` and `by_hand.py`, which say when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from flows.cluster.placement.placing import Placed, typical
from flows.cluster.placement.texts import distinct, normalise, text_hash, vectors_of
from flows.cluster.state import Now, State
from flows.embed import Embedder
from schemas.records import Cluster, Member

SQL = Path(__file__).with_name("inside.sql")


@dataclass(frozen=True)
class Inside:
    """A failure that has its home in a cluster that is split or merged."""

    id: str
    cluster_id: str
    """Empty where it has no home yet."""
    text_hash: str
    moves: int
    pinned: bool
    outcome: str | None
    """Its outcome by now; None where the interaction is gone."""
    text: str
    mode: str | None
    """How it failed, where it did."""


def inside(now: Now, cluster: str, placed: Placed) -> list[Inside]:
    """What has its home in a cluster, by earlier runs and by what this one has placed or moved, by id."""
    return [one for one in _found(now, cluster, (), placed) if one.cluster_id == cluster]


def these(now: Now, interactions: Sequence[str], placed: Placed) -> list[Inside]:
    """Some interactions, wherever they are, by id."""
    return _found(now, "", interactions, placed)


def _found(now: Now, cluster: str, interactions: Sequence[str], placed: Placed) -> list[Inside]:
    last = {member.interaction_id: member for member in placed.members}  # the last row of each is where it is
    here = {id_ for id_, member in last.items() if member.cluster_id == cluster and cluster}
    ids = sorted(here.union(interactions))
    rows = now.ask(SQL, cluster=cluster, placed=ids).to_pylist()
    found = []
    for row in rows:
        member = last.get(row["interaction_id"])
        text = row["text"] or ""
        found.append(
            Inside(
                id=row["interaction_id"],
                cluster_id=member.cluster_id if member else row["cluster_id"] or "",
                text_hash=member.text_hash if member else row["text_hash"] or text_hash(normalise(text)),
                moves=max(row["moves"] or 0, (member.moves or 0) if member else 0),
                pinned=member.assigned_by == "person" if member else row["pinned"],
                outcome=row["outcome"],
                text=text,
                mode=row["mode"],
            )
        )
    return found


def moved_to(one: Inside, home: str, why: Literal["split", "merged", "person"], *, confidence: float = 1.0) -> Member:
    """The row that gives a failure another home; what is pinned stays so."""
    return Member(
        interaction_id=one.id,
        cluster_id=home,
        confidence=float(confidence),
        assigned_by="person" if one.pinned else why,
        text_hash=one.text_hash,
        moves=one.moves + 1,
    )


def part_of(cluster: Cluster, child: str, mode: str = "") -> Cluster:
    """A new cluster that was part of an old one: nobody has named or closed it. `mode`: what alone it holds."""
    return msgspec.structs.replace(
        cluster, cluster_id=child, parent_id=cluster.cluster_id, named=None, ignored=None, mode=mode or cluster.mode
    )


def absorb(now: Now, survivor: str, absorbed: str, state: State, placed: Placed) -> tuple[State, Placed]:
    """All of one cluster into another, which keeps its id; the other id becomes another name of it.

    What was ignored no longer is: it is not the same any more.
    """
    moved = [moved_to(one, survivor, "merged") for one in inside(now, absorbed, placed)]
    clusters = {
        id_: msgspec.structs.replace(cluster, alias_of=survivor) if absorbed in {id_, cluster.alias_of} else cluster
        for id_, cluster in state.clusters.items()
    }
    if clusters[absorbed].status != "resolved" and clusters[survivor].status == "resolved":
        clusters[survivor] = msgspec.structs.replace(clusters[survivor], status="steady")
    for id_ in (survivor, absorbed):
        clusters[id_] = msgspec.structs.replace(clusters[id_], ignored=None)
    sample_homes = tuple(survivor if home == absorbed else home for home in placed.sample_homes)
    return replace(state, clusters=clusters), replace(placed, members=placed.members + moved, sample_homes=sample_homes)


def apart(now: Now, placed: Placed, home: str, child: str, part: Sequence[Inside], embedder: Embedder) -> Placed:
    """Some failures of a cluster into one of their own."""
    failed = [one for one in part if one.outcome == "failed"]
    texts = distinct([one.text for one in failed])
    vectors, _ = vectors_of(now.lake, embedder, texts)
    said = {one.text_hash for one in part}
    sample_homes = tuple(
        child if at == home and text_hash in said else at
        for at, text_hash in zip(placed.sample_homes, placed.sample_hashes, strict=True)
    )
    named = {child: typical([one.id for one in failed], vectors, texts.row_of)} if failed else {}
    return replace(
        placed,
        members=placed.members + [moved_to(one, child, "split") for one in part],
        typical={**placed.typical, **named},
        sample_homes=sample_homes,
    )
