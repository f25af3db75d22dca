"""The letters of texts, counted: at most how similar two texts can be, told of many pairs at once without reading them.

Most texts that share a band are far from near, and in most of these it shows in which letters they have. Go back to
`dedup.py`, which reads the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flows.curate.bands import HASHED, Places

KINDS = 32
"""Of letters that are told apart, by the last five bits of their code: all 26 of English, and the blank."""
PART = 10_000
"""Pairs looked at together: 2 MB, what a processor has at hand."""
ROUNDING = 1e-9
"""By which no pair is lost whose similarity is the threshold itself."""


class Letters:
    """How often each kind of letter stands in each text of up to 65,535 characters."""

    def __init__(self, texts: Sequence[str]) -> None:
        parts = [_counted(texts[at : at + HASHED]) for at in range(0, len(texts), HASHED)]
        self._counts = np.concatenate(parts) if parts else np.zeros((0, KINDS), np.uint16)
        self._lengths = np.fromiter(map(len, texts), np.int64, len(texts))

    def most(self, rows: Places, others: Places) -> npt.NDArray[np.float64]:
        """For each pair what its similarity, which counts letters in order, cannot exceed: two empty texts are one."""
        parts = [self._most(rows[at : at + PART], others[at : at + PART]) for at in range(0, len(rows), PART)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _most(self, rows: Places, others: Places) -> npt.NDArray[np.float64]:
        shared = np.minimum(self._counts[rows], self._counts[others]).sum(axis=1, dtype=np.int64)
        both = self._lengths[rows] + self._lengths[others]
        return np.where(both > 0, 2 * shared / np.maximum(both, 1), 1) + ROUNDING


def _counted(texts: Sequence[str]) -> npt.NDArray[np.uint16]:
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    counts = np.bincount(rows * KINDS + codes % KINDS, minlength=len(texts) * KINDS)
    return counts.reshape(-1, KINDS).astype(np.uint16)
