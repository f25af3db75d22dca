"""Which texts are one text: exact after normalising, and near by MinHash with an exact check of every pair.

Stars, not chains: a text is a duplicate of a text that is *kept*, never of another duplicate, so templates cannot
drag unlike texts together. Go on to `leaks.py`, which compares train with eval and misses nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

GRAM = 4
"""Bytes a gram: texts of 45 characters have too few word shingles, and four bytes are one exact uint32."""
HASHES = 64
ROWS = 3
BANDS = HASHES // ROWS
"""21 bands of 3: a pair of similarity s shares a band with 1 - (1 - s^3)^21: .9998 at s = .7, .80 at .42, .17 at .2.
What shares one is then checked exactly, so a low curve costs time and not precision."""
SEED = 42
CHUNK = 20_000
"""Rows hashed at a time: a chunk's digests pass through Python lists (about 40 MB)."""
MAX_REPRESENTATIVES = 50
"""Kept texts compared with per shared band: bounds the work where thousands of unlike texts share one template."""

_NOT_WORD = re.compile(r"[\W_]+")

Grams = npt.NDArray[np.uint32]


def normalise(text: str) -> str:
    """Lower case without accents of form, punctuation or runs of space: texts that are equal after it are one text."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def grams(text: str) -> Grams:
    """The sorted set of 4-byte grams of a normalised text, padded with a space on both sides."""
    data = f" {text} ".encode().ljust(GRAM)
    return np.unique(np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), GRAM).copy().view("<u4"))


def jaccard(a: Grams, b: Grams) -> float:
    """Shared grams over all grams; both are sorted sets."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def stars(texts: Sequence[str], threshold: float) -> list[int]:
    """For each text (normalised, best first) the index of the kept text that it duplicates; its own where it is kept.

    Two texts are one where the Jaccard similarity of their grams is at least `threshold`. O(n) beside the pairs that
    share a band.
    """
    first: dict[str, int] = {}
    star = [first.setdefault(text, index) for index, text in enumerate(texts)]
    unique = list(first.values())
    sets = [grams(texts[index]) for index in unique]
    kept: dict[int, list[int]] = {}
    place = list(range(len(unique)))
    for row, shared in enumerate(_shared_bands(sets)):
        found = _resembled(row, shared, sets, kept, threshold)
        if found is not None:
            place[row] = found
            continue
        for band in shared:
            representatives = kept.setdefault(band, [])
            if len(representatives) < MAX_REPRESENTATIVES:
                representatives.append(row)
    to_kept = {unique[row]: unique[place[row]] for row in range(len(unique))}
    return [to_kept[index] for index in star]


def _resembled(
    row: int, shared: list[int], sets: list[Grams], kept: dict[int, list[int]], threshold: float
) -> int | None:
    """The earliest kept row that is near enough."""
    candidates = sorted({other for band in shared for other in kept.get(band, ())})
    return next((other for other in candidates if jaccard(sets[row], sets[other]) >= threshold), None)


def _shared_bands(sets: list[Grams]) -> Iterator[list[int]]:
    """For each row the bands (numbered over all rows) that it shares with another row."""
    keys = np.concatenate([_bands(sets[start : start + CHUNK]) for start in range(0, len(sets), CHUNK)] or [_NONE])
    count, numbers = 0, np.full(keys.shape, -1, np.int64)
    for band in range(keys.shape[1]):
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        shared = np.cumsum(counts > 1) - 1 + count
        numbers[:, band] = np.where(counts > 1, shared, -1)[inverse]
        count += int((counts > 1).sum())
    for row in numbers:
        yield row[row >= 0].tolist()


_NONE: npt.NDArray[np.uint64] = np.zeros((0, BANDS), np.uint64)


def _bands(sets: list[Grams]) -> npt.NDArray[np.uint64]:
    """One 64-bit key a band for each set of grams."""
    offsets = np.cumsum([0, *map(len, sets)]).astype(np.uint64)
    flat = np.concatenate(sets).astype(np.uint64)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, BANDS * ROWS, SEED).to_rows()
    digests = np.array(rows, np.uint64).reshape(len(sets), BANDS, ROWS)
    keys = np.zeros((len(sets), BANDS), np.uint64)
    for column in range(ROWS):
        keys = (keys ^ digests[:, :, column]) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, wraps on purpose
    return keys
