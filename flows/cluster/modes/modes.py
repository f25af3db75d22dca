"""The mode of a failure: how it failed, from what was found in it, what a person changed, and what its answer is like.

A failure has one mode, the first that holds: what our own rules found in the answer; what its calls show; the verdict
of a guardrail, a rule or a label; what a correction changed; else the shape of the answer. A mode is a name, `KIND` or
`KIND:WHICH`, that is counted like a reason and never holds what somebody wrote. Go on to
`flows/cluster/outcomes/judging.py`, which keeps it with the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from flows.cluster.modes.calls import agent_mode
from flows.cluster.modes.edits import EDITS
from schemas.messages import Chat, last_text

FOUND = (
    "error", "timeout", "content_filter", "truncated", "refusal", "invalid_json", "empty_answer",
)  # fmt: skip
"""What our own rules find (`outcomes/rules.py`), what says most first: a refusal that was cut off was cut off."""
VERDICTS = ("guardrail", "rule", "label")
"""Reasons that name what is wrong. A judge's name, or a thumb, does not."""
SHORT, LONG = 80, 1_500
"""Characters of an answer: one line; more than a screen."""
_CODE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_ROW = re.compile(r"^ {0,3}\|.*\|[ \t]*$", re.MULTILINE)
_POINT = re.compile(r"^[ \t]{0,12}(?:[-*•]|\d{1,3}[.)])[ \t]", re.MULTILINE)
LONGEST = 20_000
"""Characters of an answer that its shape is read from."""
SHAPES = {
    "empty": "an empty answer", "call": "a call", "json": "JSON", "code": "code", "table": "a table", "list": "a list",
    "short": "one line", "prose": "prose", "long": "long prose",
}  # fmt: skip
SAYS = {
    "error": "error", "timeout": "timed out", "content_filter": "filtered", "truncated": "cut off",
    "refusal": "refused", "invalid_json": "invalid JSON", "empty_answer": "empty answer",
    "loop": "the same call again", "gave_up": "gave up after a tool's error", "tool_error": "a tool failed",
    "guardrail": "guardrail", "rule": "rule", "label": "label",
}  # fmt: skip
OTHER = "other"
"""Modes beyond those that a cluster shows."""


def own_mode(asked: Chat, answer: Chat) -> str:
    """What an interaction shows by itself: what its calls show, else `answer:SHAPE`."""
    return agent_mode([*asked, *answer]) or f"answer:{shape(answer)}"


def mode_of(found: Sequence[str], own: str | None, against: Collection[str], edit: str | None) -> str:
    """The mode of a failure.

    `found`: what our own rules found. `own`: as by `own_mode`. `against`: every reason that speaks against it. `edit`:
    what a correction changed, a key of `EDITS`.
    """
    by_kind = {name.partition(":")[0]: name for name in sorted(found, reverse=True)}
    for kind in FOUND:
        if kind in by_kind:
            return by_kind[kind]
    if own and not own.startswith("answer:"):
        return own
    named = sorted(reason for reason in against if reason.partition(":")[0] in VERDICTS)
    if named:
        return min(named, key=lambda reason: (VERDICTS.index(reason.partition(":")[0]), reason))
    if edit and edit != "same":
        return f"edit:{edit}"
    return own or "answer:prose"


def shape(answer: Chat) -> str:
    """What an answer is like, a key of `SHAPES`, by its last turn."""
    text = last_text(answer, "assistant")[:LONGEST].strip()
    if not text:
        return "call" if any(message.get("tool_calls") for message in answer) else "empty"
    if text[0] in "{[" and text[-1] in "}]":
        return "json"
    if _CODE.search(text):
        return "code"
    if len(_ROW.findall(text)) > 1:
        return "table"
    if len(_POINT.findall(text)) > 1:
        return "list"
    return "short" if len(text) <= SHORT and "\n" not in text else "long" if len(text) > LONG else "prose"


def said(mode: str) -> str:
    """A mode as a person reads it."""
    kind, _, which = mode.partition(":")
    if kind == "edit":
        return EDITS.get(which, mode)
    if kind == "answer":
        return f"answered: {SHAPES.get(which, which)}"
    if kind in SAYS:
        return f"{SAYS[kind]}: {which}" if which else SAYS[kind]
    return mode or OTHER
