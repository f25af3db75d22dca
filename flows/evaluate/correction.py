"""What a judge gets wrong, measured on the answers that people have labelled, taken out of the comparison.

A judge that favours the candidate promotes worse models with certainty, and even an unbiased one shrinks differences.
Prediction-powered inference uses the judge's scores of all items and lets the labelled ones say how far they are off;
the interval is as wide as that knowledge is scarce. The labelled items must be a random sample of the eval set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from flows.statistics import Codes, Estimate, Floats, freedom

JUDGES = frozenset({"judge", "pairwise_judge"})
"""Scorers whose scores are opinions of a model, and have to be measured before they decide."""


class Corrected(Struct, frozen=True):
    """A difference corrected for the judge's errors."""

    estimate: Estimate
    """Its `units` are those with labels: they are what the t test's degrees of freedom are made of."""
    trust: float
    """PPI++'s lambda: 0 ignores the judge, 1 takes its scores at face value plus the mean error."""


def corrected_mean(judged: Floats, labels: Floats, units: Codes) -> Corrected:
    """Mean of what people would say, from judge's values of all items and people's of some (NaN where not labelled).

    PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453): lambda * mean(judged, unlabelled) +
    mean(label - lambda * judged, labelled), lambda = Cov(label, judged) / ((1 + n/N) Var judged), in [0, 1]. The
    standard error sums each unit's influence first, as in `flows.statistics.cluster_mean`.
    """
    known = np.isfinite(labels)
    inside, outside, said = judged[known], judged[~known], labels[known]
    trust = _trust(inside, said, len(outside))
    mean = trust * (float(outside.mean()) if len(outside) else 0.0) + float((said - trust * inside).mean())
    influence = np.zeros(len(judged))
    influence[known] = (said - trust * inside - (said - trust * inside).mean()) / len(said)
    if len(outside):
        influence[~known] = trust * (outside - outside.mean()) / len(outside)
    codes = np.unique(units, return_inverse=True)[1]
    sums = np.bincount(codes, weights=influence)
    sizes = np.unique(codes[known], return_counts=True)[1]
    groups = len(sizes)
    se = float(np.sqrt(groups / (groups - 1) * sums @ sums)) if groups > 1 else 0.0
    return Corrected(Estimate(mean, se, len(said), groups, freedom(sizes), 1.0), trust)


def kappa(judged: Sequence[bool], labelled: Sequence[bool]) -> float | None:
    """Agreement beyond chance (Cohen 1960) between a judge and people; None where either always says the same."""
    a, b = np.asarray(judged, bool), np.asarray(labelled, bool)
    if not len(a):
        return None
    chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return None if chance == 1 else float(((a == b).mean() - chance) / (1 - chance))


def is_judged(scorers: Iterable[str]) -> bool:
    """Whether any of the scores is a judge's opinion: one of ours, or a `judge:NAME` of somebody's own."""
    return any(name in JUDGES or name.startswith("judge:") for name in scorers)


def _trust(inside: Floats, said: Floats, outside: int) -> float:
    """PPI++'s lambda; 0 where there is nothing to predict, or nothing that varies to predict it from."""
    variance = float(inside.var())
    if not outside or variance == 0:
        return 0.0
    covariance = float(((inside - inside.mean()) * (said - said.mean())).mean())
    return float(np.clip(covariance / ((1 + len(inside) / outside) * variance), 0, 1))
