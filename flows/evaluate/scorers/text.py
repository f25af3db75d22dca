"""Scorers that compare the answer's text with the reference: exact, normalised, token F1, ROUGE, embeddings.

The protocol is in `protocol.py`. Go on to `registry.py`, where all scorers stand by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from flows import embed
from flows.evaluate.answers import Answer
from flows.evaluate.scorers.protocol import NO_REFERENCE, Ask, Case, Each, Mark, Scorer, against_reference
from schemas.errors import SettingsError
from schemas.messages.called import calls_in, canonical
from schemas.normalise import normalise, words
from schemas.records import Item

ROUGE_WORDS = 2_000
"""The library fills a table of words by words in Python: 2,000 by 2,000 take a second or two."""


def exact() -> Scorer:
    """1 if the text is the reference, to the letter."""
    return against_reference("exact", lambda text, reference: text == reference)


def normalised_match() -> Scorer:
    """1 if the text is the reference but for case, spacing, punctuation and Unicode form.

    A reference that is calls of tools expects these calls, in any order, whatever ids they have.
    """
    return against_reference("normalised_match", _same)


def _same(text: str, reference: str) -> bool:
    if (expected := calls_in(reference)) is None:
        return normalise(text) == normalise(reference)
    return sorted(map(canonical, calls_in(text) or [])) == sorted(map(canonical, expected))


def token_f1() -> Scorer:
    """Harmonic mean of the precision and recall of words, as in SQuAD (Rajpurkar et al., 2016)."""
    return against_reference("token_f1", f1)


def f1(text: str, reference: str) -> float:
    """F1 of two texts as bags of words, after SQuAD's normalisation: no case, punctuation, nor English articles."""
    ours, theirs = _squad_words(text), _squad_words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    same = (Counter(ours) & Counter(theirs)).total()
    return 2 * same / (len(ours) + len(theirs))


def _squad_words(text: str) -> list[str]:
    return [word for word in words(text) if word not in {"a", "an", "the"}]


def rouge(kind: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL") -> Scorer:
    """ROUGE F-measure (Lin, 2004) by Google's rouge-score, with words of every script rather than ASCII alone.

    Raises SettingsError where that library, an extra of ours, is not installed.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]  # noqa: PLC0415 brings nltk
    except ImportError as error:
        raise SettingsError("evaluate.scorer rouge needs its library: pip install 'llm-flywheel[rouge]'") from error
    scorer = RougeScorer([kind], tokenizer=_Tokenizer())

    def mark(item: Item, answer: Answer) -> Mark:
        if item.reference is None:
            return NO_REFERENCE
        if max(len(words(answer.text)), len(words(item.reference))) > ROUGE_WORDS:
            return Mark(None, "too_long_to_compare")
        return Mark(float(scorer.score(target=item.reference, prediction=answer.text)[kind].fmeasure))

    return Each(kind, mark)


class _Tokenizer:
    """The tokenizer that rouge-score takes."""

    tokenize = staticmethod(words)


class EmbeddingSimilarity:
    """Cosine of the vectors of answer and reference, never below 0; with `threshold`, 1 from there on, else 0."""

    name = "embedding_similarity"
    asks = False

    def __init__(self, embedder: str = "wordllama", threshold: float | None = None) -> None:
        self._embedder, self._threshold = embed.load(embedder), threshold

    async def score(self, cases: Sequence[Case], ask: Ask) -> list[Mark]:  # noqa: ARG002 the protocol's
        """One mark for each case; `no_vector` where a text has no word that the embedder knows."""
        ours = self._embedder.embed([case.answer.text for case in cases])
        theirs = self._embedder.embed([case.item.reference or "" for case in cases])
        has_words = np.logical_and(ours.any(axis=1), theirs.any(axis=1))
        cosines = np.clip((ours * theirs).sum(axis=1), 0.0, 1.0)
        return [
            NO_REFERENCE
            if case.item.reference is None
            else Mark(self._judge(float(cosine)))
            if has
            else Mark(None, "no_vector")
            for case, cosine, has in zip(cases, cosines, has_words, strict=True)
        ]

    def _judge(self, cosine: float) -> float:
        return cosine if self._threshold is None else float(cosine >= self._threshold)
