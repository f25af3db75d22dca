"""Pace: how many requests an endpoint is sent at a time, so that a slow one answers all of them within the time-out.

A server that makes one answer at a time takes k times as long for k requests: sixteen at once that would take ten
seconds each all wait for minutes, time out, and are asked again while it still makes answers that nobody waits for. So
an endpoint is first sent one request, and then as many as, by its last answer, take half of the time-out:

    room = sent together * timeout / (2 * seconds it took), at most twice the room so far, at least 1

A server that answers many at once is fast at any number, and has the room of `evaluate.connections` after five answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Pace:
    """Room at one endpoint; first come, first served. Of one event loop."""

    def __init__(self, most: int, timeout_s: float) -> None:
        """`most` requests at a time, whatever it answers in."""
        self._most, self._timeout_s = most, timeout_s
        self.room = 1
        self._out = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[float | None], None]]:
        """Wait for room; call what it gives with the seconds that an answer took, with None where none came in time."""
        if self._out >= self.room or self._waiting:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                raise
        else:
            self._out += 1
        together = self._out
        try:
            yield lambda seconds: self._learn(together, seconds)
        finally:
            self._leave()

    def _learn(self, together: int, seconds: float | None) -> None:
        if seconds is None:
            self.room = max(1, min(self.room, together // 2))
        else:
            fit = together * self._timeout_s / (2 * seconds) if seconds > 0 else self._most
            self.room = max(1, min(self._most, 2 * self.room, int(min(fit, self._most))))

    def _leave(self) -> None:
        self._out -= 1
        while self._waiting and self._out < self.room:
            place = self._waiting.popleft()
            if not place.cancelled():
                self._out += 1
                place.set_result(None)
