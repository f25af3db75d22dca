"""Live A/B: assignments stick, differences are those of users, and broken experiments are noticed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from flows.promote.variants import MISMATCH, compare_arms, report
from flows.run import begin, finish
from schemas.errors import NotEnoughData
from streams.lake import Lake
from streams.lake.append import publish, to_rows

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def rows(arm: str, users: int, rate: float, seed: int, alike: bool = False) -> list[dict[str, Any]]:
    """Users of an arm with five judged interactions each; `alike`: all five go the same way."""
    rng = np.random.default_rng(seed)
    ok = 5 * rng.binomial(1, rate, users) if alike else rng.binomial(5, rate, users)
    return [{"arm": arm, "unit": f"{arm}{n}", "ok": int(k), "failed": 5 - int(k)} for n, k in enumerate(ok)]


def test_a_better_arm_is_seen() -> None:
    """A gain of ten points among two thousand users is beyond doubt."""
    found = compare_arms(rows("a", 1000, 0.7, 1) + rows("b", 1000, 0.8, 2), "a", "b", 0.05).difference

    assert found.low is not None
    assert 0.05 < found.low < 0.1
    assert found.p_superior is not None
    assert found.p_superior < 1e-6


def test_votes_of_one_user_do_not_count_as_many() -> None:
    """Five equal votes a user make an interval as wide as five times fewer votes."""
    apart, alike = (
        compare_arms(rows("a", 500, 0.7, 1, how) + rows("b", 500, 0.7, 2, how), "a", "b", 0.05).difference
        for how in (False, True)
    )

    assert (alike.high - alike.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(5), rel=0.1)  # type: ignore[operator]


def test_equal_arms_are_seldom_told_apart() -> None:
    """One-sided errors stay at alpha with correlated votes."""
    false = sum(
        (compare_arms(rows("a", 200, 0.7, 2 * n, True) + rows("b", 200, 0.7, 2 * n + 1, True), "a", "b", 0.05)
         .difference.p_superior or 0) <= 0.05
        for n in range(300)
    )  # fmt: skip

    assert false / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_arms_of_the_wrong_size_are_noticed() -> None:
    """Where users of one arm get lost, the rates cannot be compared, and the report says so."""
    lost = compare_arms(rows("a", 1000, 0.7, 1) + rows("b", 850, 0.7, 2), "a", "b", 0.05, share=0.5)
    fine = compare_arms(rows("a", 1000, 0.7, 1) + rows("b", 1020, 0.7, 2), "a", "b", 0.05, share=0.5)

    assert lost.mismatch_p is not None
    assert lost.mismatch_p < MISMATCH
    assert fine.mismatch_p is not None
    assert fine.mismatch_p > MISMATCH


def test_the_report_reads_the_newest_judged_outcomes(lake: Lake) -> None:
    """Unknown outcomes say nothing; users of both arms are counted, judged or not."""
    with pytest.raises(NotEnoughData, match="no outcomes"):
        report(lake, "app", "", "canary", 0.05)
    run = begin(lake, "cluster", "app", NOW, (), {})
    found = [
        {
            "run_id": run.run_id, "application": "app", "interaction_id": f"{arm}{n}", "time": NOW,
            "conversation_id": f"c{n}", "user_id": f"{arm}{n // 2}", "request_model": "m", "variant": arm,
            "outcome": ("unknown", "ok", "failed", "ok")[n % 4],
        }
        for arm in (None, "canary", "other")
        for n in range(40)
    ]  # fmt: skip
    publish(lake, "outcomes", to_rows("outcomes", found), run.run_id)
    finish(lake, run, {})
    said = report(lake, "app", "", "canary", 0.05)

    assert said.users == {"": 20, "canary": 20}
    assert said.difference.items == 60
    assert said.difference.champion == pytest.approx(2 / 3)
    with pytest.raises(NotEnoughData, match="arm 'gone'"):
        report(lake, "app", "", "gone", 0.05)
