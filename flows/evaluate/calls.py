"""Calls of tools, put together from the deltas of a stream.

Servers tell parallel calls apart by `index`, by `id`, by both, or by neither: a new id with a name begins a call even
under an old index, and a whole call without either is one of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Calls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._by_id: dict[str, dict[str, Any]] = {}
        self._by_index: dict[Any, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, part: Any) -> None:
        """One delta. Raises TypeError for what is none."""
        if not isinstance(part, dict):
            raise TypeError("a part of a call is no object")
        custom = part.get("custom")
        function = custom or part.get("function") or {}
        name, id_, index = _text(function.get("name")), _text(part.get("id")), _place(part.get("index"))
        written = function.get("input" if custom else "arguments")
        call = self._of(id_, index, name)
        call["id"] = call["id"] or id_
        call["name"] = call["name"] or name
        call["custom"] = call["custom"] or bool(custom)
        call["written"].append(written if isinstance(written, str) else _json(written))
        if id_:
            self._by_id.setdefault(id_, call)
        self._by_index[index] = call

    def whole(self) -> list[dict[str, Any]]:
        """All calls, in OpenAI's form."""
        return [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": _arguments(call)}}
            for call in self._calls
        ]

    def _of(self, id_: str, index: Any, name: str) -> dict[str, Any]:
        """The call that a delta belongs to."""
        if id_ and (known := self._by_id.get(id_)):
            return known
        current = self._by_index.get(index, self._calls[-1] if self._calls and index is None else None)
        if current is None:
            return self._begin()
        if id_ and name and current["id"]:
            return self._begin()
        if not id_ and index is None and name and current["name"] and _is_whole(current):
            return self._begin()
        return current

    def _begin(self) -> dict[str, Any]:
        call: dict[str, Any] = {"id": "", "name": "", "custom": False, "written": []}
        self._calls.append(call)
        return call


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _place(index: Any) -> Any:
    return int(index) if isinstance(index, str) and index.isdecimal() else index


def _json(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _arguments(call: dict[str, Any]) -> str:
    written = "".join(call["written"])
    return _json({"input": written}) if call["custom"] else written


def _is_whole(call: dict[str, Any]) -> bool:
    """Whether a call's arguments are complete: what comes next without a word of its own is another one."""
    try:
        msgspec.json.decode("".join(call["written"]))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
