"""How far each source of feedback is to be trusted, estimated from where sources speak of the same interactions.

Expectation-maximisation for unknown truth and fallible observers: A. P. Dawid and A. M. Skene, "Maximum Likelihood
Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28(1), 1979; here with two classes, a
Beta prior on every rate (so that a source that overlaps with nobody keeps its documented guess), and one-sided
observers.
Go on to `outcomes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.signals import BAD, Voices, kind_of

Floats = NDArray[np.float64]
PRIOR_WEIGHT = 20.0
"""Voices that a prior counts as: after some 200 overlapping ones nine tenths of an estimate are data."""
MAX_LOG_ODDS = float(np.log(50.0))
"""The most that one voice may move one interaction, whatever its record: no source decides alone against three."""
ITERATIONS = 100
TOLERANCE = 1e-6
EDGE = 1e-4
"""Rates stay this far from 0 and 1: nobody is infallible."""


@dataclass(frozen=True)
class Source:
    """What is known of one source."""

    source: str
    voices: int
    overlap: int
    """Voices on interactions of which another source spoke too: what the estimate rests on."""
    bad: float
    """P(says bad | bad), or P(speaks | bad) for a one-sided source."""
    good: float
    """P(says bad | good), or P(speaks | good)."""


@dataclass(frozen=True)
class Reliability:
    """The fitted model: sources, the share of bad among judged interactions, and a probability for each of them."""

    sources: tuple[Source, ...]
    prior_bad: float
    probability_bad: Floats
    """By interaction; `prior_bad` where nobody spoke."""


def estimate(voices: Voices, items: int, weights: Mapping[str, float]) -> Reliability:
    """Fit rates and probabilities to all voices. `weights` scales a kind's or source's say (1 where not named)."""
    kinds = [kind_of(source) for source in voices.sources]
    one_sided = np.array([kind.says != "value" for kind in kinds], dtype=bool)
    first = np.array([[kind.bad, kind.good] for kind in kinds], dtype=float).reshape(-1, 2)
    scale = np.array([weights.get(s, weights.get(s.partition(":")[0], 1.0)) for s in voices.sources], dtype=float)
    shared = _spoken_of_by_two(voices, items)
    rates, prior = first, 0.5
    bad = _probabilities(voices, items, rates, one_sided, scale, prior)
    for _ in range(ITERATIONS):
        rates = _rates(voices, bad, shared, first, one_sided)
        prior = _share_bad(voices, bad)
        before, bad = bad, _probabilities(voices, items, rates, one_sided, scale, prior)
        if len(bad) == 0 or np.abs(bad - before).max() < TOLERANCE:
            break
    told = np.bincount(voices.source, minlength=len(kinds))
    overlap = np.bincount(voices.source[shared[voices.item]], minlength=len(kinds))
    sources = tuple(
        Source(name, int(told[i]), int(overlap[i]), float(rates[i, 0]), float(rates[i, 1]))
        for i, name in enumerate(voices.sources)
    )
    return Reliability(sources, prior, bad)


def _spoken_of_by_two(voices: Voices, items: int) -> NDArray[np.bool_]:
    pairs = np.unique(np.stack([voices.item, voices.source]), axis=1)
    return np.bincount(pairs[0], minlength=items) >= 2


def _probabilities(
    voices: Voices, items: int, rates: Floats, one_sided: NDArray[np.bool_], scale: Floats, prior: float
) -> Floats:
    """The E step: log odds of bad add up over voices, each within its limit."""
    said_bad = voices.says == BAD
    odds = np.log(rates[voices.source])
    silence = np.log1p(-rates[voices.source])
    use = said_bad | one_sided[voices.source]  # a one-sided voice that says ok speaks at its rates as well
    log_ratio = np.where(use, odds[:, 0] - odds[:, 1], silence[:, 0] - silence[:, 1])
    limited = np.clip(log_ratio * scale[voices.source], -MAX_LOG_ODDS, MAX_LOG_ODDS)
    total = np.log(prior / (1 - prior)) + np.bincount(voices.item, weights=limited, minlength=items)
    return np.asarray(1 / (1 + np.exp(-np.clip(total, -500, 500))))


def _rates(
    voices: Voices, bad: Floats, shared: NDArray[np.bool_], first: Floats, one_sided: NDArray[np.bool_]
) -> Floats:
    """The M step, over interactions that two sources spoke of; a source never beats worse than chance."""
    n = len(first)
    use = shared[voices.item]
    item, source, says = voices.item[use], voices.source[use], voices.says[use]
    counted = np.where(one_sided[source], True, says == BAD)
    columns = []
    for truth, prior in ((bad, first[:, 0]), (1 - bad, first[:, 1])):
        fired = np.bincount(source, weights=truth[item] * counted, minlength=n)
        spoken = np.bincount(source, weights=truth[item], minlength=n)
        could = np.where(one_sided, truth[shared].sum(), spoken)
        columns.append((fired + PRIOR_WEIGHT * prior) / (could + PRIOR_WEIGHT))
    rates = np.clip(np.stack(columns, axis=1), EDGE, 1 - EDGE)
    wrong_way = (rates[:, 0] < rates[:, 1]) == (first[:, 0] >= first[:, 1])
    return np.where(wrong_way[:, None], rates.mean(axis=1, keepdims=True), rates)


def _share_bad(voices: Voices, bad: Floats) -> float:
    judged = np.unique(voices.item)
    return float((bad[judged].sum() + 2.0) / (len(judged) + 4.0))
