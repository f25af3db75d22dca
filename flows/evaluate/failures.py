"""Errors of endpoints by name: an HTTP status, or what an error says where it stands inside a 200.

Pure. `answers.py` finds errors in bodies, chunks and choices; `endpoint.py` has the statuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

RETRIED = frozenset({"timeout", "unreachable", "rate_limited", "server_error", "not_json", "torn_stream"})
"""Reasons that may pass by themselves. The others would come again at the same price."""
TOO_BUSY = frozenset({408, 409, 425, 429})
"""409 is what gateways say while they still work on the first request with the same `Idempotency-Key`."""
_BUSY = re.compile(r"rate.?limit|too.?many|quota|throttl|resource.?exhausted", re.IGNORECASE)
_PASSING = re.compile(
    r"overload|unavailable|time.?d?.?out|deadline|internal|server.?error|upstream|bad.?gateway|capacity|try again|retry"
    r"|temporar|api_error|provider returned|connection|engine",
    re.IGNORECASE,
)


def reason_of(status: int) -> str:
    """The name of an HTTP status that is no success."""
    if status in TOO_BUSY:
        return "rate_limited"
    if status >= 500:
        return "server_error"
    return "redirect" if 300 <= status < 400 else "refused"


def error_in(value: Mapping[str, Any]) -> Any:
    """What a body, chunk or choice says went wrong; None where nothing did: null is absent."""
    if value.get("error") is not None:
        return value["error"]
    return value if value.get("object") == "error" or value.get("type") == "error" else None


def failure(error: Any) -> tuple[str, str]:
    """The name of an error, and what was seen: by its status where it has one, else by its words."""
    seen = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    status = _status(error)
    if status is not None and status >= 300:
        return reason_of(status), seen
    said = " ".join(_words(error))
    if _BUSY.search(said):
        return "rate_limited", seen
    if _PASSING.search(said):
        return "server_error", seen
    return ("refused" if "invalid_request" in said else "malformed_answer"), seen


def _status(error: Any) -> int | None:
    found = [error.get(name) for name in ("code", "status", "status_code")] if isinstance(error, Mapping) else []
    for value in found:
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
            return value
        if isinstance(value, str) and re.fullmatch(r"[1-5]\d\d", value):
            return int(value)
    return None


def _words(error: Any) -> list[str]:
    if isinstance(error, Mapping):
        return [str(error[name]) for name in ("type", "code", "status", "message", "detail") if error.get(name)]
    return [str(error)]
