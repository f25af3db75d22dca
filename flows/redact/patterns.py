"""Pattern: a recogniser by a regular expression; and which of many a text is worth asking for.

A text is looked through once for each pattern. Most have none of the words, or no digit, without which a pattern cannot
match: to look for those is many times as cheap. Go on to `recognisers.py`, which has the table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from flows.redact.protocol import Span
from flows.redact.validators import Check

_DIGIT = re.compile(r"\d")


class Pattern(msgspec.Struct, frozen=True):
    """The recogniser of one kind of personal data or secret by a regular expression."""

    kind: str
    pattern: re.Pattern[str]
    """The group `value`, where there is one, is what is personal; else the whole match."""
    check: Check | None = None
    """Called for each match; False: it only looks like one."""
    words: tuple[str, ...] = ()
    """A text that holds none of these has no match. Where any has a capital, they are looked for as they stand, else in
    whatever case. None: nothing can be said."""
    digit: bool = False
    """Whether a text without a digit has no match."""

    def find(self, text: str) -> list[Span]:
        """Every match that passes the check, from left to right."""
        found = []
        for match in self.pattern.finditer(text):
            group: int | str = "value" if "value" in self.pattern.groupindex else 0
            if match[group] and (self.check is None or self.check(match)):
                found.append(Span(*match.span(group), self.kind))
        return found


class Patterns:
    """Patterns in their order, the surer first; those that need the same are asked for at once."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._needing: dict[tuple[bool, bool, tuple[str, ...]], list[tuple[int, Pattern]]] = {}
        for rank, pattern in enumerate(patterns):
            exact = any(word != word.lower() for word in pattern.words)
            words = pattern.words if exact else tuple(map(caseless, pattern.words))
            self._needing.setdefault((pattern.digit, exact, words), []).append((rank, pattern))

    def that_may_match(self, text: str) -> list[tuple[int, Pattern]]:
        """Those that may find anything in a text, each with its rank, in no order."""
        small, digits = caseless(text), _DIGIT.search(text) is not None
        found: list[tuple[int, Pattern]] = []
        for (digit, exact, words), patterns in self._needing.items():
            if digit and not digits:
                continue
            if not words:
                found += patterns
                continue
            where = text if exact else small
            for word in words:
                if word in where:
                    found += patterns
                    break
        return found


def caseless(text: str) -> str:
    """The form in which letters are one where a pattern that ignores case takes them for one."""
    return text.lower() if text.isascii() else text.replace("İ", "i").replace("ı", "i").casefold()
