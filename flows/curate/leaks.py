"""Which train texts resemble a guarded text: exact joins, so that nothing near the cut is missed.

Letters: a set-similarity join with prefix filtering (Bayardo, Ma, Srikant 2007, "Scaling up all pairs similarity
search"): two sets with Jaccard similarity >= t share a token among the first n - ceil(t·n) + 1 of each, in one common
order; rare tokens first make the lists short. Meaning: vectors, all pairs. Go on to `build.py`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from flows.curate.dedup import grams, normalise
from schemas.messages import parse
from schemas.records import Example

REORDERED = 0.8
"""Jaccard similarity of the words from which a text counts as another one reordered: from five words on, one may be
new; in shorter texts none."""
MIN_WORDS = 5
"""A single message of a longer conversation is compared on its own from so many words: `yes please` is nobody's."""
ROUNDING = 1e-9
"""0.55 × 20 is 11.000000000000002 in floating point: without this its ceiling would miss a pair."""
SAME = 0.95
"""Cosine from which a pair is a paraphrase whatever its neighbourhood: an eval set may hold one question often."""
NEIGHBOURS = 5
"""Nearest other guarded texts whose mean similarity is a text's neighbourhood."""
CELLS = 16_000_000
"""Similarities held at once: 64 MB."""

Vectors = npt.NDArray[np.float32]


class Guard(msgspec.Struct, frozen=True):
    """One text that train must not resemble: an eval row, a row of a frozen set, a line of a benchmark file."""

    name: str
    """Where it stands: an interaction, `FROZEN SET/item`, `FILE:line`."""
    interaction_id: str
    unit: str
    """Both empty where it is nobody's."""
    text: str
    texts: tuple[str, ...]
    """Normalised, as `texts_of` gives them."""


def texts_of(example: Example) -> list[str]:
    """What of an example is compared: all that the user said, and each longer message of it on its own; normalised."""
    said = [message.get("content") or "" for message in parse(example.prompt) if message["role"] == "user"]
    single = [text for text in map(normalise, said) if len(said) > 1 and len(text.split()) >= MIN_WORDS]
    return list(dict.fromkeys([normalise(example.text), *single]))


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
    """What the guards say of a train example: why it must go, or nothing."""

    def __init__(self, guards: Sequence[Guard], near_duplicate: float) -> None:
        self._units = {guard.unit: guard.name for guard in guards if guard.unit}
        self._interactions = {guard.interaction_id: guard.name for guard in guards if guard.interaction_id}
        pairs = [(guard.name, text) for guard in guards for text in guard.texts]
        self._names = [name for name, _ in pairs]
        texts = [text for _, text in pairs]
        self._exact = {text: index for index, text in reversed(list(enumerate(texts)))}
        self._near = Near(texts, lambda text: grams(text).tolist(), near_duplicate)
        self._words = Near(texts, str.split, REORDERED)

    def find(self, example: Example) -> tuple[str, str] | None:
        """(reason, name of the guard) or None."""
        if name := self._interactions.get(example.interaction_id) or self._interactions.get(example.other_id or ""):
            return "eval_interaction", name
        if name := self._units.get(example.unit):
            return "eval_unit", name
        checks = (("eval_exact", self._exact.get), ("eval_near", self._near.find), ("eval_reordered", self._words.find))
        for text in texts_of(example):
            for reason, check in checks:
                if (index := check(text)) is not None:
                    return reason, self._names[index]
        return None


class Paraphrases:
    """Finds texts that say the same as a guard in other words.

    A pair counts where its cosine is at least `threshold` and stands out by `margin` from the guard's neighbourhood
    (the mean similarity of its nearest other guards): questions of one topic lie near one another without saying the
    same. At SAME and above it counts whatever the neighbourhood.
    """

    def __init__(self, embed: Callable[[Sequence[str]], Vectors], threshold: float, margin: float) -> None:
        self._embed, self._threshold, self._margin = embed, threshold, margin

    def find(self, guards: Sequence[Guard], texts: Sequence[str]) -> list[str | None]:
        """For each text the name of the nearest guard that it paraphrases, or None."""
        if not guards or not texts:
            return [None] * len(texts)
        vectors, others = self._embed([guard.text for guard in guards]), self._embed(texts)
        needed = np.minimum(np.maximum(self._threshold, _neighbourhood(vectors) + self._margin), SAME)
        found: list[str | None] = []
        for part in _parts(others, len(vectors)):
            similar = part @ vectors.T
            standing = np.where(similar >= needed, similar, -1.0)
            best = standing.argmax(axis=1)
            hit = standing[np.arange(len(part)), best] > 0
            found += [guards[index].name if yes else None for index, yes in zip(best, hit, strict=True)]
        return found


def _neighbourhood(vectors: Vectors) -> Vectors:
    """Mean similarity of each row to its NEIGHBOURS nearest others; 0 where it is alone."""
    count = min(NEIGHBOURS, len(vectors) - 1)
    if count == 0:
        return np.zeros(len(vectors), np.float32)
    means, start = [], 0
    for part in _parts(vectors, len(vectors)):
        similar = part @ vectors.T
        similar[np.arange(len(part)), np.arange(start, start + len(part))] = -1.0
        means.append(np.partition(similar, -count, axis=1)[:, -count:].mean(axis=1))
        start += len(part)
    return np.concatenate(means)


def _parts(rows: Vectors, width: int) -> list[Vectors]:
    step = max(1, CELLS // max(1, width))
    return [rows[start : start + step] for start in range(0, len(rows), step)]
