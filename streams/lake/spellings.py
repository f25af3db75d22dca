"""Whether bytes name a person, however they spell it: escaped or not, composed or not, in JSON that is none.

For what was never read as an event, and so has no column to look in. Go back to `retire.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.normalise import bounded
from schemas.unit import spelled

BARE = 6
"""Characters from which a name is looked for anywhere, as a word; a shorter one stands in other words and numbers, and
is looked for as a whole JSON string, or a whole field between commas or blanks."""
_ESCAPED = re.compile(r"((?:\\u[0-9a-fA-F]{4})+)|\\(.)", re.DOTALL)
_WHOLE = re.compile(r"[^\s\"',;=:{}\[\]]+|\"[^\"\n]{0,300}\"")
"""Fields of anything, and short quoted texts. Linear: every match begins where the last one ended."""
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
ROUNDS = 4
"""A text is looked at as it is, then with its escapes opened: JSON within JSON within JSON."""


class Names:
    """The names of some people; false where there are none."""

    def __init__(self, names: Iterable[str]) -> None:
        plain = {spelled(name) for name in names} - {""}
        self._short = frozenset(name for name in plain if len(name) < BARE)
        self._long = sorted(plain - self._short)

    def __bool__(self) -> bool:
        return bool(self._short or self._long)

    def in_key(self, key: bytes | None) -> bool:
        """Whether a record's key is one of them."""
        return key is not None and (name := spelled(_text(key))) != "" and (name in self._short or name in self._long)

    def stand_in(self, said: bytes | None) -> bool:
        """Whether one of them stands in a text."""
        if not said:
            return False
        text = _text(said)
        for _ in range(ROUNDS):
            form = spelled(bounded(text))
            if any(_as_word(name, form) for name in self._long) or self._is_field(form):
                return True
            if (opened := _ESCAPED.sub(_opened, text)) == text:
                return False
            text = opened
        return False

    def _is_field(self, text: str) -> bool:
        if not self._short:
            return False
        return any(spelled(match[0].strip('"')) in self._short for match in _WHOLE.finditer(text))


def _as_word(name: str, text: str) -> bool:
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        beside = text[at - 1 : at], text[end : end + 1]
        if not any(char.isalnum() or char == "_" for char in beside):
            return True
        at = text.find(name, end)
    return False


def _text(said: bytes) -> str:
    """Bytes as a text: UTF-8, or UTF-16 where every other byte is null."""
    wide = said[:2] in {b"\xff\xfe", b"\xfe\xff"} or said[:64:2].count(0) > 8 or said[1:64:2].count(0) > 8
    return said.decode("utf-16" if wide else "utf-8", "replace")


def _opened(match: re.Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1].replace("\\u", "")).decode("utf-16-be", "replace")
    return _CONTROLS.get(match[2], match[2])
