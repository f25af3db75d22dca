"""Embedding as work that can be sent to where it is done: in this process, or in Spark's workers.

The same text has the same vector in both, bit for bit (`embed.GRAIN`). Go on to `flows/cluster/` and `flows/curate/`,
the users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from flows.embed import Embedder, EndpointEmbedder, Vectors
from flows.run import code_version, same_code
from streams.lake import Lake
from streams.lake.query import worked


@dataclass(frozen=True)
class Embed:
    """The work: rows with a `text` into rows with its `vector`."""

    embedder: Embedder
    code: str = field(default_factory=code_version)
    """Of whoever asks: other code might give other vectors."""

    @property
    def schema(self) -> pa.Schema:
        """`vector`."""
        return pa.schema([("vector", pa.list_(pa.float32()))])

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Row by row. Raises LakeError where the code differs from the asker's."""
        same_code(self.code)
        for batch in batches:
            vectors = self.embedder.embed(batch["text"].to_pylist())
            ends = np.arange(len(vectors) + 1, dtype=np.int32) * (vectors.shape[1] if len(vectors) else 0)
            rows = pa.ListArray.from_arrays(pa.array(ends), pa.array(vectors.ravel()))
            yield pa.RecordBatch.from_arrays([rows], schema=self.schema)


def embedded(lake: Lake, embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """A vector for each text. Of an endpoint's they are asked for from here, as its key goes nowhere else."""
    if isinstance(embedder, EndpointEmbedder) or not texts:
        return embedder.embed(texts)
    with worked(lake, pa.table({"text": pa.array(texts, pa.string())}), Embed(embedder)) as rows:
        parts = [_matrix(batch) for batch in rows.batches() if len(batch)]
    return np.concatenate(parts)


def _matrix(batch: pa.RecordBatch) -> Vectors:
    vectors: Vectors = batch["vector"].flatten().to_numpy().reshape(len(batch), -1)
    return vectors
