"""One interaction, from the request to the response: for models that no vendor's client calls, and for the vendor seam.

with interaction(model="my-model", messages=[{"role": "user", "content": "Where is it?"}]) as turn:
    turn.output(my_model(...))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from llm_flywheel import client, context
from llm_flywheel.events import INTERACTION
from llm_flywheel.ids import interaction_id, new_id
from llm_flywheel.plain import plain
from llm_flywheel.settings import Event


class Turn:
    """An interaction under way. Its methods never raise; it is sent once, when it ends."""

    def __init__(self, fields: Mapping[str, Any], finish: Callable[[Event], Event] | None = None) -> None:
        self._weight = [500]
        self._within = context.current()
        self._began = time.perf_counter()
        self._finish = finish
        self._ended = False
        common = self._within.fields if self._within else {}
        self.event: Event = plain({**common, **fields}, self._weight)
        self.event.setdefault("id", new_id())
        if not self.event.get("time"):
            self.event["time"] = time.time_ns()  # written out in the writer's thread
        if self._within is not None and self._within.id is not None:
            self.event.setdefault("conversation_id", self._within.id)

    @property
    def id(self) -> str:
        """The interaction's id. With a response id in hand it may still change: ask again at the end."""
        return str(self.event["id"])

    def set(self, **fields: Any) -> None:
        """Set fields of the event: `response_id`, `input_tokens`, `cost_usd`, or any of your own."""
        try:
            self.event.update(plain(fields, self._weight))
        except Exception as error:
            client.failed(error)

    def output(self, *messages: str | Mapping[str, Any], finish_reason: str | None = None) -> None:
        """The response: text, or messages with `role` and `content`."""
        said = [{"role": "assistant", "content": each} if isinstance(each, str) else each for each in messages]
        self.set(output_messages=said)
        if finish_reason is not None:
            self.set(finish_reasons=[finish_reason])

    def first_chunk(self) -> None:
        """The first part of a streamed response has come."""
        self.event.setdefault("time_to_first_chunk_ms", self._elapsed_ms())

    def responded(self, response_id: Any, created: Any = None) -> None:
        """The model's response has an id: the interaction takes the id that every other door gives it too."""
        if not response_id or "response_id" in self.event:
            return
        self.event["response_id"] = str(response_id)
        try:
            application = client.application()
            if application is not None:
                self.event["id"] = interaction_id(application, str(response_id), created)
        except (ValueError, TypeError, OverflowError):
            pass  # it keeps the id that it was born with
        self.remember()

    def remember(self) -> None:
        """Feedback without an id is about this one from now on."""
        place = context.Place(self.id, self._conversation_id(), self.event.get("user_id"))
        context.remember(place, self._within)

    def end(self, error_type: str | None = None) -> None:
        """Send it, once."""
        if self._ended:
            return
        self._ended = True
        try:
            application = client.application()
            if application is None:
                return
            if error_type is not None:
                self.event["error_type"] = error_type
            self.event["application"] = application
            self.event["conversation_id"] = self._conversation_id()
            self.event.setdefault("duration_ms", self._elapsed_ms())
            self.remember()
            client.emit(INTERACTION, self.event, self._weight[0], self._finish)
        except Exception as error:
            client.failed(error)

    def _conversation_id(self) -> str:
        return str(self.event.get("conversation_id") or self.id)

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error_name(error) if error is not None else None)

    async def __aenter__(self) -> Turn:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def interaction(*, model: str, messages: Sequence[Mapping[str, Any]] | str, **fields: Any) -> Turn:
    """An interaction with your own model: `with` (or `async with`) it, and tell it the `output`.

    `fields` are any of the contract's, and yours. An exception inside is its `error_type`, and goes on.
    """
    said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    try:
        return Turn({"request_model": model, "input_messages": said, **fields})
    except Exception as error:
        client.failed(error)
        return Turn({"request_model": str(model), "input_messages": [{"role": "user", "content": "[unreadable]"}]})


def error_name(error: BaseException) -> str:
    """`timeout` for every kind of it, else the exception's name."""
    name = type(error).__name__
    return "timeout" if "timeout" in name.lower() else name
