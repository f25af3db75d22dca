"""Prompt versions: one short name for the prompt that an interaction was made with, and how its messages are said.

with conversation("c-42", prompt_version=prompt_version(langfuse.get_prompt("support"))): ...
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_flywheel.plain import get

INSTRUCTIONS = ("system", "developer")
"""Roles of messages that say how to answer, rather than what was said."""


def prompt_version(prompt: Any) -> str:
    """The name of a prompt, by what it is.

    A Langfuse prompt: `langfuse:NAME@VERSION`. An MLflow one: `mlflow:NAME/VERSION`. A file (a Path): `git:BLOB:NAME`,
    where BLOB is the id that git gives its content. Text, such as a template: `sha256:…`. Never
    raises: what is none of these is taken as text.
    """
    try:
        name, version = getattr(prompt, "name", None), getattr(prompt, "version", None)
        if isinstance(prompt, Path):
            content = prompt.read_bytes()
            blob = hashlib.sha1(b"blob %d\x00" % len(content) + content, usedforsecurity=False)
            return f"git:{blob.hexdigest()[:8]}:{prompt.name}"
        if name is not None and version is not None:
            kept_by = "mlflow" if type(prompt).__module__.startswith("mlflow") else "langfuse"
            return f"{kept_by}:{name}{'/' if kept_by == 'mlflow' else '@'}{version}"
    except OSError:
        pass
    return f"sha256:{hashlib.sha256(str(prompt).encode('utf-8', 'replace')).hexdigest()[:12]}"


def with_prompt(messages: Iterable[Any], prompt: Sequence[Mapping[str, Any]] = ()) -> list[Any]:
    """A conversation as a prompt version has it asked: `prompt` are the version's messages.

    Messages may be objects of a client's too, as an answer that is said again before a tool's result.

    Its instructions take the place of the conversation's own, where it has any; its examples come next, and then what
    was really said. Without a prompt the conversation stays as it is.
    """
    said = list(messages)
    if not prompt:
        return said
    own = [message for message in prompt if message["role"] in INSTRUCTIONS]
    theirs = [message for message in said if get(message, "role") in INSTRUCTIONS]
    examples = [message for message in prompt if message["role"] not in INSTRUCTIONS]
    return [*(own or theirs), *examples, *(message for message in said if get(message, "role") not in INSTRUCTIONS)]


def request(serves: Mapping[str, Any], messages: Iterable[Any]) -> dict[str, Any]:
    """What to ask whoever serves, as it was evaluated: model, parameters, and its prompt before the conversation.

    client.chat.completions.create(**request(champion.serving(user, former=0.1), messages))
    """
    prompt = serves.get("prompt_messages") or ()
    asked = with_prompt(messages, prompt) if prompt else list(messages)
    return {**(serves.get("parameters") or {}), "model": serves.get("model"), "messages": asked}
