"""What a message is made of, whatever the dialect: texts, calls, their results, and what no chat can carry.

Go on to the dialects, which turn their parts into these, and to `schemas/messages/chat.py`, which puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct


class Text(Struct, frozen=True):
    """Words."""

    text: str
    refusal: bool = False
    """Whether the model says, in a field of its own, that it will not answer."""


class Call(Struct, frozen=True):
    """A tool that the model asks for."""

    name: str
    arguments: Any = ""
    """JSON text, or whatever the model wrote; the object itself where that is what came."""
    id: str = ""


class Result(Struct, frozen=True):
    """What a tool answered."""

    text: str
    id: str = ""
    name: str = ""


class Other(Struct, frozen=True):
    """What no chat message can carry: `image`, `audio`, `video`, `file`, `hosted_tool`, `custom_tool`, `unknown`."""

    kind: str


Piece = Text | Call | Result | Other
Part = Mapping[str, Any]
Reader = Callable[[Part], list[Piece]]
"""Reads one part of a message; a part that says nothing to anybody (a model's thinking) is no piece at all."""
MODALITIES = ("image", "audio", "video")


def name_of(value: Any) -> str:
    """A name or id as text; empty where there is none."""
    return value if isinstance(value, str) else ""


def json_text(value: Any) -> str:
    """A value as text: its own, nothing for null, else its JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def words(value: Any) -> list[Piece]:
    """A text that should be text: null says nothing, and what is neither is unknown, never its Python form."""
    if isinstance(value, Mapping) and isinstance(value.get("value"), str):  # OpenAI's Assistants
        value = value["value"]
    if isinstance(value, str):
        return [Text(value)] if value else []
    if isinstance(value, int | float):
        return [Text(json_text(value))]
    return [] if value is None else [Other("unknown")]


def call(name: Any, arguments: Any, id_: Any) -> list[Piece]:
    """A call, its arguments as they came: text, or the object."""
    return [Call(name_of(name), arguments if isinstance(arguments, dict) else json_text(arguments), name_of(id_))]


def medium(mime_type: Any) -> list[Piece]:
    """What a MIME type or modality stands for."""
    kind = name_of(mime_type).partition("/")[0].lower()
    return [Other(kind if kind in MODALITIES else "file")]


def silent(_: Part) -> list[Piece]:
    """Reads what is said to nobody."""
    return []


def other(kind: str) -> Reader:
    """Reads what no chat can carry."""
    return lambda _: [Other(kind)]
