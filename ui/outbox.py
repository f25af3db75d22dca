"""Answers that Kafka has not yet acknowledged: safe on disk before anybody is told "saved", sent behind.

1. `put` writes events and syncs; only then the page is answered. A kill from here on loses nothing.
2. A thread sends what waits, oldest first, and marks what Kafka acknowledged. A kill before the mark sends it again:
   the same id twice is one event.
3. An event leaves once the lake has it (`settled`); until then pages show it as being saved, or as sent. One that the
   lake never gets, of a person who is forgotten or that retention took, leaves after a week, and holds up no other.

Go on to `state.py`, which starts it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from schemas.codec import decode, encode
from schemas.errors import FlywheelError
from schemas.events import Event, Feedback, event_type
from schemas.topics import ALERTS

FILE = Path("ui") / "outbox.sqlite"
"""Below the home. The one file of the app that may not be lost while it holds something."""
RETRY_S = 2.0
BATCH = 500
"""Events in one send: a second of work."""
KEPT_S = 7 * 86_400.0
"""What Kafka took and the lake has not got after a week, as long as topics keep events, will not come any more."""
_log = logging.getLogger(__name__)


class Sends(Protocol):
    """What the outbox asks of a producer: `streams.producer.EventProducer` is one."""

    def send(self, event: Event) -> None:
        """Queue one event."""

    def flush(self, timeout_s: float = ...) -> int:
        """Wait until all are acknowledged; raises BrokerError where one is not."""


class Outbox:
    """Events on their way to Kafka, as a context manager: the sender runs inside."""

    def __init__(
        self,
        home: Path,
        connect: Callable[[], AbstractContextManager[Sends]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`connect` makes a producer; it raises a FlywheelError where no broker answers, and is asked again."""
        self._clock, self._asked = clock, 0
        path = home / FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._connect = path, connect
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self.trouble = ""
        """Why the last try failed; empty where it did not."""
        with self._open() as sql:
            sql.execute(
                "CREATE TABLE IF NOT EXISTS waiting (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
                "kind TEXT NOT NULL, body BLOB NOT NULL, sent INTEGER NOT NULL DEFAULT 0)"
            )

    def put(self, events: Sequence[Event]) -> None:
        """Keep events and have them sent; the same id again is the same event."""
        with self._open() as sql:
            sql.executemany(
                "INSERT OR IGNORE INTO waiting (id, kind, body) VALUES (?, ?, ?)",
                [(event.id, event_type(event), encode(event)) for event in events],
            )
        self._wake.set()

    def waiting(self) -> int:
        """How many events Kafka has not acknowledged."""
        with self._open() as sql:
            return int(sql.execute("SELECT count(*) FROM waiting WHERE NOT sent").fetchone()[0])

    def feedback(self) -> list[Feedback]:
        """What people said that the lake does not have yet, oldest first: pages show it beside what it has."""
        with self._open() as sql:
            rows = sql.execute("SELECT kind, body FROM waiting ORDER BY n").fetchall()
        events = (decode(body, kind).event for kind, body in rows)
        return [event for event in events if isinstance(event, Feedback)]

    def settled(self, known: Callable[[Collection[str]], Collection[str]]) -> None:
        """Let go of what was sent and is in the lake; `known` says of ids which are."""
        with self._open() as sql:
            sql.execute("DELETE FROM waiting WHERE sent AND sent < ?", (self._clock() - KEPT_S,))
            rows = sql.execute(
                "SELECT n, id FROM waiting WHERE sent AND n > ? ORDER BY n LIMIT ?", (self._asked, BATCH)
            ).fetchall()
            self._asked = rows[-1][0] if len(rows) == BATCH else 0  # round and round: none waits behind another
            if rows:
                sql.executemany("DELETE FROM waiting WHERE id = ?", [(id_,) for id_ in known([id_ for _, id_ in rows])])

    def __enter__(self) -> Outbox:
        self._thread.start()
        self._wake.set()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            if not self.waiting():
                self._wake.clear()
                continue
            try:
                with self._connect() as producer:
                    self._serve(producer)
            except FlywheelError as error:
                self.trouble = str(error)
                _log.warning("%s events wait for Kafka: %s", self.waiting(), error)
                self._stop.wait(RETRY_S)
                self._wake.set()

    def _serve(self, producer: Sends) -> None:
        """Send whatever comes, until the app stops. Raises what the producer raises."""
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            while not self._stop.is_set() and (rows := self._unsent()):
                for _, kind, body in rows:
                    producer.send(decode(body, kind).event)
                producer.flush(10.0)
                with self._open() as sql:
                    sent = max(int(self._clock()), 1)
                    sql.executemany("UPDATE waiting SET sent = ? WHERE id = ?", [(sent, id_) for id_, _, _ in rows])
                    # What no table keeps will never be seen in the lake.
                    sql.execute("DELETE FROM waiting WHERE sent AND kind = ?", (ALERTS.event_type,))
                self.trouble = ""

    def _unsent(self) -> list[tuple[str, str, bytes]]:
        with self._open() as sql:
            return sql.execute(
                "SELECT id, kind, body FROM waiting WHERE NOT sent ORDER BY n LIMIT ?", (BATCH,)
            ).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when it ends."""
        connection = sqlite3.connect(self._path, timeout=10)
        try:
            connection.executescript(
                "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON"
            )
            with connection:
                yield connection
        finally:
            connection.close()
