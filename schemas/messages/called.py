"""Calls of tools that stand in a text, as JSON: a reference, a model's answer as it is kept, a person's correction.

    [{"name": "refund", "arguments": {"order": 7}}]

or in OpenAI's form, with or without ids. Equal calls are equal here, whoever numbered them and in whichever form they
came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Called = tuple[str, Any]
"""A tool's name, and its arguments: an object where they are one, as they should be."""


def called(call: Mapping[str, Any]) -> Called:
    """What one call asks for. Raises ValueError, TypeError, AttributeError or KeyError for what is none."""
    function = call.get("function", call)
    arguments = function.get("arguments") or {}
    if not isinstance(name := function["name"], str):
        raise TypeError("a call names no tool")
    return name, msgspec.json.decode(arguments) if isinstance(arguments, str) else arguments


def calls_in(text: str) -> list[Called] | None:
    """The calls that a text is, in their order; None where it is anything else, such as a list without calls.

    Without arguments that are named so, `{"name": …}` is a thing and no call.
    """
    if not text.lstrip().startswith("["):
        return None
    try:
        found = msgspec.json.decode(text)
        told = [called(each) for each in found if "arguments" in each.get("function", each)]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return told if told and len(told) == len(found) else None


def canonical(call: Called) -> str:
    """A call as text: equal calls, equal text."""
    return msgspec.json.encode(call, order="sorted").decode()
