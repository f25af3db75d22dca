"""The sender: one thread that delivers records, live ones first, then what earlier processes and outages left behind.

While nobody takes records it waits longer and longer (half a second to half a minute); all that comes meanwhile is in
the journal, and what waits in memory is given up to it, so that memory stays flat.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from llm_flywheel.counts import Counts, log
from llm_flywheel.journal import Journal, Orphan, Segment
from llm_flywheel.record import Record
from llm_flywheel.transports import Transport, Unavailable

BATCH = 200
BATCH_BYTES = 2**20
OUTBOX_BYTES = 8 * 2**20
"""Records in memory that wait for the sender; more only lie in the journal."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
SCAN_S = 5.0
"""How often an idle sender looks for orphans."""
Waiting = tuple[Record, "Segment | None"]


class Sender:
    """See the module. The writer calls `offer`; everything else runs in the sender's own thread."""

    def __init__(
        self, transport: Transport, journal: Journal, counts: Counts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._transport, self._journal, self._counts, self._clock = transport, journal, counts, clock
        self._outbox: deque[Waiting] = deque()
        self._outbox_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = self._stopping = self._draining = False
        self._down_until = 0.0
        self._wait_s = FIRST_WAIT_S
        self._orphan: Orphan | None = None
        self._next_scan = 0.0

    @property
    def up(self) -> bool:
        """Whether it is worth trying."""
        return self._clock() >= self._down_until

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is under way, on disk neither. After `offer` no more came."""
        with self._changed:
            if self._outbox or self._busy or self._orphan or not self.up:
                return False
        return not self._journal.orphans() or self._next_scan > self._clock()

    def offer(self, records: Sequence[Record], segment: Segment | None) -> None:
        """Take journalled records for delivery, or leave them to the journal."""
        size = sum(len(each.value) for each in records)
        with self._changed:
            take = self.up and self._outbox_bytes + size <= OUTBOX_BYTES
            if take:
                self._outbox.extend((each, segment) for each in records)
                self._outbox_bytes += size
                self._changed.notify()
        if not take:
            self._give_up([(each, segment) for each in records])
        self._start()

    def hurry(self) -> None:
        """Try again now, the orphans too."""
        with self._changed:
            self._down_until = self._next_scan = 0.0
            self._draining = True
            self._changed.notify()
        if self._journal.orphans():
            self._start()

    def stop(self, timeout_s: float) -> None:
        """Deliver what is in memory within the time; the rest stays in the journal."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if not self._thread.is_alive():
                self._transport.close()

    def forget(self) -> None:
        """In a forked child: nothing of this is ours."""
        self._transport.forget()
        self.__init__(self._transport, self._journal, self._counts, self._clock)  # type: ignore[misc]

    def _start(self) -> None:
        with self._changed:
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._run, name="llm-flywheel-sender", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending: the journal has them
                    return
                self._thread = thread

    def _run(self) -> None:
        while True:
            batch = self._take()
            if batch:
                self._send_live(batch)
            elif self._stopping:
                break
            elif self.up and self._send_orphan():
                continue
            else:
                self._rest()
        if self._orphan:
            self._orphan.release()

    def _take(self) -> list[Waiting]:
        """The next live batch; the thread is busy from here on."""
        batch: list[Waiting] = []
        size = 0
        with self._changed:
            while self._outbox and len(batch) < BATCH and size < BATCH_BYTES:
                batch.append(self._outbox.popleft())
                size += len(batch[-1][0].value)
            self._outbox_bytes -= size
            self._busy = bool(batch)
        return batch

    def _rest(self) -> None:
        with self._changed:
            if not self._outbox and not self._stopping:
                now = self._clock()
                self._draining = False
                until = self._down_until if self._down_until > now else max(self._next_scan, now + 0.05)
                self._changed.wait(min(max(until - now, 0.01), SCAN_S))

    def _send_live(self, batch: list[Waiting]) -> None:
        if self.up and self._deliver([record for record, _ in batch], "sent"):
            for segment, n in _by_segment(batch):
                self._journal.settle(segment, n)
        else:
            with self._changed:
                batch += self._outbox
                self._outbox.clear()
                self._outbox_bytes = 0
            self._give_up(batch)
        with self._changed:
            self._busy = False

    def _give_up(self, batch: Sequence[Waiting]) -> None:
        """Leave records to the journal; those that it could not take are lost."""
        lost = sum(segment is None for _, segment in batch)
        if lost:
            self._counts.add("dropped_disk_full", lost)
        for segment, n in _by_segment(batch):
            self._counts.add("spilled", n)
            self._journal.settle(segment, n, kept=True)

    def _deliver(self, records: Sequence[Record], counter: str) -> bool:
        try:
            rejected = self._transport.deliver(records) if records else []
        except Exception as error:
            self._down(error)
            return False
        for _, reason in rejected:
            self._counts.add("dropped_rejected", detail=reason)
        self._counts.add(counter, len(records) - len(rejected))
        if self._wait_s > FIRST_WAIT_S:
            log.info("llm_flywheel: delivering again")
            self._next_scan = 0.0
        self._wait_s = FIRST_WAIT_S
        return True

    def _down(self, error: Exception) -> None:
        self._counts.add("unavailable")
        if self._wait_s == FIRST_WAIT_S:
            log.warning("llm_flywheel: nobody takes events, the journal keeps them: %.300s", error)
        asked = error.retry_after_s if isinstance(error, Unavailable) else None
        wait = self._wait_s if asked is None else max(self._wait_s, min(asked, 10 * LONGEST_WAIT_S))
        self._down_until = self._clock() + wait
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    def _send_orphan(self) -> bool:
        """One batch of an orphan; whether there was one."""
        if self._orphan is None:
            self._orphan = self._next_orphan()
        if (orphan := self._orphan) is None:
            return False
        began = self._clock()
        batch = orphan.records[orphan.sent : orphan.sent + BATCH]
        if not self._deliver(batch, "replayed"):
            orphan.release()
            self._orphan = None
            return True
        orphan.sent += len(batch)
        if orphan.sent >= len(orphan.records):
            orphan.remove()
            self._orphan = None
        if not self._draining:  # live events and the application first: half of the time at most
            with self._changed:
                if not self._outbox and not self._stopping:
                    self._changed.wait(self._clock() - began)
        return True

    def _next_orphan(self) -> Orphan | None:
        now = self._clock()
        if now < self._next_scan:
            return None
        for path in self._journal.orphans():
            if orphan := self._journal.claim(path):
                return orphan
        self._next_scan = now + SCAN_S
        return None


def _by_segment(batch: Sequence[Waiting]) -> list[tuple[Segment, int]]:
    counts: dict[int, tuple[Segment, int]] = {}
    for _, segment in batch:
        if segment is not None:
            counts[id(segment)] = (segment, counts.get(id(segment), (segment, 0))[1] + 1)
    return list(counts.values())
