"""Closure: what a promotion did to each cluster, beyond chance, bursts and looks; and what its evaluation said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import binom

from flows.cluster.catalogue.closure import LOOKS, Known, Promotion, closures, reach
from flows.cluster.catalogue.trends import Traffic
from schemas.trend import Closure

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=100)
PROMOTED = NOW - timedelta(days=5)


def known(clusters: int, born: datetime = LONG_AGO, min_size: int = 5, said: Sequence[Closure] = ()) -> Known:
    return Known(
        ids=[f"c{n}" for n in range(clusters)], born=[born] * clusters, min_size=min_size, closures=[said] * clusters
    )


def world(rng: np.random.Generator, before: np.ndarray, after: np.ndarray, daily: float = 0.0) -> Traffic:
    """Seven days before the promotion and five after, 2,000 people a day, of whom each cluster has its share."""
    time, cluster, unit, people = [], [], [], 0
    for day in range(12):
        start = PROMOTED.timestamp() + 86_400 * (day - 7)
        rates = before if day < 7 else after
        often = rng.gamma(1 / daily**2, daily**2, len(rates)) if daily else 1.0
        failing = rng.poisson(rates * 2000 * often)
        labels = np.concatenate([np.repeat(np.arange(len(rates)), failing), np.full(2000, -1)])
        time.append(start + rng.uniform(0, 86_400, len(labels)))
        cluster.append(labels)
        unit.append(people + np.arange(len(labels)))
        people += len(labels)
    return Traffic(np.concatenate(time), np.concatenate(cluster), np.concatenate(unit))


def found(traffic: Traffic, promotions: Sequence[Promotion], who: Known, as_of: datetime = NOW) -> list[list[Closure]]:
    return closures(traffic, promotions, who, as_of, 24, cap=3)


def test_closure_says_whether_a_promotion_fixed_a_cluster_in_production_and_offline() -> None:
    """One cluster's rate falls and its slice is better; the next only falls; one is only better; one is neither."""
    rates = np.array([0.03, 0.03, 0.03, 0.03])
    traffic = world(np.random.default_rng(1), rates, rates * [0.1, 0.1, 1, 1], daily=0.1)
    offline = {"c0": (0.3, 0.1, 0.5), "c1": (0.1, -0.1, 0.3), "c2": (0.4, 0.2, 0.6)}

    rows = found(traffic, [Promotion(PROMOTED, "bot-2", "promoted", offline)], known(4))

    assert [row[0].verdict for row in rows] == ["fell", "fell", "unclear", "unclear"]
    assert [row[0].fixed for row in rows] == ["both", "production", "offline", "neither"]
    low, high = rows[0][0].low, rows[0][0].high
    assert low is not None
    assert high is not None
    assert low < -0.025 < high < 0


def test_what_got_worse_rose() -> None:
    """A cluster with four times the people after is no success."""
    traffic = world(np.random.default_rng(2), np.array([0.01]), np.array([0.04]))

    (row,) = found(traffic, [Promotion(PROMOTED, "bot-2", "promoted")], known(1))

    assert (row[0].verdict, row[0].fixed) == ("rose", "neither")


@pytest.mark.parametrize("daily", [0.0, 0.25])
def test_of_forty_clusters_that_nothing_changed_none_fell(daily: float) -> None:
    """In 19 of 20 worlds: many clusters are many chances, and topics come and go by the day."""
    rates = np.linspace(0.005, 0.03, 40)
    promotion = [Promotion(PROMOTED, "bot-2", "promoted")]
    false = sum(
        any(row and row[0].verdict != "unclear" for row in found(
            world(np.random.default_rng(seed), rates, rates, daily), promotion, known(40)))
        for seed in range(100)
    )  # fmt: skip

    assert false <= binom.isf(0.001, 100, 0.05)


