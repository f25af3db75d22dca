"""The same linear classifier for the action, and rules for the arguments that somebody wrote by hand.

They are what an engineer writes in an hour who has read the traffic: signs, words and codes of currencies, numbers in
words, thousands, dates in five forms, names with or without capitals, and which argument stands behind which
preposition. No row teaches them, and no row mends them: what they know of the language is their writer's. Their figure
stands beside the model's, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .classifier import action_classifier
from .task import CURRENCIES, DAYS, LONG_MONTHS, MONTHS, ONES, POTS, TENS, parts

_WORDS = "|".join(sorted((*ONES, *TENS[2:], "hundred", "and"), key=len, reverse=True))
_IN_WORDS = rf"(?:(?:{_WORDS})[ -]?)+"
_UNITS = {said.lower(): code for code, words in CURRENCIES.items() for said in words}
_UNIT = "|".join(re.escape(said) for said in sorted(_UNITS, key=len, reverse=True))
_DIGITS = r"\d[\d,]*(?:\.\d+)?k?"
_SUM = re.compile(rf"([€£$])\s?({_DIGITS})|({_DIGITS}|\b{_IN_WORDS})\s?({_UNIT})\b")
_MONTH = "|".join((*map(str.lower, LONG_MONTHS), *MONTHS))
_NTH = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATE = re.compile(
    rf"\b(?:(?:the )?{_NTH}(?: of)? ({_MONTH})\b|({_MONTH}) {_NTH}\b|(tomorrow|tmrw)"
    r"|(mon|tue|wed|thu|fri|sat|sun)\w*\b)"
)
_ORDER = re.compile(r"\b([a-z])-?(\d{4})\b")
_NUMBER = re.compile(r"(?<![\d,€£$])(?<!\d\.)(\d{4})(?![\d,.]*\d)")
_POT = re.compile(rf"\b({'|'.join(POTS)})\b")
_FROM = re.compile(rf"(?:from|out of|of|use|take it from)(?: my)? ({'|'.join(POTS)})\b")
_LEFT = re.compile(r"(?:instead of|now it is|was set for)\W+(?:next |the )?$")
_CAPITAL = re.compile(r"\b[A-Z][a-z]+\b")
_BEHIND = re.compile(
    r"\b(?:to|for|with|between|among|from|and|remind|ask|tell|pay|wire|send|nudge|let|lent|owe) ([a-z]+)\b"
)


class Rules:
    """Fitted on rows, as far as the action and known names go; answers with a call."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        texts, calls = zip(*rows, strict=True)
        self._actions = action_classifier()
        self._actions.fit(texts, [parts(call)[0] for call in calls])
        self._names = {part for call in calls for part in parts(call)[1:] if re.fullmatch(r"[A-Z][a-z]+", part)}
        """Names that it has learned."""

    def answer(self, texts: Sequence[str]) -> list[str]:
        """The call of each text."""
        actions = self._actions.predict(list(texts))
        return [
            f"{action}({', '.join(self._arguments(action, text))})" for action, text in zip(actions, texts, strict=True)
        ]

    def _arguments(self, action: str, text: str) -> list[str]:  # noqa: PLR0911 an action a branch
        low = text.lower()
        sums, dates = _sums(low), _dates(low)
        amount = [sums[-1] if action == "send" and sums else sums[0] if sums else "?"]
        names, when = self._people(text), dates[0][1] if dates else "today"
        if action in {"send", "remind"}:
            return [*(names[:1] or ["?"]), *amount, when]
        if action == "split":
            return [*amount, *(names[:2] or ["?"])]
        if action == "move":
            return [*_pots(low), *amount]
        if action == "refund":
            order = _ORDER.search(low)
            return [f"{order[1].upper()}{order[2]}" if order else "?", *amount]
        number = _NUMBER.search(low)
        if action == "limit":
            return [number[1] if number else "?", sums[-1] if sums else "?"]
        if action == "shift":
            return [number[1] if number else "?", *_old_and_new(low, dates)]
        units = re.findall(rf"(?:{_UNIT})", low)
        other = [_UNITS[unit] for unit in units if not amount[0].endswith(_UNITS[unit])]
        return [*amount, *(other[:1] or ["?"])]

    def _people(self, text: str) -> list[str]:
        known = [word.capitalize() for word in re.findall(r"[A-Za-z]+", text) if word.capitalize() in self._names]
        capitals = [word for word in _CAPITAL.findall(text)[1:] if word.lower()[:3] not in {day[:3] for day in DAYS}]
        capitals = [word for word in capitals if word.lower() not in _MONTH.split("|") and word != "I"]
        none = {*POTS, *ONES, *TENS, "my", "the", "me", "give", "receive", "pay"}
        behind = [word.capitalize() for word in _BEHIND.findall(text.lower()) if word not in none]
        return known or capitals or behind


def _sums(low: str) -> list[str]:
    found = []
    for sign, digits, said, unit in _SUM.findall(low):
        value = _value(digits or said)
        if value:
            found.append(f"{value} {_UNITS[sign or unit]}")
    return found


def _value(said: str) -> str:
    """`1.5k`, `1,500`, `forty-two` as digits."""
    if said[0].isdigit():
        number = float(said.rstrip("k").replace(",", "")) * (1000 if said.endswith("k") else 1)
        return str(int(number)) if said.endswith("k") or "." not in said else said
    total = 0
    for word in re.findall(r"[a-z]+", said):
        if word == "hundred":
            total *= 100
        elif word != "and":
            total += ONES.index(word) if word in ONES else 10 * TENS.index(word)
    return str(total) if total else ""


def _dates(low: str) -> list[tuple[int, str]]:
    """Where each date stands, and what it is."""
    found = []
    for match in _DATE.finditer(low):
        day, month, month_first, day_behind, tomorrow, weekday = match.groups()
        if weekday:
            said = next(name for name in DAYS if name.startswith(weekday))
        else:
            said = "tomorrow" if tomorrow else f"{int(day or day_behind)} {(month or month_first)[:3]}"
        found.append((match.start(), said))
    return found


def _old_and_new(low: str, dates: list[tuple[int, str]]) -> list[str]:
    """Which date a payment leaves: the second one where the words before it say so, else the first."""
    said = [date for _, date in dates[:2]]
    if len(said) < 2:
        return [*said, "?"]
    return said[::-1] if _LEFT.search(low[: dates[1][0]]) else said


def _pots(low: str) -> list[str]:
    """Source and target: the source stands behind a word that says so, else it is named first."""
    named = list(dict.fromkeys(_POT.findall(low)))
    if len(named) < 2:
        return [*named, "?"]
    source = _FROM.search(low)
    if source:
        return [source[1], next(name for name in named if name != source[1])]
    return named[:2]
