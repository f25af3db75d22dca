"""Cluster names: distinctive words of the members, kept from birth on, or a language model's where one is set.

Class-based TF-IDF over one- and two-word terms (M. Grootendorst, "BERTopic", arXiv:2203.05794, section 3.3). A cluster
is named once, at birth or when it is split, by its distinctive words; where a model is set, by the model, at once or as
soon as it answers. A name is a label for people, never a key. Go on to `llm_names.py` for the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flows.cluster.catalogue.llm_names import EXAMPLES, Namer
from flows.cluster.catalogue.population import Population
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.placing import Placed
from flows.cluster.state import State
from flows.embed import Vectors
from schemas.records import Cluster

TERMS = 5
NAME_TERMS = 3
MAX_TEXTS = 200
"""Texts per cluster that are read for its name: its words are plain by then."""
MAX_CHARS = 2_000
WORD = r"(?u)\b[^\W\d_]\w+\b"
"""Two characters or more, the first a letter: numbers name nothing."""
MEDOID_CHARS = 500
"""Characters of the typical example that a cluster's row keeps."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What people know a cluster by: fields of its record."""

    name: str
    description: str | None
    terms: tuple[str, ...]
    medoid_interaction_id: str | None
    medoid_text: str | None


def names(people: Population, state: State, placed: Placed, namer: Namer | None) -> dict[str, Label]:
    """Name, description, terms and typical example of every cluster."""
    labels = {id_: _kept(cluster) for id_, cluster in state.clusters.items()} | _by_words(people, placed)
    for id_, label in labels.items():
        if namer is None or label.description is not None or not people.members.get(id_):
            continue
        if (named := namer.name(label.terms, _examples(people, id_, label))) is not None:
            labels[id_] = replace(label, name=named.name, description=named.description)
    return labels


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


def _kept(cluster: Cluster) -> Label:
    return Label(
        name=cluster.name,
        description=cluster.description,
        terms=cluster.terms,
        medoid_interaction_id=cluster.medoid_interaction_id,
        medoid_text=cluster.medoid_text,
    )


def _by_words(people: Population, placed: Placed) -> dict[str, Label]:
    """New clusters and the parts of split ones, named against the words of all clusters."""
    if not placed.vectors:
        return {}
    ids = sorted(people.members)
    words = dict(zip(ids, terms([[people.judged.texts[i] for i in people.members[id_]] for id_ in ids]), strict=True))
    named: dict[str, Label] = {}
    for id_ in sorted(placed.vectors):
        middle = people.members[id_][medoid(placed.vectors[id_])]
        text = people.judged.texts[middle][:MEDOID_CHARS]
        named[id_] = Label(
            name=name_of(words[id_], text),
            description=None,
            terms=words[id_],
            medoid_interaction_id=people.ids[middle],
            medoid_text=text,
        )
    return named


def _examples(people: Population, id_: str, label: Label) -> list[str]:
    """The typical example, and others spread evenly over the members in order of their id."""
    members = people.members[id_]
    spread = np.linspace(0, len(members) - 1, min(EXAMPLES, len(members))).astype(int)
    texts = [label.medoid_text or "", *(people.judged.texts[members[i]] for i in spread)]
    return list(dict.fromkeys(text for text in texts if text.strip()))[:EXAMPLES]


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
