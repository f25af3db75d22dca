"""A scorer by itself: some cases in, its marks out, without an endpoint, an eval set or a lake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from flows.evaluate.answers import Answer
from flows.evaluate.endpoint import Request
from flows.evaluate.scorers.protocol import Case, Mark, Scorer
from schemas.records import Item

Say = Callable[[dict[str, Any]], str | Answer]
"""What another model answers, given the body of the request."""


def case(
    text: str | Answer,
    reference: str | None = None,
    *,
    role: Literal["candidate", "champion"] = "candidate",
    **item: Any,
) -> Case:
    """An answer to the question `?`; `item` are further fields of the eval item (`messages`, `rubric`, `slice`, …)."""
    fields: dict[str, Any] = {"item_id": "item-1", "messages": ({"role": "user", "content": "?"},), **item}
    return Case(Item(reference=reference, **fields), role, 0, text if isinstance(text, Answer) else Answer(text))


def marks(scorer: Scorer, cases: Sequence[Case], say: Say | None = None) -> list[Mark]:
    """What a scorer says of some cases. Raises AssertionError where it asks another model and `say` is not given."""

    async def ask(requests: Sequence[Request]) -> list[Answer]:
        assert say is not None, f"the scorer {scorer.name!r} asks another model"  # noqa: S101 this is for tests
        said = [say(msgspec.json.decode(request.body)) for request in requests]
        return [Answer(answer) if isinstance(answer, str) else answer for answer in said]

    return asyncio.run(scorer.score(cases, ask))
