"""Earlier turns of a conversation that failed: an answer to the last question must not teach them along.

A turn is known again by its conversation, the question before it and what it said: applications send their history in
other words and lengths, and without ids. Go on to `flows/curate/folder/shapes.py`, which cuts and masks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.events import to_json
from schemas.messages import Chat
from schemas.records import Example


def says_something(message: dict[str, Any]) -> bool:
    """Whether a message has its place in a dataset: an assistant turn with neither text nor a call has none."""
    return message["role"] != "assistant" or bool((message.get("content") or "").strip() or message.get("tool_calls"))


def taught(prompt: Chat, begins: int) -> Chat:
    """The part of a prompt that is taught with its answer: instructions, and what stands at `begins` and after it."""
    return [message for place, message in enumerate(prompt) if place >= begins or message["role"] == "system"]


class Turns:
    """Every turn that failed, and where examples quote one. Keys of 8 bytes: a million turns are some 100 MB.

    Earlier turns are looked at only in conversations where one failed, or was empty: most have none.
    """

    def __init__(self) -> None:
        self._failed: set[bytes] = set()
        self._conversations: set[str] = set()
        self._quoted: dict[int, tuple[str, Chat | None]] = {}

    def fail(self, conversation_id: str, asked: Chat, answered: Chat) -> None:
        """An interaction failed, or was answered better by a person: its answer is not to be taught."""
        self._conversations.add(conversation_id)
        keys = _keys(conversation_id, [*asked, *answered], begin=len(asked))
        self._failed.update(filter(None, keys))

    def expect(self, place: int, conversation_id: str, asked: Chat) -> None:
        """The example at a place may quote earlier turns."""
        if any(message["role"] == "assistant" for message in asked):
            self._quoted[place] = conversation_id, None if all(map(says_something, asked)) else asked

    def marked(self, place: int, example: Example, *, mask: bool) -> Example | None:
        """The example, its failed turns named once all are known; None where no question is left behind the last."""
        conversation_id, with_empty = self._quoted.get(place, ("", None))
        if conversation_id not in self._conversations and with_empty is None:
            return example
        prompt: Chat = msgspec.json.decode(example.prompt)
        keys = _keys(conversation_id, prompt if with_empty is None else with_empty)
        failed, begins = [], 0
        at = len(prompt) - sum(key != EMPTY for key in keys)  # an instruction may have been put before
        for key in keys:
            if key in self._failed:
                failed.append(at)
            if key in self._failed or key == EMPTY:
                begins = at + (key != EMPTY)
            at += key != EMPTY
        while begins < len(prompt) and prompt[begins]["role"] == "tool":
            begins += 1
        if begins and not any(message["role"] == "user" for message in prompt[begins:]):
            return None
        return msgspec.structs.replace(example, failed=tuple(failed) if mask else (), begins=begins)


EMPTY = b""
"""The key of a turn that says nothing: it is in no prompt."""


def _keys(conversation_id: str, messages: Chat, begin: int = 0) -> list[bytes | None]:
    """A key for each message from `begin` on that is a turn of the assistant, None for any other."""
    return list(_each(conversation_id, messages, begin))


def _each(conversation_id: str, messages: Chat, begin: int) -> Iterator[bytes | None]:
    question = ""
    for place, message in enumerate(messages):
        if message["role"] == "user":
            question = _words(message)
        if message["role"] != "assistant" or place < begin:
            yield None
        elif not says_something(message):
            yield EMPTY
        else:
            calls = [(call["function"]["name"], _object(call)) for call in message.get("tool_calls", ())]
            said = to_json([conversation_id, question, _words(message), calls])
            yield hashlib.blake2b(said.encode(), digest_size=8).digest()


def _words(message: dict[str, Any]) -> str:
    """A text but for its spacing."""
    return " ".join((message.get("content") or "").split())


def _object(call: dict[str, Any]) -> Any:
    """A call's arguments, whether they came as text or as the object."""
    arguments = call["function"]["arguments"]
    try:
        return msgspec.json.decode(arguments) if isinstance(arguments, str) else arguments
    except (msgspec.DecodeError, RecursionError):
        return arguments
