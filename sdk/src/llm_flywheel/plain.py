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


def plain(value: Any, weight: list[int] | None = None, depth: int = 0) -> Any:
    """The copy. `weight[0]` grows by roughly the bytes that the copy takes in memory and as JSON."""
    kind = type(value)
    if kind is str:
        if weight is not None:
            weight[0] += len(value) + 50
        return value
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -MAX_INT <= value < MAX_INT else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return "[nested too deeply]"
    if kind is list or kind is tuple:
        if weight is not None:
            weight[0] += 60 + 8 * len(value)
        return [plain(each, weight, depth + 1) for each in value]
    if kind is dict:
        if weight is not None:
            weight[0] += 60 + 70 * len(value)
        return {
            key if type(key) is str else str(key): plain(each, weight, depth + 1) for key, each in tuple(value.items())
        }
    return _rare(value, weight, depth)


def _rare(value: Any, weight: list[int] | None, depth: int) -> Any:
    if isinstance(value, str):
        return plain(str.__str__(value), weight, depth)
    if isinstance(value, int):
        return plain(int(value), weight, depth)
    if isinstance(value, float):
        return plain(float(value), weight, depth)
    if isinstance(value, (bytes, bytearray)):
        return plain(base64.b64encode(value).decode(), weight, depth)
    if isinstance(value, Mapping):
        return plain(dict(value), weight, depth)
    if callable(dump := getattr(value, "model_dump", None)):
        return plain(dump(exclude_unset=True), weight, depth + 1)
    if callable(iso := getattr(value, "isoformat", None)):
        return str(iso())
    if isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
        # An iterator must not be consumed: what the application would read from it is lost to it then.
        return plain(sorted(value, key=str), weight, depth) if isinstance(value, (set, frozenset)) else "[iterator]"
    if hasattr(value, "__iter__") and hasattr(value, "__len__"):
        return plain(list(value), weight, depth)
    return plain(str(value)[:10_000], weight, depth)


def get(value: Any, name: str) -> Any:
    """A field of a mapping or an attribute of an object; None where there is none."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
