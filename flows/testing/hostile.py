"""Texts that are slow to read for code that had none of them in mind, and what of ours reads texts of strangers.

`FAMILIES` are pieces to be repeated; `FUNCTIONS` read one text each. A reader takes time in proportion to its text.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from flows.cluster.catalogue.terms import Said, readable, terms
from flows.cluster.outcomes.rules import REFUSAL
from flows.cluster.placement import texts
from flows.curate.bands import gram_sets, word_sets
from flows.curate.dedup import similarity, stars
from flows.curate.leaks import texts_of
from flows.curate.wording import plain, same_wording
from flows.evaluate.scorers.numbers import last_number
from flows.evaluate.scorers.text import f1
from flows.redact.redact import Redactor
from flows.redact.signature import unsigned
from flows.visible import json_line, one_line, visible
from schemas.events import to_json
from schemas.messages import read
from schemas.normalise import normalise, words
from schemas.records import Example
from schemas.settings import CurateSettings
from streams.lake.spellings import Names

FAMILIES = (
    "a-", "eyJ-", "eyJaaaaaaaa.", "1 ", "a.", "key-", "api-key-", "Aa ", "1:", "@a.", "12 Aa ", "a@b.org ", "\nBest",
    "\n", "-----BEGIN PRIVATE KEY-----", "a://b:", "0x", "password: ", "token token", "1.1.", "::1:", "calle a",
    "1 rue ", "\u0300\u0316", "\u200b1", "４", "密1", "_1", "%", "'", "born 1 ", "{", '"a":', "driving licence A1-",
    "*a", "a<", "<a_", "3.", "½", "²", "中", "ก้", "👍", "\ue000", " %", "ﷺ", "a\u0301", "\\u00e9", '\\"', "\\", '"',
    "Aa", "aé", " ", "\t", "thanks\n", "\x1b[2J", "&lt;",
)  # fmt: skip
"""Each was slow in some reader of ours, or in one that we know of."""
_REDACTOR = Redactor(CurateSettings().regions, {})
_NAMES = Names(["ann", "somebody@example.org"])


def _chat(text: str) -> str:
    return to_json([{"role": "user", "content": text}])


def _example(text: str) -> Example:
    return Example(interaction_id="i", unit="u", prompt=_chat(text), answer=_chat(text), text=text, origin="accepted")


FUNCTIONS: Mapping[str, Callable[[str], Any]] = {
    "normalise": normalise,
    "words": words,
    "spellings": lambda text: _NAMES.stand_in(text.encode()),
    "messages": lambda text: read(_chat(text)),
    "redact": lambda text: _REDACTOR.texts([text]),
    "redact nested": lambda text: _REDACTOR.example(_example(to_json({"a": [text, {text[:99]: text}]}))),
    "signature": unsigned,
    "names of clusters": lambda text: terms([[Said("a", text)], [Said("b", readable(text, _REDACTOR))]], _REDACTOR, 1),
    "texts of clusters": lambda text: texts.distinct([text, text + "x"]),
    "refusals": REFUSAL.match,
    "grams": lambda text: (gram_sets([text]), word_sets([text])),
    "leaks": lambda text: texts_of(_example(text)),
    "duplicates": lambda text: stars([normalise(text), normalise(text[:-9]), normalise(text[9:])], 0.85),
    "similarity": lambda text: similarity(text, text[1:], 0.85),
    "wording": lambda text: same_wording(plain(text), plain(text[9:]), Counter()),
    "number": last_number,
    "f1": lambda text: f1(text, text[9:]),
    "terminal": lambda text: (visible(text), one_line(text), json_line(to_json(text))),
}
"""What reads a text of a stranger, by what it is for."""


def of(piece: str, size: int) -> str:
    """A text of about so many characters, of one family."""
    return piece * (size // len(piece))


def seconds(read_text: Callable[[str], Any], text: str) -> float:
    """CPU seconds that a reader takes for a text."""
    began = time.process_time()
    read_text(text)
    return time.process_time() - began
