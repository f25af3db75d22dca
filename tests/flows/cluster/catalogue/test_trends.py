"""Rates, tests and statuses on simulated traffic whose truth is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from flows.cluster.catalogue.closure import difference
from flows.cluster.catalogue.trends import (
    UNKNOWN_VARIANCE,
    Change,
    Counted,
    Traffic,
    Window,
    changes,
    counts,
    known_variance,
    onsets,
    segments,
    status,
    wilson,
    windows,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CLUSTERS = 40


def week(
    rng: np.random.Generator, rates: np.ndarray, last: np.ndarray, served: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of seven windows at `rates` and one at `last`."""
    before = rng.binomial(served, rates, size=(7, len(rates)))
    return np.vstack([before, rng.binomial(served, last)[None, :]]), np.full(8, served)


def single(failures: np.ndarray, served: np.ndarray) -> Counted:
    """Counts of people who came once each."""
    return Counted(failures, served, failures, served)


def statuses(counted: Counted, before: str, looks: int = 1) -> list[str]:
    first = np.zeros(counted.failures.shape[1], dtype=np.int64)
    return [status(c, newborn=False, before=before, min_size=5) for c in changes(counted, first, looks)]


def test_planted_resolutions_and_regressions_are_called_right() -> None:
    """Over 20 worlds at least nine in ten clusters that were fixed, or came back, are called so; few others are."""
    resolved, regressed, false = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rates = rng.uniform(0.005, 0.03, CLUSTERS)
        fixed = np.where(np.arange(CLUSTERS) < 10, rates * 0.05, rates)
        found = statuses(single(*week(rng, rates, fixed)), before="steady")
        resolved += [name == "resolved" for name in found[:10]]
        false += [name != "steady" for name in found[10:]]
        quiet = rates * 0.05
        back = np.where(np.arange(CLUSTERS) < 10, rates, quiet)
        found = statuses(single(*week(rng, quiet, back)), before="resolved")
        regressed += [name == "regressed" for name in found[:10]]
        false += [name != "resolved" for name in found[10:]]

    assert np.mean(resolved) >= 0.9
    assert np.mean(regressed) >= 0.9
    assert np.mean(false) <= 0.02


def test_a_quiet_week_announces_next_to_nothing() -> None:
    """Where no rate changes, the share of runs with any announcement stays at the false discovery rate.

    For failures that are independent of each other; of people who fail several times, see below.
    """
    announced = []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        rates = rng.uniform(0.001, 0.05, CLUSTERS)
        announced.append(any(name != "steady" for name in statuses(single(*week(rng, rates, rates)), before="steady")))

    assert sum(announced) <= binom.isf(0.001, 600, 0.05)  # .08; twice the rate is above it in 19 of 20 runs


def test_no_traffic_is_no_change() -> None:
    """A window without interactions has no rate, and nothing is concluded from it."""
    change = changes(single(np.array([[5], [0]]), np.array([100, 0])), np.array([0]))[0]

    assert (change.rate, change.low, change.p, change.significant) == (None, None, 1.0, False)
    assert status(change, newborn=False, before="steady", min_size=5) == "steady"


def test_one_unit_counts_no_more_than_the_cap() -> None:
    """A thousand failures of one user move a cluster's window by the cap, and are one person."""
    traffic = Traffic(
        np.full(1000, NOW.timestamp() - 60), np.zeros(1000, dtype=np.int64), np.zeros(1000, dtype=np.int64)
    )

    counted = counts(traffic, windows(NOW, 24, None), 1, 3, onsets(traffic, 24))

    assert (counted.failures[-1, 0], counted.served[-1]) == (3, 1000)
    assert (counted.people[-1, 0], counted.visitors[-1]) == (1, 1)


def test_a_promotion_cuts_the_current_window() -> None:
    """What was served before the last promotion is baseline, not present."""
    promoted = NOW - timedelta(hours=2)

    spans = windows(NOW, 24, promoted)

    assert spans[-1] == Window(promoted, NOW)
    assert spans[-2].end == promoted
    assert len(spans) == 8


