"""Recogniser protocol: what finds personal data or secrets in a text must offer.

Go on to `recognisers.py` (our own, as patterns), `own.py` (a person's own) and `redact.py`, which runs all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

import msgspec

KIND = re.compile(r"[a-z][a-z0-9_]{0,30}")
"""The name of a kind of personal data."""


class Span(msgspec.Struct, frozen=True):
    """Where personal data or a secret stands in a text: `text[start:end]`."""

    start: int
    end: int
    kind: str
    """A short name in small letters; the placeholder is made of it: `person` becomes `<PERSON_1>`."""


class Recogniser(Protocol):
    """Finds what is personal or secret in a text.

    Made once a build. `find` is called for every text of every interaction that may become an example, once each and in
    no order that means anything: messages of both sides, names and arguments of tools; up to a MiB long, empty or in
    any language. It is never called with what others found taken out. Its spans may overlap; of two that do, that of
    the recogniser named first in the settings wins, then the longer one, and all of a person's own go before ours. The
    same text gives the same spans, since a build is named by the hash of what it holds; texts must not be kept.
    """

    def find(self, text: str) -> Iterable[Span]:
        """Every span, in any order. None is empty or outside of the text."""
