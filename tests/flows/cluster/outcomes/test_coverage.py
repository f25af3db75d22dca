"""Who gives feedback: weighing for it brings the failure rate nearer the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from flows.cluster.catalogue.abuse import suspicions
from flows.cluster.outcomes.coverage import coverage

START = datetime(2026, 1, 5, tzinfo=UTC)


def world(rng: np.random.Generator, n: int = 3000) -> tuple[pa.Table, list[str], np.ndarray, np.ndarray]:
    """Traffic in which a topic, a prompt version and a kind of user fail more and also click more, or less."""
    topic, version, eager = rng.integers(0, 4, n), rng.integers(0, 2, n), rng.random(n) < 0.3
    fails = np.array([0.1, 0.2, 0.5, 0.3])[topic] + 0.15 * version
    lean = rng.choice([-1.5, -0.8, 0.8, 1.5])
    logit = -1.2 + lean * (fails - fails.mean()) / fails.std() + 0.8 * eager
    judged = rng.random(n) < 1 / (1 + np.exp(-logit))
    failed = rng.random(n) < fails
    names = ("card", "parcel", "refund", "password")
    times = [START + timedelta(seconds=int(s)) for s in rng.integers(0, 86_400, n)]
    rows = pa.table({
        "time": pa.array(times, pa.timestamp("us", "UTC")),
        "unit": [f"user:u{i % (50 if e else 2000)}" for i, e in enumerate(eager)],
        "request_model": ["m"] * n,
        "prompt_version": [f"v{v}" for v in version],
        "variant": pa.array([None] * n, pa.string()),
        "duration_ms": pa.array([None] * n, pa.float64()),
    })  # fmt: skip
    return rows, [f"a question about my {names[t]}" for t in topic], judged, failed


def test_the_weighted_rate_is_nearer_the_truth() -> None:
    """In at least nine of ten simulated worlds."""
    nearer = []
    for seed in range(20):
        rows, texts, judged, failed = world(np.random.default_rng(seed))
        found = coverage(rows, texts, judged, failed)
        assert found.raw is not None
        assert found.weighted is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= failed.mean() <= found.high
        nearer.append(abs(found.weighted - failed.mean()) < abs(found.raw - failed.mean()))

    assert np.mean(nearer) >= 0.9


def test_too_little_gives_no_weighted_rate() -> None:
    """With few judged, or all judged, there is a raw rate and no more."""
    rows, texts, _, failed = world(np.random.default_rng(0), 60)
    all_judged = coverage(rows, texts, np.ones(60, bool), failed)
    nobody = coverage(rows, texts, np.zeros(60, bool), failed)

    assert (all_judged.weighted, nobody.raw, nobody.weighted) == (None, None, None)
    assert (nobody.low, nobody.high) == (0.0, 1.0)


def test_a_brigade_of_strangers_is_pointed_to() -> None:
    """Thirty fresh accounts on one cluster stand out; the usual mix does not."""
    rng = np.random.default_rng(0)
    cluster = np.concatenate([rng.integers(0, 10, 400), np.full(30, 3)])
    fresh = np.concatenate([rng.random(400) < 0.1, np.ones(30, bool)])

    assert [found.cluster for found in suspicions(cluster, fresh)] == [3]
    assert suspicions(cluster[:400], fresh[:400]) == []
    assert suspicions(np.array([], dtype=np.int64), np.array([], dtype=bool)) == []
