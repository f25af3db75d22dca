r"""Makes text of strangers harmless: control characters, escape sequences and overrides of direction are written out.

Messages, cluster names, model names and reasons come from whoever can send an event, and end up in terminals, JSON and
Markdown. This is the one place that says what may pass. Go on to `terminal.py` and `markdown.py`.
"""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
"""Persian, the Indic scripts and families of emoji are written with them; they do nothing else."""


def visible(text: str) -> str:
    r"""The text with all that a terminal would obey written out: ESC as `\x1b`, a right-to-left override as `\u202e`.

    New lines and tabs stay, and so does every character that merely looks like something. Takes linear time.
    """
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str) -> str:
    """`visible`, with every run of white space as one blank: a message cannot pretend to be the next line."""
    return visible(" ".join(text.split()))


def json_line(text: str) -> str:
    r"""JSON with the same characters written as `\uXXXX`: programs read the same value, and a terminal obeys nothing.

    JSON itself escapes only the first 32 control characters, not the others, nor overrides of the reading direction.
    """
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else _json_escape(char) for char in text)


def _harmless(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or char in JOINERS or unicodedata.category(char) == "Zs"


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
