"""A copy of any value as plain JSON-able values, taken in the caller's thread because the caller may change it next.

Texts are not copied (they cannot change), so the cost is the number of containers: some 0.3 µs a message.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 48
"""The contract takes 64 levels; the event itself and its messages need some."""
MAX_INT = 2**63


def plain(value: Any, weight: list[int] | None = None) -> Any:
    """The copy. `weight[0]` grows by roughly the bytes that the copy takes in memory and as JSON."""
    return _plain(value, [0] if weight is None else weight, 0)


def _plain(value: Any, weight: list[int], depth: int) -> Any:
    kind = type(value)
    if kind is str:
        weight[0] += len(value) + 50
        return value
    if value is None or kind is bool:
        return value
    if depth >= MAX_DEPTH:
        return "[nested too deeply]"
    if kind is dict:
        weight[0] += 60 + 70 * len(value)
        copy = {}
        for name, each in list(value.items()):  # a list, because another thread may change the dictionary meanwhile
            if type(each) is str:  # most values are: without a call for each this takes half the time
                weight[0] += len(each)
            else:
                each = _plain(each, weight, depth + 1)  # noqa: PLW2901
            copy[name if type(name) is str else str(name)] = each
        return copy
    if kind is list or kind is tuple:
        weight[0] += 60 + 8 * len(value)
        return [_plain(each, weight, depth + 1) for each in value]
    if kind is int:
        return value if -MAX_INT <= value < MAX_INT else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    return _rare(value, weight, depth)


def _rare(value: Any, weight: list[int], depth: int) -> Any:
    if isinstance(value, str):
        return _plain(str.__str__(value), weight, depth)
    if isinstance(value, int):
        return _plain(int(value), weight, depth)
    if isinstance(value, float):
        return _plain(float(value), weight, depth)
    if isinstance(value, (bytes, bytearray)):
        return _plain(base64.b64encode(value).decode(), weight, depth)
    if isinstance(value, Mapping):
        return _plain(dict(value), weight, depth)
    if callable(dump := getattr(value, "model_dump", None)):
        return _plain(dump(exclude_unset=True), weight, depth + 1)
    if callable(iso := getattr(value, "isoformat", None)):
        return str(iso())
    if isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
        # An iterator must not be consumed: what the application would read from it is lost to it then.
        return _plain(sorted(value, key=str), weight, depth) if isinstance(value, (set, frozenset)) else "[iterator]"
    if hasattr(value, "__iter__") and hasattr(value, "__len__"):
        return _plain(list(value), weight, depth)
    return _plain(str(value)[:10_000], weight, depth)


def get(value: Any, name: str) -> Any:
    """A field of a mapping or an attribute of an object; None where there is none."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
