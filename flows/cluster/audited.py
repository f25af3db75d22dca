"""The failure rate of all interactions, with an honest interval: what feedback says, corrected by a random audit.

Who gives feedback is not everybody, and not everybody who does is right. So a random few of all interactions are
reviewed blind, and the rate rests on what these reviews say: of what nobody judged how much failed, of what feedback
calls bad how much did not, of what it calls good how much did. That is prediction-powered inference (A. N. Angelopoulos
and others, Science 382, 2023) with feedback as the prediction, stratified by what the prediction is (J. Neyman, JRSS
97, 1934). Go on to `flows/cluster/audit.py`, which draws the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.catalogue.trends import wilson

Floats = NDArray[np.float64]
LEAST = 10
"""Reviews that a stratum needs to stand for itself: put together of fewer, intervals held the truth in .92 only."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The interactions of which feedback says the same: bad, good, or nothing."""

    interactions: int
    bad: Floats
    """Of those reviewed, 1 where the reviewer says bad, 0 where good; between them where reviewers differ."""
    weights: Floats
    """How many interactions each of them stands for."""


def audited_rate(strata: Sequence[Stratum]) -> tuple[float, float, float] | None:
    """The share of all interactions that failed, with its 95 % interval; None where nothing was reviewed.

    The rate is `sum(W p)` over strata, W their shares of all interactions and p the weighed share of bad reviews. The
    interval is put together from each stratum's Wilson interval (l, u), at as many reviews as the weighed ones are
    worth (Kish 1965): `rate - sqrt(sum((W (p - l))**2))` and the like above (MOVER: G. Y. Zou and A. Donner, Statistics
    in Medicine 27, 2008), which holds its level for few reviews and rare failures where a normal interval does not.
    """
    total = sum(one.interactions for one in strata)
    if not total or not any(len(one.bad) for one in strata):
        return None
    rate = below = above = 0.0
    for one in _pooled(strata):
        share = one.interactions / total
        p, low, high = _share(one)
        rate += share * p
        below += (share * (p - low)) ** 2
        above += (share * (high - p)) ** 2
    return rate, max(0.0, rate - float(np.sqrt(below))), min(1.0, rate + float(np.sqrt(above)))


def _pooled(strata: Sequence[Stratum]) -> list[Stratum]:
    """Strata with enough reviews each: those with few are one, which takes in the smallest other where it has few."""
    ordered = sorted((one for one in strata if one.interactions), key=lambda one: len(one.bad))
    few = [one for one in ordered if len(one.bad) < LEAST]
    rest = ordered[len(few) :]
    if few and rest and sum(len(one.bad) for one in few) < LEAST:
        few.append(rest.pop(0))
    if not few:
        return rest
    pool = Stratum(
        interactions=sum(one.interactions for one in few),
        bad=np.concatenate([one.bad for one in few]),
        weights=np.concatenate([one.weights for one in few]),
    )
    return [pool, *rest]


def _share(one: Stratum) -> tuple[float, float, float]:
    worth = float(one.weights.sum() ** 2 / (one.weights**2).sum())
    p = float((one.weights * one.bad).sum() / one.weights.sum())
    low, high = wilson(p * worth, worth)
    return p, low or 0.0, 1.0 if high is None else high
