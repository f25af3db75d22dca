"""Places new failures: embeds their texts, compares them with known ones, assigns a cluster or makes one.

Reads vectors and reference samples from the lake; decides with `identity.py`. Words that a person moved go where they
were moved to. Go on to
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

from flows.cluster.outcomes.changes import array_of
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.identity import REFERENCE_CAP, Placement, place
from flows.cluster.placement.texts import Distinct, distinct, normalise, vectors_of, wordless_apart
from flows.cluster.state import Now, State
from flows.embed import Embedder, Vectors
from flows.embedded import embedded
from schemas.records import Member
from streams.lake.parts import holding

_HERE = Path(__file__).parent
REFERENCE, PLACED_TEXTS = _HERE / "reference.sql", _HERE / "placed_texts.sql"
REFERENCE_ROWS = 60_000
"""Of all clusters together, beside REFERENCE_CAP of each: 60 MB of vectors."""


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
    typical: Mapping[str, str]
    """Of each cluster that needs a name, the failure that is nearest to the middle of them all."""
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


def place_failures(now: Now, before: State, embedder: Embedder, min_size: int) -> Placed:
    """Place every failure that has no home yet."""
    ids, texts, modes = _waiting(now)
    reference, owners, names, hashes, anew = _reference(now, before, embedder)
    if not ids:
        return Placed(
            members=[],
            born={},
            typical={},
            embeddings=anew,
            unclustered=0,
            sample=reference,
            sample_homes=tuple(names[i] for i in owners),
            sample_hashes=tuple(hashes),
        )
    rows = distinct(texts)
    vectors, fresh = vectors_of(now.lake, embedder, rows)
    taught = _taught(now, rows, names)
    placed = _place(vectors, rows.weights, taught, reference, owners, min_size)
    births = [_birth_id(ids, rows, placed.born, c) for c in range(int(placed.born.max(initial=-1)) + 1)]
    home = [births[b] if b >= 0 else names[k] if k >= 0 else "" for b, k in zip(placed.born, placed.known, strict=True)]
    families = _families(before)
    members = [
        Member(
            interaction_id=id_,
            cluster_id=_by_mode(home[row], mode, families) if placed.born[row] < 0 and taught[row] < 0 else home[row],
            confidence=float(placed.confidence[row]),
            assigned_by="birth" if placed.born[row] >= 0 else "taught" if taught[row] >= 0 else "vote",
            text_hash=rows.hashes[row],
        )
        for id_, row, mode in zip(ids, rows.row_of, modes, strict=True)
        if home[row]
    ]
    of_text = dict(zip(rows.hashes, vectors, strict=True))
    born = {name: [i for i, row in enumerate(rows.row_of) if placed.born[row] == b] for b, name in enumerate(births)}
    parents = [names[parent] if parent >= 0 else None for parent in placed.parents]
    housed = [i for i, name in enumerate(home) if name]
    return Placed(
        members=members,
        born=dict(zip(births, parents, strict=True)),
        typical={
            name: typical([ids[i] for i in inside], vectors, rows.row_of[inside]) for name, inside in born.items()
        },
        embeddings=[*anew, *(Embedding(embedder.id, text_hash, of_text[text_hash]) for text_hash in fresh)],
        unclustered=len(ids) - len(members),
        sample=np.concatenate([reference, vectors[housed]]) if len(reference) else vectors[housed],
        sample_homes=(*(names[i] for i in owners), *(home[i] for i in housed)),
        sample_hashes=(*hashes, *(rows.hashes[i] for i in housed)),
    )


@dataclass(frozen=True)
class _Family:
    """The clusters of one topic: the first one, and those that a mode was split off into."""

    first: str
    by_mode: dict[str, str]
    """Mode → the cluster that it was split off into; of that one's own parts, none."""
    modes: dict[str, str]
    """Cluster → the mode that alone it holds."""


def _families(before: State) -> dict[str, _Family]:
    """Every cluster of a topic that a mode was split off → its family."""
    found: dict[str, _Family] = {}
    for id_ in before.living():
        mode = before.clusters[id_].mode
        if mode is None or (above := _above(before, id_)) is None:
            continue
        first, direct = above
        family = found.setdefault(first, _Family(first, {}, {}))
        if direct or mode not in family.by_mode:
            family.by_mode[mode] = id_
        family.modes[id_] = mode
        found[id_] = family
    return found


def _above(before: State, cluster: str) -> tuple[str, bool] | None:
    """The cluster of all modes that one of a mode comes from, by its living name, and whether nothing lies between."""
    seen, at = {cluster}, before.clusters[cluster].parent_id
    while at in before.clusters and at not in seen:
        seen.add(at)
        if before.clusters[at].mode is None:
            return before.clusters[at].alias_of or at, len(seen) == 2
        at = before.clusters[at].parent_id
    return None


def _by_mode(home: str, mode: str | None, families: Mapping[str, _Family]) -> str:
    """Which of the clusters of one topic a failure belongs to: its words cannot tell apart what differs by mode."""
    family = families.get(home)
    if family is None or (mode and family.modes.get(home) == mode):
        return home
    return family.by_mode.get(mode or "", family.first)


