"""Closure: whether a promotion fixed a cluster, in production and offline.

Production: people who failed in it before and after, tested as trends are. Offline: the difference in that cluster's
slice of the evaluation that the promotion was decided on. Go on to `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from flows.cluster.catalogue.trends import (
    BASELINE_WINDOWS,
    FALSE_DISCOVERIES,
    Counted,
    Onsets,
    Traffic,
    Window,
    counts,
    known_variance,
    onsets,
    wilson,
)
from flows.statistics import Floats, discoveries, rate_ps
from schemas.trend import Closure

LOOKS = (1, 2, 3, 5, 7)
"""After so many windows a promotion is looked at, and once more where it ends: whole ones, since people and topics of
the morning are not those of the night. The looks share the false discoveries; in between, nothing new is looked at,
however often a run is made."""
Offline = tuple[float, float | None, float | None]
"""Difference of an evaluation's slice, candidate - champion, with its interval."""


@dataclass(frozen=True)
class Promotion:
    """A change of champion."""

    time: datetime
    model: str
    action: str
    """promoted or rolled_back."""
    offline: Mapping[str, Offline] = field(default_factory=dict)
    """Cluster → what the evaluation that it was decided on says of it."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the clusters, in their order."""

    ids: Sequence[str]
    born: Sequence[datetime]
    """The run that saw each first as one."""
    min_size: int
    closures: Sequence[Sequence[Closure]]
    """What earlier runs said: of a promotion that has ended it is final."""
    looked: datetime | None = None
    """The run before this one."""


def closures(
    traffic: Traffic, promotions: Sequence[Promotion], known: Known, as_of: datetime, hours: float, cap: int
) -> list[list[Closure]]:
    """For each cluster, one entry a promotion: before and after, their difference with its interval, and a verdict.

    Before are at most the seven windows before the promotion, not beyond the one before it; after at most seven, to
    the next promotion. Reads no older traffic than that of promotions that have not ended.
    """
    found: list[list[Closure]] = [[] for _ in known.ids]
    if not len(traffic.time):
        return found
    first, since = datetime.fromtimestamp(float(np.floor(traffic.time.min())), as_of.tzinfo), onsets(traffic, hours)
    for i, promotion in enumerate(promotions):
        earliest = promotions[i - 1].time if i else first
        ended = i + 1 < len(promotions)
        end = promotions[i + 1].time if ended else as_of
        if _is_final(promotions, i, known):
            for cluster, before in enumerate(known.closures):
                found[cluster] += [one] if (one := _said(before, promotion)) else []
            continue
        sides = _sides(traffic, since, promotion.time, (earliest, end), hours, len(known.ids), cap, ended=ended)
        for cluster, one in _verdicts(promotion, sides, known, ended=ended):
            found[cluster].append(one)
    return found


def reach(promotions: Sequence[Promotion], known: Known, hours: float) -> list[tuple[datetime, datetime]]:
    """When `closures` counts: around promotions that have not ended or were not seen to, however long ago they were."""
    before, after = timedelta(hours=hours * BASELINE_WINDOWS), timedelta(hours=hours * LOOKS[-1])
    open_ = [promotion for i, promotion in enumerate(promotions) if not _is_final(promotions, i, known)]
    return [(promotion.time - before, promotion.time + after) for promotion in open_]


def difference(before: float, n_before: float, after: float, n_after: float) -> tuple[float, float, float] | None:
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


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """Windows before and after a promotion."""

    before: Counted
    after: Counted
    start: datetime
    """Of the first window before."""
    looked: bool
    """Whether it is time for a look."""


