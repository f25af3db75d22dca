"""Personal data and secrets out of examples before anything else sees them: before dedup, before vectors, before disk.

`a@b.org` becomes `<EMAIL_1>`; the same value is the same placeholder all through one row, so a conversation still
makes sense. Go on to `split.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from flows.curate.redact.protocol import Recogniser, Span
from flows.curate.redact.recognisers import table
from schemas.events import to_json
from schemas.messages import text_of
from schemas.records import Example

KEPT = frozenset({"role", "type", "id", "tool_call_id"})
"""Keys whose values are structure, never something that a person wrote."""


class Redactor:
    """Finds and replaces, and counts by kind. One for a build; each row has its own placeholders."""

    def __init__(self, regions: Sequence[str], extra: Mapping[str, str], own: Sequence[Recogniser] = ()) -> None:
        """`regions`: whose phone numbers are known without a country code. `extra`: kind → pattern of your own."""
        self._recognisers: list[Recogniser] = [*own, *table(regions, extra)]
        self.counts: Counter[str] = Counter()

    def find(self, text: str) -> list[Span]:
        """Every span, in order; none overlap: the surer recogniser wins, then the longer match."""
        found: list[tuple[int, Span]] = []
        for rank, recogniser in enumerate(self._recognisers):
            found += [(rank, span) for span in recogniser.find(text)]
        taken: list[Span] = []
        for _, span in sorted(found, key=lambda item: (item[0], item[1].start - item[1].end, item[1].start)):
            if all(span.end <= other.start or span.start >= other.end for other in taken):
                taken.append(span)
        return sorted(taken, key=lambda span: span.start)

    def example(self, example: Example) -> Example:
        """The example with every string of its messages and tools redacted."""
        names: dict[tuple[str, str], str] = {}
        prompt = self._json(example.prompt, names)
        return msgspec.structs.replace(
            example,
            prompt=to_json(prompt),
            answer=to_json(self._json(example.answer, names)) if example.answer else "",
            rejected=to_json(self._json(example.rejected, names)) if example.rejected else example.rejected,
            tools=to_json(self._json(example.tools, names)) if example.tools else example.tools,
            text=text_of(prompt, "user"),
        )

    def texts(self, texts: Iterable[str]) -> list[str]:
        """Texts of one row, with placeholders in common."""
        names: dict[tuple[str, str], str] = {}
        return [self._text(text, names) for text in texts]

    def _json(self, value_json: str, names: dict[tuple[str, str], str]) -> Any:
        return self._value(msgspec.json.decode(value_json), names)

    def _value(self, value: Any, names: dict[tuple[str, str], str]) -> Any:
        if isinstance(value, str):
            return self._text(value, names)
        if isinstance(value, list):
            return [self._value(item, names) for item in value]
        if isinstance(value, dict):
            return {key: item if key in KEPT else self._value(item, names) for key, item in value.items()}
        return value

    def _text(self, text: str, names: dict[tuple[str, str], str]) -> str:
        spans = self.find(text)
        if not spans:
            return text
        pieces, end = [], 0
        for span in spans:
            pieces += [text[end : span.start], self._placeholder(span, text, names)]
            end = span.end
        return "".join([*pieces, text[end:]])

    def _placeholder(self, span: Span, text: str, names: dict[tuple[str, str], str]) -> str:
        self.counts[span.kind] += 1
        key = (span.kind, re.sub(r"[\s().-]", "", text[span.start : span.end]).casefold())
        number = 1 + sum(kind == span.kind for kind, _ in names)
        return names.setdefault(key, f"<{span.kind.upper()}_{number}>")
