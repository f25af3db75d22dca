"""The redactor of an installation: our recognisers, and a person's own, held to the protocol in `protocol.py`.

Go on to `redact.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from flows.extend import calling, checked, maker
from flows.redact.protocol import KIND, Recogniser, Span
from flows.redact.redact import Redactor
from schemas.errors import ExtensionError
from schemas.events import to_json


class Described(Protocol):
    """What describes a redactor: of the settings these alone."""

    @property
    def regions(self) -> tuple[str, ...]:
        """Whose phone numbers are known without a country code."""

    @property
    def recognisers(self) -> dict[str, str]:
        """Kind → pattern of a person's own."""

    @property
    def recognise_with(self) -> tuple[str, ...]:
        """Recognisers of a person's own, `module:name` each."""


def redactor_of(settings: Described) -> Redactor:
    """The redactor that the settings describe. Raises SettingsError, ExtensionError."""
    return Redactor(settings.regions, settings.recognisers, own_recognisers(settings.recognise_with))


def patterns_of(settings: Described) -> str:
    """What the settings add to the recognisers, but for code: an input of every run that redacts."""
    return to_json([settings.regions, settings.recognisers])


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