def _sides(
    traffic: Traffic,
    since: Onsets,
    promoted: datetime,
    reach: tuple[datetime, datetime],
    hours: float,
    clusters: int,
    cap: int,
    *,
    ended: bool,
) -> _Sides:
    length, (earliest, end) = timedelta(hours=hours), reach
    whole = min(int((promoted - earliest) / length), BASELINE_WINDOWS)
    starts = [promoted - length * (n + 1) for n in reversed(range(whole))] or [min(earliest, promoted)]
    before = [Window(start, min(start + length, promoted)) for start in starts]
    passed = [look for look in LOOKS if promoted + length * look <= end]
    looked = ended or bool(passed)
    if passed:
        whole = min(int((end - promoted) / length), LOOKS[-1]) if ended else passed[-1]
        end = promoted + length * whole
    after, start = [], promoted
    while start < end:
        after.append(Window(start, min(start + length, end)))
        start += length
    after = after or [Window(promoted, promoted)]
    return _Sides(
        before=counts(traffic, before, clusters, cap, since, open_end=False),
        after=counts(traffic, after, clusters, cap, since, open_end=not looked),
        start=before[0].start,
        looked=looked,
    )


def _verdicts(promotion: Promotion, sides: _Sides, known: Known, *, ended: bool) -> list[tuple[int, Closure]]:
    """An entry for each cluster that failed on either side."""
    old, new = _people(sides.before), _people(sides.after)
    variance = known_variance([old, new])
    least = np.array([known.min_size * (born >= sides.start) for born in known.born], dtype=float)
    early = np.array([born < promotion.time for born in known.born], dtype=bool)
    bounds = np.where(early, least, 0.0), np.where(early, 0.0, least)
    fell, rose = rate_ps(new, old, variance, bounds)
    p = np.minimum(1.0, 2 * np.minimum(fell, rose)) if sides.looked else np.ones(len(fell))
    called = discoveries(p, FALSE_DISCOVERIES / (len(LOOKS) + 1))
    found = []
    for c, id_ in enumerate(known.ids):
        before = int(sides.before.failures[:, c].sum()), int(sides.before.served.sum())
        after = int(sides.after.failures[:, c].sum()), int(sides.after.served.sum())
        if not before[0] and not after[0]:
            continue
        value, low, high = _interval((old, new), float(variance[c]), c, (before, after)) or (None, None, None)
        verdict: Literal["fell", "rose", "unclear"] = "unclear"
        if called[c]:
            verdict = "fell" if fell[c] < rose[c] else "rose"
        closure = Closure(
            time=promotion.time.isoformat(), model=promotion.model, action=promotion.action, before=before, after=after,
            difference=value, low=low, high=high, verdict=verdict, offline=promotion.offline.get(id_), final=ended,
        )  # fmt: skip
        found.append((c, closure))
    return found


def _interval(
    sides: tuple[tuple[Floats, Floats], tuple[Floats, Floats]],
    variance: float,
    cluster: int,
    shown: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[float, float, float] | None:
    """Newcombe's interval at as many independent interactions as these are worth (Kish 1965: n over design effect)."""
    worth: list[float] = []
    for (people, exposed), (failures, served) in zip(sides, shown, strict=True):
        failing, each = float(people[:, cluster].sum()), exposed[:, cluster]
        uneven = float((each**2).sum() / max(each.sum(), 1.0) ** 2)
        effect = failures / max(failing, 1.0) + variance * failures * uneven
        worth += [failures / max(effect, 1.0), served / max(effect, 1.0)]
    return difference(*worth)


def _people(counted: Counted) -> tuple[Floats, Floats]:
    people = counted.people.astype(float)
    return people, np.broadcast_to(counted.visitors[:, None], people.shape).astype(float)


def _is_final(promotions: Sequence[Promotion], i: int, known: Known) -> bool:
    """Whether an earlier run has said the last of a promotion: it had ended by then, and no entry is provisional."""
    ended = i + 1 < len(promotions) and known.looked is not None and promotions[i + 1].time < known.looked
    said = (_said(before, promotions[i]) for before in known.closures)
    return ended and all(one is None or one.final for one in said)


def _said(before: Sequence[Closure], promotion: Promotion) -> Closure | None:
    """What an earlier run said of a promotion."""
    time = promotion.time.isoformat()
    return next((one for one in before if one.time == time and one.action == promotion.action), None)
