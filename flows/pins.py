"""Which requests a pinned cluster speaks of: those that say its words, whether they failed or not.

Failures enter pinned clusters in `flows/cluster/lineage/pinned.py`; evaluations take requests, by the same words of the
same topic. What is defined by examples is left out: how like them a request is, only a cluster run has the vectors for.
Go on to `flows/evaluate/stage.py`, which makes slices of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flows.redact.signature import unsigned
from flows.topic import topic
from schemas.acts import ClusterDecision
from schemas.normalise import words
from schemas.records import Item
from streams.lake import Lake
from streams.lake.query import rows
from streams.lake.rows import from_row

Pins = Mapping[str, frozenset[str]]
"""Pinned cluster → the words that define it."""


def pins_of(lake: Lake, application: str) -> Pins:
    """The pinned clusters that are defined by words, as people have said by now."""
    found = rows(lake, "cluster_decisions", application=application, event=("pinned", "unpinned"))
    acts = sorted((from_row(ClusterDecision, row) for row in found), key=lambda one: (one.time, one.decision_id))
    pins: dict[str, frozenset[str]] = {}
    for act in acts:
        pins.pop(act.cluster_id, None)
        if act.event == "pinned" and act.words and (said := frozenset(words(act.words))):
            pins[act.cluster_id] = said
    return dict(sorted(pins.items()))


def pinned_items(pins: Pins, items: Sequence[Item]) -> dict[str, frozenset[str]]:
    """Pinned cluster → the items in which its words were asked."""
    if not pins:
        return {}
    asked = {item.item_id: frozenset(words(unsigned(topic(list(item.messages))))) for item in items}
    return {pin: frozenset(id_ for id_, said in asked.items() if wanted <= said) for pin, wanted in pins.items()}
