"""Words of strangers in our Markdown: on one line, without control characters, and marking up nothing.

Model names, slices and excerpts of answers end up in terminals, the Prefect UI and pull requests: the reports of
evaluate and promote pass them through here.
"""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~])")


def text(value: str) -> str:
    """As running text: every character that could mark something up is escaped."""
    return _MARKUP.sub(r"\\\1", plain(value))


def code(value: str) -> str:
    """As what stands between backticks, also in a table."""
    return plain(value).replace("`", "'").replace("|", "/")


def plain(value: str) -> str:
    """On one line and without control characters: a terminal obeys them."""
    return " ".join("".join(char if char.isprintable() else " " for char in value).split())
