"""A reviewer who answers what `flywheel review` asks: knows the right replies, and errs now and then.

Each judgement is keyed by (seed, question, side), so that the same question always gets the same answer. Go on to
`demo.py`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec

from flows.evaluate.reviews import Question

NAME = "agent"
ERROR = 0.05
"""Of a careful person, in each answer judged."""


class Reviewer:
    """Judges answers against the reply that each request should have got."""

    def __init__(self, replies: Mapping[str, str], seed: int) -> None:
        """`replies` maps what customers say to the right reply."""
        self._replies = {" ".join(text.split()): reply for text, reply in replies.items()}
        self._seed = seed

    def answer(self, questions: Sequence[Question]) -> list[Question]:
        """The questions, filled in; those about texts that nobody knows are skipped."""
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Question:
        right = self._replies.get(" ".join(str(question.conversation[-1]["content"]).split()))
        if right is None:
            return msgspec.structs.replace(question, skip=True)
        first, second = (
            self._judge(question, side, reply, right)
            for side, reply in enumerate((question.reply_1, question.reply_2), 1)
        )
        return msgspec.structs.replace(question, right_1=first, right_2=second)

    def _judge(self, question: Question, side: int, reply: str, right: str) -> float:
        errs = random.Random(f"{self._seed}:{question.id}:{side}").random() < ERROR
        return float((reply.strip() == right.strip()) != errs)
