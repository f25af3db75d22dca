"""Users of a watched champion: each is met once, waits a fixed time for feedback, and is counted by what was said then.

    a user's request ──hear──▶ Met, waiting ──`delay_s` later──▶ due: failed, or not ──▶ `canary.counted`
                                                └─▶ nothing was said: forgotten, and met anew with the next request

Whatever was told first, or too late, a user counts by the same span of time: failures that are told within minutes do
not come before successes that are told within hours. The clock is the log's (the times at which triage wrote its
changes), so a log read again gives the same. `app.py` keeps the table.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from streams.triage.rates import Change
from streams.triage.sequential import Arm
from streams.triage.shelf import Store


class Met(Struct, frozen=True, omit_defaults=True):
    """A user who has asked something since a promotion."""

    arm: Arm = "canary"
    """Who answered."""
    interaction_id: str = ""
    """The request that they are counted by."""
    due: float = 0.0
    """When they are counted, seconds since the epoch."""
    judged: int = 0
    failed: int = 0
    offset: int = -1
    """Of the newest change that is in here: what is read again after a crash is not heard again."""
    counted: bool = True
    """No longer waiting: one user counts once."""


Key = tuple[str, str, str]
"""Application, promotion and unit."""


class Users:
    """All users that were met, of all applications, in a table that never grows beyond `most`."""

    def __init__(self, store: Store[Met], delay_s: float, most: int) -> None:
        self._store, self._delay_s, self._most = store, delay_s, most
        self._waiting: deque[tuple[float, bytes]] | None = None

    @property
    def waiting(self) -> int:
        """How many have not been counted yet."""
        return len(self._line())

    def recovered(self) -> None:
        """The table was brought back from its changelog."""
        self._waiting = None

    def hear(self, key: Key, share: float, arm: Arm, change: Change, offset: int, now: float) -> None:
        """What a change says of its user: a first request, or what was said of it since.

        `share` of the users are noted, chosen by a hash, so that neither order nor activity has a say.
        """
        name = msgspec.json.encode(key)
        met = self._store.get(name)
        if met is None:
            if change.interactions < 1 or not _drawn(key, share):
                return
            met = Met(arm, change.interaction_id, now + self._delay_s, counted=False)
            self._line().append((met.due, name))
        elif met.counted or met.interaction_id != change.interaction_id or offset <= met.offset:
            return
        self._store.put(
            name,
            msgspec.structs.replace(
                met, judged=met.judged + change.judged, failed=met.failed + change.failed, offset=offset
            ),
        )

    def due(self, now: float) -> Iterator[tuple[Key, Met]]:
        """Users whose time is over, in the order in which they came, each once; of whom nothing was said, none."""
        line = self._line()
        while line and line[0][0] <= now:
            _, name = line.popleft()
            met = self._store.get(name)
            if met is None or met.counted:
                continue
            if met.judged < 1:
                self._store.drop(name)
                continue
            self._store.put(name, msgspec.structs.replace(met, counted=True))
            yield msgspec.json.decode(name, type=Key), met

    def forget(self, application: str) -> None:
        """Begin anew: another promotion is watched."""
        for name in self._store:
            if msgspec.json.decode(name, type=Key)[0] == application:
                self._store.drop(name)

    def crowd(self) -> str | None:
        """The application with the most users, where more are noted than may be; else None."""
        if len(self._store) <= self._most:
            return None
        noted = Counter(msgspec.json.decode(name, type=Key)[0] for name in self._store)
        return str(min(noted, key=lambda application: (-noted[application], application)))

    def thin(self, application: str, share: float) -> None:
        """Forget the users of an application outside a smaller share. Who was counted stays counted."""
        for name in self._store:
            key = msgspec.json.decode(name, type=Key)
            if key[0] == application and not _drawn(key, share):
                self._store.drop(name)

    def _line(self) -> deque[tuple[float, bytes]]:
        """Who waits, first come first: they all wait equally long."""
        if self._waiting is None:
            self._waiting = deque(sorted((met.due, name) for name, met in self._store.items() if not met.counted))
        return self._waiting


def _drawn(key: Key, share: float) -> bool:
    if share >= 1:
        return True
    digest = hashlib.blake2b("\0".join(key).encode(), digest_size=8, person=b"canary-sample").digest()
    return int.from_bytes(digest, "big") < 2**64 * share