def test_clusters_that_a_burst_made_do_not_fall() -> None:
    """Of many small topics those with an unlucky week become clusters; after it they are what they always were."""
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        counts = rng.poisson(3.0, (2, 400))
        burst = np.flatnonzero(counts[0] >= 8)
        time, cluster, unit = [], [], []
        for side, when in enumerate((PROMOTED - timedelta(hours=12), PROMOTED + timedelta(hours=12))):
            labels = np.concatenate([np.repeat(np.arange(len(burst)), counts[side, burst]), np.full(3000, -1)])
            time.append(np.full(len(labels), when.timestamp()))
            cluster.append(labels)
            unit.append(side * 10_000 + np.arange(len(labels)))
        traffic = Traffic(np.concatenate(time), np.concatenate(cluster), np.concatenate(unit))
        who = known(len(burst), born=PROMOTED - timedelta(hours=1), min_size=8)
        rows = found(traffic, [Promotion(PROMOTED, "bot-2", "promoted")], who, PROMOTED + timedelta(days=1))
        false += any(row and row[0].verdict != "unclear" for row in rows)

    assert false <= binom.isf(0.001, 100, 0.05)


def test_between_two_looks_nothing_new_is_looked_at() -> None:
    """An hourly run sees what the last look saw: the same counts, however often it is made."""
    rates = np.array([0.03, 0.02])
    traffic = world(np.random.default_rng(3), rates, rates * 0.3)
    promotion = [Promotion(PROMOTED, "bot-2", "promoted")]
    day, later, early = (PROMOTED + timedelta(days=days) for days in (LOOKS[0], 1.9, 0.9))

    assert found(traffic, promotion, known(2), later) == found(traffic, promotion, known(2), day)
    assert {row[0].verdict for row in found(traffic, promotion, known(2), early)} == {"unclear"}


def test_of_a_promotion_that_has_ended_nothing_is_counted_again() -> None:
    """What was said of it once it had ended stays said, whatever traffic there is or is no longer."""
    rates = np.array([0.03])
    traffic = world(np.random.default_rng(4), rates, rates * 0.1)
    changes = [Promotion(PROMOTED, "bot-2", "promoted"), Promotion(NOW - timedelta(days=1), "bot-1", "rolled_back")]

    ((first, second),) = found(traffic, changes, known(1))
    assert (first.final, second.final) == (True, False)
    late = traffic.time > (NOW - timedelta(days=3)).timestamp()
    rest = Traffic(traffic.time[late], traffic.cluster[late], traffic.unit[late])
    seen = replace(known(1, said=[first, second]), looked=NOW - timedelta(hours=1))
    ((kept, _),) = found(rest, changes, seen)

    assert kept == first
    week = timedelta(days=7)
    around = [(change.time - week, change.time + week) for change in changes]
    assert reach(changes, seen, 24) == around[1:]
    assert reach(changes, known(1), 24) == around
    assert reach([], known(1), 24) == []


def test_traffic_outside_of_what_is_reached_for_changes_nothing() -> None:
    """A champion of a month ago: the weeks around its promotion, a window before them, and nothing else."""
    rng = np.random.default_rng(5)
    seen = 40_000
    time = np.sort(rng.uniform(0, 40 * 86_400, seen)) + (NOW - timedelta(days=40)).timestamp()
    cluster = np.where(rng.random(seen) < 0.05, rng.integers(0, 2, seen), -1)
    traffic = Traffic(time, cluster, rng.integers(0, 5_000, seen))
    promotion = Promotion(NOW - timedelta(days=28), "bot-2", "promoted")

    reached = np.zeros(seen, dtype=bool)
    for start, end in reach([promotion], known(2), 24):
        reached |= (time >= (start - timedelta(days=1)).timestamp()) & (time < end.timestamp())
    part = Traffic(time[reached], cluster[reached], traffic.unit[reached])

    assert 0 < reached.sum() < 0.45 * seen
    assert found(part, [promotion], known(2)) == found(traffic, [promotion], known(2))
    assert found(part, [promotion], known(2))[0][0].before[1] > 0
