"""The one normaliser of text: what two texts are compared by in matching, de-duplication, names and scores.

Case, runs of space, punctuation and compatibility forms go. What carries meaning stays: combining marks (the vowels of
Hindi, Thai and Tamil), emoji, currencies, and the signs of numbers and formulas where they are signs (`-5`, `3 - 4`,
`x < 5`, `C#`, `5%`, `3.5`), but not where they are punctuation (`covid-19`, `**bold**`, `# Title`). Pure, and linear in
the length of the text whatever it holds. Bump VERSION with any change: it stands in the manifest of a dataset.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Iterable

VERSION = 4
"""1 was NFKC, case folded, without punctuation; 2 read `3, -3` otherwise when it was read again; 3 `A#` before a soft
hyphen."""
LONGEST_RUN = 30
"""Combining marks on one character that are kept (UAX #15, stream-safe text): sorting a longer run takes its square."""
_SIGNS = ".,:-*/^%#+<>="
_MARKS = {sign: chr(0x0E + place) for place, sign in enumerate(_SIGNS)}
"""Control characters that are no blanks: with them English stays ASCII, which Python reads several times as fast."""
_SIGN_OF = {mark: sign for sign, mark in _MARKS.items()}
_WRITTEN_SIGNS = {**dict(zip("−‐‑–⁄∕∗：，！？；（）", "----//*:,!?;()", strict=True)), "…": "..."}
_GLUED = (
    *(rf"(?<=\d{sign})(?=\d)" for sign in (r"\.", ",", ":")),  # 3.5, 1,000, 10:30
    r"(?<=\d%)|(?<=\d %)",
    r"(?<=[^\W\d_]\#)(?![^\W_])",  # C#
    r"(?<=[^\W_]\+)\+?(?!\+?[^\W_])",  # C++, 18+
    r"(?<=-)(?<![^\W_]-)(?<!\d -)(?=\d)",  # -5, not covid-19
)
_PARTED = (
    r"(?<=\d-)(?=\d)|(?<=[^\W_] -)(?= \d)|(?<=\d -)(?=\d)",
    r"(?<=\d/)(?=\d)|(?<=\d /)(?= \d)",
    *(rf"(?<=[^\W_]{sign})(?=[^\W_])|(?<=[^\W_] {sign})(?= [^\W_])" for sign in (r"\*", r"\+", r"\^")),
    *(rf"(?<=[^\W_]{sign})=?(?=[^\W_]|[-.]\d)|(?<=[^\W_] {sign})=?(?= (?:[^\W_]|[-.]\d))" for sign in ("<", ">", "=")),
)
_CONTEXT = re.compile(
    r"[-.,:*/^%#+<>=\x0e-\x1a]"  # which a text is searched for at a tenth of the cost of what follows,
    r"(?:(?<=[*^%#+<>=\x0e-\x1a])|(?= ?\d))(?:"  # and most stops end sentences
    r"(?P<placeholder>(?<=<)(?=[a-z_]{2,32}_\d{1,6}>))"  # of redaction: a word
    rf"|(?P<glued>{'|'.join(_GLUED)})|(?P<parted>{'|'.join(_PARTED)})|(?P<mark>(?<=[\x0e-\x1a])))"
)
"""Signs that carry meaning, by what stands beside them: glued to their number or word, or parted from both sides."""
_FORMATS = (range(0x80, 0x1E000), range(0xE0000, 0xE0080))
"""Where Unicode has format characters (category Cf)."""
_FAR = "\U00010000-\U0001efff\U0001fb00-\U0010ffff"
"""Where one of those, or a combining mark, may be that lies far: a class that named each would be read several times as
slowly. Emoji are none."""
_ABOVE = "\U00010000-\U0010ffff"
"""All that lies far."""
_AFTER_NUMBER = re.compile(r"(?<=\d) -(?=\d)")
"""A minus behind a number, which may have lost a comma or a second sign from between them: it takes away."""
_NO_BLANKS = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, kana and Han: written without blanks between words."""


def normalise(text: str) -> str:
    """The form in which equal texts are one text; punctuation alone stays as it is rather than become nothing."""
    low = _lower(text)
    return _plain(low) or " ".join(low.split())


def has_blanks(text: str) -> bool:
    """Whether its scripts part words by blanks: else a character is what a word is elsewhere."""
    return _NO_BLANKS.search(text) is None


def words(text: str) -> list[str]:
    """The words of a text's normal form; in scripts without blanks each character with its marks is a word.

    None where nothing but punctuation is said.
    """
    found: list[str] = []
    for word in _plain(_lower(text)).split():
        found += [word] if has_blanks(word) else _characters(word)
    return found


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else _folded(text)


def _plain(low: str) -> str:
    if not _CONTEXT.search(low):
        return " ".join(_parted(low).split())
    plain = " ".join(_parted(_CONTEXT.sub(_mark, low)).split()).replace(" %", "%")
    return _AFTER_NUMBER.sub(" - ", plain) if " -" in plain else plain


def _parted(low: str) -> str:
    """Each character as `_becomes` has it."""
    if low.isascii():
        return low.translate(_table())
    blank, odd = _classes()
    low = blank.sub(" ", low)
    if not odd.search(low):
        return low
    table = _table()
    return odd.sub(lambda match: table[ord(match[0])], low)


def bounded(text: str) -> str:
    """The text with at most LONGEST_RUN combining marks on one character: what may be normalised in linear time."""
    if text.isascii() or not _may_be_long().search(text):
        return text
    return _long_runs().sub(lambda run: run[0][:LONGEST_RUN], text)


def _folded(text: str) -> str:
    """NFKC with case folded, but for powers and fractions, which it would turn into other numbers."""
    typed = bounded(_typed(text)) if _unusual().search(text) else text
    form = unicodedata.normalize("NFKC", typed)
    folded = form.casefold()
    if folded != form:  # most scripts have no case
        folded = unicodedata.normalize("NFKC", folded)
    return folded if form == typed else _typed(folded)  # compatibility forms alone become signs to be typed


def _typed(text: str) -> str:
    """Powers, fractions and signs as they are typed, without what nobody sees: signs are read by their neighbours."""
    keys, any_of_it = _keys()
    return any_of_it.sub(lambda match: keys.get(match[0], match[0]), text)


def _mark(match: re.Match[str]) -> str:
    return _marked(match[0], match.lastgroup)


@functools.cache
def _marked(found: str, how: str | None) -> str:
    sign = "".join(_MARKS[char] for char in found if char in _MARKS)
    if how == "glued":
        return sign
    return f" {sign} " if how == "parted" else " "


def _characters(word: str) -> list[str]:
    """Its characters of scripts without blanks one by one, each with the marks on it; runs of others whole."""
    parts: list[str] = []
    run_on = False
    for char in word:
        alone = _NO_BLANKS.match(char) is not None
        if unicodedata.category(char)[0] == "M" and parts:
            parts[-1] += char
        elif alone or not run_on:
            parts.append(char)
        else:
            parts[-1] += char
        run_on = not alone if unicodedata.category(char)[0] != "M" else run_on
    return parts


class _Table(dict[int, str]):
    """What each character becomes, looked up once: itself, a blank, a sign that was marked."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _becomes(chr(code))
        return found


def _becomes(char: str) -> str:
    kind = unicodedata.category(char)
    if char in _SIGN_OF:
        return _SIGN_OF[char]
    if kind == "So" or "\U0001f3fb" <= char <= "\U0001f3ff":  # each emoji, and the colour of its skin
        return f" {char} "
    return char if kind[0] in "LMN" or (kind in {"Sc", "Sm"} and char not in "+<>=|~") else " "


@functools.cache
def _table() -> _Table:
    return _Table()


@functools.cache
def _keys() -> tuple[dict[str, str], re.Pattern[str]]:
    """Powers, fractions and signs as they are typed: `x²` is `x^2`, `3½` is `3 1/2`; and what finds any of them.

    Format characters and variation selectors, which nobody sees, become nothing.
    """
    unseen = (code for planes in _FORMATS for code in planes if unicodedata.category(chr(code)) == "Cf")
    keys = _WRITTEN_SIGNS | dict.fromkeys(map(chr, (*unseen, *range(0xFE00, 0xFE10))), "")
    for code in range(0x80, 0x2200):
        form, _, parts = unicodedata.decomposition(chr(code)).partition(" ")
        letters = "".join(chr(int(part, 16)) for part in parts.split()) if parts else ""
        if form == "<super>" and letters.isdigit():
            keys[chr(code)] = f"^{letters}"
        elif form == "<fraction>":
            keys[chr(code)] = f" {letters.replace('⁄', '/')}"
    return keys, re.compile(f"[{_near(map(ord, keys))}{_FAR}]")


@functools.cache
def _classes() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What of text that is not ASCII becomes a blank, and what may become anything else: most have none."""
    signs = (char for char in map(chr, range(0x10000)) if unicodedata.category(char)[0] not in "LMN")
    becomes = {char: found for char in signs if (found := _becomes(char)) != char}
    blanks = (ord(char) for char, found in becomes.items() if found == " ")
    others = (ord(char) for char, found in becomes.items() if found != " ")
    return re.compile(f"[{_near(blanks)}]"), re.compile(f"[{_near(others)}{_ABOVE}]")


@functools.cache
def _unusual() -> re.Pattern[str]:
    """What a text has none of that needs neither to be typed otherwise nor to be bounded."""
    return re.compile(f"[{_near({*map(ord, _keys()[0]), *_marks(0x10000)})}{_FAR}]")


@functools.cache
def _may_be_long() -> re.Pattern[str]:
    near = f"[{_near(_marks(0x10000))}{_FAR}]"
    return re.compile(f"{near}{near}{{{LONGEST_RUN}}}")


@functools.cache
def _long_runs() -> re.Pattern[str]:
    return re.compile(f"[{_ranges(_marks(sys.maxunicode + 1))}]{{{LONGEST_RUN + 1},}}")


def _marks(end: int) -> list[int]:
    return [code for code in range(0x300, end) if unicodedata.combining(chr(code))]


def _near(codes: Iterable[int]) -> str:
    """Those of the characters that are no `_ABOVE`, as a class names them."""
    return _ranges(sorted(code for code in codes if code < 0x10000))


def _ranges(codes: Iterable[int]) -> str:
    """Characters, ascending, as a class names them."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)
