"""What the calls of an agent show: a tool that failed, a loop, a goal that was given up. One pass over a conversation.

Go on to `modes.py`, which puts it beside the other modes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.messages import Chat

MAX_NAME = 64
"""Characters of a tool's name that enter a mode: modes are counted, not read as text."""
LONGEST = 20_000
"""Characters of a tool's answer, or of a call's arguments, that are looked at."""
REPEATS = 2
"""The same call, with the same arguments and the same answer, so often is a loop: the second taught nothing."""
SAYS_ERROR = re.compile(r"\W{0,8}(?:error|exception|traceback|fatal|failed|failure)\b", re.IGNORECASE)
"""How a tool's answer begins that is an error."""
FLAGS = ("error", "errors", "isError", "is_error", "exception")
"""Fields of a tool's JSON answer that say so, where they hold anything."""


def agent_mode(chat: Chat) -> str | None:
    """`loop:TOOL`, `gave_up:TOOL` or `tool_error:TOOL`, the first that holds; None where no call went wrong.

    gave_up: a tool whose last answer was an error when the conversation ended, so that what it was for was not done.
    """
    calls: dict[str, tuple[str, str]] = {}
    answers: dict[tuple[str, str, str], int] = {}
    failing: dict[str, None] = {}
    looped = failed = None
    for message in chat:
        for call in message.get("tool_calls") or ():
            calls[str(call.get("id"))] = _call(call)
        if message["role"] != "tool":
            continue
        answer = str(message.get("content") or "")[:LONGEST]
        name, arguments = calls.get(str(message.get("tool_call_id")), (str(message.get("name") or ""), ""))
        seen = (name, arguments, answer)
        answers[seen] = answers.get(seen, 0) + 1
        if answers[seen] >= REPEATS and answer:
            looped = name
        failing.pop(name, None)
        if is_error(answer):
            failing[name] = None
            failed = name
    if looped is not None:
        return _named("loop", looped)
    if failing:
        return _named("gave_up", next(reversed(failing)))
    return _named("tool_error", failed) if failed is not None else None


def is_error(answer: str) -> bool:
    """Whether a tool's answer says that the call failed: by how it begins, or by a field of its JSON."""
    if answer.lstrip()[:1] != "{":
        return SAYS_ERROR.match(answer[:100]) is not None
    try:
        told = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(told, Mapping) and (
        any(told.get(flag) for flag in FLAGS) or str(told.get("status")).lower() in {"error", "failed", "failure"}
    )


def _call(call: Mapping[str, Any]) -> tuple[str, str]:
    """Name and arguments in one form, whichever order their fields have."""
    function = call.get("function") or {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = arguments[:LONGEST]
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return str(function.get("name") or ""), str(arguments)
    return str(function.get("name") or ""), msgspec.json.encode(arguments, order="sorted").decode()


def _named(kind: str, tool: str) -> str:
    name = "".join(itertools.islice((c if c.isalnum() or c in "_-." else "_" for c in tool), MAX_NAME))
    return f"{kind}:{name or 'tool'}"
