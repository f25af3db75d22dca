"""Rates, tests and statuses on simulated traffic whose truth is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from flows.cluster.catalogue.closure import Promotion, closures, difference
from flows.cluster.catalogue.trends import (
    Change,
    Traffic,
    Window,
    changes,
    counts,
    discoveries,
    rate_p,
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


def statuses(failures: np.ndarray, served: np.ndarray, before: str) -> list[str]:
    first = np.zeros(failures.shape[1], dtype=np.int64)
    return [status(c, newborn=False, before=before, min_size=5) for c in changes(failures, served, first)]


def test_planted_resolutions_and_regressions_are_called_right() -> None:
    """Over 20 worlds at least nine in ten clusters that were fixed, or came back, are called so; few others are."""
    resolved, regressed, false = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rates = rng.uniform(0.005, 0.03, CLUSTERS)
        fixed = np.where(np.arange(CLUSTERS) < 10, rates * 0.05, rates)
        found = statuses(*week(rng, rates, fixed), before="steady")
        resolved += [name == "resolved" for name in found[:10]]
        false += [name != "steady" for name in found[10:]]
        quiet = rates * 0.05
        back = np.where(np.arange(CLUSTERS) < 10, rates, quiet)
        found = statuses(*week(rng, quiet, back), before="resolved")
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
        announced.append(any(name != "steady" for name in statuses(*week(rng, rates, rates), before="steady")))

    assert sum(announced) <= binom.isf(0.001, 600, 0.05)  # .08; twice the rate is above it in 19 of 20 runs


def test_no_traffic_is_no_change() -> None:
    """A window without interactions has no rate, and nothing is concluded from it."""
    change = changes(np.array([[5], [0]]), np.array([100, 0]), np.array([0]))[0]

    assert (change.rate, change.low, change.p, change.significant) == (None, None, 1.0, False)
    assert status(change, newborn=False, before="steady", min_size=5) == "steady"


def test_the_exact_test_agrees_with_scipy() -> None:
    """Twice the smaller tail of the binomial, as scipy's conditional test of two Poisson rates has it."""
    from scipy.stats import binomtest  # noqa: PLC0415 one test's oracle

    p = rate_p(np.array([12]), 1000, np.array([10]), np.array([3000]))[0]

    tails = [binomtest(12, 22, 0.25, alternative=side).pvalue for side in ("less", "greater")]
    assert p == pytest.approx(2 * min(tails))


def test_discoveries_are_benjamini_hochberg() -> None:
    """The largest p under its line is called, and all smaller ones with it."""
    called = discoveries(np.array([0.04, 0.001, 0.03, 0.9]), 0.05)

    assert called.tolist() == [False, True, False, False]
    assert discoveries(np.array([]), 0.05).tolist() == []


def test_one_unit_counts_no_more_than_the_cap() -> None:
    """A thousand failures of one user move a cluster's window by the cap."""
    traffic = Traffic(
        np.full(1000, NOW.timestamp() - 60), np.zeros(1000, dtype=np.int64), np.zeros(1000, dtype=np.int64)
    )

    failures, served = counts(traffic, windows(NOW, 24, None), 1, cap=3)

    assert (failures[-1, 0], served[-1]) == (3, 1000)


def test_a_promotion_cuts_the_current_window() -> None:
    """What was served before the last promotion is baseline, not present."""
    promoted = NOW - timedelta(hours=2)

    spans = windows(NOW, 24, promoted)

    assert spans[-1] == Window(promoted, NOW)
    assert spans[-2].end == promoted
    assert len(spans) == 8


def test_closure_says_whether_a_promotion_fixed_a_cluster() -> None:
    """One cluster's rate falls at the promotion, another's does not; the verdicts say so, with intervals."""
    rng = np.random.default_rng(1)
    time = NOW.timestamp() - rng.uniform(0, 10, 20_000) * 86_400
    promoted = NOW - timedelta(days=5)
    after = time >= promoted.timestamp()
    draw = rng.random(20_000)
    fixed, stays = draw < np.where(after, 0.005, 0.05), draw > 0.97
    cluster = np.where(fixed, 0, np.where(stays, 1, -1))
    traffic = Traffic(time, cluster, np.arange(20_000))

    rows = closures(traffic, [Promotion(promoted, "bot-2", "promoted")], 2, NOW, cap=3)

    assert [rows[0][0].verdict, rows[1][0].verdict] == ["fell", "unclear"]
    assert rows[0][0].low < -0.045 < rows[0][0].high < 0


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

    failures, served = counts(traffic, spans, 1, cap=3)
    closed, served_closed = counts(traffic, spans, 1, cap=3, open_end=False)

    assert (failures[-2:, 0].tolist(), served[-2:].tolist()) == ([1, 3], [1, 3])
    assert (closed[-2:, 0].tolist(), served_closed[-2:].tolist()) == ([1, 1], [1, 1])


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
    failures, served = np.array([[30, 0]] * 2 + [[30, 30]] * 2), np.full(4, 200)

    older, younger = changes(failures, served, np.array([0, 2]))

    assert (older.baseline_rate, younger.baseline_rate) == (pytest.approx(0.15), pytest.approx(0.15))
    assert (older.p, younger.p) == (
        pytest.approx(rate_p(np.array([30]), 200, np.array([90]), np.array([600]))[0]),
        pytest.approx(rate_p(np.array([30]), 200, np.array([30]), np.array([200]))[0]),
    )


def clumped(rng: np.random.Generator, cap: int) -> list[str]:
    """Statuses after a quiet week in which whoever fails does so one to three times."""
    time, cluster, unit, people = [], [], [], 0
    for window in range(8):
        start = NOW.timestamp() - 86_400 * (8 - window)
        failing = rng.poisson(np.linspace(0.005, 0.03, CLUSTERS) * 2000)
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
    traffic = Traffic(np.concatenate(time), np.concatenate(cluster), np.concatenate(unit))
    return statuses(*counts(traffic, windows(NOW, 24, None), CLUSTERS, cap=cap), before="steady")


def test_people_who_fail_more_than_once_announce_nothing_where_each_counts_once() -> None:
    """With a cap of 1 what is counted are people, who come by chance; above it their repetitions are no chance."""
    announced = [any(name != "steady" for name in clumped(np.random.default_rng(seed), cap=1)) for seed in range(100)]

    assert sum(announced) <= binom.isf(0.001, 100, 0.05)
