"""Escapes strangers' text for Markdown: on one line, made visible, marking up nothing.

Model names, slices and excerpts of answers end up in terminals, the Prefect UI and pull requests: the reports of
evaluate and promote pass them through here.
"""

from __future__ import annotations

import re

from flows.visible import one_line

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~])")


def text(value: str) -> str:
    """As running text: every character that could mark something up is escaped."""
    return _MARKUP.sub(r"\\\1", one_line(value))


def code(value: str) -> str:
    """As what stands between backticks, also in a table."""
    return one_line(value).replace("`", "'").replace("|", "/")
