"""Watches over champions, as a log of changes feeds them: who begins to serve, who is met, who is counted.

    Promotion ──promote──▶ Watch        Change ──hear──▶ Met        time ──settle──▶ Counted

`app.py` feeds it what comes, the web app (`ui/watched.py`) what has come: the same changes in the same order give the
same evidence. The tables are the caller's. Go on to `app.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from schemas.settings import TriageSettings
from streams.triage import canary
from streams.triage.canary import Promotion, Watch
from streams.triage.rates import Change
from streams.triage.shelf import Store
from streams.triage.users import Met, Users


class Counted(NamedTuple):
    """One more user in a comparison."""

    application: str
    before: Watch
    after: Watch
    due: float
    """When they were counted, seconds since the epoch."""


class Watching:
    """All watches, of all applications, and the users that they count."""

    def __init__(self, watches: Store[Watch], met: Store[Met], settings: TriageSettings) -> None:
        self.watches, self._settings = watches, settings
        self.users = Users(met, settings.canary_delay_s, settings.keep_interactions)

    def promote(self, promotion: Promotion) -> None:
        """Begin to watch a new champion; what was noted about the last one is forgotten."""
        key = promotion.application.encode()
        before = self.watches.get(key)
        after = canary.begin(before, promotion, self._settings)
        if after != before:
            self.watches.put(key, after)
            self.users.forget(promotion.application)

    def hear(self, change: Change, offset: int, now: float) -> bool:
        """A change to the user that it is about, where a champion is watched whose user this is.

        Whether users were too many: then half of the largest application's are noted, and its watch goes on with a
        sample.
        """
        before = self.watches.get(change.group.application.encode())
        arm = canary.arm_of(before, change.group) if before else None
        if before is None or arm is None:
            return False
        key = (change.group.application, before.decision_id, change.unit)
        self.users.hear(key, before.share, arm, change, offset, now)
        if (crowd := self.users.crowd()) is None or (found := self.watches.get(crowd.encode())) is None:
            return False
        fewer = msgspec.structs.replace(found, share=found.share / 2)
        self.watches.put(crowd.encode(), fewer)
        self.users.thin(crowd, fewer.share)
        return True

    def settle(self, now: float) -> Iterator[Counted]:
        """Users whose time is over into the comparison of champions, in the order in which they came."""
        for (application, decision_id, _), met in self.users.due(now):
            before = self.watches.get(application.encode())
            if before is None or before.decision_id != decision_id:
                continue
            after = canary.counted(before, met.arm, met.failed > 0)
            self.watches.put(application.encode(), after)
            yield Counted(application, before, after, met.due)
