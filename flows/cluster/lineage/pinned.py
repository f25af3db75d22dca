"""Pinned clusters: which failures belong to what a person defined by words, or by examples.

"All refunds" is no way of failing that a run could find: it may hold many, and parts of others. So a pinned cluster is
a facet, as modes are: every failure keeps its one home, and is beside it in each pinned cluster whose definition takes
it in. A definition looks at a failure once, when it is new or judged anew; one that is new itself looks at all there
are, once. By words: failures that say all of them, whole and in any order. By examples: failures that are as like one
of the examples as these are to each other, each to its nearest, on average; so that no threshold is of one embedder
alone. Words are compared, never searched for by somebody's pattern. Go on to `acts.py`, which records them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.cluster.placement.placing import asked
from flows.cluster.placement.texts import distinct, vectors_of
from flows.cluster.state import Now
from flows.embed import Embedder, Vectors
from schemas.acts import ClusterDecision
from schemas.normalise import words
from schemas.records import Cluster, PinnedMember
from streams.lake.query import rows as stored
from streams.lake.rows import Rows

SQL = Path(__file__).with_name("failures.sql")
MOST_PINNED = 30
"""Pinned clusters of an application at a time: each failure is held against all of them."""
FEWEST = 3
"""Examples of one: of fewer nothing is known of how like each other they are."""
BATCH = 10_000
"""Failures that are looked at together."""


@dataclass(frozen=True)
class Definition:
    """What a pinned cluster takes in."""

    cluster_id: str
    words: frozenset[str]
    examples: Vectors
    """Vectors of distinct texts; none where it is defined by words, or everybody who gave one was forgotten."""

    @property
    def like(self) -> float:
        """How like one of the examples a text has to be. Exact on any machine: vectors lie on a grid (`embed.py`)."""
        near = self.examples @ self.examples.T
        if len(near) > 1:  # one alone is like itself
            np.fill_diagonal(near, -1.0)
        return float(near.max(axis=1).mean())

    def takes(self, said: Sequence[frozenset[str]], vectors: Vectors) -> NDArray[np.bool_]:
        """Which of some texts it takes in, by the words of each; where it has examples, by its vector."""
        if self.words:
            return np.array([self.words <= each for each in said], dtype=bool)
        if not len(self.examples):
            return np.zeros(len(said), dtype=bool)
        return np.asarray((vectors.astype(np.float64) @ self.examples.T).max(axis=1) >= self.like)


def pinned_id(wanted: str | None, examples: Collection[str]) -> str:
    """The id of a definition: the same one again is the same cluster, whatever it is called."""
    said = "\n".join(["words", *sorted(set(words(wanted)))] if wanted else ["examples", *sorted(examples)])
    return "p" + hashlib.sha256(said.encode()).hexdigest()[:11]


def defined(
    now: Now, pinned: Mapping[str, Cluster], acts: Sequence[ClusterDecision], embedder: Embedder
) -> list[Definition]:
    """The definitions of pinned clusters, by their ids."""
    of = {act.decision_id: act for act in acts}
    found = []
    for id_, cluster in sorted(pinned.items()):
        act = of[cluster.pinned or ""]
        said = frozenset(words(act.words or ""))
        ids = pa.array([] if said else act.interaction_ids, pa.string())
        texts = asked(now, ids)[1] if len(ids) else []
        vectors = vectors_of(now.lake, embedder, distinct(texts))[0] if texts else np.zeros((0, 0))
        found.append(Definition(id_, said, vectors.astype(np.float64)))
    return found


def members_of(
    now: Now, definitions: Sequence[Definition], fresh: Collection[str], failed: Rows, embedder: Embedder
) -> list[PinnedMember]:
    """Who is new in which: of those that `failed` in this run; in a `fresh` definition, of all there are."""
    old, new = ([one for one in definitions if (one.cluster_id in fresh) == yes] for yes in (False, True))
    found: list[PinnedMember] = []
    if old:
        for some in failed.tables(BATCH):
            found += _taken(now, old, some, embedder)
    if new:
        with now.stream(SQL, now.failures) as answer:
            for batch in answer.batches(BATCH):
                found += _taken(now, new, batch, embedder)
    ids = {one.interaction_id for one in found}
    before = stored(now.lake, "pinned_members", interaction_id=ids) if ids else []
    known = {(row["interaction_id"], row["cluster_id"]) for row in before}
    new_ones = (one for one in found if (one.interaction_id, one.cluster_id) not in known)
    return sorted(new_ones, key=lambda one: (one.cluster_id, one.interaction_id))


def _taken(
    now: Now, definitions: Sequence[Definition], failures: pa.RecordBatch | pa.Table, embedder: Embedder
) -> Iterator[PinnedMember]:
    ids = failures["interaction_id"].to_pylist()
    rows = distinct([text or "" for text in failures["text"].to_pylist()])
    said = [frozenset(words(text)) for text in rows.texts]
    by_example = any(len(one.examples) for one in definitions)
    vectors = vectors_of(now.lake, embedder, rows)[0] if by_example else np.zeros((0, 0), np.float32)
    for one in definitions:
        taken = one.takes(said, vectors)[rows.row_of]
        yield from (PinnedMember(ids[i], one.cluster_id) for i in np.flatnonzero(taken))
