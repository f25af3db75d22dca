"""What a cluster run says of itself: what the turn reports, the report shows and the run's row keeps."""

from __future__ import annotations

from msgspec import Struct

from flows.cluster.outcomes.coverage import Coverage
from flows.cluster.outcomes.reliability import Source


class Audit(Struct, frozen=True, kw_only=True):
    """What the audit says of all traffic, and what it still asks."""

    rate: float | None = None
    """Share of all interactions that failed, with its 95 % interval; None before a day is answered."""
    low: float | None = None
    high: float | None = None
    interactions: int = 0
    """Of the days that it is about, whoever judged them."""
    reviewed: int = 0
    unsure: int = 0
    """Of which reviewers said that nobody can tell: left out."""
    first: str = ""
    """ISO 8601 dates of those days: the first and the last."""
    last: str = ""
    waiting: tuple[str, ...] = ()
    """Interactions that nobody has answered yet, the oldest day first."""

    def __str__(self) -> str:
        """One sentence for people; empty where there is nothing to say."""
        wait = f"{len(self.waiting)} wait in the review queue" if self.waiting else ""
        if self.rate is None or self.low is None or self.high is None:
            return f"Of a random audit {wait}: `flywheel ui`, Review." if wait else ""
        said = f"{self.rate:.1%} of all interactions failed (95 %: {self.low:.1%} to {self.high:.1%})"
        return (
            f"By a random audit of {self.reviewed} answers, {self.first} to {self.last}, {said}; "
            f"{wait or 'none waits for a review'}."
        )


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
    audit: Audit = Audit()
    """What a random few say of all, and what it still asks."""
    reliabilities: tuple[Source, ...]
    basis: str = ""
    """Hash of what outcomes depend on beside the events: where it changes, everything is judged once more."""
