"""What is counted of failures over time: of a cluster, and of each way in which its failures failed.

Go on to `records.py`, whose clusters hold these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Point = tuple[datetime, int, int]
"""Of a trend: the start of a window, failures, interactions."""
Part = tuple[int, int, float | None, float | None]
"""Of a segment: failures, interactions, and the 95 % interval of their ratio."""
ClusterStatus = Literal["new", "growing", "steady", "shrinking", "resolved", "regressed", "merged"]


class Closure(Struct, frozen=True, kw_only=True):
    """What one change of champion did to a cluster: its failure rate before and after."""

    time: str
    """ISO 8601."""
    model: str
    action: str
    """promoted or rolled_back."""
    before: tuple[int, int]
    """Failures, interactions."""
    after: tuple[int, int]
    difference: float | None
    """Rate after - before, with its 95 % interval; None where either side has no traffic."""
    low: float | None
    high: float | None
    verdict: Literal["fell", "rose", "unclear"]
    offline: tuple[float, float | None, float | None] | None = None
    """The same cluster in the evaluation that the change was decided on: difference and interval of right answers."""
    final: bool = False
    """The next change has come: nothing is counted any more."""

    @property
    def fixed(self) -> Literal["both", "production", "offline", "neither"]:
        """Where the change is shown to have fixed the cluster."""
        offline = self.offline is not None and (self.offline[1] or 0.0) > 0
        return ("both" if offline else "production") if self.verdict == "fell" else "offline" if offline else "neither"


class Mode(Struct, frozen=True, kw_only=True):
    """How some failures of a cluster failed (`flows/cluster/modes`), counted as the cluster is."""

    mode: str
    """`refusal`, `edit:shortened`, `tool_error:TOOL`, …; `other` for all that are not among the most frequent."""
    size: int
    """Failures in the run's window."""
    size_total: int
    """Failures ever."""
    rate: float | None
    """Failures per interaction of the window, with its 95 % interval; None where there was no traffic."""
    rate_low: float | None
    rate_high: float | None
    status: ClusterStatus
    """As of a cluster, by the same tests; `new` where the run before saw no such failure in it."""
    trend: tuple[Point, ...] = ()
    closure: tuple[Closure, ...] = ()
