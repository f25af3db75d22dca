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

    Made once an evaluation. `score` is then called once, with every case that both models or one of them answered, in
    an order that is the same for the same eval set, and gives one mark a case, in that order. It is never called with
    an answer that failed, never twice at a time, and never told which answer is whose but by `case.role`. It must not
    raise for what an answer says, take a missing thing for a pass or for a zero, or change a case. The same cases give
    the same marks: an evaluation that was stopped is scored anew from its kept answers.
    """

    @property
    def name(self) -> str:
        """What its scores are called in the lake."""

    @property
    def asks(self) -> bool:
        """Whether it calls another model.

        That costs money, and its scores are opinions, which decide nothing before people have reviewed answers.
        """

    async def score(self, cases: Sequence[Case], ask: Ask) -> list[Mark]:
        """One mark for each case.

        `ask` is the only way to an endpoint: retried, limited, paid from the budget, and kept, so that nothing is asked
        again after a crash. It gives an answer a request, in their order.
        """


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
