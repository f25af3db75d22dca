"""The default scorer: what can score these references rightly, and nothing where nothing can.

Exact kinds compare words, so they are right where a right answer has no other words: short ones, tool calls, JSON, and
replies out of a fixed set. Of free text an equal answer in other words would be called wrong: a judge scores it where
one is configured, else it is unscored (`free_text`), and people's reviews decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from flows.evaluate.scorers.protocol import NO_REFERENCE, Each, Mark, Scorer
from schemas.messages.called import calls_in
from schemas.normalise import normalise
from schemas.records import Item
from schemas.settings import EvaluateSettings

AUTO = "auto"
FREE_TEXT = "free_text"
MOST = 0.8
"""Share of the references that a kind must fit: a set is of one kind, and feedback makes exceptions."""
SHORT_WORDS, SHORT_LENGTH = 5, 40
"""What is called short: names, labels, numbers, yes and no; by its length where words have no blanks between them."""


def kind_for(items: Sequence[Item], settings: EvaluateSettings) -> str:
    """The scorer's name for an eval set: the one that is set, or what `auto` follows from its references."""
    if settings.scorer != AUTO:
        return settings.scorer
    references = [item.reference for item in items if item.reference is not None]
    if references and MOST * len(references) <= sum(calls_in(reference) is not None for reference in references):
        return "tool_calls"
    if MOST * len(references) <= sum(_comparable(references)):
        return "normalised_match"
    return "judge" if settings.judge_endpoint and settings.judge_model else FREE_TEXT


def free_text() -> Scorer:
    """Says of every answer that it cannot be scored by its words."""
    return Each(FREE_TEXT, lambda item, _: NO_REFERENCE if item.reference is None else Mark(None, FREE_TEXT))


def _comparable(references: Sequence[str]) -> list[bool]:
    """Of each reference, whether its right answer has no other words: short, JSON, or one that recurs."""
    often = Counter(normalise(reference) for reference in references)
    return [_is_short(one) or _is_json(one) or often[normalise(one)] > 1 for one in references]


def _is_short(reference: str) -> bool:
    return len(reference.split()) <= SHORT_WORDS and len(reference.strip()) <= SHORT_LENGTH


def _is_json(reference: str) -> bool:
    return isinstance(_decoded(reference), dict | list)


def _decoded(reference: str) -> object:
    try:
        return msgspec.json.decode(reference)
    except (msgspec.DecodeError, RecursionError):
        return None
