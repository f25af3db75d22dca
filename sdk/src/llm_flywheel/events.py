"""Events by the contract (docs/contracts.md): what is missing is filled in, what does not fit is mended.

An event of ours is never a dead letter: `tidy` gives what the contract takes, or raises ValueError. Go on to
`record.py` for its bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from llm_flywheel.ids import is_id

INTERACTION, FEEDBACK = "llm.interaction.v1", "llm.feedback.v1"
TOPICS = {INTERACTION: "llm.interactions", FEEDBACK: "llm.feedback"}
"""Event type → Kafka topic. The record key is `conversation_id` on both."""
DECISIONS = "llm.decisions"
"""The topic that tells who serves."""
KINDS = (
    "thumb", "rating", "comment", "correction", "label", "regenerate", "copy", "abandon", "escalate", "retry",
    "guardrail", "judge", "rule", "reviewer",
)  # fmt: skip
NEEDS_VALUE = {"thumb", "rating", "guardrail", "judge", "rule", "reviewer"}
NEEDS_TEXT = {"comment", "correction"}
MAX_NAME, MAX_TEXT, MAX_MESSAGES, MAX_ANSWERS = 256, 1_000_000, 10_000, 100
CUT = "[cut: the event was too long]"


def now() -> str:
    """The time as RFC 3339."""
    return datetime.now(timezone.utc).isoformat()


def name(value: Any, limit: int = MAX_NAME) -> str | None:
    """A name of at most 256 characters; of a longer one the head and a hash, so that different ones stay different."""
    text = "" if value is None else str(value)
    if len(text) > limit:
        text = f"{text[: limit - 17]}~{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return text or None


def consent(value: Any) -> bool | None:
    """Whether an interaction may be trained on: what is said in other words than `true` is no consent."""
    if value is None or value == "":
        return None
    return value if isinstance(value, bool) else str(value).lower() == "true"


def tidy(event_type: str, event: dict[str, Any]) -> dict[str, Any]:
    """The event as the contract takes it. Raises ValueError naming what cannot be mended."""
    fields = _INTERACTION if event_type == INTERACTION else _FEEDBACK
    event = dict(event)
    for field, mend in fields.items():
        if field in event and (value := mend(event.pop(field))) is not None:
            event[field] = value
    for field in ("id", "time", "application", "conversation_id"):
        if field not in event:
            raise ValueError(f"{field} is missing or cannot be read")
    if event_type == INTERACTION:
        event.setdefault("request_model", "unknown")
        if not event.get("input_messages"):
            raise ValueError("input_messages is empty")
    else:
        _check_feedback(event)
    return event


def cut(event: dict[str, Any]) -> dict[str, Any]:
    """A too long event without its texts, marked, and kept from training: half a text teaches what nobody said."""
    short = {key: value for key, value in event.items() if key not in {"tool_definitions", "request_parameters"}}
    for field in ("input_messages", "output_messages"):
        if event.get(field):
            short[field] = [{"role": message(event[field][-1])["role"], "content": CUT}]
    for field in ("system_instructions", "text"):
        if event.get(field):
            short[field] = f"{str(_text(event[field]))[:1000]} {CUT}"
    if "input_messages" in event:
        short["training_consent"] = False
    extra = {key: value for key, value in short.items() if key not in _INTERACTION and key not in _FEEDBACK}
    if len(json.dumps(extra, default=str)) > 2**16:
        short = {key: value for key, value in short.items() if key not in extra}
    return {**short, "cut": True}


def message(value: Any) -> dict[str, Any]:
    """One chat message in a form that the contract takes; what does not fit is kept as JSON text."""
    if not isinstance(value, dict):
        return {"role": "user", "content": value if isinstance(value, str) else _json(value)}
    mended = {key: each for key, each in value.items() if each is not None}
    mended["role"] = name(mended.get("role"), 64) or "user"
    content = mended.get("content")
    if isinstance(content, list):
        mended["content"] = [
            each if isinstance(each, dict) else {"type": "text", "text": str(each)} for each in content
        ]
    elif content is not None:
        mended["content"] = content if isinstance(content, str) else _json(content)
    if "parts" in mended and not _dicts(mended["parts"]):
        mended["parts"] = [{"type": "text", "content": _json(mended["parts"])}]
    for field in ("name", "tool_call_id"):
        if field in mended:
            mended[field] = str(mended[field])
    if "tool_calls" in mended:
        calls = mended["tool_calls"]
        mended["tool_calls"] = [tool_call(each) for each in (calls if isinstance(calls, list) else [calls])]
    return mended


def tool_call(value: Any) -> dict[str, Any]:
    """A tool call in OpenAI's form; custom tools' input becomes the arguments."""
    call = value if isinstance(value, dict) else {}
    called = call.get("function") or call.get("custom") or call
    called = called if isinstance(called, dict) else {"name": str(called)}
    arguments = called.get("arguments", called.get("input", ""))
    if not isinstance(arguments, (str, dict)):
        arguments = "" if arguments is None else _json(arguments)
    function = {"name": name(called.get("name")) or "unknown", "arguments": arguments}
    return {"id": str(call.get("id") or ""), "type": str(call.get("type") or "function"), "function": function}


def _check_feedback(event: dict[str, Any]) -> None:
    if "interaction_id" not in event:
        raise ValueError("interaction_id is missing or no UUID")
    kind, value = event.get("kind"), event.get("value")
    if kind is None:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    if "retracts" in event:
        return
    if kind in NEEDS_VALUE and value is None:
        raise ValueError(f"a {kind} needs a value from 0 (bad) to 1 (good)")
    if kind == "thumb" and value not in {0.0, 1.0}:
        raise ValueError(f"a thumb's value is 0 or 1, not {value}")
    if kind in NEEDS_TEXT and not str(event.get("text") or "").strip():
        raise ValueError(f"a {kind} needs a text")
    if kind == "label" and not event.get("label"):
        raise ValueError("a label needs its name")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _id(value: Any) -> str | None:
    text = str(value).lower()
    return text if is_id(text) else None


def _time(value: Any) -> str | None:
    try:
        if isinstance(value, int):  # nanoseconds, as `Turn` leaves them
            value = datetime.fromtimestamp(value // 1000 / 1_000_000, timezone.utc)
        text = value.isoformat() if isinstance(value, datetime) else str(value)
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return text if parsed.tzinfo and 1970 <= parsed.year < 9999 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None if value is None else _json(value)


def _messages(limit: int) -> Callable[[Any], list[dict[str, Any]]]:
    def mend(value: Any) -> list[dict[str, Any]]:
        values = value if isinstance(value, list) else [] if value is None else [value]
        return [message(each) for each in values[-limit:]]

    return mend


def _dicts(value: Any) -> list[dict[str, Any]] | None:
    return value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else None


def _dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) and value else None


def _strings(value: Any) -> list[str] | None:
    return [str(each) for each in value if each is not None][:100] if isinstance(value, list) else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and 0 <= value <= 2**53 else None


def _amount(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1e15 else None


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 1 else None


def _score(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and -1e15 <= value <= 1e15 else None


def _short(value: Any) -> str | None:
    return name(value, 1024)


_HEAD: dict[str, Callable[[Any], Any]] = {
    "id": _id, "time": _time, "application": name, "conversation_id": name, "user_id": name,
}  # fmt: skip
_INTERACTION: dict[str, Callable[[Any], Any]] = {
    **_HEAD,
    "operation_name": _short, "provider_name": _short, "request_model": name, "response_model": _short,
    "response_id": _short, "prompt_version": _short, "variant": _short,
    "input_messages": _messages(MAX_MESSAGES), "output_messages": _messages(MAX_ANSWERS),
    "system_instructions": _text, "tool_definitions": _dicts, "request_parameters": _dict,
    "finish_reasons": _strings, "error_type": _short, "input_tokens": _count, "output_tokens": _count,
    "duration_ms": _amount, "time_to_first_chunk_ms": _amount, "cost_usd": _amount, "training_consent": consent,
    "trace_id": _short, "span_id": _short, "parent_span_id": _short,
}  # fmt: skip
_FEEDBACK: dict[str, Callable[[Any], Any]] = {
    **_HEAD,
    "interaction_id": _id, "kind": lambda value: value if value in KINDS else None, "source": name, "value": _share,
    "label": _short, "text": _text, "replaced_by": _id, "supersedes": _id, "retracts": _id,
    "score": _score, "target": _short, "action": _short,
}  # fmt: skip
