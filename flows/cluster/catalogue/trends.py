"""Trends of clusters: failures per interaction served, window by window, and what changed beyond chance.

Rates are over traffic, never counts. A change is called only where an exact test says so after control of the false
discovery rate over all clusters. Go on to `closure.py` for what promotions did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from flows.cluster.placement.graph import Ints
from schemas.records import ClusterStatus, Part

Floats = NDArray[np.float64]
BASELINE_WINDOWS = 7
"""With windows of a day the current one is held against a week, so that weekdays and weekends are both in it."""
FALSE_DISCOVERIES = 0.05
"""Share of the changes announced in one run that may be chance, where failures are independent of each other: people
who fail several times, and topics that come and go by the day, are not (docs/clusters.md)."""
RESOLVED_RATIO = 0.3
"""A cluster is resolved at less than this share of its former rate; a smaller fall is `shrinking`."""
MAX_SEGMENTS = 12
Z = 1.959964
"""Two-sided 95 % intervals."""


@dataclass(frozen=True)
class Traffic:
    """Every interaction of the application in columns, failures with their cluster."""

    time: Floats
    """Seconds since the epoch."""
    cluster: Ints
    """Index of the failure's cluster; -1 where it did not fail or has no home."""
    unit: Ints
    """Number of the unit."""


@dataclass(frozen=True)
class Window:
    """A stretch of time: start included, end not."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Change:
    """The current window of one cluster against its baseline."""

    failures: int
    interactions: int
    rate: float | None
    """None where there was no traffic."""
    low: float | None
    high: float | None
    baseline_rate: float | None
    p: float
    significant: bool
    """After Benjamini and Hochberg over all clusters of the run."""


def windows(as_of: datetime, hours: float, promoted: datetime | None) -> list[Window]:
    """The baseline windows, oldest first, then the current one. All end at or before `as_of`.

    A promotion cuts the current window short: what was served before it was another system.
    """
    length = timedelta(hours=hours)
    start = as_of - length
    if promoted is not None and start < promoted < as_of:
        start = promoted
    earlier = [Window(start - length * (i + 1), start - length * i) for i in reversed(range(BASELINE_WINDOWS))]
    return [*earlier, Window(start, as_of)]


def counts(
    traffic: Traffic, spans: Sequence[Window], clusters: int, cap: int, *, open_end: bool = True
) -> tuple[Ints, Ints]:
    """Failures by (window, cluster) and interactions by window.

    One unit counts at most `cap` times in a window of a cluster: k units move a count by at most k · cap. With
    `open_end` the last window also takes what is dated after its end (clocks differ).
    """
    failures = np.zeros((len(spans), clusters), dtype=np.int64)
    served = np.zeros(len(spans), dtype=np.int64)
    for i, span in enumerate(spans):
        inside = traffic.time >= span.start.timestamp()
        if i + 1 < len(spans) or not open_end:
            inside &= traffic.time < span.end.timestamp()
        served[i] = inside.sum()
        failed = inside & (traffic.cluster >= 0)
        pairs, times = np.unique(np.stack([traffic.cluster[failed], traffic.unit[failed]]), axis=1, return_counts=True)
        np.add.at(failures[i], pairs[0], np.minimum(times, cap))
    return failures, served


def segments(traffic: Traffic, span: Window, clusters: int, values: NDArray[np.str_]) -> list[dict[str, Part]]:
    """For each cluster, value of a column → [failures, interactions, low, high] since a window's start.

    The most served values only: a column of a thousand prompt versions is not read by anybody.
    """
    inside = traffic.time >= span.start.timestamp()
    names, code = np.unique(values, return_inverse=True)
    served = np.bincount(code[inside], minlength=len(names))
    shown = [int(i) for i in np.argsort(-served, kind="stable")[:MAX_SEGMENTS] if served[i]]
    failures = np.zeros((clusters, len(names)), dtype=np.int64)
    failed = inside & (traffic.cluster >= 0)
    np.add.at(failures, (traffic.cluster[failed], code[failed]), 1)
    return [
        {str(names[i]): (int(row[i]), int(served[i]), *wilson(int(row[i]), int(served[i]))) for i in shown}
        for row in failures
    ]


def changes(failures: Ints, served: Ints, first_baseline: Ints) -> list[Change]:
    """Each cluster's last window against the ones before it, from `first_baseline` on (an index of windows)."""
    now, traffic = failures[-1], int(served[-1])
    used = np.arange(len(served) - 1)[:, None] >= first_baseline[None, :]
    before = (failures[:-1] * used).sum(axis=0)
    traffic_before = (served[:-1, None] * used).sum(axis=0)
    p = rate_p(now, traffic, before, traffic_before)
    called = discoveries(p, FALSE_DISCOVERIES)
    bounds = [wilson(int(count), traffic) for count in now]
    return [
        Change(
            failures=int(now[c]),
            interactions=traffic,
            rate=float(now[c] / traffic) if traffic else None,
            low=bounds[c][0],
            high=bounds[c][1],
            baseline_rate=float(before[c] / traffic_before[c]) if traffic_before[c] else None,
            p=float(p[c]),
            significant=bool(called[c]),
        )
        for c in range(failures.shape[1])
    ]


def rate_p(now: Ints, traffic: int, before: Ints, traffic_before: Ints) -> Floats:
    """Two-sided exact p of "same rate"; 1 where either side has no traffic.

    Given their sum the counts are binomial (J. Przyborowski and H. Wilenski, Biometrika 31, 1940).
    """
    from scipy.stats import binom  # noqa: PLC0415 lazy: 1 s of import

    share = traffic / np.maximum(traffic + traffic_before, 1)
    total = now + before
    low, high = binom.cdf(now, total, share), binom.sf(now - 1, total, share)
    p = np.minimum(1.0, 2 * np.minimum(low, high))
    return np.where((traffic == 0) | (traffic_before == 0), 1.0, p)


def discoveries(p: Floats, rate: float) -> NDArray[np.bool_]:
    """Which of the p-values are called when at most `rate` of the calls may be false (Benjamini, Hochberg 1995)."""
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    called = np.zeros(len(p), dtype=bool)
    called[order[: passed[-1] + 1 if len(passed) else 0]] = True
    return called


def wilson(successes: int, trials: int) -> tuple[float | None, float | None]:
    """The 95 % score interval of a share (E. B. Wilson, JASA 22, 1927); None where there were no trials."""
    if trials <= 0:
        return None, None
    share = min(successes / trials, 1.0)
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    reach = Z / (1 + Z**2 / trials) * np.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def status(change: Change, *, newborn: bool, before: str, min_size: int) -> ClusterStatus:
    """new, growing, steady, shrinking, resolved or regressed. `before`: the status of the previous run, or empty.

    Resolved lasts until the cluster comes back for sure; a single failure that lands in it is no regression.
    """
    if newborn:
        return "new"
    rose = change.significant and change.rate is not None and change.rate > (change.baseline_rate or 0)
    if before == "resolved":
        return "regressed" if rose and change.failures >= min_size else "resolved"
    if not change.significant:
        return "steady"
    if rose:
        return "growing"
    resolved = (change.rate or 0) <= RESOLVED_RATIO * (change.baseline_rate or 0)
    return "resolved" if resolved else "shrinking"