def typical(ids: Sequence[str], vectors: Vectors, row_of: Ints) -> str:
    """Of failures in order of their ids, the one most similar to the mean of all; the first of equals.

    `row_of`: the row of each in the vectors of distinct texts, so that a thousand equal texts take no more memory.
    Vectors lie on a grid, so that sums in float64 are exact: the same failure on any machine.
    """
    rows, place, times = np.unique(row_of, return_inverse=True, return_counts=True)
    said = vectors[rows].astype(np.float64)
    return ids[int(np.argmax((said @ (times @ said))[place]))]


def _taught(now: Now, rows: Distinct, names: Sequence[str]) -> Ints:
    """For each row the living cluster that a person moved the same words to, or -1."""
    found = now.ask(_HERE / "taught.sql", hashes=list(rows.hashes)).to_pylist()
    index = {name: i for i, name in enumerate(names)}
    homes = {row["text_hash"]: index[row["cluster_id"]] for row in found if row["cluster_id"] in index}
    return np.array([homes.get(text_hash, -1) for text_hash in rows.hashes], dtype=np.int64)


def _place(vectors: Vectors, weights: Ints, taught: Ints, reference: Vectors, owners: Ints, min_size: int) -> Placement:
    """`place` of what nobody taught; the rest goes where it was taught to."""
    if not (taught >= 0).any():
        return place(vectors, weights, reference, owners, min_size)
    free = np.flatnonzero(taught < 0)
    known, born, confidence = taught.copy(), np.full(len(taught), -1, dtype=np.int64), np.ones(len(taught), np.float32)
    if not len(free):
        return Placement(known, born, confidence, ())
    found = place(vectors[free], weights[free], reference, owners, min_size)
    known[free], born[free], confidence[free] = found.known, found.born, found.confidence
    return Placement(known, born, confidence, found.parents)


def _waiting(now: Now) -> tuple[list[str], list[str], list[str | None]]:
    """Failures without a home, by id, what was asked, and how they failed: texts are read of these alone."""
    found = array_of(now.ask(_HERE / "waiting.sql", now.failures)["interaction_id"])
    return asked(now, found)


def asked(now: Now, interactions: pa.Array) -> tuple[list[str], list[str], list[str | None]]:
    """Interactions by id, those that are still there, what was asked in each, and how they failed."""
    those = holding(now.lake, "outcomes", now.lake.version("outcomes"), "interaction_id", interactions)
    found = now.ask(_HERE / "asked.sql", {"outcomes": those})
    texts = [text or "" for text in found["text"].to_pylist()]
    return found["interaction_id"].to_pylist(), texts, found["mode"].to_pylist()


def _reference(
    now: Now, before: State, embedder: Embedder
) -> tuple[Vectors, Ints, Sequence[str], Sequence[str], list[Embedding]]:
    """Vectors of a sample of all living clusters, the cluster index of each, the clusters' ids, the texts' hashes.

    And what was computed anew, since it was known to another embedder only: kept, so that the next run need not.
    """
    names = before.living()
    index = {name: i for i, name in enumerate(names)}
    table = now.ask(REFERENCE, embedder=embedder.id, cap=cap_for(len(names)))
    table = _once(table.filter(pc.is_in(table["cluster_id"], pa.array(names, pa.string()))))
    owners = np.array([index[id_] for id_ in table["cluster_id"].to_pylist()], dtype=np.int64)
    hashes = table["text_hash"].to_pylist()
    if not len(table):
        return np.zeros((0, 0), np.float32), owners, names, hashes, []
    stored = table["vector"].to_numpy()
    anew: dict[str, Vectors] = {}
    if table["vector"].null_count:  # another embedder than before: what `reembed.py` has not made yet
        unknown = sorted({text_hash for text_hash, vector in zip(hashes, stored, strict=True) if vector is None})
        found = now.ask(PLACED_TEXTS, hashes=unknown).to_pylist()
        made = wordless_apart(embedded(now.lake, embedder, [normalise(row["text"]) for row in found]))
        anew = {row["text_hash"]: vector for row, vector in zip(found, made, strict=True)}
    kept = [i for i, text_hash in enumerate(hashes) if stored[i] is not None or text_hash in anew]
    rows = [anew[hashes[i]] if stored[i] is None else stored[i] for i in kept]
    vectors = np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)
    made_now = [Embedding(embedder.id, text_hash, vector) for text_hash, vector in anew.items()]
    return vectors, owners[kept], names, [hashes[i] for i in kept], made_now


def _once(table: pa.Table) -> pa.Table:
    """Each text of a cluster once: two runs may have computed its vector, the same one."""
    said = list(zip(table["cluster_id"].to_pylist(), table["text_hash"].to_pylist(), strict=True))
    first = [i for i, one in enumerate(said) if i == 0 or one != said[i - 1]]
    return table if len(first) == len(table) else table.take(first)


def cap_for(clusters: int) -> int:
    """Texts of each of so many clusters that new ones are compared with."""
    return min(REFERENCE_CAP, REFERENCE_ROWS // max(clusters, 1))


def _birth_id(ids: Sequence[str], rows: Distinct, born: Ints, cluster: int) -> str:
    return cluster_id([id_ for id_, row in zip(ids, rows.row_of, strict=True) if born[row] == cluster])


def cluster_id(failures: Sequence[str]) -> str:
    """A new cluster's id: a hash of the failures that it begins with, so that any order gives the same."""
    return "c" + hashlib.sha256("\n".join(sorted(failures)).encode()).hexdigest()[:11]