def test_intervals_hold_at_the_edges() -> None:
    """No trials give no interval; none or all of a few give one inside 0 to 1; Newcombe's own example is met."""
    assert wilson(0, 0) == (None, None)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    assert difference(0, 0, 1, 5) is None
    found = difference(48, 80, 56, 70)
    assert found is not None
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def changed(rate: float, *, failures: int = 50, significant: bool = True) -> Change:
    """From a rate of .1 to another."""
    return Change(
        failures=failures, interactions=1000, rate=rate, low=None, high=None, baseline_rate=0.1,
        p=0.001 if significant else 0.5, significant=significant,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "name"),
    [(0.2, "growing"), (0.08, "shrinking"), (0.031, "shrinking"), (0.029, "resolved"), (0.0, "resolved")],
)
def test_resolved_is_less_than_three_tenths_of_what_was(rate: float, name: str) -> None:
    """A fall of a fifth is a fall, and no solution; without significance nothing is called."""
    assert status(changed(rate), newborn=False, before="steady", min_size=5) == name
    assert status(changed(rate, significant=False), newborn=False, before="growing", min_size=5) == "steady"
    assert status(changed(rate, significant=False), newborn=True, before="", min_size=5) == "new"


def test_what_was_resolved_regresses_with_enough_failures_only() -> None:
    """Four failures are fewer than make a cluster: they do not bring one back."""
    few, enough = (status(changed(0.2, failures=n), newborn=False, before="resolved", min_size=5) for n in (4, 5))

    assert (few, enough) == ("resolved", "regressed")
    assert status(changed(0.01), newborn=False, before="resolved", min_size=5) == "resolved"


def test_clocks_that_run_ahead_lose_no_event() -> None:
    """What is dated after the last window's end is counted in it, unless the window is closed; never twice."""
    time = NOW.timestamp() + np.array([-90_000.0, -60.0, 0.0, 3600.0])
    traffic = Traffic(time, np.zeros(4, dtype=np.int64), np.arange(4))
    spans = windows(NOW, 24, None)

    found = counts(traffic, spans, 1, 3, onsets(traffic, 24))
    closed = counts(traffic, spans, 1, 3, onsets(traffic, 24), open_end=False)

    assert (found.failures[-2:, 0].tolist(), found.served[-2:].tolist()) == ([1, 3], [1, 3])
    assert (closed.failures[-2:, 0].tolist(), closed.served[-2:].tolist()) == ([1, 1], [1, 1])


def test_a_segment_is_one_of_the_twelve_most_served() -> None:
    """Twenty versions, the n-th served n times: the last twelve, each with failures, traffic and interval."""
    versions = np.repeat(np.array([f"v{n:02}" for n in range(1, 21)]), np.arange(1, 21))
    cluster = np.where(np.arange(len(versions)) % 2 == 0, 0, -1)
    traffic = Traffic(np.full(len(versions), NOW.timestamp() - 60), cluster, np.arange(len(versions)))

    (shown,) = segments(traffic, Window(NOW - timedelta(days=1), NOW), 1, versions)

    assert list(shown) == [f"v{n:02}" for n in range(20, 8, -1)]
    for name, (failed, served, low, high) in shown.items():
        assert served == int(name[1:])
        assert failed == (cluster[versions == name] == 0).sum()
        assert (low, high) == pytest.approx(proportion_confint(failed, served, method="wilson"), abs=1e-6)
    assert segments(traffic, Window(NOW, NOW + timedelta(days=1)), 1, versions) == [{}]


def test_a_cluster_is_held_against_the_windows_since_it_was_known() -> None:
    """Two clusters that fail alike; one is older: its baseline is of six hundred interactions, the other's of two."""
    failures, served = np.array([[30, 0]] * 2 + [[30, 30], [50, 50]]), np.full(4, 200)

    older, younger = changes(single(failures, served), np.array([0, 2]))

    assert (older.baseline_rate, younger.baseline_rate) == (pytest.approx(0.15), pytest.approx(0.15))
    assert older.p < younger.p


