"""Cluster names: distinctive words of the members, kept from birth on, or a language model's where one is set.

A name that a person gave stays. Else a cluster is named once, at birth or when it is split, by its distinctive words;
where a model is set, by the model, at once or as soon as it answers. A name is a label for people, never a key, and
nothing personal stands in it or in the typical example. Go on to `terms.py` for the
words, to `llm_names.py` for the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flows.cluster.catalogue.llm_names import EXAMPLES, Namer
from flows.cluster.catalogue.population import Population, Words
from flows.cluster.catalogue.terms import readable, terms
from flows.cluster.placement.placing import Placed
from flows.cluster.state import State
from flows.redact.redact import Redactor
from schemas.records import Cluster

NAME_TERMS = 3
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


def names(
    people: Population, state: State, placed: Placed, redactor: Redactor, least: int, namer: Namer | None
) -> dict[str, Label]:
    """Name, description, terms and typical example of every cluster; of one of fewer than `least` people, none."""
    kept = {id_: _kept(cluster) for id_, cluster in state.clusters.items()}
    known = [id_ for id_, group in people.groups.items() if group.people >= least]
    grown = [id_ for id_ in known if id_ in kept and kept[id_].name.startswith(_nobodys(least))]  # its mode behind it
    new = [id_ for id_ in placed.typical if id_ in people.groups]
    labels = kept | _by_words(people, placed, [*new, *grown], redactor, least)
    by_hand = {id_ for id_, cluster in state.clusters.items() if cluster.named}
    labels |= {id_: replace(labels[id_], name=kept[id_].name) for id_ in by_hand}
    for id_ in known:
        label = labels[id_]
        if namer is None or label.description is not None or id_ in by_hand:
            continue
        if (named := namer.name(label.terms, _examples(people.words[id_], label, redactor))) is not None:
            labels[id_] = replace(label, name=named.name, description=named.description)
    return labels


def labels_of(people: Population, pinned: Mapping[str, Cluster], redactor: Redactor, least: int) -> dict[str, Label]:
    """The same of pinned clusters, which are called what a person calls them; the example is the one in the middle."""
    labels = {id_: _kept(cluster) for id_, cluster in pinned.items()}
    for id_, label in labels.items():
        if (group := people.groups.get(id_)) and group.people >= least and label.medoid_interaction_id is None:
            middle, one = people.words[id_].middle
            text = readable(one.text, redactor)[:MEDOID_CHARS]
            labels[id_] = replace(label, medoid_interaction_id=middle, medoid_text=text)
    return labels


def _nobodys(least: int) -> str:
    """The name of a cluster that is not yet of enough people to have one."""
    return f"(fewer than {least} people)"


def name_of(found: Sequence[str], medoid: str) -> str:
    """The first terms, or the start of the typical example where there are none."""
    return " / ".join(found[:NAME_TERMS]) or " ".join(medoid.split())[:60] or "(no readable text)"


def _kept(cluster: Cluster) -> Label:
    return Label(
        name=cluster.name,
        description=cluster.description,
        terms=cluster.terms,
        medoid_interaction_id=cluster.medoid_interaction_id,
        medoid_text=cluster.medoid_text,
    )


def _by_words(
    people: Population, placed: Placed, new: Sequence[str], redactor: Redactor, least: int
) -> dict[str, Label]:
    """New clusters, the parts of split ones and those that have grown, named against the words of all clusters."""
    if not new:
        return {}
    ids = sorted(people.groups)
    words = dict(zip(ids, terms([people.words[id_].spread for id_ in ids], redactor, least), strict=True))
    texts = people.asked([placed.typical[id_] for id_ in new if id_ in placed.typical])
    named: dict[str, Label] = {}
    for id_ in sorted(new):
        if people.groups[id_].people < least:
            named[id_] = Label(
                name=_nobodys(least), description=None, terms=(), medoid_interaction_id=None, medoid_text=None
            )
            continue
        middle, one = people.words[id_].middle
        typical = placed.typical.get(id_, middle)
        text = readable(texts.get(typical, one.text), redactor)[:MEDOID_CHARS]
        named[id_] = Label(
            name=name_of(words[id_], text),
            description=None,
            terms=words[id_],
            medoid_interaction_id=typical,
            medoid_text=text,
        )
    return named


def _examples(words: Words, label: Label, redactor: Redactor) -> list[str]:
    """The typical example, and others spread evenly over the members in order of their id: one of each person."""
    said = list({one.person: one for one in reversed(words.spread)}.values())[::-1]
    spread = np.linspace(0, len(said) - 1, min(EXAMPLES, len(said))).astype(int)
    texts = [label.medoid_text or "", *(readable(said[i].text, redactor) for i in spread)]
    return list(dict.fromkeys(text for text in texts if text.strip()))[:EXAMPLES]
