"""Escapes strangers' text for Markdown: on one line, made visible, marking up nothing.

Model names, slices and excerpts of answers end up in terminals, the Prefect UI and pull requests: the reports of
evaluate and promote pass them through here.
"""

from __future__ import annotations

import re

from flows.visible import one_line

_WRAP = re.compile(r"(?<=[^\n|:>])\n(?=[A-Za-z`*\[(])")
"""A new line inside a paragraph: nothing else begins with a letter, emphasis, code, a link or a bracket."""
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~])")


def unwrapped(page: str) -> str:
    """A page with each paragraph on one line: Prefect's UI breaks the line wherever the source does."""
    return _WRAP.sub(" ", page)


def text(value: str) -> str:
    """As running text: every character that could mark something up is escaped."""
    return _MARKUP.sub(r"\\\1", one_line(value))


def code(value: str) -> str:
    """As what stands between backticks, also in a table."""
    return one_line(value).replace("`", "'").replace("|", "/")
