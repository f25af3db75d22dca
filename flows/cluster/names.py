"""A name for each cluster: its distinctive words, and the example that lies in its middle.

Class-based TF-IDF over one- and two-word terms (M. Grootendorst, "BERTopic", arXiv:2203.05794, section 3.3). A name is
a label for people, never a key. Go on to `namer.py` for names by a language model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows.cluster.graph import Ints
from flows.embed import Vectors

TERMS = 5
NAME_TERMS = 3
MAX_TEXTS = 200
"""Texts per cluster that are read for its name: its words are plain by then."""
MAX_CHARS = 2_000
WORD = r"(?u)\b[^\W\d_]\w+\b"
"""Two characters or more, the first a letter: numbers name nothing."""


def terms(texts: Sequence[Sequence[str]], count: int = TERMS) -> list[tuple[str, ...]]:
    """The most distinctive terms of each group of texts, best first; none where no word is left."""
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 lazy: 4 s of import

    documents = ["\n".join(text[:MAX_CHARS] for text in group[:MAX_TEXTS]) for group in texts]
    counter = CountVectorizer(ngram_range=(1, 2), stop_words="english", token_pattern=WORD)
    try:
        counts = counter.fit_transform(documents).astype(np.float64)
    except ValueError:  # nothing but stop words
        return [() for _ in texts]
    words = counter.get_feature_names_out()
    total = np.asarray(counts.sum(axis=0)).ravel()
    average = counts.sum() / max(len(documents), 1)
    lengths = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    weighed = counts.multiply(1 / lengths[:, None]).multiply(np.log1p(average / total)[None, :]).tocsr()
    return [_best(weighed[i].indices, weighed[i].data, words, count) for i in range(len(documents))]


def name_of(found: Sequence[str], medoid: str) -> str:
    """The first terms, or the start of the typical example where there are none."""
    return " / ".join(found[:NAME_TERMS]) or " ".join(medoid.split())[:60] or "(no readable text)"


def medoid(vectors: Vectors) -> int:
    """The row most similar to the mean of all; the first of equals."""
    return int(np.argmax(vectors @ vectors.mean(axis=0))) if len(vectors) else 0


def _best(columns: Ints, scores: Vectors, words: Sequence[str], count: int) -> tuple[str, ...]:
    """Highest scores first; a term is left out where a chosen one contains it or is contained in it."""
    chosen: list[str] = []
    for i in np.lexsort((columns, -scores)):
        term = str(words[columns[i]])
        if not any(set(term.split()) & set(other.split()) for other in chosen):
            chosen.append(term)
        if len(chosen) == count:
            break
    return tuple(chosen)
