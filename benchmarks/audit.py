"""Whether the audited failure rate's interval holds what is true: `python benchmarks/audit.py [--worlds N]`.

Each world has seven days of traffic that goes up and down, failures that come more on some days, and feedback that is
biased: people speak up when they are angry, or when they are pleased, and some of what they say is wrong. Of each day
seven or eight interactions are reviewed, fifty a week, as a run draws them. Beside the audited rate stand the rate of
the judged and the same weighed as if who speaks were chance. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.audit import share_of_day
from flows.cluster.audited import Stratum, audited_rate
from flows.cluster.catalogue.trends import wilson

Floats = NDArray[np.float64]
DAYS = 7
REVIEWS = 50


@dataclass(frozen=True)
class World:
    """What is true, and who says so."""

    rate: float
    """Share that fails."""
    angry: float
    """Chance that feedback comes where it failed."""
    pleased: float
    """And where it did not."""
    false: float
    """Share of feedback that says the opposite of what is true."""


WORLDS = {
    "few speak, the angry more": World(0.15, 0.12, 0.02, 0.1),
    "few speak, the pleased more": World(0.15, 0.02, 0.08, 0.1),
    "many speak": World(0.2, 0.7, 0.5, 0.1),
    "all feedback is right": World(0.1, 0.3, 0.1, 0.0),
    "feedback is a coin": World(0.1, 0.3, 0.3, 0.5),
    "failures are rare": World(0.03, 0.3, 0.02, 0.05),
    "failures are common": World(0.45, 0.2, 0.05, 0.1),
    "nobody speaks": World(0.12, 0.0, 0.0, 0.0),
}


def main() -> None:
    """Every world many times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=3_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    print(f"{'':>30}{'truth':>8}{'judged say':>12}{'audited':>9}{'covers':>8}{'width':>8}{'judged cover':>14}")
    covers = []
    for name, world in WORLDS.items():
        rng = np.random.default_rng(args.seed)
        found = np.array([one_world(world, rng) for _ in range(args.worlds)])
        truth, judged, rate, low, high, covered = (float(found[:, i].mean()) for i in range(6))
        held = float(np.mean((found[:, 3] <= found[:, 0]) & (found[:, 0] <= found[:, 4])))
        covers.append(held)
        print(f"{name:>30}{truth:>8.3f}{judged:>12.3f}{rate:>9.3f}{held:>8.3f}{high - low:>8.3f}{covered:>14.3f}")
    print(json.dumps({
        "worlds": args.worlds * len(WORLDS), "reviews_a_week": REVIEWS, "coverage": round(float(np.mean(covers)), 4),
        "coverage_worst": round(min(covers), 4), "coverage_most": round(max(covers), 4),
    }))  # fmt: skip


def one_world(world: World, rng: np.random.Generator) -> tuple[float, float, float, float, float, float]:
    """Truth, rate of the judged, audited rate, its interval, and whether the judged's own interval holds the truth."""
    days = np.array([_day(world, rng) for _ in range(DAYS)])
    per = share_of_day(REVIEWS)
    drawn = np.array([rng.multivariate_hypergeometric(day, per[n]) for n, day in enumerate(days)])
    weight = days.sum(axis=1) / drawn.sum(axis=1)
    strata = []
    for at in range(3):
        failed, fine = drawn[:, 2 * at], drawn[:, 2 * at + 1]
        bad = np.concatenate([np.repeat(1.0, failed.sum()), np.repeat(0.0, fine.sum())])
        weights = np.concatenate([np.repeat(weight, failed), np.repeat(weight, fine)])
        count = int(days[:, 2 * at : 2 * at + 2].sum())
        strata.append(Stratum(interactions=count, bad=bad, weights=weights))
    found = audited_rate(strata)
    assert found is not None
    truth = float(days[:, ::2].sum() / days.sum())
    said, judged = int(days[:, :2].sum()), int(days[:, :4].sum())
    low, high = wilson(said, judged)
    holds = float("nan") if low is None or high is None else float(low <= truth <= high)
    return truth, said / judged if judged else float("nan"), *found, holds


def _day(world: World, rng: np.random.Generator) -> NDArray[np.int64]:
    """Interactions of a day: feedback says bad (failed, fine), good (failed, fine), nothing (failed, fine)."""
    traffic = int(rng.lognormal(np.log(2_000), 0.5))
    rate = min(max(world.rate * rng.lognormal(0.0, 0.2), 0.001), 0.9)
    failed, fine = rate, 1 - rate
    shares = np.array([
        failed * world.angry * (1 - world.false), fine * world.pleased * world.false,
        failed * world.angry * world.false, fine * world.pleased * (1 - world.false),
        failed * (1 - world.angry), fine * (1 - world.pleased),
    ])  # fmt: skip
    return np.asarray(rng.multinomial(traffic, shares / shares.sum()))


if __name__ == "__main__":
    main()
