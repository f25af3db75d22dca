"""Clusters that a person has closed until they grow: what growth is held against, and whether it has come.

Held against is what was seen until then, kept with the cluster: the windows until a person closed it. It grew where
more people fail in it than in all of those together and than in the last of them, by the test that trends use. Every
run is a look, and the k-th look may err with .05/(k(k+1)), which all in all is .05: a cluster that stays as it was
comes back by chance once in twenty, however long it is looked at and however often. Only growth reopens, and nothing
here closes. Go on to `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import numpy as np

from flows.cluster.catalogue.trends import FALSE_DISCOVERIES, Counted, Onsets, Traffic, Window, counts, known_variance
from flows.statistics import discoveries, rate_ps
from schemas.acts import Ignored
from schemas.settings import ClusterSettings


@dataclass(frozen=True)
class Grown:
    """A cluster that has grown since a person closed it."""

    window_start: str
    """ISO 8601."""
    people: int
    """Who failed in it since then, and their share of those who came."""
    rate: float


@dataclass(frozen=True)
class Looked:
    """What a run has seen of the closed clusters."""

    closed: Mapping[int, Ignored]
    """By index: those that stay closed, with this look counted."""
    grown: Mapping[int, Grown]


def look(
    closed: Mapping[int, Ignored],
    counted: Counted,
    first: Mapping[int, datetime | None],
    traffic: Traffic,
    since: Onsets,
    spans: Sequence[Window],
    settings: ClusterSettings,
) -> Looked:
    """Look at each closed cluster, by its index. `first`: when its first failure was."""
    new = {i: one for i, one in closed.items() if not one.before}
    begun = {i: msgspec.structs.replace(one, before=_before(i, counted, spans, first[i])) for i, one in new.items()}
    old = {i: one for i, one in closed.items() if one.before}
    as_of = spans[-1].end
    clusters = counted.people.shape[1]
    seen: dict[int, tuple[Window, int, int]] = {}
    by_start: dict[datetime, Counted] = {}
    for i, one in old.items():
        start = max(as_of - timedelta(hours=settings.window_hours), datetime.fromisoformat(one.since))
        if start not in by_start:
            by_start[start] = counts(traffic, [Window(start, as_of)], clusters, settings.subject_cap, since)
        now = by_start[start]
        seen[i] = Window(start, as_of), int(now.people[0, i]), int(now.visitors[0])
    order = sorted(old)
    p = np.array([growth_p(old[i].before, *seen[i][1:]) for i in order])
    paid = np.array([(old[i].looks + 1) * (old[i].looks + 2) for i in order], dtype=float)
    called = discoveries(np.minimum(p * paid, 1.0), FALSE_DISCOVERIES)
    grown = {
        i: Grown(seen[i][0].start.isoformat(), seen[i][1], seen[i][1] / max(seen[i][2], 1))
        for i, yes in zip(order, called, strict=True)
        if yes and seen[i][1] >= settings.min_size
    }
    kept = {i: msgspec.structs.replace(one, looks=one.looks + 1) for i, one in old.items() if i not in grown}
    return Looked(begun | kept, grown)


def growth_p(before: Sequence[tuple[int, int]], people: int, visitors: int) -> float:
    """One-sided p of "no more fail than before": the larger of against all windows, and against the last of them."""
    failed, came = np.array(before, dtype=float).T
    sides = [(failed[at:, None], came[at:, None]) for at in (0, len(failed) - 1)]
    variance = known_variance(sides[:1])
    now = np.array([[float(people)]]), np.array([[float(visitors)]])
    return max(float(rate_ps(now, side, variance)[1][0]) for side in sides)


def _before(
    cluster: int, counted: Counted, spans: Sequence[Window], first: datetime | None
) -> tuple[tuple[int, int], ...]:
    """People and visitors by window, from the one in which the cluster was first seen; of the last window always."""
    at = [w for w, span in enumerate(spans) if first is None or span.end > first] or [len(spans) - 1]
    return tuple((int(counted.people[w, cluster]), int(counted.visitors[w])) for w in at)
