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

VERSION = 4
"""1 was NFKC, case folded, without punctuation; 2 read `3, -3` otherwise when it was read again; 3 `A#` before a soft
hyphen."""
LONGEST_RUN = 30
"""Combining marks on one character that are kept (UAX #15, stream-safe text): sorting a longer run takes its square."""
_SIGNS = ".,:-*/^%#+<>="
_MARKS = {sign: chr(0x0E + place) for place, sign in enumerate(_SIGNS)}
"""Control characters that are no blanks: with them English stays ASCII, which Python reads several times as fast."""
_UNMARK = {ord(mark): sign for sign, mark in _MARKS.items()}
_WRITTEN_SIGNS = str.maketrans("−‐‑–⁄∕∗：，", "----//*:,")
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
    r"[-.,:*/^%#+<>=\x0e-\x1a](?:"  # which a text is searched for at a third of the cost of what follows
    r"(?P<placeholder>(?<=<)(?=[a-z_]{2,32}_\d{1,6}>))"  # of redaction: a word
    rf"|(?P<glued>{'|'.join(_GLUED)})|(?P<parted>{'|'.join(_PARTED)})|(?P<mark>(?<=[\x0e-\x1a])))"
)
"""Signs that carry meaning, by what stands beside them: glued to their number or word, or parted from both sides."""
_FORMATS = (range(0x80, 0x1E000), range(0xE0000, 0xE0080))
"""Where Unicode has format characters (category Cf)."""
_FAR = re.compile("[\U00011000-\U0001dfff\U000e0000-\U000e0fff]")
"""Where one of those may be that lie far: a class that held them too would be read four times as slowly."""
_QUOTES = "’‘“”"
"""Become nothing, as the typed one does: of English they are often all that is not ASCII."""
_AFTER_NUMBER = re.compile(r"(?<=\d) -(?=\d)")
"""A minus behind a number, which may have lost a comma or a second sign from between them: it takes away."""
_MAY_BE_SIGN = re.compile(r"[-.,:/](?= ?\d)|[*^%#+<>=\x0e-\x1a]")
"""Whether there can be any: not in most texts, whose stops end sentences."""
_LONG_RUN = re.compile(f"[\u0300-\U0010ffff][\u0300-\U0010ffff]{{{LONGEST_RUN}}}")
"""Where there may be too many combining marks: seldom where words are parted by blanks."""
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
    if not low.isascii():
        for quote in _QUOTES:
            low = low.replace(quote, "'")
    if not _MAY_BE_SIGN.search(low):
        return " ".join(low.translate(_table()).split())
    marked = _CONTEXT.sub(_mark, low)
    plain = " ".join(marked.translate(_table()).split()).translate(_UNMARK).replace(" %", "%")
    return _AFTER_NUMBER.sub(" - ", plain) if " -" in plain else plain


def bounded(text: str) -> str:
    """The text with at most LONGEST_RUN combining marks on one character: what may be normalised in linear time."""
    if text.isascii() or not _LONG_RUN.search(text):
        return text
    return _long_runs().sub(lambda run: run[0][:LONGEST_RUN], text)


def _folded(text: str) -> str:
    """NFKC with case folded, but for powers and fractions, which it would turn into other numbers."""
    form = unicodedata.normalize("NFKC", bounded(_typed(text)))
    return _typed(unicodedata.normalize("NFKC", form.casefold()))


def _typed(text: str) -> str:
    """Powers, fractions and signs as they are typed, without what nobody sees: signs are read by their neighbours."""
    table, any_of_it = _keys()
    return text.translate(table) if any_of_it.search(text) or _FAR.search(text) else text


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
    if kind == "So" or "\U0001f3fb" <= char <= "\U0001f3ff":  # each emoji, and the colour of its skin
        return f" {char} "
    return char if kind[0] in "LMN" or (kind in {"Sc", "Sm"} and char not in "+<>=|~") else " "


@functools.cache
def _table() -> _Table:
    return _Table()


@functools.cache
def _keys() -> tuple[dict[int, str | int], re.Pattern[str]]:
    """Powers, fractions and signs as they are typed: `x²` is `x^2`, `3½` is `3 1/2`; and what finds any of them.

    Format characters and variation selectors, which nobody sees, become nothing.
    """
    unseen = (code for planes in _FORMATS for code in planes if unicodedata.category(chr(code)) == "Cf")
    keys: dict[int, str | int] = {**_WRITTEN_SIGNS, **dict.fromkeys((*unseen, *range(0xFE00, 0xFE10)), "")}
    for code in range(0x80, 0x2200):
        form, _, parts = unicodedata.decomposition(chr(code)).partition(" ")
        letters = "".join(chr(int(part, 16)) for part in parts.split()) if parts else ""
        if form == "<super>" and letters.isdigit():
            keys[code] = f"^{letters}"
        elif form == "<fraction>":
            keys[code] = f" {letters.replace('⁄', '/')}"
    return keys, re.compile(f"[{''.join(chr(code) for code in keys if code < 0x10000)}]")


@functools.cache
def _long_runs() -> re.Pattern[str]:
    marks = [code for code in range(0x300, sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    edges = (
        [code for code in marks if code - 1 not in set(marks)],
        [code for code in marks if code + 1 not in set(marks)],
    )
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(*edges, strict=True))
    return re.compile(f"[{ranges}]{{{LONGEST_RUN + 1},}}")
