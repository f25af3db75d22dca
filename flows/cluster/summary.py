"""What a cluster run says of itself: what the turn reports, the report shows and the run's row keeps."""

from __future__ import annotations

from msgspec import Struct

from flows.cluster.outcomes.coverage import Coverage
from flows.cluster.outcomes.reliability import Source


class Summary(Struct, frozen=True, kw_only=True):
    """Counts of a run."""

    interactions: int
    ok: int
    failed: int
    unknown: int
    clusters: int
    """Those that live: without what was merged into another."""
    born: int
    unclustered: int
    """Failures that have no cluster yet."""
    unclustered_share: float
    """Of all failures; 0 where there are none."""
    statuses: dict[str, int]
    feedback_over_cap: int
    """Voices left out because their unit had judged more of one day's interactions than the cap allows."""
    themes: dict[str, str]
    """Theme → its name."""
    events: dict[str, int]
    coverage: Coverage
    reliabilities: tuple[Source, ...]
