"""Closure: whether a promotion fixed a cluster; its failure rate before and after, with an interval.

Go on to `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from flows.cluster.catalogue.trends import Traffic, Window, counts, wilson
from schemas.records import Closure


@dataclass(frozen=True)
class Promotion:
    """A change of champion."""

    time: datetime
    model: str
    action: str
    """promoted or rolled_back."""


def closures(
    traffic: Traffic, promotions: Sequence[Promotion], clusters: int, as_of: datetime, cap: int
) -> list[list[Closure]]:
    """For each cluster, one entry a promotion: rates before and after, their difference with its 95 % interval.

    Before reaches back to the promotion before it (or the first interaction), after forward to the next (or `as_of`).
    """
    found: list[list[Closure]] = [[] for _ in range(clusters)]
    if not len(traffic.time):
        return found
    first = datetime.fromtimestamp(float(np.floor(traffic.time.min())), as_of.tzinfo)
    times = [min(first, *(p.time for p in promotions)) if promotions else first]
    times += [p.time for p in promotions] + [as_of]
    for i, promotion in enumerate(promotions):
        spans = [Window(times[i], times[i + 1]), Window(times[i + 1], max(times[i + 2], times[i + 1]))]
        is_last = i + 1 == len(promotions)
        failures, served = counts(traffic, spans, clusters, cap, open_end=is_last)
        for cluster in range(clusters):
            before, after = int(failures[0, cluster]), int(failures[1, cluster])
            if before or after:
                found[cluster].append(_closure(promotion, (before, int(served[0])), (after, int(served[1]))))
    return found


def difference(before: int, n_before: int, after: int, n_after: int) -> tuple[float, float, float] | None:
    """Rate after - before with its 95 % interval; None where either side has no traffic.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17, 1998, method 10: square-and-add of two Wilson intervals, which holds its level for rare events.
    """
    low_b, high_b = wilson(before, n_before)
    low_a, high_a = wilson(after, n_after)
    if low_b is None or high_b is None or low_a is None or high_a is None:
        return None
    b, a = before / n_before, after / n_after
    low = (a - b) - float(np.hypot(a - low_a, high_b - b))
    high = (a - b) + float(np.hypot(high_a - a, b - low_b))
    return a - b, max(low, -1.0), min(high, 1.0)


def _closure(promotion: Promotion, before: tuple[int, int], after: tuple[int, int]) -> Closure:
    value, low, high = difference(*before, *after) or (None, None, None)
    verdict: Literal["fell", "rose", "unclear"] = "unclear"
    if low is not None and high is not None:
        verdict = "fell" if high < 0 else "rose" if low > 0 else "unclear"
    return Closure(
        time=promotion.time.isoformat(),
        model=promotion.model,
        action=promotion.action,
        before=before,
        after=after,
        difference=value,
        low=low,
        high=high,
        verdict=verdict,
    )
