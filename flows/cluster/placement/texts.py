"""Failures to distinct texts with vectors: each text is embedded once, ever, and a thousand equal texts are one row.

Go on to `placing.py`, which places the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.cluster.placement.graph import Ints
from flows.embed import Embedder, Vectors
from flows.embedded import embedded
from flows.redact.signature import unsigned
from streams.lake import Lake
from streams.lake.query import query

_KNOWN = Path(__file__).with_name("known_vectors.sql").read_text()


@dataclass(frozen=True)
class Distinct:
    """Distinct texts, sorted by hash: an order that no arrival, worker or shuffle can change."""

    hashes: tuple[str, ...]
    texts: tuple[str, ...]
    """Normalised."""
    row_of: Ints
    """For each text that was given, its row here."""

    @property
    def weights(self) -> Ints:
        """How many of the given texts each row stands for."""
        return np.bincount(self.row_of, minlength=len(self.hashes))


def normalise(text: str) -> str:
    """Lower case, white space as single blanks, no signature: what differs only in that goes wrong alike."""
    return " ".join(unsigned(text).lower().split())


def text_hash(text: str) -> str:
    """The identity of a normalised text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def distinct(texts: Sequence[str]) -> Distinct:
    """The distinct texts among `texts` after normalising."""
    normal = [normalise(text) for text in texts]
    by_hash = {text_hash(text): text for text in set(normal)}
    hashes = tuple(sorted(by_hash))
    row = {by_hash[h]: i for i, h in enumerate(hashes)}
    return Distinct(hashes, tuple(by_hash[h] for h in hashes), np.array([row[t] for t in normal], dtype=np.int64))


def vectors_of(lake: Lake, embedder: Embedder, rows: Distinct) -> tuple[Vectors, list[str]]:
    """A vector for each row, from the lake where it has one; and the hashes of those computed now.

    A text without a known word gets the first axis: such texts then lie together, far from all others.
    """
    parameters = {"embedder": embedder.id, "hashes": list(rows.hashes)}
    known = query(lake, _KNOWN, lake.versions(["embeddings"]), parameters)
    stored = dict(zip(known["text_hash"].to_pylist(), known["vector"].to_numpy(), strict=True))
    missing = [i for i, h in enumerate(rows.hashes) if h not in stored]
    fresh = embedded(lake, embedder, [rows.texts[i] for i in missing])
    if not stored:
        return wordless_apart(fresh), list(rows.hashes)
    width = len(next(iter(stored.values())))
    vectors = np.zeros((len(rows.hashes), width), np.float32)
    for i, h in enumerate(rows.hashes):
        if h in stored:
            vectors[i] = stored[h]
    if missing:
        vectors[missing] = wordless_apart(fresh)
    return vectors, [rows.hashes[i] for i in missing]


def wordless_apart(vectors: Vectors) -> Vectors:
    """Rows of zeros become the first unit vector."""
    if len(vectors):
        vectors[~vectors.any(axis=1), 0] = 1.0
    return vectors
