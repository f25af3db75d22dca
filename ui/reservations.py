"""Who is looking at what, so that two people are not asked the same: in memory, and gone with the process.

Losing it costs a double answer, never an answer. A lease ends by itself; whoever goes on reviewing renews theirs.
Go on to `queue.py`, which deals items by it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

LEASE_S = 600.0
"""A person who has not answered within ten minutes went for coffee."""
MOST = 10_000
"""Leases that are kept: beyond, the oldest ends early."""


class Reservations:
    """Leases of items, what people put off, and the last thing that each said."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], float] = {}
        """(item, person) → when it ends."""
        self._later: dict[tuple[str, str], float] = {}
        self.last: dict[str, Mapping[str, Any]] = {}
        """Person → what they sent last, so that a page without JavaScript can take it back."""

    def deal(
        self,
        person: str,
        items: Iterable[str],
        free: Callable[[str, Collection[str]], bool],
        count: int,
        besides: Collection[str] = (),
    ) -> list[str]:
        """Reserve the first `count` items that are free; `free` is told who else holds one.

        `besides`: what the person has on screen already; it is not dealt again, and its lease is renewed.
        """
        with self._lock:
            now = self._clock()
            self._held = {key: until for key, until in self._held.items() if until > now}
            self._later = {key: until for key, until in self._later.items() if until > now}
            holders: dict[str, set[str]] = {}
            for item, holder in self._held:
                holders.setdefault(item, set()).add(holder)
            found: list[str] = []
            for item in items:
                if len(found) == count:
                    break
                others = holders.get(item, set()) - {person}
                if item not in besides and (item, person) not in self._later and free(item, others):
                    found.append(item)
            for item in (*found, *(item for item in besides if (item, person) in self._held)):
                self._held.pop((item, person), None)
                self._held[item, person] = now + LEASE_S
            while len(self._held) > MOST:
                self._held.pop(next(iter(self._held)))
        return found

    def let_go(self, person: str, item: str, later: bool = False) -> None:
        """End a lease; `later`: and do not ask this person again for as long as a lease lasts."""
        with self._lock:
            self._held.pop((item, person), None)
            if later:
                self._later[item, person] = self._clock() + LEASE_S
                while len(self._later) > MOST:
                    self._later.pop(next(iter(self._later)))
