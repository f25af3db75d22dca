"""Who counts when: each user once, a fixed time after a request, whatever is told first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.triage.rates import Change, Group
from streams.triage.users import Met, Users

GROUP = Group("shop", "bot-2")


class Kept(dict[bytes, Met]):
    """The table, in memory."""

    put = dict[bytes, Met].__setitem__

    def drop(self, key: bytes) -> None:
        """Forget a user."""
        self.pop(key, None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self.keys()))


def key(unit: str, application: str = "shop") -> tuple[str, str, str]:
    return application, "promotion-1", unit


class Log:
    """Changes in the order of the log, an hour's delay."""

    def __init__(self, most: int = 1000) -> None:
        self.store = Kept()
        self.users = Users(self.store, 3600.0, most)
        self.offset = 0

    def asks(self, unit: str, name: str, now: float, share: float = 1.0) -> None:
        """A request."""
        self._hear(unit, Change(GROUP, now, name, unit, 1, 0, 0), now, share)

    def told(self, unit: str, name: str, now: float, failed: int) -> None:
        """The first that is said of it."""
        self._hear(unit, Change(GROUP, now, name, unit, 0, 1, failed), now)

    def _hear(self, unit: str, change: Change, now: float, share: float = 1.0) -> None:
        self.offset += 1
        self.users.hear(key(unit), share, "canary", change, self.offset, now)

    def due(self, now: float) -> list[tuple[str, bool]]:
        """Who is counted, and whether they failed."""
        return [(unit, met.failed > 0) for (_, _, unit), met in self.users.due(now)]


def test_a_user_counts_an_hour_after_the_request_whatever_is_told_first() -> None:
    """A failure told at once and a success told late count at the same age, in the order of the requests."""
    log = Log()
    log.asks("late", "a", 0.0)
    log.asks("soon", "b", 10.0)
    log.told("soon", "b", 11.0, failed=1)
    assert log.due(3599.0) == []
    log.told("late", "a", 3599.0, failed=0)

    assert log.due(3600.0) == [("late", False)]
    assert log.due(3700.0) == [("soon", True)]


def test_what_is_told_too_late_changes_nothing() -> None:
    """After the hour a user has been counted: neither another word nor another request does so again."""
    log = Log()
    log.asks("u", "a", 0.0)
    log.told("u", "a", 5.0, failed=0)
    assert log.due(3600.0) == [("u", False)]
    log.told("u", "a", 3700.0, failed=1)
    log.asks("u", "b", 3800.0)
    log.told("u", "b", 3801.0, failed=1)

    assert log.due(1e9) == []
    assert log.users.waiting == 0


def test_of_whom_nothing_was_said_is_met_anew() -> None:
    """A silent hour counts for nothing; the next request of the same user is another chance to be heard."""
    log = Log()
    log.asks("u", "a", 0.0)
    assert log.due(3600.0) == []
    log.told("u", "a", 3700.0, failed=1)
    log.asks("u", "b", 4000.0)
    log.told("u", "b", 4001.0, failed=0)

    assert log.due(7600.0) == [("u", False)]


def test_only_the_first_request_speaks() -> None:
    """A second request within the hour has no say: whoever asks often counts no more than others."""
    log = Log()
    log.asks("u", "a", 0.0)
    log.asks("u", "b", 1.0)
    log.told("u", "b", 2.0, failed=1)
    log.told("u", "a", 3.0, failed=0)

    assert log.due(3600.0) == [("u", False)]


def test_a_word_taken_back_is_not_counted() -> None:
    """A failure that was retracted in time leaves a user of whom nothing was said."""
    log = Log()
    log.asks("u", "a", 0.0)
    log.told("u", "a", 1.0, failed=1)
    log._hear("u", Change(GROUP, 2.0, "a", "u", 0, -1, -1), 2.0)

    assert log.due(3600.0) == []


def test_a_log_read_again_after_a_crash_gives_the_same() -> None:
    """Changes that are in the table already are not heard again; who waited waits on, in order."""
    log = Log()
    for n in range(5):
        log.asks(f"u{n}", f"i{n}", float(n))
        log.told(f"u{n}", f"i{n}", float(n), failed=n % 2)
    assert log.due(3601.0) == [("u0", False), ("u1", True)]

    again = Users(log.store, 3600.0, 1000)
    for n in range(5):
        for offset, change in enumerate(
            (Change(GROUP, n, f"i{n}", f"u{n}", 1, 0, 0), Change(GROUP, n, f"i{n}", f"u{n}", 0, 1, n % 2)), 2 * n + 1
        ):
            again.hear(key(f"u{n}"), 1.0, "canary", change, offset, float(n))

    assert [(unit, met.judged, met.failed) for (_, _, unit), met in again.due(1e9)] == [
        ("u2", 1, 0),
        ("u3", 1, 1),
        ("u4", 1, 0),
    ]


def test_more_users_than_may_be_noted_become_a_sample() -> None:
    """Nothing stops: half of the largest application's users are noted from then on, by a hash, and counted."""
    log = Log(most=1000)
    for n in range(1001):
        log.asks(f"u{n}", f"i{n}", 0.0)
    log.users.hear(key("other", "small"), 1.0, "canary", Change(GROUP, 0, "x", "other", 1, 0, 0), 9999, 0.0)
    assert log.users.crowd() == "shop"

    log.users.thin("shop", 0.5)
    left = {unit for unit in (f"u{n}" for n in range(1001)) if log.store.get(_name(unit))}
    for n in range(1001, 2001):
        log.asks(f"u{n}", f"i{n}", 1.0, share=0.5)
    new = {unit for unit in (f"u{n}" for n in range(1001, 2001)) if log.store.get(_name(unit))}

    assert len(left) == pytest.approx(500, abs=80)
    assert len(new) == pytest.approx(500, abs=80)
    assert log.users.crowd() is None or len(log.store) > 1000
    log.users.forget("shop")
    assert [met.interaction_id for met in log.store.values()] == ["x"]


def _name(unit: str) -> bytes:
    import msgspec  # noqa: PLC0415 one helper's

    return msgspec.json.encode(key(unit))
