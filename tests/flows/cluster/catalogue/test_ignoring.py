"""Whether a closed cluster has grown: found when it has, and by chance no more often than is said."""

from __future__ import annotations

import numpy as np

from flows.cluster.catalogue.ignoring import growth_p
from flows.cluster.catalogue.trends import FALSE_DISCOVERIES


def reopened(rates: list[float], seed: int, visitors: int = 2_000) -> int | None:
    """The look that reopens a cluster whose people fail at these rates since it was closed; before, at 2 %."""
    random = np.random.default_rng(seed)
    before = [(int(random.binomial(visitors, 0.02)), visitors) for _ in range(8)]
    for k, rate in enumerate(rates):
        people = int(random.binomial(visitors, rate))
        if growth_p(before, people, visitors) * (k + 1) * (k + 2) <= FALSE_DISCOVERIES:
            return k
    return None


def test_what_stays_as_it_was_seldom_comes_back() -> None:
    """40 clusters looked at 25 times each, a thousand windows without a change: at most one in twenty returns."""
    assert sum(reopened([0.02] * 25, seed) is not None for seed in range(40)) <= 2


def test_growth_is_found_at_once() -> None:
    """A cluster that five times as many people fail in is open again after one look."""
    assert [reopened([0.1], seed) for seed in range(10)] == [0] * 10


def test_growth_is_found_after_many_quiet_looks() -> None:
    """After thirty looks that found nothing the next one still finds nine in ten."""
    found = [reopened([0.02] * 30 + [0.1], seed) for seed in range(10)]
    assert found.count(30) >= 9


def test_no_traffic_is_no_growth() -> None:
    """Nobody came: nothing is known."""
    assert growth_p([(3, 100)], 0, 0) == 1.0
    assert growth_p([(0, 0)], 5, 100) == 1.0


def test_a_burst_before_it_was_closed_is_not_grown_past_by_less() -> None:
    """It must be more than in the last window, not only more than in the week."""
    week = [(2, 1000)] * 7
    assert growth_p([*week, (60, 1000)], 60, 1000) > 0.3
    assert growth_p([*week, (2, 1000)], 60, 1000) < 0.001
