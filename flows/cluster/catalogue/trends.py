"""Trends of clusters: failures per interaction served, window by window, and what changed beyond chance.

Rates are over traffic, never counts. Tested are people who failed, each once in a window's length, against how
much such numbers go up and down from window to window anyway; with control of the false discovery rate over all
clusters, and over the looks that one window is given. Go on to `closure.py` for what promotions did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from flows.cluster.placement.graph import Ints
from flows.statistics import Floats, day_variance, discoveries, rate_ps
from schemas.trend import ClusterStatus, Part

BASELINE_WINDOWS = 7
"""With windows of a day the current one is held against a week, so that weekdays and weekends are both in it."""
FALSE_DISCOVERIES = 0.05
"""Share of the changes announced in the span of one window that may be chance (docs/clusters.md)."""
UNKNOWN_VARIANCE = 0.25**2
"""Taken for how rates vary by the day until that is known: a quarter up or down."""
LEAST_FREEDOM = 6
"""Known is what so many degrees of freedom say: one cluster in a week."""
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
    again: NDArray[np.bool_] | None = None
    """Rows that say that an interaction failed in one more cluster: they stand last and are no interaction. None: none
    does."""

    @property
    def once(self) -> NDArray[np.bool_]:
        """The rows that are interactions."""
        return np.ones(len(self.time), dtype=bool) if self.again is None else ~self.again


@dataclass(frozen=True)
class Counted:
    """What was counted in each window."""

    failures: Ints
    """By (window, cluster), of one unit at most `cap`."""
    served: Ints
    """Interactions by window."""
    people: Ints
    """Units that failed, by (window, cluster): onsets, as below."""
    visitors: Ints
    """Units that came, by window: onsets too."""


@dataclass(frozen=True)
class Onsets:
    """Who fails, or comes, not having done so for a window's length.

    Unlike who fails in a window, these add up over stretches of any length, and a part of a window has its part of
    them: counted by window, people who fail again and again would be too many in a window that was cut short.
    """

    failures: NDArray[np.bool_]
    """By interaction: the unit has not failed in this cluster for so long."""
    visits: NDArray[np.bool_]


def onsets(traffic: Traffic, hours: float) -> Onsets:
    """The onsets among all interactions, for windows of so many hours."""
    failed = traffic.cluster >= 0
    return Onsets(
        failures=_first_of(traffic, failed, (traffic.unit, traffic.cluster), hours),
        visits=_first_of(traffic, traffic.once, (traffic.unit,), hours),
    )


def _first_of(traffic: Traffic, which: NDArray[np.bool_], alike: tuple[Ints, ...], hours: float) -> NDArray[np.bool_]:
    """Those of some rows before which, for so long, there was none of them that is alike in these columns."""
    rows = np.flatnonzero(which)
    rows = rows[np.lexsort((traffic.time[rows], *(column[rows] for column in alike)))]
    again = (np.diff(traffic.time[rows]) < hours * 3600) & _as_before(*(column[rows] for column in alike))
    first = which.copy()
    first[rows[1:]] = ~again
    return first


def _as_before(*columns: Ints) -> NDArray[np.bool_]:
    """Of each row but the first, whether all columns are as in the row before it."""
    same: NDArray[np.bool_] = np.all([column[1:] == column[:-1] for column in columns], axis=0)
    return same


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
    traffic: Traffic, spans: Sequence[Window], clusters: int, cap: int, since: Onsets, *, open_end: bool = True
) -> Counted:
    """Failures and people by (window, cluster), interactions and people by window.

    One unit counts at most `cap` times in a window of a cluster: k units move a count by at most k · cap. With
    `open_end` the last window also takes what is dated after its end (clocks differ).
    """
    failures, people = (np.zeros((len(spans), clusters), dtype=np.int64) for _ in range(2))
    served, visitors = (np.zeros(len(spans), dtype=np.int64) for _ in range(2))
    once = traffic.once
    for i, span in enumerate(spans):
        inside = traffic.time >= span.start.timestamp()
        if i + 1 < len(spans) or not open_end:
            inside &= traffic.time < span.end.timestamp()
        served[i], visitors[i] = (inside & once).sum(), (inside & since.visits).sum()
        failed = np.flatnonzero(inside & (traffic.cluster >= 0))
        failed = failed[np.lexsort((traffic.unit[failed], traffic.cluster[failed]))]
        first = np.flatnonzero(np.append(len(failed) > 0, ~_as_before(traffic.cluster[failed], traffic.unit[failed])))
        times = np.minimum(np.diff(first, append=len(failed)), cap)
        np.add.at(failures[i], traffic.cluster[failed[first]], times)
        np.add.at(people[i], traffic.cluster[inside & since.failures], 1)
    return Counted(failures, served, people, visitors)


def segments(traffic: Traffic, span: Window, clusters: int, values: NDArray[np.str_]) -> list[dict[str, Part]]:
    """For each cluster, value of a column → [failures, interactions, low, high] since a window's start.

    The most served values only: a column of a thousand prompt versions is not read by anybody.
    """
    inside = traffic.time >= span.start.timestamp()
    names, code = np.unique(values, return_inverse=True)
    served = np.bincount(code[inside & traffic.once], minlength=len(names))
    shown = [int(i) for i in np.argsort(-served, kind="stable")[:MAX_SEGMENTS] if served[i]]
    failures = np.zeros((clusters, len(names)), dtype=np.int64)
    failed = inside & (traffic.cluster >= 0)
    np.add.at(failures, (traffic.cluster[failed], code[failed]), 1)
    return [
        {str(names[i]): (int(row[i]), int(served[i]), *wilson(int(row[i]), int(served[i]))) for i in shown}
        for row in failures
    ]


def changes(
    counted: Counted, first_baseline: Ints, looks: int = 1, least: NDArray[np.float64] | None = None
) -> list[Change]:
    """Each cluster's last window against the ones before it, from `first_baseline` on (an index of windows).

    `looks`: how often a window is looked at while it passes; they share the false discoveries. `least`: people without
    whom a cluster would not be (0 where it is older than its baseline).
    """
    now, traffic = counted.failures[-1], int(counted.served[-1])
    used = np.arange(len(counted.served) - 1)[:, None] >= first_baseline[None, :]
    before = (counted.failures[:-1] * used).sum(axis=0)
    traffic_before = (counted.served[:-1, None] * used).sum(axis=0)
    p = change_p(counted, used, least)
    called = discoveries(p, FALSE_DISCOVERIES / max(looks, 1))
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
        for c in range(counted.failures.shape[1])
    ]


def change_p(counted: Counted, used: NDArray[np.bool_], least: NDArray[np.float64] | None) -> Floats:
    """Two-sided p of "the last window has the rate of the used ones before it", by people."""
    before, exposed = counted.people[:-1] * used.astype(float), counted.visitors[:-1, None] * used.astype(float)
    visitors = np.full((1, used.shape[1]), float(counted.visitors[-1]))
    now = counted.people[-1:].astype(float), visitors
    bounds = None if least is None else (least, np.zeros_like(least))
    fell, rose = rate_ps(now, (before, exposed), known_variance([(before, exposed)]), bounds)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(fell, rose)))


def known_variance(sides: Sequence[tuple[Floats, Floats]]) -> Floats:
    """How much each cluster's rate varies by the window, from windows between which nothing is said to have changed."""
    found = [day_variance(*side) for side in sides]
    free = sum(freedom for _, freedom in found)
    largest: Floats = np.max([variance for variance, _ in found], axis=0)
    return largest if free >= LEAST_FREEDOM else np.maximum(largest, UNKNOWN_VARIANCE)


def wilson(successes: float, trials: float) -> tuple[float | None, float | None]:
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
