"""Which name each cluster carries: the one it was given, until a better one can be had.

A cluster is named once, at birth or when it is split, by its distinctive words; where a model is set, by the model, at
once or as soon as it answers. Go on to `catalogue.py`, the user.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.cluster.namer import EXAMPLES, Namer
from flows.cluster.names import medoid, name_of, terms
from flows.cluster.placing import Placed
from flows.cluster.population import Population
from flows.cluster.state import State

MEDOID_CHARS = 500
"""Characters of the typical example that a cluster's row keeps."""
KEPT = ("name", "description", "terms", "medoid_interaction_id", "medoid_text")
Row = dict[str, Any]


def names(people: Population, state: State, placed: Placed, namer: Namer | None) -> dict[str, Row]:
    """Name, description, terms and typical example of every cluster."""
    found = {id_: {key: row[key] for key in KEPT} for id_, row in state.clusters.items()}
    found |= _by_words(people, placed)
    for id_, row in found.items():
        if namer is None or row["description"] is not None or not people.members.get(id_):
            continue
        if (named := namer.name(row["terms"] or (), _examples(people, id_, row))) is not None:
            found[id_] = row | {"name": named.name, "description": named.description}
    return found


def _by_words(people: Population, placed: Placed) -> dict[str, Row]:
    """New clusters and the parts of split ones, named against the words of all clusters."""
    if not placed.vectors:
        return {}
    ids = sorted(people.members)
    words = dict(zip(ids, terms([[people.judged.texts[i] for i in people.members[id_]] for id_ in ids]), strict=True))
    named: dict[str, Row] = {}
    for id_ in sorted(placed.vectors):
        middle = people.members[id_][medoid(placed.vectors[id_])]
        text = people.judged.texts[middle][:MEDOID_CHARS]
        named[id_] = {
            "name": name_of(words[id_], text),
            "description": None,
            "terms": list(words[id_]),
            "medoid_interaction_id": people.ids[middle],
            "medoid_text": text,
        }
    return named


def _examples(people: Population, id_: str, row: Row) -> list[str]:
    """The typical example, and others spread evenly over the members in order of their id."""
    members = people.members[id_]
    spread = np.linspace(0, len(members) - 1, min(EXAMPLES, len(members))).astype(int)
    texts = [row["medoid_text"] or "", *(people.judged.texts[members[i]] for i in spread)]
    return list(dict.fromkeys(text for text in texts if text.strip()))[:EXAMPLES]
