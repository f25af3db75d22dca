"""What people decide about clusters, and what they do to eval items of their own making, as records.

Go on to `records.py`, where a cluster says which act named or closed it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class ClusterDecision(Struct, frozen=True, kw_only=True):
    """What a person decided about a cluster: accepted as a run proposed it, or an act of their own."""

    decision_id: str
    application: str
    time: datetime
    decided_by: str
    event: Literal[
        "split", "merged", "renamed", "ignored", "reopened", "assigned", "pinned", "unpinned", "refused", "undone"
    ]
    cluster_id: str
    """merged by hand: the one that keeps its id. assigned: where the failures belong. pinned: a hash of what defines
    it. refused: what a run proposed to split, or to merge with the other one. undone: what was split or merged."""
    other_ids: tuple[str, ...] = ()
    proposed_by: str = ""
    """The run that proposed it; empty for an act of a person's own."""
    name: str | None = None
    """renamed, pinned: what it is called from now on. split: what the new cluster is called, where they said so."""
    reason: str | None = None
    """Why; of an `ignored` always there."""
    words: str | None = None
    """split by hand: failures that say all of these become a cluster of their own. pinned: those that say all of these
    are in it."""
    interaction_ids: tuple[str, ...] = ()
    """assigned: these failures. split by hand: these beside those that say the words. pinned: failures like these are
    in it."""
    undoes: str = ""
    """undone: the decision that is taken back, a person's or a run's own."""


class Ignored(Struct, frozen=True, kw_only=True):
    """A cluster that a person has closed until it grows, and what it is held against."""

    decision: str
    """The act that says who, when and why."""
    since: str
    """ISO 8601 time of the run that carried it out."""
    before: tuple[tuple[int, int], ...] = ()
    """The windows until then, oldest first: people who failed in it, people who came."""
    looks: int = 0
    """How often runs have asked since whether it grew; every look is paid for."""


class GoldenAct(Struct, frozen=True, kw_only=True):
    """What a person did to an eval item of their own making: the item as it is from then on."""

    act_id: str
    application: str
    time: datetime
    decided_by: str
    event: Literal["added", "edited", "retired"]
    item_id: str
    version: int
    """From 1; every act makes one more."""
    messages: str
    """What is asked: chat messages as canonical JSON."""
    reference: str
    """What would be a right answer."""
    rubric: str | None = None
    slice: str | None = None
    reason: str | None = None
    """Why; of a `retired` always there."""
    interaction_id: str | None = None
    """The interaction that it was made from, where it was."""
    unit: str | None = None
    """Whose that interaction is: the item goes with them."""
    asked_at: datetime | None = None

    @property
    def name(self) -> str:
        """The item and its version, as dataset rows and findings name them."""
        return f"golden:{self.item_id}@{self.version}"
