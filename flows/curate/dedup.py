"""Near-duplicate texts: equal after normalising, or near by MinHash with an exact check of every pair.

The check is by letters, and then word by word (`wording.py`). Stars, not chains: a text is a duplicate of a text that
is *kept*, never of another duplicate, so templates cannot drag unlike texts together. Go on to `leaks.py`, which
compares train with eval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract
from rensa import RMinHash

from flows.curate.wording import plain, same_wording

GRAM = 4
"""Bytes a gram: texts of 45 characters have too few word shingles, and four bytes are one exact uint32."""
ROWS = 3
BANDS = 21
"""63 hashes: a pair of Jaccard similarity s shares a band with 1 - (1 - s^3)^21: .9998 at s = .7, .94 at .5, .17 at .2.
What shares one is then checked exactly, so a low curve costs time and not precision."""
SEED = 42
CHUNK = 20_000
"""Rows hashed at a time: a chunk's digests pass through Python lists (about 40 MB)."""
MAX_REPRESENTATIVES = 50
"""Kept texts compared with per shared band: bounds the work where thousands of unlike texts share one template."""
MAX_CHARS = 10_000
"""Characters of a text that are compared letter by letter: the exact check of two such texts takes 1 ms."""
CLOSEST = 10
"""Of the kept texts that are near by letters, as many are compared word by word: bounds the work where thousands of
texts differ in one word."""


class Grams(msgspec.Struct, frozen=True):
    """The gram sets of many texts: text i has `flat[offsets[i]:offsets[i + 1]]`, sorted, each once."""

    flat: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]


def similarity(a: str, b: str, at_least: float) -> float:
    """1 - (insertions + deletions) / (characters of both), of normalised texts; 0 where it is below `at_least`."""
    return float(ratio(a[:MAX_CHARS], b[:MAX_CHARS], score_cutoff=100 * at_least)) / 100


def gram_sets(texts: Sequence[str]) -> Grams:
    """The sets of 4-byte grams of normalised texts, each padded with a space on both sides."""
    encoded = [f" {text} ".encode().ljust(GRAM) for text in texts]
    letters = np.frombuffer(b"".join(encoded), np.uint8).astype(np.uint32)
    if not len(letters):
        return Grams(np.zeros(0, np.uint32), np.zeros(1, np.int64))
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    count = len(letters) - GRAM + 1
    values = np.zeros(count, np.uint32)
    for place in range(GRAM):
        values |= letters[place : place + count] << np.uint32(8 * place)
    row = np.repeat(np.arange(len(encoded)), lengths)
    within = row[:count] == row[GRAM - 1 :]  # a gram that reaches into the next text is none
    keys = np.sort((row[:count][within].astype(np.uint64) << np.uint64(32)) | values[within])
    keys = keys[np.diff(keys, prepend=~keys[:1]) != 0]  # numpy's own `unique` hashes, at a third of the speed
    offsets = np.searchsorted(keys >> np.uint64(32), np.arange(len(encoded) + 1).astype(np.uint64))
    return Grams(keys.astype(np.uint32), offsets.astype(np.int64))


def stars(texts: Sequence[str], near: float) -> list[int]:
    """For each text (normalised, best first) the index of the kept text that it duplicates; its own where it is kept.

    Two texts are one where, without courtesies, their `similarity` is at least `near` and they have the `same_wording`;
    the most similar such kept text wins, the earlier on a tie. O(n) beside the pairs that share a band.
    """
    first: dict[str, int] = {}
    star = [first.setdefault(text, index) for index, text in enumerate(texts)]
    if near >= 1:
        return star
    unique = list(first.values())
    place = _near_stars([texts[index] for index in unique], near)
    to_kept = {unique[row]: unique[kept] for row, kept in enumerate(place)}
    return [to_kept[index] for index in star]


def _near_stars(texts: list[str], near: float) -> list[int]:
    kept: dict[int, list[int]] = {}
    place = list(range(len(texts)))
    letters = [plain(text)[:MAX_CHARS] for text in texts]
    found = Counter(word for text in letters for word in set(text.split()))
    for row, bands in enumerate(_shared_bands(texts)):
        candidates = sorted({other for band in bands for other in kept.get(band, ())})
        choices = [letters[other] for other in candidates]
        alikes = extract(letters[row], choices, scorer=ratio, score_cutoff=100 * near, limit=CLOSEST)
        best_first = sorted((-score, candidates[at]) for _, score, at in alikes)
        twin = next((other for _, other in best_first if same_wording(letters[row], letters[other], found)), None)
        if twin is not None:
            place[row] = twin
            continue
        for band in bands:
            representatives = kept.setdefault(band, [])
            if len(representatives) < MAX_REPRESENTATIVES:
                representatives.append(row)
    return place


def _shared_bands(texts: list[str]) -> Iterator[list[int]]:
    """For each text the bands (numbered over all texts) that it shares with another text."""
    keys = np.concatenate([_bands(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)] or [_NONE])
    numbers, count = np.full(keys.shape, -1, np.int32), 0
    for band in range(BANDS):
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        numbered = np.where(counts > 1, np.cumsum(counts > 1) - 1 + count, -1)
        numbers[:, band] = numbered[inverse]
        count += int((counts > 1).sum())
    for row in numbers:
        yield row[row >= 0].tolist()


_NONE: npt.NDArray[np.uint64] = np.zeros((0, BANDS), np.uint64)


def _bands(texts: list[str]) -> npt.NDArray[np.uint64]:
    """One 64-bit key a band for each text."""
    grams = gram_sets(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        grams.flat.astype(np.uint64), grams.offsets.astype(np.uint64), BANDS * ROWS, SEED
    )
    digests = np.array(matrix.to_rows(), np.uint64).reshape(len(texts), BANDS, ROWS)
    keys = np.zeros((len(texts), BANDS), np.uint64)
    for column in range(ROWS):
        keys = (keys ^ digests[:, :, column]) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, wraps on purpose
    return keys
