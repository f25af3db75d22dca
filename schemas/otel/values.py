"""Out of attributes: names, numbers, JSON texts and what is left of them when they were cut.

Go on to `schemas/otel/genai.py` and `schemas/otel/openinference.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llm_flywheel.events import name as shortened
from schemas.codec import MAX_DEPTH, check_depth
from schemas.errors import EventError
from schemas.otel.span import Attributes

_read = msgspec.json.Decoder().decode
MAX_COUNT, MAX_AMOUNT = 2**53, 1e15


def first(attributes: Attributes, *names: str) -> Any:
    """The first of these attributes that says something."""
    for each in names:
        value = attributes.get(each)
        if value is not None and value != "":
            return value
    return None


def name(value: Any) -> str | None:
    """A name as the contract takes it; a longer one ends in a hash."""
    return shortened(value)


def count(value: Any) -> int | None:
    """A number of tokens; None for what is no count."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None
    return int(value)


def number(value: Any) -> float | None:
    """A number on whatever scale; None for what is none, or beyond what the contract takes."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MAX_AMOUNT <= value <= MAX_AMOUNT:
        return None
    return value


def amount(value: Any) -> float | None:
    """A duration or a cost; None for what is none."""
    found = number(value)
    return None if found is None or found < 0 else float(found)


def milliseconds(nanoseconds: int) -> float | None:
    """A span of time; None for one that no clock shows."""
    return amount(nanoseconds / 1e6) if abs(nanoseconds) < 2**64 else None


def texts(value: Any) -> list[str]:
    """A list of texts, or the one text that stands for it."""
    values = value if isinstance(value, list | tuple) else () if value is None else (value,)
    return [str(each) for each in values if each is not None][:100]


def parsed(value: Any) -> tuple[Any, bool]:
    """A value that is JSON text, or plain already; and whether it can be read: a text that was cut is no JSON.

    One that is nested deeper than the contract takes is kept as the text that it is.
    """
    if not isinstance(value, str) or not value:
        return value or None, True
    try:
        if value.count("[") + value.count("{") > MAX_DEPTH:
            check_depth(value.encode())
        return _read(value), True
    except (EventError, msgspec.DecodeError, UnicodeError, RecursionError):
        return None, False


def last_part(value: Any) -> str:
    """`openai.BadRequestError` → `BadRequestError`."""
    return str(value).rpartition(".")[2][:256]
