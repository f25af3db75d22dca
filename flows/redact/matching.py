"""The form of a text in which recognisers look: one width, one blank, one dash, one set of digits, nothing invisible.

Wide digits and plain ones, a card grouped by no-break spaces, a number with a soft hyphen in it: to a reader they are
the same, so they are to the patterns. Every character knows where in the text it stands, so that what is found is cut
out of the text as it was written. Go on to `redact.py`, which replaces what it finds.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Sequence

import msgspec

from flows.redact.protocol import Span

_BLANKS = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
_INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
"""Characters that nobody sees: zero width, soft hyphen, marks of the writing direction."""


class Matching(msgspec.Struct, frozen=True):
    """A text as it is looked at."""

    text: str
    places: Sequence[int] | None
    """Where each of its characters, and its end, stands in the text as written; None where it is the same place."""

    def back(self, span: Span) -> Span:
        """A span of the matching form in the text as written, with what stands unseen within it."""
        if self.places is None:
            return span
        return Span(self.places[span.start], self.places[span.end - 1] + 1, span.kind)


def matching(text: str) -> list[Matching]:
    """The forms in which a text is looked at; one, unless it holds what nobody sees. Takes linear time.

    What nobody sees may stand within a number or between it and a word, so it is left out of the first form, and a
    boundary in the second. A text in plain ASCII is its own form.
    """
    if text.isascii():
        return [Matching(text, None)]
    folded = text.translate(_table())
    if not _INVISIBLE.intersection(folded):
        return [Matching(folded, None)]
    places = [place for place, char in enumerate(folded) if char not in _INVISIBLE]
    without = "".join(folded[place] for place in places)
    return [Matching(without, [*places, len(text)]), Matching(folded, None)]


@functools.cache
def _table() -> dict[int, str]:
    """One character for one: wide forms, blanks, dashes, curly quotes, and the digits of every script."""
    wide = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    digits = {
        code: str(unicodedata.decimal(char))
        for code in range(0x80, sys.maxunicode + 1)
        if (char := chr(code)).isdecimal()
    }
    one = {ord(char): " " for char in _BLANKS} | {ord(char): "-" for char in _DASHES}
    return wide | digits | one | {ord(char): plain for char, plain in _QUOTES.items()}
