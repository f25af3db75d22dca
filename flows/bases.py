"""From which models a model was made: base models, as trainings name them, among an application's candidates.

What taught a base is in whoever was trained from it. Go on to `flows/promote/forget.py`, which names them for a person
who asked to be forgotten, and `flows/curate/versions/taught.py`, which shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from flows.registry import Registry
from schemas.events import Candidate


def bases(registry: Registry, candidate_id: str) -> list[Candidate]:
    """The candidates with a dataset of their own that a candidate was made from, the nearest first; each once.

    A base is known by its name, or its folder's: of several trainings under one name each may have been it, so all
    count.
    """
    found: dict[str, Candidate] = {}
    reached, seen = [candidate_id], {candidate_id}
    for at in reached:  # grows; `seen` ends it where two name each other
        for base in _named(registry, at):
            if base.id not in seen:
                seen.add(base.id)
                reached.append(base.id)
                found[base.id] = base
    return list(found.values())


def _named(registry: Registry, candidate_id: str) -> Iterator[Candidate]:
    """Whom the training of a candidate names as its base."""
    name = (registry.training(candidate_id) or {}).get("base_model", "")
    names = {name, PurePosixPath(name).name} - {""}
    for one in registry.candidates.values():
        if one.dataset and names & {one.model, one.id}:
            yield one
