"""Leak detection: which train texts resemble an eval text, by letters, by words and by meaning.

Letters and words: the Jaccard similarity of every pair, as products of sparse matrices, or, of more than some guards,
of the pairs that share a band (`bands.py`). Meaning: every pair's cosine, a block at a time. Each distinct text is
compared once. Go on to `build.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flows.curate.bands import CHUNK, Grams, Index, gram_sets, signatures, word_sets
from flows.curate.dedup import CELLS as LETTERS
from flows.curate.dedup import MAX_CHARS, similarity
from schemas.messages import parse
from schemas.normalise import normalise
from schemas.records import Example

NEAR = 0.55
"""Jaccard similarity of 4-grams from which a train text is too near: of planted edits of short questions (one or two
typos; a tenth of the words) 98 and 95 % are at or above it, and 100 % of other case, suffixes (docs/datasets.md)."""
CANDIDATE = 0.25
"""And from which its letters are compared one by one: an edit destroys at most four grams, so texts of similarity .85
keep two fifths of them: a Jaccard similarity of .4 / 1.6. Replaced letters, that is: an insertion costs half as much of
the similarity, so that a letter put in at every fourth place leaves no gram and is not seen."""
REORDERED = 0.8
"""Jaccard similarity of the words from which a text counts as another one reordered: from five words on, one may be
new; in shorter texts none."""
MIN_WORDS = 5
"""A single message of a longer conversation is compared on its own from so many words: `yes please` is nobody's."""
ROUNDING = 1e-9
"""11 / 20 is not quite 0.55 in floating point."""
SAME = 0.95
"""Cosine from which a pair is a paraphrase whatever its neighbourhood: an eval set may hold one question often."""
NEIGHBOURS = 5
"""Nearest other guarded texts whose mean similarity is a text's neighbourhood."""
EVERY_PAIR = 1_000
"""Guarded texts up to which every pair is compared: beyond that those that share a band, of which a thousandth to three
thousandths of what every pair finds is missed (docs/datasets.md)."""
CELLS = 4_000_000
"""Similarities held at once: about 64 MB with their places."""

