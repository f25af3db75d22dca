"""Which train texts resemble an eval text: exact joins, so that nothing near the cut is missed.

A set-similarity join with prefix filtering (Bayardo, Ma, Srikant 2007, "Scaling up all pairs similarity search"):
two sets with Jaccard similarity >= t must share a token among the first n - ceil(t·n) + 1 of each, in one common
order; rare tokens first make the lists short. Go on to `build.py`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from flows.curate.dedup import grams

REORDERED = 0.8
"""Jaccard similarity of the words from which a text counts as another one reordered: from five words on, one may be
new; in shorter texts none."""
MIN_WORDS = 5
"""A single message of a longer conversation is compared on its own from so many words: `yes please` is nobody's."""
ROUNDING = 1e-9
"""0.55 × 20 is 11.000000000000002 in floating point: without this its ceiling would miss a pair."""


class Near:
    """Finds the indexed texts whose token sets have Jaccard similarity >= `threshold` with a given one."""

    def __init__(self, texts: Sequence[str], tokens: Callable[[str], Iterable[int | str]], threshold: float) -> None:
        self._tokens, self._threshold = tokens, threshold
        self._sets = [frozenset(tokens(text)) for text in texts]
        self._frequency = Counter(token for found in self._sets for token in found)
        self._postings: dict[int | str, list[int]] = defaultdict(list)
        for index, found in enumerate(self._sets):
            for token in self._prefix(found):
                self._postings[token].append(index)

    def find(self, text: str) -> int | None:
        """The first indexed text that is near; None where there is none."""
        mine = frozenset(self._tokens(text))
        candidates = {index for token in self._prefix(mine) for index in self._postings.get(token, ())}
        return next((index for index in sorted(candidates) if self._near(mine, self._sets[index])), None)

    def _prefix(self, found: frozenset[int | str]) -> list[int | str]:
        ordered = sorted(found, key=lambda token: (self._frequency.get(token, 0), token))
        return ordered[: len(found) - math.ceil(self._threshold * len(found) - ROUNDING) + 1]

    def _near(self, a: frozenset[int | str], b: frozenset[int | str]) -> bool:
        shared = len(a & b)
        return shared >= self._threshold * (len(a) + len(b) - shared) - ROUNDING and shared > 0


class Leaks:
    """What the eval rows say: give it a train example's texts, get the reason why it must go."""

    def __init__(self, eval_texts: Sequence[tuple[str, str]], near_duplicate: float) -> None:
        """`eval_texts`: (row name, normalised text) of everything that train must not resemble."""
        self._names = [name for name, _ in eval_texts]
        texts = [text for _, text in eval_texts]
        self._exact = {text: index for index, text in reversed(list(enumerate(texts)))}
        self._near = Near(texts, lambda text: grams(text).tolist(), near_duplicate)
        self._words = Near(texts, str.split, REORDERED)

    def find(self, texts: Iterable[str]) -> tuple[str, str] | None:
        """(reason, name of the eval row) for the first of the normalised texts that resembles one."""
        for text in texts:
            checks = (
                ("eval_exact", self._exact.get),
                ("eval_near", self._near.find),
                ("eval_reordered", self._words.find),
            )
            for reason, check in checks:
                if (index := check(text)) is not None:
                    return reason, self._names[index]
        return None
