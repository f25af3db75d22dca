"""Places new failures: embeds their texts, compares them with known ones, assigns a cluster or makes one.

Reads vectors and reference samples from the lake; decides with `identity.py`. Go on to
`flows/cluster/catalogue/catalogue.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from flows.cluster.outcomes.outcomes import Judged
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.identity import place
from flows.cluster.placement.texts import Distinct, distinct, normalise, vectors_of, wordless_apart
from flows.cluster.state import TABLES, State, sql
from flows.embed import Embedder, Vectors
from schemas.records import Member
from streams.lake import Lake
from streams.lake.query import query

REFERENCE_CAP = 400
"""Distinct texts per cluster that new ones are compared with. A sample of 100 leaves holes in which old things look
new: 1.7 % of the rows of a day without news were called novel with 100, 0.1 % with 400."""
REFERENCE_ROWS = 60_000
"""And of all clusters together: 60 MB of vectors."""


class Embedding(Struct, frozen=True):
    """The vector of a text: a row of `embeddings`."""

    embedder: str
    text_hash: str
    vector: Vectors


@dataclass(frozen=True, kw_only=True)
class Placed:
    """What a run decided about the failures that had no home."""

    members: list[Member]
    """Failures that got a home, or another one."""
    born: Mapping[str, str | None]
    """New clusters, each with the old one it may have grown out of."""
    vectors: Mapping[str, Vectors]
    """Of each cluster that needs a name, its failures' vectors in order of interaction id."""
    embeddings: list[Embedding]
    """What was computed now."""
    unclustered: int
    """Failures that still have no home: too few of their kind. Every run tries them again."""
    sample: Vectors
    """A sample of all clusters' members, old and new."""
    sample_homes: tuple[str, ...]
    """The cluster of each row of it."""
    sample_hashes: tuple[str, ...]
    """And the hash of its text."""

    @property
    def homes(self) -> dict[str, str]:
        """Interaction → cluster of the new members."""
        return {member.interaction_id: member.cluster_id for member in self.members}


def place_failures(
    lake: Lake, application: str, judged: Judged, before: State, embedder: Embedder, min_size: int
) -> Placed:
    """Place every failure that has no home yet."""
    waiting = [
        (outcome.interaction_id, text)
        for outcome, text in zip(judged.outcomes, judged.texts, strict=True)
        if outcome.outcome == "failed" and outcome.interaction_id not in before.homes
    ]
    reference, owners, names, hashes = _reference(lake, application, judged, before, embedder)
    if not waiting:
        return Placed(
            members=[],
            born={},
            vectors={},
            embeddings=[],
            unclustered=0,
            sample=reference,
            sample_homes=tuple(names[i] for i in owners),
            sample_hashes=tuple(hashes),
        )
    ids, rows = [id_ for id_, _ in waiting], distinct([text for _, text in waiting])
    vectors, fresh = vectors_of(lake, embedder, rows)
    found = place(vectors, rows.weights, reference, owners, min_size)
    births = [_birth_id(ids, rows, found.born, c) for c in range(int(found.born.max(initial=-1)) + 1)]
    home = [births[b] if b >= 0 else names[k] if k >= 0 else "" for b, k in zip(found.born, found.known, strict=True)]
    members = [
        Member(
            interaction_id=id_,
            cluster_id=home[row],
            confidence=float(found.confidence[row]),
            assigned_by="birth" if found.born[row] >= 0 else "vote",
            text_hash=rows.hashes[row],
        )
        for id_, row in zip(ids, rows.row_of, strict=True)
        if home[row]
    ]
    of_text = dict(zip(rows.hashes, vectors, strict=True))
    inside = {
        name: np.stack([of_text[member.text_hash] for member in members if member.cluster_id == name])
        for name in births
    }
    parents = [names[parent] if parent >= 0 else None for parent in found.parents]
    housed = [i for i, name in enumerate(home) if name]
    return Placed(
        members=members,
        born=dict(zip(births, parents, strict=True)),
        vectors=inside,
        embeddings=[Embedding(embedder.id, text_hash, of_text[text_hash]) for text_hash in fresh],
        unclustered=len(waiting) - len(members),
        sample=np.concatenate([reference, vectors[housed]]) if len(reference) else vectors[housed],
        sample_homes=(*(names[i] for i in owners), *(home[i] for i in housed)),
        sample_hashes=(*hashes, *(rows.hashes[i] for i in housed)),
    )


def _reference(
    lake: Lake, application: str, judged: Judged, before: State, embedder: Embedder
) -> tuple[Vectors, Ints, Sequence[str], Sequence[str]]:
    """Vectors of a sample of all living clusters, the cluster index of each, the clusters' ids, the texts' hashes."""
    names = before.living()
    index = {name: i for i, name in enumerate(names)}
    parameters = {
        "application": application,
        "embedder": embedder.id,
        "cap": min(REFERENCE_CAP, REFERENCE_ROWS // max(len(names), 1)),
    }
    table = query(lake, sql(Path(__file__).with_name("reference.sql")), lake.versions(TABLES), parameters)
    table = table.filter(pc.is_in(table["cluster_id"], pa.array(names, pa.string())))
    owners = np.array([index[id_] for id_ in table["cluster_id"].to_pylist()], dtype=np.int64)
    hashes = table["text_hash"].to_pylist()
    if not len(table):
        return np.zeros((0, 0), np.float32), owners, names, hashes
    if table["vector"].null_count:  # another embedder than before: its space is built anew
        by_id = {o.interaction_id: text for o, text in zip(judged.outcomes, judged.texts, strict=True)}
        texts = {before.text_hashes[id_]: normalise(by_id[id_]) for id_ in before.homes if id_ in by_id}
        kept = [i for i, text_hash in enumerate(hashes) if text_hash in texts]
        hashes = [hashes[i] for i in kept]
        return wordless_apart(embedder.embed([texts[h] for h in hashes])), owners[kept], names, hashes
    return np.stack(table["vector"].to_numpy()).astype(np.float32), owners, names, hashes


def _birth_id(ids: Sequence[str], rows: Distinct, born: Ints, cluster: int) -> str:
    return cluster_id([id_ for id_, row in zip(ids, rows.row_of, strict=True) if born[row] == cluster])


def cluster_id(failures: Sequence[str]) -> str:
    """A new cluster's id: a hash of the failures that it begins with, so that any order gives the same."""
    return "c" + hashlib.sha256("\n".join(sorted(failures)).encode()).hexdigest()[:11]
