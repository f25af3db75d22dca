"""From which models a model was made: base models, as trainings name them, among an application's candidates.

What taught a base is in whoever was trained from it. Go on to `flows/promote/forget.py`, which names them for a person
who asked to be forgotten, and `flows/curate/versions/taught.py`, which shows them.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from flows.registry import Registry
from schemas.events import Candidate


class Bases:
    """Who was made from whom, read once: then anybody's line costs as many steps as it has models."""

    def __init__(self, registry: Registry) -> None:
        made = registry.trainings().items()
        self._made_from = {id_: _spelled(str(training.get("base_model") or "")) for id_, training in made}
        self._called: dict[str, list[Candidate]] = {}
        for one in registry.candidates.values():
            for name in {one.model, one.id} if one.dataset else ():
                self._called.setdefault(name, []).append(one)

    def of(self, candidate_id: str) -> list[Candidate]:
        """The candidates with a dataset of their own that a candidate was made from, the nearest first; each once.

        A base is known by its name, or its folder's: of several trainings under one name each may have been it, so all
        count.
        """
        found: dict[str, Candidate] = {}
        reached, asked = [candidate_id], set[str]()
        for at in reached:  # grows, by each name's candidates once: that ends it where two name each other
            for name in self._made_from.get(at, ()):
                if name in asked:
                    continue
                asked.add(name)
                new = [one for one in self._called.get(name, ()) if one.id not in found and one.id != candidate_id]
                found |= {one.id: one for one in new}
                reached += [one.id for one in new]
        return list(found.values())


def _spelled(base: str) -> tuple[str, ...]:
    """The names that a training may mean by its base."""
    return tuple(dict.fromkeys((base, PurePosixPath(base).name)))
