"""The writer: one thread that takes events from the queue, mends and redacts them, and puts them into the journal.

The queue is where the application's threads end: an append. The writer looks at it every 20 ms while events come, and
sleeps when none do; so an event is in memory alone for some 20 ms, and on disk from then on until it is acknowledged.
Go on to `journal.py` and `sender.py`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from llm_flywheel.counts import Counts
from llm_flywheel.events import TOPICS, tidy
from llm_flywheel.journal import Journal
from llm_flywheel.record import Record, record
from llm_flywheel.sender import Sender
from llm_flywheel.settings import Event, Settings

POLL_S = 0.02
AWAKE_S = 1.0
"""How long it keeps looking after the last event."""
BATCH = 200


class Item(NamedTuple):
    """What the application's thread leaves."""

    type: str
    event: Event
    weight: int
    """Bytes in memory, roughly."""
    finish: Callable[[Event], Event] | None
    """What is still to be done to the event, in the writer's thread."""


class Writer:
    """See the module. `put` is called by any thread, also by a finalizer in the midst of another `put`."""

    def __init__(self, settings: Settings, journal: Journal, sender: Sender, counts: Counts) -> None:
        self._settings, self._journal, self._sender, self._counts = settings, journal, sender, counts
        self._queue: deque[Item] = deque()
        self._weight = 0
        self._lock = threading.RLock()  # reentrant: the garbage collector may run a finalizer that calls `put`
        self._wake: SimpleQueue[None] = SimpleQueue()  # reentrant too, as an Event is not
        self._taken = 0
        self._asleep = self._stopping = False
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> bool:
        """Leave an event; False where memory is full. Never blocks: the lock is held for an append."""
        with self._lock:
            full = len(self._queue) >= self._settings.capacity
            if full or self._weight + item.weight > self._settings.memory_bytes:
                full = True
            else:
                self._queue.append(item)
                self._weight += item.weight
            wake, self._asleep = self._asleep, False
        if full:
            self._counts.add("dropped_queue_full")
        if wake:
            self._wake.put(None)
        if self._thread is None:
            self._start()
        return not full

    @property
    def idle(self) -> bool:
        """Whether every event is in the journal or beyond."""
        with self._lock:
            return not self._queue and not self._taken

    @property
    def waiting(self) -> int:
        """Events that are in memory alone: in the queue, or on their way from it to the journal."""
        with self._lock:
            return len(self._queue) + self._taken

    def stop(self, timeout_s: float) -> None:
        """Put everything into the journal within the time; what then still waits is lost, and counted."""
        self._stopping = True
        self._wake.put(None)
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout_s)
        if thread is None or not thread.is_alive():
            while self.step():  # no thread could be started: the interpreter is ending
                pass
        if self._queue:
            self._counts.add("dropped_at_exit", len(self._queue))

    def step(self) -> bool:
        """One batch from the queue to the journal and the sender; whether there was one."""
        batch = self._take()
        if not batch:
            return False
        try:
            records: list[Record] = []
            for item in batch:
                if made := self._record(item):
                    records.append(made)
                time.sleep(0)  # lets the application's threads have the interpreter between two events
            if records:
                self._sender.offer(records, self._journal.write(records))
        except Exception as error:
            self._counts.add("errors", len(batch), error)
        finally:
            with self._lock:
                self._taken = 0
                self._weight -= sum(item.weight for item in batch)
        return True

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="llm-flywheel-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending: `stop` writes the rest
                    return
                self._thread = thread

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            if self.step():
                last = time.monotonic()
                continue
            if self._stopping:
                return
            if time.monotonic() - last < AWAKE_S:
                self._sleep(POLL_S)
                continue
            with self._lock:
                if self._queue:
                    continue
                self._asleep = True
            self._sleep(None)
            last = time.monotonic()

    def _sleep(self, seconds: float | None) -> None:
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            return

    def _take(self) -> list[Item]:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            self._taken = len(batch)
        return batch

    def _record(self, item: Item) -> Record | None:
        """An item as a record; None where it is dropped, which is counted."""
        if item.type not in TOPICS:
            self._counts.add("dropped_unknown_type", detail=item.type)
            return None
        try:
            event = tidy(item.type, item.finish(item.event) if item.finish else item.event)
        except Exception as error:
            self._counts.add("dropped_invalid", detail=error)
            return None
        if self._settings.redact is not None:
            redacted = self._redacted(item.type, event)
            if redacted is None:
                return None
            event = redacted
        return self._encoded(item.type, event)

    def _redacted(self, event_type: str, event: Event) -> Event | None:
        """What the hook made of the event. Whatever goes wrong in it, the event does not leave."""
        hook: Callable[[Event], Any] = self._settings.redact  # type: ignore[assignment]
        try:
            redacted = hook(event)
            if redacted is None:
                self._counts.add("dropped_redacted")
                return None
            return tidy(event_type, redacted)
        except BaseException as error:
            self._counts.add("dropped_redact_failed", detail=type(error).__name__)  # its text may quote the event
            return None

    def _encoded(self, event_type: str, event: Event) -> Record | None:
        try:
            made, was_cut = record(event_type, event, self._settings.max_event_bytes)
        except Exception as error:
            self._counts.add("dropped_encode_failed", detail=error)
            return None
        if was_cut:
            self._counts.add("cut")
        return made
