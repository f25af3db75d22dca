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

VERSION = 2
"""1 was NFKC, case folded, without punctuation."""
LONGEST_RUN = 30
"""Combining marks on one character that are kept (UAX #15, stream-safe text): sorting a longer run takes its square."""
_SIGNS = ".,:-*/^%#+<>="
_MARKS = {sign: chr(0xE000 + place) for place, sign in enumerate(_SIGNS)}
_UNMARK = {ord(mark): sign for sign, mark in _MARKS.items()}
_WRITTEN_SIGNS = str.maketrans("−‐‑–⁄∕∗：，", "----//*:,")
_GLUED = (
    *(rf"{sign}(?<=\d{sign})(?=\d)" for sign in (r"\.", ",", ":")),  # 3.5, 1,000, 10:30
    r"%(?<=\d%)|%(?<=\d %)",
    r"\#(?<=[^\W\d_]\#)(?![^\W_])",  # C#
    r"\+(?<=[^\W_]\+)\+?(?!\+?[^\W_])",  # C++, 18+
    r"-(?<![^\W_]-)(?<!\d -)(?=\d)",  # -5, not covid-19
)
_PARTED = (
    r"-(?<=\d-)(?=\d)|-(?<=[^\W_] -)(?= \d)|-(?<=\d -)(?=\d)",
    r"/(?<=\d/)(?=\d)|/(?<=\d /)(?= \d)",
    *(rf"{sign}(?<=[^\W_]{sign})(?=[^\W_])|{sign}(?<=[^\W_] {sign})(?= [^\W_])" for sign in (r"\*", r"\+", r"\^")),
    *(
        rf"{sign}(?<=[^\W_]{sign})=?(?=[^\W_]|[-.]\d)|{sign}(?<=[^\W_] {sign})=?(?= (?:[^\W_]|[-.]\d))"
        for sign in ("<", ">", "=")
    ),
)
_CONTEXT = re.compile(
    r"(?P<placeholder><(?=[a-z_]{2,32}_\d{1,6}>))"  # of redaction: a word
    rf"|(?P<glued>{'|'.join(_GLUED)})|(?P<parted>{'|'.join(_PARTED)})|(?P<mark>[\ue000-\ue01f])"
)
"""Signs that carry meaning, by what stands beside them: glued to their number or word, or parted from both sides."""
_MAY_BE_SIGN = re.compile(r"[-.,:*/^%#+<>=\ue000-\ue01f]")
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
    marked = _CONTEXT.sub(_mark, low) if _MAY_BE_SIGN.search(low) else low
    return " ".join(marked.translate(_table()).split()).translate(_UNMARK).replace(" %", "%")


def _folded(text: str) -> str:
    """NFKC with case folded, but for powers and fractions, which it would turn into other numbers."""
    bounded = _long_runs().sub(lambda run: run[0][:LONGEST_RUN], text)
    form = unicodedata.normalize("NFKC", bounded.translate(_powers()).translate(_WRITTEN_SIGNS))
    return unicodedata.normalize("NFKC", form.casefold()).translate(_WRITTEN_SIGNS)


def _mark(match: re.Match[str]) -> str:
    sign = "".join(_MARKS[char] for char in match[0] if char in _MARKS)
    if match.lastgroup == "glued":
        return sign
    return f" {sign} " if match.lastgroup == "parted" else " "


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
    """What each character becomes, looked up once: itself, nothing, or a blank."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _becomes(chr(code))
        return found


def _becomes(char: str) -> str:
    kind = unicodedata.category(char)
    if ord(char) in _UNMARK:
        return char
    if kind == "Cf" or "\ufe00" <= char <= "\ufe0f":  # nobody sees them
        return ""
    if kind == "So" or "\U0001f3fb" <= char <= "\U0001f3ff":  # each emoji, and the colour of its skin
        return f" {char} "
    return char if kind[0] in "LMN" or (kind in {"Sc", "Sm"} and char not in "+<>=|~") else " "


@functools.cache
def _table() -> _Table:
    return _Table()


@functools.cache
def _powers() -> dict[int, str]:
    """Powers and fractions as they are typed: `x²` is `x^2`, `3½` is `3 1/2`."""
    powers = {}
    for code in range(0x80, 0x2200):
        form, _, parts = unicodedata.decomposition(chr(code)).partition(" ")
        letters = "".join(chr(int(part, 16)) for part in parts.split()) if parts else ""
        if form == "<super>" and letters.isdigit():
            powers[code] = f"^{letters}"
        elif form == "<fraction>":
            powers[code] = f" {letters.replace('⁄', '/')}"
    return powers


@functools.cache
def _long_runs() -> re.Pattern[str]:
    marks = [code for code in range(0x300, sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    edges = (
        [code for code in marks if code - 1 not in set(marks)],
        [code for code in marks if code + 1 not in set(marks)],
    )
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(*edges, strict=True))
    return re.compile(f"[{ranges}]{{{LONGEST_RUN + 1},}}")
