"""Who is looking at what: leases that end, are renewed, and are lost without harm."""

from __future__ import annotations

from collections.abc import Collection

from ui.reservations import LEASE_S, MOST, Reservations


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def alone(_item: str, others: Collection[str]) -> bool:
    return not others


def test_two_people_are_given_different_items() -> None:
    """[ana takes 2, ben takes 2]: four items; who asks again is given the same."""
    found = Reservations(Clock())

    assert found.deal("ana", "abcdef", alone, 2) == ["a", "b"]
    assert found.deal("ben", "abcdef", alone, 2) == ["c", "d"]
    assert found.deal("ana", "abcdef", alone, 2) == ["a", "b"]
    assert found.deal("ana", "abcdef", alone, 2, besides="ab") == ["e", "f"]


def test_a_lease_ends_and_is_renewed_by_whoever_goes_on() -> None:
    """What ana has on screen stays hers while she asks for more; what she left is ben's after the lease."""
    clock = Clock()
    found = Reservations(clock)
    found.deal("ana", "ab", alone, 2)
    clock.now = LEASE_S - 1
    found.deal("ana", "ab", alone, 0, besides="a")
    clock.now = LEASE_S + 1

    assert found.deal("ben", "ab", alone, 2) == ["b"]


def test_later_is_later_for_one_person_alone() -> None:
    """Put off by ana it is ben's at once, and hers again after a while."""
    clock = Clock()
    found = Reservations(clock)
    found.deal("ana", "a", alone, 1)
    found.let_go("ana", "a", later=True)

    assert found.deal("ana", "a", alone, 1) == []
    assert found.deal("ben", "a", alone, 1) == ["a"]
    clock.now = 2 * LEASE_S
    assert found.deal("ana", "a", alone, 1) == ["a"]


def test_leases_are_bounded() -> None:
    """However many items are dealt, the oldest leases end early."""
    found = Reservations(Clock())
    found.deal("ana", map(str, range(MOST + 50)), alone, MOST + 50)

    assert found.deal("ben", map(str, range(MOST + 50)), alone, 60) == [str(n) for n in range(50)]
