"""A/A: how often the configured gate errs between two equal models, on the scores and reviews of a real evaluation.

Where models are equal, which of them gave an answer is chance: dealing each unit's two answers anew, with a fair coin,
makes an A/A comparison with the eval set's own ties, clusters, slices and noise, without asking any model again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np

from flows.evaluate.compare import Paired, differences
from flows.evaluate.sampled import View, reviewed_differences
from flows.statistics import Codes
from schemas.records import Comparison, Verdict
from schemas.settings import GateSettings

Decide = Callable[[Comparison, GateSettings], Verdict]


def flip_rates(
    about: Paired | View, comparison: Comparison, gate: GateSettings, decide: Decide, repeats: int, seed: int
) -> dict[str, float]:
    """Share of each verdict over `repeats` A/A comparisons; guards and notes are `comparison`'s own and left out."""
    rng = np.random.default_rng(seed)
    verdicts = Counter(decide(_equal(about, comparison, gate, rng), gate).verdict for _ in range(repeats))
    return {verdict: verdicts[verdict] / repeats for verdict in ("promote", "block", "inconclusive")}


def _equal(about: Paired | View, comparison: Comparison, gate: GateSettings, rng: np.random.Generator) -> Comparison:
    bare = msgspec.structs.replace(comparison, guards={}, notes=())
    if isinstance(about, Paired):
        overall, slices = differences(swapped(about, rng), gate)
        return msgspec.structs.replace(bare, overall=overall, slices=slices)
    overall, slices, sampled = reviewed_differences(about.exchanged(_coins(about.tie.groups[0], rng)), gate)
    return msgspec.structs.replace(bare, overall=overall, slices=slices, sampled=sampled)


def swapped(paired: Paired, rng: np.random.Generator) -> Paired:
    """The same scores with the models exchanged in half of the units, drawn by a fair coin each."""
    exchange = _coins(paired.units, rng)
    return Paired(
        paired.items,
        paired.units,
        paired.slices,
        paired.slice_names,
        np.where(exchange, paired.candidate, paired.champion),
        np.where(exchange, paired.champion, paired.candidate),
    )


def _coins(units: Codes, rng: np.random.Generator) -> np.ndarray:
    """For each item whether its unit's two answers are exchanged."""
    coin = rng.random(int(units.max(initial=-1)) + 1) < 0.5
    return coin[units] if len(units) else np.empty(0, bool)
