"""A/A: how often the configured gate errs between two equal models, on the scores of a real evaluation.

Where models are equal, which of them gave an answer is chance: dealing each unit's two answers anew, with a fair coin,
makes an A/A comparison with the eval set's own ties, clusters, slices and noise, without asking any model again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from flows.evaluate.compare import Paired, differences
from schemas.records import Comparison, Verdict
from schemas.settings import GateSettings


def flip_rates(
    paired: Paired,
    comparison: Comparison,
    gate: GateSettings,
    decide: Callable[[Comparison, GateSettings], Verdict],
    repeats: int,
    seed: int,
) -> dict[str, float]:
    """Share of each verdict over `repeats` A/A comparisons; guards and notes are `comparison`'s own and left out."""
    rng = np.random.default_rng(seed)
    verdicts: Counter[str] = Counter()
    for _ in range(repeats):
        overall, slices = differences(swapped(paired, rng), gate)
        equal = Comparison(
            comparison.evaluation_id,
            comparison.candidate,
            comparison.champion,
            comparison.dataset_version,
            overall,
            slices,
        )
        verdicts[decide(equal, gate).verdict] += 1
    return {verdict: verdicts[verdict] / repeats for verdict in ("promote", "block", "inconclusive")}


def swapped(paired: Paired, rng: np.random.Generator) -> Paired:
    """The same scores with the models exchanged in half of the units, drawn by a fair coin each."""
    coin = rng.random(int(paired.units.max(initial=-1)) + 1) < 0.5
    exchange = coin[paired.units] if len(paired.items) else np.empty(0, bool)
    return Paired(
        paired.items,
        paired.units,
        paired.slices,
        paired.slice_names,
        np.where(exchange, paired.candidate, paired.champion),
        np.where(exchange, paired.champion, paired.candidate),
    )
