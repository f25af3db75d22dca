"""What the archiver tells Prometheus. Names and numbers only: no content of any event.

Triage has its own in `streams/triage/report.py`.
"""

from __future__ import annotations

from collections import Counter as Tally

from prometheus_client import Counter, Gauge, start_http_server

from schemas.errors import UsageError
from streams.archive.batch import Batch

ROWS = Counter("flywheel_archive_rows", "Rows handed to the lake", ["table"])
BYTES = Counter("flywheel_archive_bytes", "Bytes of event values consumed", ["table"])
DEAD_LETTERS = Counter("flywheel_archive_dead_letters", "Events that became dead letters", ["table", "reason"])
CONFLICTS = Counter("flywheel_archive_conflicts", "Commits refused because another archiver was first", ["table"])
LAST_COMMIT = Gauge("flywheel_archive_last_commit_seconds", "Unix time of the last commit", ["table"])


def batched(table: str, batch: Batch, size: int) -> None:
    """Count one batch."""
    ROWS.labels(table).inc(batch.rows.num_rows)
    BYTES.labels(table).inc(size)
    for reason, count in Tally(letter["reason"] for letter in batch.dead).items():
        DEAD_LETTERS.labels(table, reason).inc(count)


def serve(port: int) -> None:
    """Answer Prometheus on loopback; 0: do not. Raises UsageError where the port is taken."""
    if not port:
        return
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise UsageError(
            f"port {port} for metrics cannot be had ({error.strerror}): another archiver of this machine may have it. "
            "archive.metrics_port names another, 0 none"
        ) from error
