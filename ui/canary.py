"""What triage says of the newest champion: users, rates, evidence; asked of its page `/rates.json`.

Go on to `pages/ledger.py`.
"""

from __future__ import annotations

import urllib.request
from typing import Any

import msgspec

from schemas.settings import Settings

TIMEOUT_S = 1.0
"""A page waits no longer for a neighbour."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(settings: Settings, application: str) -> tuple[dict[str, Any] | None, str]:
    """The standing of an application's champion, or why it is not known."""
    if not settings.triage.web_port:
        return None, "triage runs with `flywheel up`"
    try:
        with _DIRECT.open(f"http://127.0.0.1:{settings.triage.web_port}/rates.json", timeout=TIMEOUT_S) as answer:
            told: dict[str, Any] = msgspec.json.decode(answer.read(2**22))
    except (OSError, msgspec.DecodeError) as error:
        return None, f"triage does not answer on port {settings.triage.web_port}: {error}"
    mine = [row for row in told.get("champions", []) if row.get("application") == application]
    return (mine[0], "") if mine else (None, "triage knows of no change of champion yet")
