"""Chainlit: thumbs and comments by a data layer that keeps nothing else. Without one Chainlit answers them with 500.

FLYWHEEL_APPLICATION=support FLYWHEEL_URL=http://127.0.0.1:4318 chainlit run chainlit_app.py
"""

from __future__ import annotations

import inspect
from typing import Any

import chainlit as cl
from chainlit.data.base import BaseDataLayer

import llm_flywheel as fly

fly.init()
_kept: dict[str, tuple[str, str | None]] = {}
"""Step → its interaction, and the feedback that stands. Of this process; Chainlit knows the same of the browser."""


class Feedback(BaseDataLayer):  # type: ignore[misc] # the package brings no types
    """Only feedback; the other methods do nothing, below."""

    async def upsert_feedback(self, feedback: Any) -> str:
        """A thumb, and the comment beside it."""
        interaction, before = _kept.get(feedback.forId, ("", None))
        about = {"interaction": interaction, "conversation": feedback.threadId}
        said = fly.thumb(bool(feedback.value), comment=feedback.comment, supersedes=before, **about)
        _kept[feedback.forId] = (interaction, said)
        return said or ""

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Taken back."""
        for step, (interaction, said) in _kept.items():
            if said == feedback_id:
                _kept[step] = (interaction, None)
                fly.retract(feedback_id, interaction=interaction)
        return True


async def _nothing(*_: Any, **__: Any) -> None:
    """What a data layer must have and this one does not need."""


for name in BaseDataLayer.__abstractmethods__:
    if name not in vars(Feedback):
        setattr(Feedback, name, _nothing)
Feedback.__abstractmethods__ = frozenset()
assert not inspect.isabstract(Feedback)  # noqa: S101 - an example's own check


@cl.data_layer  # type: ignore[misc, untyped-decorator]
def data_layer() -> Feedback:
    """The layer above."""
    return Feedback()


@cl.on_message  # type: ignore[misc, untyped-decorator]
async def main(message: Any) -> None:
    """The model; the answer's step remembers its interaction."""
    async with fly.conversation(message.thread_id), fly.interaction(model="echo", messages=message.content) as turn:
        turn.output(message.content.upper())
    answer = cl.Message(message.content.upper(), metadata={"interaction_id": turn.id})
    _kept[answer.id] = (turn.id, None)
    await answer.send()
