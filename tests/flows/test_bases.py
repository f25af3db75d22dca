"""From which models a model was made: every candidate of a long line may be asked about."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from flows.bases import Bases
from flows.registry import TRAINING, Registry
from flows.testing.events import START, event_id
from schemas.events import Decision, to_json
from schemas.records import make_candidate

MODELS = 1_000
MOST_S = 5.0


def line(name: Callable[[int], str], base: Callable[[int], str]) -> Registry:
    """MODELS candidates: how the n-th is called, and what it says it was made from."""
    made = [make_candidate(name(n), "http://localhost/v1", dataset=f"v{n}") for n in range(MODELS)]
    registered = tuple(
        Decision(id=event_id(n), time=START, application="a", action="registered", candidate=one,
                 evidence={TRAINING: to_json({"base_model": base(n)})})
        for n, one in enumerate(made)
    )  # fmt: skip
    return Registry(application="a", candidates={one.id: one for one in made}, decisions=registered)


@pytest.mark.parametrize(
    ("registry", "lengths"),
    [
        (line(lambda n: f"bot-{n}", lambda n: f"models/bot-{n - 1}"), list(range(MODELS))),
        (line(lambda _: "bot", lambda _: "bot"), [MODELS - 1] * MODELS),
    ],
    ids=["each of the one before", "all under one name"],
)
def test_a_line_costs_its_own_length(registry: Registry, lengths: list[int]) -> None:
    """A model a day: the ancestors of all that three years made, in seconds and not in the cube of their number."""
    began = time.process_time()
    bases = Bases(registry)
    found = [bases.of(id_) for id_ in registry.candidates]
    cost = time.process_time() - began

    assert [len(each) for each in found] == lengths
    assert cost <= MOST_S


def test_the_nearest_comes_first() -> None:
    """Each made from the one before."""
    registry = line(lambda n: f"bot-{n}", lambda n: f"models/bot-{n - 1}")

    fourth = list(registry.candidates)[3]

    assert [one.model for one in Bases(registry).of(fourth)] == ["bot-2", "bot-1", "bot-0"]
