"""Rate, trend and closure of groups of failures: of clusters, and of the ways in which a cluster's failures failed.

Go on to `trends.py` and `closure.py`, which count, and to `modes.py`, which groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from flows.cluster.catalogue.closure import Known, Promotion, closures
from flows.cluster.catalogue.trends import Change, Counted, Onsets, Traffic, Window, changes, counts, onsets
from flows.cluster.placement.graph import Ints
from schemas.settings import ClusterSettings
from schemas.trend import Closure, Point


@dataclass(frozen=True, kw_only=True)
class Look:
    """When a run looks, and at what."""

    spans: Sequence[Window]
    """The baseline windows, oldest first, then the current one."""
    promotions: Sequence[Promotion]
    as_of: datetime
    looks: int
    """How often the current window is looked at while it passes."""
    settings: ClusterSettings


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was counted of some groups, in their order."""

    counted: Counted
    begun: Onsets
    changes: Sequence[Change]
    trends: Sequence[tuple[Point, ...]]
    closures: Sequence[Sequence[Closure]]


def measured(traffic: Traffic, known: Known, first: Ints, look: Look) -> Measured:
    """Count groups; `traffic.cluster` is the group of a failure. `first`: each one's first baseline window."""
    hours, cap, spans = look.settings.window_hours, look.settings.subject_cap, look.spans
    begun = onsets(traffic, hours)
    counted = counts(traffic, spans, len(known.ids), cap, begun)
    least = np.array([known.min_size * (born >= spans[0].start) for born in known.born], dtype=float)
    return Measured(
        counted=counted,
        begun=begun,
        changes=changes(counted, first, look.looks, least),
        trends=[
            tuple((span.start, int(counted.failures[w, i]), int(counted.served[w])) for w, span in enumerate(spans))
            for i in range(len(known.ids))
        ],
        closures=closures(traffic, look.promotions, known, look.as_of, hours, cap),
    )
