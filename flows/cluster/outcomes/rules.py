"""Rules that find failures without feedback: errors, empty answers, refusals, broken JSON, cut or filtered answers.

Each finding is a reason and a voice among others (`signals.SIGNALS["found"]`), so that its reliability is estimated
too: a refusal that reviewers like is no failure. Go on to `signals.py`.
"""

from __future__ import annotations

import re

import msgspec

from flows.cluster.outcomes.signals import MAX_NAME
from schemas.messages import Conversation, last_text
from schemas.messages.finish import CUT, FILTERED

_CANNOT = r"i (?:can(?:no|['’])t|am (?:not able|unable) to|['’]m (?:not able|unable) to)"
REFUSAL = re.compile(
    rf"^\W*(?:(?:i['’]?m|i am) (?:very |really |so |terribly )?sorry[,.]? (?:but )?{_CANNOT}"
    rf"|(?:sorry|unfortunately)[,.]? (?:but )?{_CANNOT}"
    rf"|{_CANNOT} (?:help|assist|answer|comply|provide|do that|fulfil)"
    rf"|as an ai(?: language model)?[,.]? {_CANNOT})",
    re.IGNORECASE,
)
"""English refusals at the very start of an answer. In other languages, send a `rule` or `judge` verdict."""


class Asked(msgspec.Struct, frozen=True):
    """An interaction as the rules see it: columns of `interactions.sql`."""

    id: str
    error_type: str | None
    finish_reasons: list[str | None] | None
    request_parameters: str | None
    """JSON, as the messages are."""
    input_messages: str | None
    output_messages: str | None


def findings(asked: Asked, answer: Conversation) -> list[str]:
    """The reasons that an interaction itself gives, sorted; `answer` is its output, read.

    A call of a tool is an answer, and so is what no chat can carry, such as a picture.
    """
    if asked.error_type:
        return [_error(asked.error_type)]
    text = last_text(answer.chat, "assistant")
    finish = {reason.lower() for reason in asked.finish_reasons or () if reason}
    names = []
    if finish & FILTERED:
        names.append("content_filter")
    if finish & CUT:
        names.append("truncated")
    if answer.refused or "refusal" in finish or REFUSAL.match(text[:200]):
        names.append("refusal")
    elif not text.strip():
        says = bool(answer.left_out) or any(message.get("tool_calls") for message in answer.chat)
        names += [] if says else ["empty_answer"]
    elif _wants_json(asked.request_parameters) and not _is_json(text):
        names.append("invalid_json")
    return sorted(names)


def _error(error_type: str) -> str:
    name = error_type[:MAX_NAME]
    return "timeout" if "timeout" in name.lower() or name in {"408", "504"} else f"error:{name}"


def _wants_json(parameters: str | None) -> bool:
    if not parameters or "json" not in parameters:
        return False
    wanted = msgspec.json.decode(parameters).get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in {"json_object", "json_schema"}


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
