"""Near-duplicate texts: equal after normalising, or near by MinHash with an exact check of every pair.

The check is by letters, and then word by word (`wording.py`). Stars, not chains: a text is a duplicate of a text that
is *kept*, never of another duplicate, so templates cannot drag unlike texts together. What is compared is found by
`bands.py`. Go on to `leaks.py`, which compares train with eval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract, extractOne

from flows.curate.bands import firsts, letter_bands
from flows.curate.letters import Letters
from flows.curate.wording import plain, same_wording

FIRST = 50
"""Texts of a band that others are compared with, the best ones, kept or not: bounds the work where thousands of unlike
texts share one template. Which these are is known before any is compared, so that the work can be shared out."""
MAX_CHARS = 10_000
"""Characters of a text that are compared letter by letter: the exact check of two such texts takes 1 ms."""
CELLS = 1_000_000_000
"""Letters against letters that the comparisons of one text may take: ten of the longest, some 15 ms, or any number of
short ones."""
CLOSEST = 10
"""Of the kept texts that are near by letters, as many are compared word by word: bounds the work where thousands of
texts differ in one word."""


def similarity(a: str, b: str, at_least: float) -> float:
    """1 - (insertions + deletions) / (characters of both), of normalised texts; 0 where it is below `at_least`."""
    return float(ratio(a[:MAX_CHARS], b[:MAX_CHARS], score_cutoff=100 * at_least)) / 100


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
    place = list(range(len(texts)))
    letters = [plain(text)[:MAX_CHARS] for text in texts]
    found = Counter(chain.from_iterable(set(text.split()) for text in letters))
    for row, before in _candidates(texts, letters, near):
        kept = _affordable(row, [other for other in before if place[other] == other], letters)
        closest = (kept[at] for at in _closest(letters[row], [letters[other] for other in kept], near))
        place[row] = next((other for other in closest if same_wording(letters[row], letters[other], found)), row)
    return place


def _closest(text: str, others: list[str], near: float) -> Iterator[int]:
    """Where of the others the CLOSEST near ones stand, best first, the earlier on a tie.

    The best is found at less cost than all, since none is read to its end once it cannot be better.
    """
    if (best := extractOne(text, others, scorer=ratio, score_cutoff=100 * near)) is None:
        return
    yield best[2]
    if len(others) > 1:
        alikes = extract(text, others, scorer=ratio, score_cutoff=100 * near, limit=CLOSEST)
        yield from (at for _, at in sorted((-score, at) for _, score, at in alikes)[1:])


def _affordable(row: int, candidates: list[int], letters: Sequence[str]) -> list[int]:
    """The best of the candidates, as many as CELLS allow: of a long template that many are compared, not all."""
    if len(candidates) <= CELLS // MAX_CHARS**2:
        return candidates
    each = max(1, len(letters[row]) * max((len(letters[other]) for other in candidates), default=0))
    return candidates[: max(1, CELLS // each)]


def _candidates(texts: list[str], letters: list[str], near: float) -> Iterator[tuple[int, list[int]]]:
    """Each text that may be near one before it, and those: they share a band with it, and are among its FIRST."""
    counted = Letters(letters)
    for rows, others in firsts(letter_bands(texts), FIRST):
        may = counted.most(rows, others) >= near
        which, start = np.unique(rows[may], return_index=True)
        before, bounds = others[may].tolist(), [*start.tolist(), int(may.sum())]
        for row, (begin, end) in zip(which.tolist(), pairwise(bounds), strict=True):
            yield row, before[begin:end]
