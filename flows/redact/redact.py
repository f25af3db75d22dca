"""Personal data and secrets out of examples before anything else sees them: before dedup, before vectors, before disk.

`a@b.org` becomes `<EMAIL_1>`; the same value is the same placeholder all through one row, so a conversation still makes
sense. JSON is redacted value by value, also where it stands as text within JSON, so it stays JSON. Go on to
`recognisers.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from flows.redact.matching import matching
from flows.redact.patterns import Pattern, Patterns
from flows.redact.protocol import Recogniser, Span
from flows.redact.recognisers import table
from schemas.events import to_json
from schemas.messages import text_of
from schemas.records import Example

DEEP = 4
"""JSON that stands as text within JSON is opened so many times; deeper it is redacted as text."""
KEYED = 64
"""Characters of a value that its key can speak for: `{"phone": "030 901820"}`."""
STEPS = 3_000_000
"""Of one row: a character is a step, and a value VALUE more. A row of a MiB in long texts stays below it."""
VALUE = 50
"""What a value costs beside its length: every pattern is asked whether it may be there."""
PERSON = "name"
"""The kind of placeholder that stands for a participant's name."""
_UNSPACED = re.compile(r"[\s().-]")


class Names:
    """The placeholders of one row: the same value, however spelled, is the same one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def placeholder(self, kind: str, value: str) -> str:
        """What stands for a value."""
        key = (kind, _UNSPACED.sub("", matching(value)[0].text).casefold())
        if key not in self._known:
            self._numbers[kind] += 1
            self._known[key] = f"<{kind.upper()}_{self._numbers[kind]}>"
        return self._known[key]


class TooCostly(Exception):
    """A row has more to look through than STEPS."""


class Redactor:
    """Finds and replaces, and counts by kind. One for a build; each row has its own placeholders."""

    def __init__(self, regions: Sequence[str], extra: Mapping[str, str], own: Sequence[Recogniser] = ()) -> None:
        """`regions`: whose phone numbers are known without a country code. `extra`: kind → pattern of your own."""
        self._own = own
        self._patterns = Patterns(table(regions, extra))
        self.counts: Counter[str] = Counter()
        self._left: int | None = None

    def find(self, text: str) -> list[Span]:
        """Every span, in order; none overlap: the surer recogniser wins, then the longer match. Takes linear time."""
        self._spend(len(text) + VALUE)
        found = [(rank, span) for rank, recogniser in enumerate(self._own) for span in recogniser.find(text)]
        for form in matching(text):
            for rank, pattern in self._patterns.that_may_match(form.text):
                found += [(len(self._own) + rank, form.back(span)) for span in pattern.find(form.text)]
        if not found:
            return []
        taken, spans = bytearray(len(text)), []
        for _, span in sorted(found, key=lambda each: (each[0], each[1].start - each[1].end, each[1].start)):
            if taken.find(1, span.start, span.end) < 0:
                taken[span.start : span.end] = b"\1" * (span.end - span.start)
                spans.append(span)
        return sorted(spans, key=lambda span: span.start)

    def example(self, example: Example) -> Example:
        """The example with every string of its messages and tools redacted. Raises TooCostly beyond STEPS."""
        self._left = STEPS
        try:
            return self._example(example)
        finally:
            self._left = None

    def _example(self, example: Example) -> Example:
        names = Names()
        prompt = self._messages(example.prompt, names)
        return msgspec.structs.replace(
            example,
            prompt=to_json(prompt),
            answer=to_json(self._messages(example.answer, names)) if example.answer else "",
            rejected=to_json(self._messages(example.rejected, names)) if example.rejected else example.rejected,
            tools=to_json(self._value(msgspec.json.decode(example.tools), names)) if example.tools else example.tools,
            text=text_of(prompt, "user"),
        )

    def _spend(self, steps: int) -> None:
        if self._left is not None:
            self._left -= steps
            if self._left < 0:
                raise TooCostly

    def texts(self, texts: Iterable[str]) -> list[str]:
        """Texts of one row, with placeholders in common."""
        names = Names()
        return [self._text(text, names) for text in texts]

    def _messages(self, messages_json: str, names: Names) -> Any:
        """Messages; whoever speaks in them under a name speaks under a placeholder, unless it is a tool's."""
        messages = self._value(msgspec.json.decode(messages_json), names)
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict) and message.get("role") not in {"tool", "function"}:
                name = message.get("name")
                if isinstance(name, str) and name and not _is_placeholder(name):
                    message["name"] = self._named(name, names)
        return messages

    def _named(self, name: str, names: Names) -> str:
        self.counts[PERSON] += 1
        return names.placeholder(PERSON, name)

    def _value(self, value: Any, names: Names, key: str = "", depth: int = 0) -> Any:
        """A JSON value: strings, numbers and keys, whatever they stand under."""
        if isinstance(value, str):
            return self._string(value, names, key, depth)
        if isinstance(value, list):
            return [self._value(item, names, key, depth) for item in value]
        if isinstance(value, dict):
            redacted: dict[str, Any] = {}
            for name, item in value.items():
                redacted[_free(self._text(name, names), redacted)] = self._value(item, names, name, depth)
            return redacted
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value, names, key)
        return value

    def _string(self, value: str, names: Names, key: str, depth: int) -> str:
        if depth < DEEP and value.lstrip()[:1] in {"{", "["} and (inner := _opened(value)) is not None:
            redacted = self._value(inner, names, key, depth + 1)
            return value if redacted == inner else to_json(redacted)
        if spans := self.find(value):
            return self._cut(value, spans, names)
        return self._keyed(value, names, key) or value

    def _number(self, value: float, names: Names, key: str) -> Any:
        """A number that is somebody's as its placeholder, a string: the JSON stays JSON."""
        text = str(value)
        self._spend(1)
        if len(text) < 6:
            return value
        spans = self.find(text)
        if [(span.start, span.end) for span in spans] == [(0, len(text))]:
            return self._cut(text, spans, names)
        return self._keyed(text, names, key) or value

    def _keyed(self, value: str, names: Names, key: str) -> str | None:
        """A short value that only its key gives away, redacted; else None. No name: a key `name` names anything."""
        if not key or not value or len(value) > KEYED or len(key) > KEYED:
            return None
        before = key.replace("_", " ").replace("-", " ") + ": "
        said = matching(before + value)[-1].text
        for _, pattern in sorted(self._patterns.that_may_match(said), key=itemgetter(0)):
            for span in pattern.find(said) if _numbered(pattern) else ():
                if span.start >= len(before):
                    shifted = Span(span.start - len(before), span.end - len(before), span.kind)
                    return self._cut(value, [shifted], names) if shifted.end <= len(value) else None
        return None

    def _text(self, text: str, names: Names) -> str:
        return self._cut(text, spans, names) if (spans := self.find(text)) else text

    def _cut(self, text: str, spans: Sequence[Span], names: Names) -> str:
        pieces, end = [], 0
        for span in spans:
            self.counts[span.kind] += 1
            pieces += [text[end : span.start], names.placeholder(span.kind, text[span.start : span.end])]
            end = span.end
        return "".join([*pieces, text[end:]])


def _opened(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON that a text is; None where it is none, or nested beyond the parser's limit."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict | list) else None


def _free(key: str, taken: Mapping[str, Any]) -> str:
    """The key, or with a number behind it where another came to the same."""
    number = 1
    while (free := key if number == 1 else f"{key}_{number}") in taken:
        number += 1
    return free


def _is_placeholder(text: str) -> bool:
    return re.fullmatch(r"<[A-Z_]+_\d+>", text) is not None


def _numbered(pattern: Pattern) -> bool:
    return pattern.kind not in {"name", "address"}
