"""What the archiver tells Prometheus. Names and numbers only: no content of any event.

Triage has its own in `streams/triage/report.py`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Counter, Gauge, make_wsgi_app

from schemas.errors import UsageError
from streams.archive.batch import Batch

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SILENT_S = 300.0
"""Kafka itself gives a member up that has not asked for so long (`max.poll.interval.ms`)."""
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


class Live:
    """Whether the archiver still asks Kafka for more: what a prober may restart it for."""

    def __init__(self) -> None:
        self._last: float | None = None

    def polled(self, now: float) -> None:
        """Kafka is being asked, at this reading of the monotonic clock."""
        self._last = now

    def answer(self, now: float) -> tuple[str, str]:
        """Status and text of `/live`. Before the first question it is live: the lake is being looked at."""
        silent = now - (self._last or now)
        if silent > SILENT_S:
            return "503 Service Unavailable", f"Kafka was asked {silent:.0f} s ago, for the last time\n"
        return "200 OK", f"Kafka was asked {silent:.0f} s ago\n"


LIVE = Live()


def serve(port: int, host: str = "127.0.0.1") -> None:
    """Answer Prometheus, and `/live`; port 0: do not. Raises UsageError where address or port cannot be had."""
    if not port:
        return
    try:
        server = make_server(host, port, _app, _Server, _Quiet)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} for metrics cannot be had ({error.strerror}): another archiver of this machine may have "
            "it. archive.metrics_port names another port, 0 none; archive.metrics_host another address"
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ.get("PATH_INFO") != "/live":
        found: Iterable[bytes] = _PROMETHEUS(environ, start_response)
        return found
    status, text = LIVE.answer(time.monotonic())
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]


_PROMETHEUS = make_wsgi_app()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not a line for every scrape."""
