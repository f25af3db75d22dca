"""Recognisers of a person's own, named in `curate.recognise_with`, and held to the protocol in `protocol.py`.

Go on to `flows/curate/stage.py`, which hands them to the redactor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from flows.curate.redact.protocol import Recogniser, Span
from flows.extend import calling, checked, maker
from schemas.errors import ExtensionError

KIND = re.compile(r"[a-z][a-z0-9_]{0,30}")
"""The name of a kind of personal data."""


def own_recognisers(references: Sequence[str]) -> list[Recogniser]:
    """The recognisers that the settings name as `module:name`, in that order. Raises SettingsError, ExtensionError."""
    found: list[Recogniser] = []
    for reference in references:
        make = maker("curate.recognise_with", reference, "recogniser")
        with calling(reference):
            found.append(OwnRecogniser(reference, checked(reference, make(), "find")))
    return found


class OwnRecogniser:
    """A recogniser whose spans are looked at, one by one."""

    def __init__(self, reference: str, recogniser: Recogniser) -> None:
        self._reference, self._recogniser = reference, recogniser

    def find(self, text: str) -> Iterator[Span]:
        """Its spans. Raises ExtensionError for one that is none; the text itself is not in the message."""
        with calling(self._reference):
            spans = list(self._recogniser.find(text))
        for span in spans:
            if not _stands(span, len(text)):
                raise ExtensionError(f"{self._reference} gives {span!r} in a text of {len(text)} characters")
            yield span


def _stands(span: object, length: int) -> bool:
    return (
        isinstance(span, Span)
        and isinstance(span.start, int)
        and isinstance(span.end, int)
        and 0 <= span.start < span.end <= length
        and isinstance(span.kind, str)
        and KIND.fullmatch(span.kind) is not None
    )
