"""Whether bytes name a person, however they spell it: escaped or not, composed or not, in JSON that is none.

For what was never read as an event, and so has no column to look in. Go back to `retire.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from schemas.normalise import bounded
from schemas.unit import spelled

BARE = 6
"""Characters from which a name is looked for anywhere, as a word; a shorter one stands in other words and numbers, and
is looked for as a whole JSON string, or a whole field between commas or blanks."""
_ESCAPED = re.compile(r"((?:\\u[0-9a-fA-F]{4})+)|\\(.)", re.DOTALL)
_WHOLE = re.compile(r"[^\s\"',;=:{}\[\]]+|\"[^\"\n]{0,300}\"")
"""Fields of anything, and short quoted texts. Linear: every match begins where the last one ended."""
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
CODECS = ("utf-8", "utf-16", "utf-16-be", "utf-16-le")
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
        read = [] if key is None else [spelled(key.decode(codec, "replace")) for codec in CODECS]
        return any(name in self._short or name in self._long for name in read)

    def stand_in(self, said: bytes | None) -> bool:
        """Whether one of them stands in a text."""
        return said is not None and any(map(self._stand_in, _texts(said)))

    def _stand_in(self, text: str) -> bool:
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


def _texts(said: bytes) -> Iterator[str]:
    """Bytes as texts: in UTF-8, and in UTF-16 where they begin so, or one of the first 32 letters is ASCII in it."""
    yield said.decode("utf-8", "replace")
    if said[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        yield said.decode("utf-16", "replace")
    for codec, every_other in (("utf-16-be", said[:64:2]), ("utf-16-le", said[1:64:2])):
        if 0 in every_other:
            yield said.decode(codec, "replace")


def _opened(match: re.Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1].replace("\\u", "")).decode("utf-16-be", "replace")
    return _CONTROLS.get(match[2], match[2])
