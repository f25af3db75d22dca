"""What a person changed where they corrected an answer: the kind of edit, by counts of words. Go on to `modes.py`.

Linear in both texts: words are counted, never aligned, so that a long answer costs no more than reading it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

LONGEST = 20_000
"""Characters of either text that are looked at."""
WORD = re.compile(r"[^\W_]+(?:[.,:/'’-][^\W_]+)*")
DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(?::\d{2})?|\d{1,2}(?:st|nd|rd|th|am|pm)", re.IGNORECASE
)
"""A word that is a date or a time."""
CALENDAR = frozenset({
    "january", "february", "march", "april", "june", "july", "august", "september", "october", "november",
    "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "tomorrow",
    "yesterday", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
})  # fmt: skip
"""English names of months and days: `may` is left out, since it mostly is a verb. Numbers beside them are of dates."""
KEPT = 0.9
"""Of one text's words, so many in the other: nothing but more, or less, was said."""
SHORTER = 0.75
"""Times the other's words."""
REWRITTEN = 0.5
"""Less than this share of words in both (Dice 1945): another answer, not another wording of the same."""


STRAY = 2
"""Other words that may have changed beside a value: whoever mends a number often drops a word, too."""


def edit_of(answer: str, calls: Any, correction: str) -> str:
    """The kind of an edit, a key of `EDITS`; `calls` are those that the answer made, in chat form."""
    answer, correction = answer[:LONGEST], correction[:LONGEST]
    if calls:
        return _of_calls(calls, correction)
    before, after = WORD.findall(answer), WORD.findall(correction)
    was, now = (Counter(word.casefold() for word in text) for text in (before, after))
    if was == now:
        return "same" if answer == correction else "format"
    both = (was & now).total()
    if changed := _of_values(was - now, now - was, answer, before, correction, after):
        return changed
    if _kept(both, after, before):
        return "shortened"
    if _kept(both, before, after):
        return "extended"
    return "reworded" if 2 * both >= REWRITTEN * (len(before) + len(after)) else "rewritten"


def _kept(both: int, part: list[str], whole: list[str]) -> bool:
    """Whether a text is a part of another."""
    return bool(part) and len(part) <= SHORTER * len(whole) and both >= KEPT * len(part)


EDITS = {
    "same": "corrected to the same", "format": "corrected: the format", "number": "corrected: a number",
    "date": "corrected: a date or time", "name": "corrected: a name", "shortened": "corrected: shortened",
    "extended": "corrected: something was missing", "reworded": "corrected: some words",
    "rewritten": "corrected: another answer", "arguments": "corrected: a call's arguments",
    "tool": "corrected: another tool",
}  # fmt: skip
"""Every kind of edit, and what a person reads."""


def _of_values(
    gone: Counter[str], came: Counter[str], answer: str, before: list[str], correction: str, after: list[str]
) -> str:
    """date, number or name, where a value of that kind was exchanged and hardly anything else; else empty."""
    if not gone or not came:
        return ""
    kinds: Counter[str] = Counter()
    for words, text, listed in ((gone, answer, before), (came, correction, after)):
        dated, names = _beside(listed), _names(text)  # once a text, not once a word
        kinds.update(_kind(word, dated, names) for word in words)
    values = {kind for kind in ("date", "number", "name") if kinds[kind] > 1}  # one gone, one come
    if not values or kinds["word"] > STRAY:
        return ""
    return next(kind for kind in ("date", "number", "name") if kind in values)


def _kind(word: str, dated: frozenset[str], names: frozenset[str]) -> str:
    if DATE.fullmatch(word) or word in CALENDAR or (word in dated and word.isdigit()):
        return "date"
    if any(character.isdigit() for character in word):
        return "number"
    return "name" if word in names else "word"


def _beside(text: list[str]) -> frozenset[str]:
    """Words beside a month or a day."""
    low = [word.casefold() for word in text]
    return frozenset(
        word
        for at, word in enumerate(low)
        if word.isdigit() and {*low[max(at - 1, 0) : at], *low[at + 1 : at + 2]} & CALENDAR
    )


def _names(text: str) -> frozenset[str]:
    """Words that are written with a capital, within a sentence."""
    found = set()
    for match in WORD.finditer(text):
        before = text[max(match.start() - 3, 0) : match.start()].rstrip()
        if match[0][0].isupper() and before and before[-1] not in ".!?:\n":
            found.add(match[0].casefold())
    return frozenset(found)


def _of_calls(calls: Any, correction: str) -> str:
    """Of an answer that called tools: by the JSON of the correction where it is some, else it is another answer."""
    made = {str(call.get("function", {}).get("name")) for call in calls}
    try:
        told = msgspec.json.decode(correction)
    except (msgspec.DecodeError, RecursionError):
        return "rewritten"
    listed = [one for one in (told if isinstance(told, list) else [told]) if isinstance(one, Mapping)]
    if not listed:  # a number, or a list of words: no call
        return "rewritten"
    names = {str(name) for one in listed if (name := _name(one)) is not None}
    return "arguments" if not names or names == made else "tool"


def _name(call: Mapping[str, Any]) -> Any:
    function = call.get("function")
    inner = function.get("name") if isinstance(function, Mapping) else function
    return call.get("name") or inner