def production(rng: np.random.Generator, daily: float = 0.0, windows_: int = 8) -> Traffic:
    """A quiet week: whoever fails does so one to three times, and topics come and go by the day."""
    time, cluster, unit, people = [], [], [], 0
    for window in range(windows_):
        start = NOW.timestamp() - 86_400 * (windows_ - window)
        often = rng.gamma(1 / daily**2, daily**2, CLUSTERS) if daily else np.ones(CLUSTERS)
        failing = rng.poisson(np.linspace(0.005, 0.03, CLUSTERS) * 2000 * often)
        for label, count in enumerate(failing):
            times = rng.integers(1, 4, count)
            time.append(start + rng.uniform(0, 86_400, times.sum()))
            cluster.append(np.full(times.sum(), label))
            unit.append(np.repeat(people + np.arange(count), times))
            people += count
        time.append(start + rng.uniform(0, 86_400, 2000))
        cluster.append(np.full(2000, -1))
        unit.append(people + np.arange(2000))
        people += 2000
    return Traffic(np.concatenate(time), np.concatenate(cluster), np.concatenate(unit))


@pytest.mark.parametrize("daily", [0.0, 0.25, 0.5])
def test_people_who_fail_often_and_topics_that_vary_by_the_day_announce_nothing(daily: float) -> None:
    """Whatever the cap, what is tested are people, against how much their numbers go up and down anyway."""
    announced = 0
    for seed in range(120):
        traffic = production(np.random.default_rng(seed), daily)
        counted = counts(traffic, windows(NOW, 24, None), CLUSTERS, 3, onsets(traffic, 24))
        announced += any(name != "steady" for name in statuses(counted, "steady"))

    assert announced <= binom.isf(0.001, 120, 0.05)


def test_hourly_looks_at_one_window_share_its_false_discoveries() -> None:
    """Twenty-four looks while a day passes: hardly more than one day in twenty has any announcement."""
    announced = 0
    for seed in range(30):
        traffic = production(np.random.default_rng(seed), 0.25, windows_=9)
        since = onsets(traffic, 24)
        looks = [windows(NOW - timedelta(hours=hour), 24, None) for hour in range(24)]
        found = [statuses(counts(traffic, spans, CLUSTERS, 3, since, open_end=False), "steady", 24) for spans in looks]
        announced += any(name != "steady" for names in found for name in names)

    assert announced <= binom.isf(0.001, 30, 0.05)


def test_until_days_are_known_they_are_taken_to_vary() -> None:
    """Two windows of one cluster say nothing of how rates vary; a quarter is assumed."""
    few = np.array([[20.0], [20.0]]), np.full((2, 1), 1000.0)
    many = np.full((8, 3), 20.0), np.full((8, 3), 1000.0)

    assert known_variance([few]) == pytest.approx(UNKNOWN_VARIANCE)
    assert known_variance([many]) == pytest.approx(np.zeros(3))


def test_a_cluster_that_was_born_of_a_burst_does_not_shrink() -> None:
    """Ten people were needed for the cluster to be; two the day after are what an unlucky day's ten would leave."""
    people, visitors = np.array([[10], [2]]), np.array([1000, 1000])
    first = np.array([0])

    plain = changes(single(people, visitors), first)[0]
    born = changes(single(people, visitors), first, least=np.array([10.0]))[0]

    assert plain.p < 0.2
    assert born.p == 1.0


def test_a_part_of_a_window_has_its_part_of_the_people() -> None:
    """Whoever fails does so every other hour for a day: six hours of a promotion show a quarter of the new ones."""
    rng = np.random.default_rng(9)
    start = NOW.timestamp() - 40 * 86_400 + rng.uniform(0, 40 * 86_400, 8000)
    time = (start[:, None] + 7200 * np.arange(12)[None, :]).ravel()
    unit = np.repeat(np.arange(8000), 12)
    traffic = Traffic(time, np.zeros(len(time), dtype=np.int64), unit)
    day = Window(NOW - timedelta(days=3), NOW - timedelta(days=2))
    part = Window(day.end, day.end + timedelta(hours=6))

    found = counts(traffic, [day, part], 1, 3, onsets(traffic, 24), open_end=False)

    assert found.people[1, 0] / found.people[0, 0] == pytest.approx(0.25, abs=0.1)
    assert found.people[0, 0] == pytest.approx(200, abs=50)
    assert found.visitors.tolist() == found.people[:, 0].tolist()
