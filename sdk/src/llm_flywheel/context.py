"""Who talks about what: the conversation of this task or thread, and the last interaction in it.

    with conversation("c-42", user_id="u-7", prompt_version="v3"):
        ...

A context variable: asyncio tasks inherit it, threads need `contextvars.copy_context()`.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, NamedTuple


class Place(NamedTuple):
    """What feedback has to know of an interaction."""

    interaction_id: str
    conversation_id: str
    user_id: str | None


class Conversation:
    """What all interactions within it have in common."""

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - its name in the contract
        *,
        user_id: str | None = None,
        prompt_version: str | None = None,
        variant: str | None = None,
        training_consent: bool | None = None,
        **extra: Any,
    ) -> None:
        self.id = None if id is None else str(id)
        self.fields: dict[str, Any] = {**extra}
        for name, value in (("user_id", user_id), ("prompt_version", prompt_version), ("variant", variant)):
            if value is not None:
                self.fields[name] = str(value)
        if training_consent is not None:
            self.fields["training_consent"] = training_consent
        self.last: Place | None = None
        self._tokens: list[Token[Conversation | None]] = []
        self.around = current()
        self.ended_elsewhere = False

    def __enter__(self) -> Conversation:
        self.ended_elsewhere = False
        self._tokens.append(_current.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._tokens:
            return
        try:
            _current.reset(self._tokens.pop())
        except ValueError:  # left in another context than entered: a streaming response's end
            self.ended_elsewhere = True

    async def __aenter__(self) -> Conversation:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


_current: ContextVar[Conversation | None] = ContextVar("llm_flywheel_conversation", default=None)
_last: ContextVar[Place | None] = ContextVar("llm_flywheel_last", default=None)
_places: OrderedDict[str, Place] = OrderedDict()
MAX_PLACES = 10_000
"""Interactions whose conversation is remembered for feedback that names an interaction alone: some 3 MB."""


def conversation(
    id: str | None = None,  # noqa: A002 - its name in the contract
    *,
    user_id: str | None = None,
    prompt_version: str | None = None,
    variant: str | None = None,
    training_consent: bool | None = None,
    **extra: Any,
) -> Conversation:
    """Everything captured within (`with` or `async with`) belongs to this conversation.

    Without an id, what is captured keeps the id of the conversation around it. Other fields are sent along.
    """
    around = current()
    made = Conversation(
        id if id is not None or around is None else around.id,
        user_id=user_id, prompt_version=prompt_version, variant=variant, training_consent=training_consent, **extra,
    )  # fmt: skip
    if around is not None and (id is None or str(id) == around.id):
        made.fields = {**around.fields, **made.fields}
    return made


def current() -> Conversation | None:
    """The conversation around the caller; one that ended in another context is around nobody any more."""
    around = _current.get()
    while around is not None and around.ended_elsewhere:
        around = around.around
    return around


def remember(place: Place, within: Conversation | None) -> None:
    """An interaction has happened: feedback that names none is about this one."""
    _last.set(place)
    if within is not None:
        within.last = place
    _places[place.interaction_id] = place
    if len(_places) > MAX_PLACES:
        with suppress(KeyError):
            _places.popitem(last=False)


def last() -> Place | None:
    """The last interaction of the conversation around the caller, else of this context."""
    within = current()
    return within.last if within is not None else _last.get()


def last_id() -> str | None:
    """The id of the last interaction here, to be kept beside the answer that is shown; None where there was none."""
    place = last()
    return place.interaction_id if place else None


def place_of(interaction_id: str) -> Place | None:
    """What is remembered of an interaction of this process."""
    return _places.get(interaction_id)
