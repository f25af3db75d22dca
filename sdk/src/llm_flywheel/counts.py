"""Counters of what became of the events: every drop has a name, and the first of each kind is logged."""

from __future__ import annotations

import logging
import threading
from collections import Counter

log = logging.getLogger("llm_flywheel")

DROPS = {
    "dropped_queue_full": "more events came than memory may hold (`capacity`, `memory_bytes`)",
    "dropped_disk_full": "nobody takes events and the journal is full or cannot be written",
    "dropped_invalid": "an event lacked what the contract demands",
    "dropped_redacted": "the redaction hook dropped it",
    "dropped_redact_failed": "the redaction hook failed on it",
    "dropped_encode_failed": "it could not be written as JSON",
    "dropped_rejected": "the broker or the door refused it for good",
    "dropped_corrupt": "its record in the journal was damaged",
    "dropped_no_target": "feedback about no interaction: none was named, and none was captured here before",
    "dropped_at_exit": "the process ended before the writer could take it",
    "dropped_unsupported": "a call of a kind that the SDK cannot read",
    "dropped_unknown_type": "an event of a type that an application does not send",
}
"""Counter → why."""
SILENT = frozenset({"dropped_redacted"})
"""What the application itself asked for."""


class Counts:
    """Counters that any thread may add to."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()  # an abandoned stream's finalizer may count while its thread counts already

    def add(self, name: str, n: int = 1, detail: object = "") -> None:
        """Count; the first drop of each kind is a warning, so that nobody has to look for it."""
        with self._lock:
            first = not self._counts[name]
            self._counts[name] += n
        if first and n and name not in SILENT and (name in DROPS or name == "errors"):
            why = DROPS.get(name, "a fault of the SDK; the application went on")
            log.warning("llm_flywheel %s: %s %s", name, why, f"({str(detail)[:300]})" if detail else "")

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def all(self) -> dict[str, int]:
        """A copy."""
        with self._lock:
            return {name: n for name, n in sorted(self._counts.items()) if n}