BLOCK = 100_000
"""Pairs whose tokens are compared together: some 50 MB."""

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Pairs = list[tuple[int, int, float]]
"""(text, guarded text, similarity)."""
Reasons = dict[str, tuple[str, str]]
"""Text → (reason, name of the guard)."""


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
    """Finds the indexed texts whose set of tokens has at least a given Jaccard similarity with another one's."""

    def __init__(self, tokens: Callable[[Sequence[str]], Grams], texts: Sequence[str]) -> None:
        self._tokens = tokens
        known = tokens(texts)
        self._sizes = np.diff(known.offsets)
        self._vocabulary = np.unique(known.flat)
        self._index = self._matrix(known).T.tocsc()

    def pairs(self, texts: Sequence[str], at_least: float) -> Pairs:
        """(text, indexed text, similarity) of all pairs at or above `at_least`, in order."""
        matches = []
        step = max(1, CELLS // max(1, len(self._sizes)))
        for start in range(0, len(texts), step):
            part = self._tokens(texts[start : start + step])
            shared = (self._matrix(part) @ self._index).tocoo()
            together = np.diff(part.offsets)[shared.row] + self._sizes[shared.col] - shared.data
            similar = shared.data / together
            near = _reaches(similar, at_least)
            rows, columns = (shared.row[near] + start).tolist(), shared.col[near].tolist()
            matches += sorted(zip(rows, columns, similar[near].tolist(), strict=True))
        return matches

    def among(self, texts: Sequence[str], rows: Places, columns: Places, at_least: float) -> Pairs:
        """The same, of the pairs (text, indexed text) that are given."""
        known = self._index.T.tocsr()
        which, places = np.unique(rows, return_inverse=True)
        tokens = self._tokens([texts[row] for row in which])
        matrix, sizes = self._matrix(tokens), np.diff(tokens.offsets)
        matches: Pairs = []
        for start in range(0, len(rows), BLOCK):
            mine, theirs = places[start : start + BLOCK], columns[start : start + BLOCK]
            shared = matrix[mine].multiply(known[theirs]).sum(axis=1).A1
            similar = shared / np.maximum(sizes[mine] + self._sizes[theirs] - shared, 1)
            near = _reaches(similar, at_least)
            matches += zip(which[mine[near]].tolist(), theirs[near].tolist(), similar[near].tolist(), strict=True)
        return matches

    def _matrix(self, tokens: Grams) -> Any:
        """One row a text, one column a token of the index; tokens that no indexed text has are left out."""
        from scipy import sparse  # noqa: PLC0415 lazy: 1 s of import that listing datasets does not need

        place = np.searchsorted(self._vocabulary, tokens.flat)
        place[place == len(self._vocabulary)] = 0
        known = self._vocabulary[place] == tokens.flat if len(self._vocabulary) else np.zeros(len(place), bool)
        ends = np.concatenate([[0], np.cumsum(known)])[tokens.offsets]
        ones = np.ones(int(known.sum()), np.int32)
        return sparse.csr_matrix((ones, place[known], ends), shape=(len(tokens.offsets) - 1, len(self._vocabulary)))


class Leaks:
    """What the guards say of train examples: why one must go, or nothing."""

    def __init__(self, guards: Sequence[Guard], near_duplicate: float) -> None:
        self._units = {guard.unit: guard.name for guard in guards if guard.unit}
        self._interactions = {guard.interaction_id: guard.name for guard in guards if guard.interaction_id}
        names: dict[str, str] = {}
        for guard in guards:
            for text in guard.texts:  # frozen sets hold the same questions again: each is compared once
                names.setdefault(text, guard.name)
        self._pairs = [(name, text) for text, name in names.items()]
        self._near_duplicate = near_duplicate
        texts = [text for _, text in self._pairs]
        self._letters, self._words = Near(gram_sets, texts), Near(word_sets, texts)
        self._index = Index(signatures(texts)) if len(texts) > EVERY_PAIR else None

    def find(self, examples: Sequence[Example]) -> list[tuple[str, str] | None]:
        """For each example (reason, name of the guard), or None: the plainest reason there is."""
        said = [texts_of(example) for example in examples]
        by_letters, by_words = self._resembling(list(dict.fromkeys(text for texts in said for text in texts)))
        return [
            self._known(example) or _first(by_letters, texts) or _first(by_words, texts)
            for example, texts in zip(examples, said, strict=True)
        ]

    def _resembling(self, texts: Sequence[str]) -> tuple[Reasons, Reasons]:
        """What texts resemble by letters, and what by words."""
        by_letters: Reasons = {}
        by_words: Reasons = {}
        for part in (texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)):
            for letters, words in self._near(part):
                for place, reason, guard in self._by_letters(part, letters):
                    by_letters.setdefault(part[place], (reason, self._pairs[guard][0]))
                for place, guard, _ in words:
                    by_words.setdefault(part[place], ("eval_reordered", self._pairs[guard][0]))
        return by_letters, by_words

    def _near(self, texts: Sequence[str]) -> Iterator[tuple[Pairs, Pairs]]:
        """Pairs of texts and guards that are near by letters, and by words."""
        if self._index is None:
            yield self._letters.pairs(texts, CANDIDATE), self._words.pairs(texts, REORDERED)
            return
        for pairs in self._index.pairs(signatures(texts)):
            yield self._letters.among(texts, *pairs, CANDIDATE), self._words.among(texts, *pairs, REORDERED)

    def _known(self, example: Example) -> tuple[str, str] | None:
        if name := self._interactions.get(example.interaction_id) or self._interactions.get(example.other_id or ""):
            return "eval_interaction", name
        if name := self._units.get(example.unit):
            return "eval_unit", name
        return None

    def _by_letters(self, texts: Sequence[str], near: Pairs) -> Iterator[tuple[int, str, int]]:
        spent: Counter[int] = Counter()
        for place, guard, similar in near:
            other = self._pairs[guard][1]
            spent[place] += len(texts[place][:MAX_CHARS]) * len(other[:MAX_CHARS]) if similar < NEAR - ROUNDING else 0
            if texts[place] == other:
                yield place, "eval_exact", guard
            elif spent[place] > LETTERS:
                yield place, "too_costly", guard
            elif similar >= NEAR - ROUNDING or similarity(texts[place], other, self._near_duplicate):
                yield place, "eval_near", guard


def _reaches(similar: Any, at_least: float) -> Any:
    return similar >= at_least - ROUNDING


def _first(reasons: Reasons, texts: Sequence[str]) -> tuple[str, str] | None:
    return next((reasons[text] for text in texts if text in reasons), None)


class Paraphrases:
    """Finds texts that say the same as a guard in other words.

    A pair counts where its cosine is at least `threshold` and stands out by `margin` from the guard's neighbourhood
    (the mean similarity of its nearest other guards): questions of one topic lie near one another without saying the
    same. At SAME and above it counts whatever the neighbourhood. What several guards say in the same words is one: else
    a question of an eval set that is frozen too would be its own neighbourhood, from which no paraphrase stands out.
    """

    def __init__(self, embed: Callable[[Sequence[str]], Vectors], threshold: float, margin: float) -> None:
        self._embed, self._threshold, self._margin = embed, threshold, margin

    def find(self, guards: Sequence[Guard], texts: Sequence[str]) -> list[str | None]:
        """For each text the name of the nearest guard that it paraphrases, or None."""
        if not guards or not texts:
            return [None] * len(texts)
        distinct, said = list(dict.fromkeys(texts)), {normalise(guard.text): guard for guard in reversed(guards)}
        once = [guard for guard in guards if said[normalise(guard.text)] is guard]
        found = dict(zip(distinct, self._find(once, distinct), strict=True))
        return [found[text] for text in texts]

    def _find(self, guards: Sequence[Guard], texts: Sequence[str]) -> list[str | None]:
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
