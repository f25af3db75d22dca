"""What an interaction itself shows: errors, timeouts, empty answers, refusals, broken JSON, cut or filtered answers.

Each finding is a reason and a voice among others (`signals.SIGNALS["found"]`), so that its reliability is estimated
too: a refusal that reviewers like is no failure. Go on to `signals.py`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from flows.cluster.outcomes.signals import MAX_NAME
from schemas.messages import Chat, last_text

_CANNOT = r"i (?:can(?:no|['’])t|am (?:not able|unable) to|['’]m (?:not able|unable) to)"
REFUSAL = re.compile(
    rf"^\W*(?:(?:i['’]?m|i am) (?:very |really |so |terribly )?sorry[,.]? (?:but )?{_CANNOT}"
    rf"|(?:sorry|unfortunately)[,.]? (?:but )?{_CANNOT}"
    rf"|{_CANNOT} (?:help|assist|answer|comply|provide|do that|fulfil)"
    rf"|as an ai(?: language model)?[,.]? {_CANNOT})",
    re.IGNORECASE,
)
"""English refusals at the very start of an answer. In other languages, send a `rule` or `judge` verdict."""


def findings(row: dict[str, Any], answer: Chat) -> list[str]:
    """The reasons that an interaction's own row gives, sorted; `answer` is its parsed output."""
    if row["error_type"]:
        return [_error(row["error_type"])]
    text, finish = last_text(answer, "assistant"), set(row["finish_reasons"] or ())
    found = []
    if "content_filter" in finish:
        found.append("content_filter")
    if "length" in finish:
        found.append("truncated")
    if not text.strip():
        found += [] if any(message.get("tool_calls") for message in answer) else ["empty_answer"]
    elif REFUSAL.match(text[:200]):
        found.append("refusal")
    elif _wants_json(row["request_parameters"]) and not _is_json(text):
        found.append("invalid_json")
    return sorted(found)


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
