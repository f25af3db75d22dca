"""Scorer protocol: what scores an answer must offer, and the two helpers that make a scorer of a function.

A scorer sees answers only: a model that said nothing is unscored before it comes here. Go on to `text.py` (comparing
texts), `structured.py` (numbers, patterns, JSON, tool calls), `judge.py` (another model's opinion) and `registry.py`
(all by name).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from flows.evaluate.answers import Answer
from flows.evaluate.endpoint import Request
from schemas.records import Item

Ask = Callable[[Sequence[Request]], Awaitable[list[Answer]]]
"""The runner's way to endpoints: journal, retries, budget and limits included."""


class Case(Struct, frozen=True):
    """One answer to be scored."""

    item: Item
    role: Literal["candidate", "champion"]
    sample: int
    answer: Answer


class Mark(Struct, frozen=True):
    """What a scorer says: a score from 0 (bad) to 1 (good), or None and the named reason why there is none."""

    score: float | None
    unscored: str | None = None


NO_REFERENCE = Mark(None, "no_reference")


class Scorer(Protocol):
    """Turns answers into marks.

    `score` is called once in an evaluation, with every answered case, and gives one mark a case, in their order. It
    never raises for what an answer says, and it never takes a missing thing for a pass or for a zero.
    """

    @property
    def name(self) -> str:
        """What its scores are called in the lake."""

    @property
    def asks(self) -> bool:
        """Whether it calls another model, and so costs money."""

    async def score(self, cases: Sequence[Case], ask: Ask) -> list[Mark]:
        """One mark for each case."""


class Each:
    """A scorer from a function of one item and one answer."""

    asks = False

    def __init__(self, name: str, mark: Callable[[Item, Answer], Mark]) -> None:
        self.name, self.mark = name, mark

    async def score(self, cases: Sequence[Case], ask: Ask) -> list[Mark]:  # noqa: ARG002 the protocol's
        """One mark for each case, each for itself."""
        return [self.mark(case.item, case.answer) for case in cases]


def against_reference(name: str, measure: Callable[[str, str], float | bool]) -> Each:
    """A scorer that compares an answer's text with the item's reference: `measure(text, reference)` from 0 to 1."""

    def mark(item: Item, answer: Answer) -> Mark:
        return NO_REFERENCE if item.reference is None else Mark(float(measure(answer.text, item.reference)))

    return Each(name, mark)
