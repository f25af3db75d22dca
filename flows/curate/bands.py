"""MinHash bands: a short signature of a text, by which those texts are found that may be near it.

By letters 21 bands of 3 hashes, by words 10 of 3. Two texts that share a key are candidates, to be compared exactly:
a signature costs time and recall, never precision. Go on to `dedup.py` and `leaks.py`, which compare.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from rensa import RMinHash

GRAM = 4
"""Bytes a gram: texts of 45 characters have too few word shingles, and four bytes are one exact uint32."""
ROWS = 3
BANDS = 21
"""63 hashes: a pair of Jaccard similarity s shares a band with 1 - (1 - s^3)^21: .9998 at s = .7, .94 at .5, .17 at .2.
What shares one is then checked exactly, so a low curve costs time and not precision."""
WORD_BANDS = 10
"""And of the words' hashes 30: .9992 at .8, where a text counts as another one reordered. Of short texts with a typo or
two, whose letters share no band, the words mostly do."""
SEED = 42
CHUNK = 20_000
"""Texts that are looked up together."""
HASHED = 500
"""Texts hashed at a time: their digests pass through Python lists, which are slow where they leave the processor's
cache and numerous enough to be collected: twice as fast as 20,000 at a time."""

LONGEST = 20_000
"""Characters of a text that are compared: some five pages."""
PAIRS = 4_000_000
"""Pairs looked at together: 100 MB."""

Keys = npt.NDArray[np.uint64]
"""One row a text, one 64-bit key a band: BANDS of letters, and WORD_BANDS of words where these are asked for."""
Places = npt.NDArray[np.int64]
"""Of texts, in their order."""


class Grams(msgspec.Struct, frozen=True):
    """The sets of tokens of many texts: text i has `flat[offsets[i]:offsets[i + 1]]`, sorted, each once."""

    flat: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]


def compared(text: str) -> str:
    """What of a text is compared: all of it, or of a longer one its two ends."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} {text[-LONGEST // 2 :]}"


def gram_sets(texts: Sequence[str]) -> Grams:
    """The sets of 4-byte grams of normalised texts, each padded with a space on both sides."""
    encoded = [f" {compared(text)} ".encode().ljust(GRAM) for text in texts]
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
    keys = _each_once((row[:count][within].astype(np.int64) << 32) | values[within])
    offsets = np.searchsorted(keys >> 32, np.arange(len(encoded) + 1))
    return Grams(keys.astype(np.uint32), offsets.astype(np.int64))


def word_sets(texts: Sequence[str]) -> Grams:
    """The sets of words of normalised texts, each word as its hash."""
    sets = [np.unique(np.fromiter(map(_word, compared(text).split()), np.uint32)) for text in texts]
    flat = np.concatenate(sets) if sets else np.zeros(0, np.uint32)
    return Grams(flat, np.cumsum([0, *map(len, sets)]))


def letter_bands(texts: Sequence[str]) -> Keys:
    """A key a band of the letters of each text."""
    return _chunked(texts, gram_sets, BANDS)


def signatures(texts: Sequence[str]) -> Keys:
    """The keys of letters and words of each normalised text."""
    return np.concatenate([letter_bands(texts), _chunked(texts, word_sets, WORD_BANDS)], axis=1)


class Index:
    """Texts by the keys of their bands: which of them share one with another text."""

    def __init__(self, keys: Keys) -> None:
        flat = keys.ravel()
        order = np.argsort(flat, kind="stable")
        self._keys, self._owners, self._count = flat[order], order // keys.shape[1], len(keys)

    def pairs(self, keys: Keys) -> Iterator[tuple[Places, Places]]:
        """(text, indexed text) of all pairs that share a key, each once and in order, some millions at a time."""
        first = np.searchsorted(self._keys, keys, side="left")
        counts = np.searchsorted(self._keys, keys, side="right") - first
        return _runs(self._owners, self._count, first, counts)


def firsts(keys: Keys, most: int) -> Iterator[tuple[Places, Places]]:
    """(text, text before it) of all pairs that share a key of which the latter is among the first `most` texts.

    Each pair once and in order, some millions at a time.
    """
    flat = keys.ravel()
    order = np.argsort(flat)
    same = flat[order[1:]] == flat[order[:-1]]
    begins = np.concatenate([[True], ~same])[: len(order)]
    shared = ~begins
    shared[:-1] |= same
    places = np.sort(np.cumsum(begins[shared]) * len(flat) + order[shared])  # a key's in the order of the texts
    key, places = places // max(1, len(flat)), places % max(1, len(flat))
    start = np.searchsorted(key, key)
    first, counts = np.zeros(keys.shape, np.int64), np.zeros(keys.shape, np.int64)
    first.ravel()[places], counts.ravel()[places] = start, np.minimum(np.arange(len(key)) - start, most)
    return _runs(places // keys.shape[1], len(keys), first, counts)


def _runs(owners: Places, count: int, first: Places, counts: Places) -> Iterator[tuple[Places, Places]]:
    """(text, owner) for each of a text's runs of owners, given by where it begins and how long it is."""
    upto = np.cumsum(counts.sum(axis=1))
    start = 0
    while start < len(counts):
        done = upto[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(upto, done + PAIRS, side="right")))
        rows = np.repeat(np.arange(start, min(end, len(counts))), counts[start:end].sum(axis=1))
        many = counts[start:end].ravel()
        begins = np.repeat(first[start:end].ravel() - (np.cumsum(many) - many), many)
        codes = _each_once(rows * count + owners[begins + np.arange(len(begins))])
        yield codes // count, codes % count
        start = end


def _each_once(codes: Places) -> Places:
    """The codes, sorted. Numpy's own `unique` hashes, at a third of the speed."""
    codes = np.sort(codes)
    once: Places = codes[np.concatenate([[True], codes[1:] != codes[:-1]])[: len(codes)]]
    return once


def _chunked(texts: Sequence[str], sets: Callable[[Sequence[str]], Grams], bands: int) -> Keys:
    parts = [_keys(sets(texts[at : at + HASHED]), bands) for at in range(0, len(texts), HASHED)]
    return np.concatenate(parts) if parts else np.zeros((0, bands), np.uint64)


def _keys(sets: Grams, bands: int) -> Keys:
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        sets.flat.astype(np.uint64), sets.offsets.astype(np.uint64), bands * ROWS, SEED
    )
    digests = np.array(matrix.to_rows(), np.uint64).reshape(len(sets.offsets) - 1, bands, ROWS)
    keys = np.zeros((len(digests), bands), np.uint64)
    keys += np.arange(bands, dtype=np.uint64)  # equal digests in another band are another key
    for column in range(ROWS):
        keys = (keys ^ digests[:, :, column]) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, wraps on purpose
    return keys


@functools.lru_cache(100_000)
def _word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
