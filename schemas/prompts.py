"""Prompt versions: the messages that a version puts before a conversation, from the setting `evaluate.prompts`.

A text is a system message; a list is a system message and examples of how to answer. What a candidate is registered
with is part of it, so that what was evaluated is what serves. How it meets a conversation: `llm_flywheel.with_prompt`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_flywheel.prompts import INSTRUCTIONS
from schemas.errors import SettingsError
from schemas.events import to_json
from schemas.messages import Chat, read_messages

MOST_BYTES = 64 * 2**10
"""Of a version's messages as JSON: a decision names up to three candidates, and Kafka takes a MiB."""
Prompt = str | list[dict[str, Any]]
"""A version as the settings have it."""


def messages_of(prompts: Mapping[str, Prompt], version: str | None) -> Chat:
    """The messages of a version; none where the settings do not have it. Raises SettingsError for what is no chat."""
    if version is None or version not in prompts:
        return []
    said = prompts[version]
    if isinstance(said, str):
        return [{"role": "system", "content": said}]
    found = read_messages(said)
    where = f"evaluate.prompts.{version}"
    if found.left_out or len(found.chat) < len(said) or not found.chat:
        raise SettingsError(f'{where}: each entry is a message, {{role = "user", content = "…"}}')
    if (size := len(to_json(found.chat))) > MOST_BYTES:
        raise SettingsError(f"{where} has {size} bytes, and may have {MOST_BYTES}: give fewer examples")
    if found.chat[-1]["role"] == "user":
        raise SettingsError(
            f"{where} ends with a question: its examples must be answered before the conversation begins"
        )
    return found.chat


Examples = tuple[Chat, ...]
"""What prompt versions put before a conversation as if it had been said; the longest first."""


def examples_of(prompts: Iterable[Sequence[dict[str, Any]]]) -> Examples:
    """The examples of some prompts, each once."""
    said = {to_json(found): found for prompt in prompts if (found := _said(prompt))}
    return tuple(said[key] for key in sorted(said, key=lambda key: (-len(said[key]), key)))


def unprompted(chat: Chat, examples: Examples) -> Chat:
    """A conversation as it was captured, without the examples that its prompt put before it: nobody said these."""
    said = _said(chat) if examples else []
    for each in examples:
        if len(said) > len(each) and said[: len(each)] == each:
            return [*(message for message in chat if message["role"] in INSTRUCTIONS), *said[len(each) :]]
    return chat


def _said(chat: Iterable[dict[str, Any]]) -> Chat:
    return [message for message in chat if message["role"] not in INSTRUCTIONS]
